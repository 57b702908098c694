//! Findings as they may be shown: without what could be a secret.
//!
//! A finding shows the line that it is about, and a small slip is enough to
//! get a password into such a line. What is only suspected is masked, too: a
//! line that says too little is better than a password in a log.

use model::{diagnostic::Diagnostic, suggest::nearest};

/// What is shown in place of a secret.
const MASK: char = '*';
/// Where secrets stand: their names are shown.
const PLACES: [&str; 4] = ["file", "env", "credential", "command"];

/// Masks the line, the message and the hint of a finding about this text.
pub(crate) fn hide(text: &str, finding: &mut Diagnostic) {
    let is_secret_all = is_below_a_secret(text, finding.line);
    let characters: Vec<char> = finding.source.chars().collect();
    let hidden = if is_secret_all {
        characters.iter().map(|c| !c.is_whitespace()).collect()
    } else {
        hidden(&characters)
    };
    let secrets = runs(&characters, &hidden);
    finding.source = with_mask(&characters, &hidden);
    finding.message = without(&finding.message, &secrets);
    finding.hint = finding.hint.as_ref().map(|hint| without(hint, &secrets));
}

/// A line with its secrets masked, in their own width.
fn masked(line: &str) -> String {
    let characters: Vec<char> = line.chars().collect();
    with_mask(&characters, &hidden(&characters))
}

fn with_mask(line: &[char], hidden: &[bool]) -> String {
    line.iter()
        .zip(hidden)
        .map(|(c, is_hidden)| if *is_hidden { MASK } else { *c })
        .collect()
}

fn hidden(line: &[char]) -> Vec<bool> {
    let mut hidden = vec![false; line.len()];
    hide_logins(line, &mut hidden);
    hide_queries(line, &mut hidden);
    hide_values(line, &mut hidden);
    hidden
}

/// `user:PASSWORD@host`, with and without a scheme. A password may have any
/// character in it where somebody forgot to encode it, so everything from the
/// first colon that does not end a key to the last `@` is masked.
fn hide_logins(line: &[char], hidden: &mut [bool]) {
    let mut ends: Vec<usize> = (0..line.len()).filter(|at| line[*at] == '@').collect();
    // Addresses in one list stay apart.
    ends.retain(|at| {
        let after = line[at + 1..].iter().position(|c| *c == '@');
        let between = &line[at + 1..after.map_or(line.len(), |after| at + 1 + after)];
        after.is_none() || between.windows(3).any(|three| three == [':', '/', '/'])
    });
    let mut from = 0;
    for at in ends {
        let mut quote = None;
        let mut begin = None;
        for place in from..at {
            let c = line[place];
            match quote {
                Some(open) if open == c => quote = None,
                None if ['"', '\''].contains(&c) => quote = Some(c),
                Some(_) | None => {}
            }
            let rest = &line[place + 1..];
            let is_scheme = rest.starts_with(&['/', '/']);
            let is_key = quote.is_none() && rest.first().is_none_or(|c| c.is_whitespace());
            if c == ':' && !is_scheme && !is_key && begin.is_none() {
                begin = Some(place + 1);
            }
        }
        if let Some(begin) = begin {
            hidden[begin..at].fill(true);
        }
        from = at + 1;
    }
}

/// What stands behind the `?` of an address.
fn hide_queries(line: &[char], hidden: &mut [bool]) {
    let mut is_query = false;
    for (c, is_hidden) in line.iter().zip(hidden) {
        if c.is_whitespace() || ['"', '\''].contains(c) {
            is_query = false;
        } else if is_query {
            *is_hidden = true;
        } else if *c == '?' {
            is_query = true;
        }
    }
}

/// What stands behind a key that sounds like a secret, also where the colon
/// was forgotten.
fn hide_values(line: &[char], hidden: &mut [bool]) {
    let mut from = 0;
    while let Some(word) = next_word(line, from) {
        from = word.end;
        let name: String = line[word.clone()].iter().collect();
        if !is_secret(&name) {
            continue;
        }
        let is_gap = |c: &char| c.is_whitespace() || ['"', '\''].contains(c);
        let gap = line[from..].iter().take_while(|c| is_gap(c)).count();
        let sign = from + gap;
        let begin = match line.get(sign) {
            Some(':' | '=') => sign + 1,
            Some(_) if line[from..sign].iter().any(|c| c.is_whitespace()) => from,
            Some(_) | None => continue,
        };
        let blank = line[begin..].iter().take_while(|c| c.is_whitespace());
        let begin = begin + blank.count();
        let end = value_end(line, begin);
        let inner = match line.get(begin) {
            Some('{') if names_a_place(&line[begin..]) => continue,
            Some('"' | '\'' | '{') => begin + 1,
            Some(_) | None => begin,
        };
        if inner < end {
            hidden[inner..end].fill(true);
        }
        from = end.max(from);
    }
}

