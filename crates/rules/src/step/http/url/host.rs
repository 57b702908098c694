//! The host of an address, and the port: which of it the rule says, and what an
//! event may say.
//!
//! Decided by the rule's own text alone, before there is an event. What is not
//! understood is the event's.

use crate::template::Piece;

/// Who says which host is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Whose {
    /// The rule: all of it, or the domain that it is in.
    Rule,
    Event,
}

/// Over all texts that can come of an address.
pub(super) fn whose(outlines: &[Vec<Piece>]) -> Whose {
    if outlines.iter().all(|pieces| is_of_rule(pieces)) {
        Whose::Rule
    } else {
        Whose::Event
    }
}

/// A computed value that stands before the host has ended.
pub(super) fn check(before: &str, value: &str) -> Result<(), String> {
    let authority = before.split_once("://").map_or("", |(_, rest)| rest);
    let (is_allowed, what): (fn(char) -> bool, _) = if authority.contains(':') {
        (|c| c.is_ascii_digit(), "a port is digits only")
    } else {
        (
            |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'),
            "in a host there are letters, digits, `.` and `-` only",
        )
    };
    match value.chars().find(|c| !is_allowed(*c)) {
        Some(found) => Err(format!("{found:?} may not stand there, {what}")),
        None => Ok(()),
    }
}

/// Whether the rule writes something behind the `://` itself.
pub(super) fn has_own_text(pieces: &[Piece]) -> bool {
    split(pieces).is_some_and(|(_, rest)| {
        rest.iter().any(|part| match part {
            Part::Text(text) => !text.is_empty(),
            Part::Computed => false,
        })
    })
}

/// Whether something computed stands before the rule's own `://`.
pub(super) fn is_scheme_computed(pieces: &[Piece]) -> bool {
    split(pieces).is_some_and(|(before, _)| before.contains(&Part::Computed))
}

/// Whether something computed goes on with a name that the rule has begun, and
/// no domain of the rule's follows: `https://h.example{{ … }}`.
pub(super) fn is_continued(pieces: &[Piece]) -> bool {
    let Some((_, rest)) = split(pieces) else {
        return false;
    };
    let host = host(&rest);
    let is_begun = host.windows(2).any(|parts| match parts {
        [Part::Text(text), Part::Computed] => !text.ends_with('.'),
        _ => false,
    });
    let is_ended = match host.last() {
        Some(Part::Text(end)) => end.contains('.'),
        Some(Part::Computed) | None => false,
    };
    is_begun && !is_ended
}

fn is_of_rule(pieces: &[Piece]) -> bool {
    let Some((before, rest)) = split(pieces) else {
        return false;
    };
    let is_scheme = |text: &str| {
        ["http", "https"]
            .iter()
            .any(|s| s.eq_ignore_ascii_case(text))
    };
    match before.as_slice() {
        [Part::Text(scheme)] if is_scheme(scheme) => {}
        _ => return false,
    }
    let host = host(&rest);
    match host.as_slice() {
        [Part::Text(name)] => !name.is_empty(),
        [.., Part::Computed, Part::Text(end)] => is_domain(end),
        _ => false,
    }
}

/// `.example.org`: a domain that somebody has, behind a dot. A last label that
/// is a number would be the end of an IP address.
fn is_domain(end: &str) -> bool {
    let Some(labels) = end.strip_prefix('.') else {
        return false;
    };
    let labels: Vec<&str> = labels.split('.').collect();
    labels.len() > 1
        && labels.iter().all(|label| {
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
        && labels
            .last()
            .is_some_and(|label| label.starts_with(|c: char| c.is_ascii_alphabetic()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Computed,
}

/// What is before the first `://` of the rule's own, and what is behind it.
fn split(pieces: &[Piece]) -> Option<(Vec<Part<'_>>, Vec<Part<'_>>)> {
    let parts = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => Part::Text(text),
        Piece::Computed => Part::Computed,
    });
    divide(parts, |text| text.split_once("://"))
}

/// The host without its port.
fn host<'t>(rest: &[Part<'t>]) -> Vec<Part<'t>> {
    let end = |text: &'t str| {
        let at = text.find(['/', '?', '#', ':'])?;
        text.split_at_checked(at)
    };
    match divide(rest.iter().copied(), end) {
        Some((host, _)) => host,
        None => rest.to_vec(),
    }
    .into_iter()
    .filter(|part| *part != Part::Text(""))
    .collect()
}

/// What is before and behind the place at which the first text can be cut.
fn divide<'t>(
    parts: impl Iterator<Item = Part<'t>>,
    cut: impl Fn(&'t str) -> Option<(&'t str, &'t str)>,
) -> Option<(Vec<Part<'t>>, Vec<Part<'t>>)> {
    let mut before = Vec::new();
    let mut behind: Option<Vec<Part<'t>>> = None;
    for part in parts {
        match (&mut behind, part) {
            (Some(behind), part) => behind.push(part),
            (None, Part::Text(text)) => match cut(text) {
                Some((left, right)) => {
                    before.push(Part::Text(left));
                    behind = Some(vec![Part::Text(right)]);
                }
                None => before.push(Part::Text(text)),
            },
            (None, Part::Computed) => before.push(Part::Computed),
        }
    }
    behind.map(|behind| (before, behind))
}
