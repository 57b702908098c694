//! What `ansible-playbook --syntax-check` prints, as a diagnostic. Its words
//! differ between versions: before 2.19 an error comes with `The error appears
//! to be in 'FILE': line 3, column 7`, from then on with `Origin: FILE:3:7`.

use std::path::Path;

use model::diagnostic::{Diagnostic, Level};

/// Characters of Ansible's message that are shown.
const MESSAGE_MAX: usize = 400;
/// Characters of a source line that are shown.
const SOURCE_MAX: usize = 1_000;
/// Bytes of a file that a line is taken from.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// The first error in `text`.
pub(super) fn diagnostic(root: &Path, playbook: &str, text: &str) -> Diagnostic {
    let message = message(text);
    let (level, code, hint) = if needs_event(text) {
        (
            Level::Warning,
            "playbook-unchecked",
            Some(
                "Ansible can say more only when there is an event: `lariat jobs rerun JOB --local` runs it with one",
            ),
        )
    } else if needs_vault(text) {
        (
            Level::Warning,
            "playbook-unchecked",
            Some("secrets are not read for this"),
        )
    } else {
        (Level::Error, "playbook-syntax", None)
    };
    let mut found = Diagnostic {
        file: playbook.to_owned(),
        hint: hint.map(str::to_owned),
        ..Diagnostic::without_place(level, code, message)
    };
    if let Some((file, line, column)) = place(text) {
        let inside = Path::new(file).strip_prefix(root);
        found.source = source(Path::new(file), line);
        found.file = inside.map_or_else(|_| file.to_owned(), |path| path.display().to_string());
        found.line = line;
        found.column = column;
    }
    found
}

/// The line that begins with the error, and what belongs to it.
fn message(text: &str) -> String {
    let begins = |line: &&str| line.starts_with("ERROR!") || line.starts_with("[ERROR]:");
    let mut lines = text.lines().skip_while(|line| !begins(line));
    let Some(first) = lines.next() else {
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        return shorten(last.unwrap_or("it says nothing"));
    };
    let first = first.trim_start_matches("ERROR!");
    let first = first.trim_start_matches("[ERROR]:").trim();
    let rest = lines
        .map(str::trim)
        .take_while(|line| !is_place(line) && !line.is_empty());
    let all: Vec<&str> = [first].into_iter().chain(rest).collect();
    shorten(&all.join(" "))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn is_place(line: &str) -> bool {
    line.starts_with("Origin: ") || line.starts_with("The error appears to be in ")
}

/// File, line and column of the first error.
fn place(text: &str) -> Option<(&str, usize, usize)> {
    let line = text.lines().find(|line| is_place(line))?;
    if let Some(origin) = line.strip_prefix("Origin: ") {
        let (rest, last) = origin.rsplit_once(':')?;
        let last: usize = last.trim().parse().ok()?;
        return match rest.rsplit_once(':') {
            Some((file, line)) if line.parse::<usize>().is_ok() => {
                Some((file, line.parse().ok()?, last))
            }
            Some(_) | None => Some((rest, last, 1)),
        };
    }
    let quoted = line.strip_prefix("The error appears to be in '")?;
    let (file, rest) = quoted.rsplit_once("': line ")?;
    let (line, rest) = rest.split_once(", column ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((file, line.parse().ok()?, digits.parse().ok()?))
}

/// Whether it is only about a value that an event has.
fn needs_event(text: &str) -> bool {
    text.contains("evaluating variable in import path") || text.contains("is undefined")
}

fn needs_vault(text: &str) -> bool {
    text.contains("no vault secrets")
}

fn source(file: &Path, line: usize) -> String {
    let is_small = fs_err::metadata(file).is_ok_and(|found| found.len() <= FILE_MAX);
    if !is_small {
        return String::new();
    }
    let text = fs_err::read_to_string(file).unwrap_or_default();
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    line.chars().take(SOURCE_MAX).collect()
}

#[cfg(test)]
mod tests;