/// Behind the last character of a value: before its closing quote, before the
/// next key of a mapping in braces, or the end of the line.
fn value_end(line: &[char], begin: usize) -> usize {
    let rest = &line[begin..];
    let found = match rest.first() {
        Some(quote @ ('"' | '\'')) => (1..rest.len()).find(|at| {
            let next = rest[at + 1..].iter().find(|c| !c.is_whitespace());
            rest[*at] == *quote && next.is_none_or(|c| [',', '}', ']', '#'].contains(c))
        }),
        Some('{') | None => None,
        Some(_) => (0..rest.len()).find(|at| rest[*at] == ',' && is_key(&rest[at + 1..])),
    };
    found.map_or(line.len(), |at| begin + at)
}

/// ` name: ` at the front.
fn is_key(line: &[char]) -> bool {
    let Some(word) = next_word(line, 0) else {
        return false;
    };
    line[..word.start].iter().all(|c| c.is_whitespace())
        && line.get(word.end) == Some(&':')
        && line.get(word.end + 1).is_none_or(|c| c.is_whitespace())
}

/// Whether this mapping in braces has no other keys than [`PLACES`].
fn names_a_place(mapping: &[char]) -> bool {
    let mut depth = 0_usize;
    let mut parts = vec![String::new()];
    for c in mapping {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 1 => parts.push(String::new()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if let Some(part) = parts.last_mut() {
            part.push(*c);
        }
    }
    parts.iter().all(|part| {
        let part = part.trim_start_matches('{');
        let key = part.split_once(": ").map(|(key, _)| key.trim());
        key.is_some_and(|key| PLACES.contains(&key))
    })
}

/// Letters, digits, `_` and `-`, from here on.
fn next_word(line: &[char], from: usize) -> Option<std::ops::Range<usize>> {
    let is_letter = |c: &char| c.is_alphanumeric() || ['_', '-'].contains(c);
    let start = from + line.get(from..)?.iter().position(is_letter)?;
    let length = line[start..].iter().take_while(|c| is_letter(c)).count();
    Some(start..start + length)
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    if key == "requests_per_token" {
        return false;
    }
    let is_like = ["pass", "secret", "pw", "token"]
        .iter()
        .any(|part| key.contains(part));
    is_like || nearest(&key, ["password", "passphrase", "secret"]).is_some()
}

/// Whether a line (from 1) belongs to a key of a line above that sounds like a
/// secret. Lines that name its place do not count.
fn is_below_a_secret(text: &str, line: usize) -> bool {
    let indent = |line: &str| line.chars().take_while(|c| *c == ' ').count();
    let lines: Vec<&str> = text.lines().take(line).collect();
    let Some((own, above)) = lines.split_last() else {
        return false;
    };
    let first = |line: &str| {
        let characters: Vec<char> = line.chars().collect();
        next_word(&characters, 0).map(|word| characters[word].iter().collect::<String>())
    };
    let is_place = first(own).is_some_and(|word| PLACES.contains(&word.as_str()));
    // The items of a list may stand as far left as its key.
    let is_item = |line: &str| line.trim_start().starts_with('-');
    let mut least = indent(own) + usize::from(is_item(own));
    for above in above.iter().rev().filter(|line| !line.trim().is_empty()) {
        let is_neighbour = is_item(own) && is_item(above) && indent(above) == indent(own);
        if indent(above) < least && !is_neighbour {
            least = indent(above);
            if first(above).is_some_and(|key| is_secret(&key)) {
                return !is_place;
            }
        }
    }
    false
}

/// What was masked, piece by piece.
fn runs(line: &[char], hidden: &[bool]) -> Vec<String> {
    let mut runs = vec![String::new()];
    for (c, is_hidden) in line.iter().zip(hidden) {
        match (is_hidden, runs.last_mut()) {
            (true, Some(run)) => run.push(*c),
            (false, Some(run)) if !run.is_empty() => runs.push(String::new()),
            (_, _) => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// A sentence without these secrets. What it quotes may be a piece of one.
fn without(text: &str, secrets: &[String]) -> String {
    let covered = |text: &str| MASK.to_string().repeat(text.chars().count());
    let mut shown = String::new();
    for (index, piece) in text.split('`').enumerate() {
        if index > 0 {
            shown.push('`');
        }
        let is_quoted = index % 2 == 1;
        let is_piece = |secret: &String| secret.contains(piece);
        if is_quoted && !piece.is_empty() && secrets.iter().any(is_piece) {
            shown.push_str(&covered(piece));
        } else if is_quoted {
            shown.push_str(&masked(piece));
        } else {
            shown.push_str(piece);
        }
    }
    // Short ones are in every other word.
    for secret in secrets.iter().filter(|secret| secret.chars().count() > 3) {
        shown = shown.replace(secret.as_str(), &covered(secret));
    }
    shown
}

#[cfg(test)]
mod tests;
