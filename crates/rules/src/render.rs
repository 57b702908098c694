//! Diagnostics as people read them: the place, the line, what to do.
//!
//! A rule file may hold anything, so nothing of it reaches a terminal as a
//! control character.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level as Shown, Origin, Renderer, Snippet};
use model::diagnostic::{Diagnostic, Level};

/// All findings, each with its source line, and a line that counts them.
/// Empty when there is nothing to say.
pub fn diagnostics(findings: &[Diagnostic], colour: bool) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for finding in findings {
        text.push_str(&render(finding, &renderer));
        text.push_str("\n\n");
    }
    text.push_str(&summary(findings));
    text.push('\n');
    text
}

/// `3 errors, 1 warning`.
pub fn summary(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for (level, one, many) in [
        (Level::Error, "error", "errors"),
        (Level::Warning, "warning", "warnings"),
        (Level::Note, "note", "notes"),
    ] {
        let count = findings.iter().filter(|found| found.level == level).count();
        if count == 0 {
            continue;
        }
        let comma = if text.is_empty() { "" } else { ", " };
        let word = if count == 1 { one } else { many };
        write!(text, "{comma}{count} {word}").expect("writing into a string cannot fail");
    }
    text
}

fn render(finding: &Diagnostic, renderer: &Renderer) -> String {
    let level = match finding.level {
        Level::Error => Shown::ERROR,
        Level::Warning => Shown::WARNING,
        Level::Note => Shown::NOTE,
    };
    let message = neutral(&finding.message);
    let file = neutral(&finding.file);
    let source = neutral(&finding.source);
    let hint = finding.hint.as_deref().map(neutral);
    let title = level.primary_title(message).id(finding.code.as_str());
    let has_line = finding.line > 0 && !source.trim().is_empty();
    let mut group = if has_line {
        let span = span(&source, finding.column, finding.width);
        title.element(
            Snippet::source(source)
                .path(file)
                .line_start(finding.line)
                .annotation(AnnotationKind::Primary.span(span)),
        )
    } else if file.is_empty() {
        Group::with_title(title)
    } else {
        let mut origin = Origin::path(file);
        if finding.line > 0 {
            origin = origin.line(finding.line).char_column(finding.column);
        }
        title.element(origin)
    };
    if let Some(hint) = hint {
        group = group.element(Shown::HELP.message(hint));
    }
    renderer.render(&[group])
}

/// Byte range of `width` characters from a column that counts from 1. What
/// lies behind the end of the line is pulled onto it.
fn span(source: &str, column: usize, width: usize) -> std::ops::Range<usize> {
    let byte = |chars: usize| {
        source
            .char_indices()
            .nth(chars)
            .map_or(source.len(), |(at, _)| at)
    };
    let start = column.saturating_sub(1);
    byte(start)..byte(start.saturating_add(width.max(1)))
}

/// One character for each character, so that columns stay right.
fn neutral(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '�',
            c if c.is_control() => '�',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests;
