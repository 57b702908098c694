//! Hints about names that an event does not have.
//!
//! Evaluation says that `event.body.stauts` is undefined. Here, with the event
//! at hand, it is found out what was probably meant.

use model::{
    event::Event,
    json::Object,
    suggest::nearest,
    verdict::{Explanation, Trace},
};

/// Fields of an object among which a similar one is looked for.
const MAX_FIELDS: usize = 1_000;
/// Bytes of a name that is suggested.
const MAX_NAME: usize = 100;
/// Characters of a word that is likely to be mistyped rather than another one.
const MIN_WORD: usize = 3;
/// Notes of one verdict that get a hint.
const MAX_HINTS: usize = 100;
const UNDEFINED: &str = "` is undefined";

/// Adds hints to the notes and the reason of a verdict.
pub(crate) fn explain(explanation: &mut Explanation, event: &Event) {
    let notes = explanation
        .conditions
        .iter_mut()
        .filter_map(|Trace { note, .. }| note.as_mut());
    for note in notes.take(MAX_HINTS) {
        add(note, event);
    }
    add(&mut explanation.reason, event);
}

/// Adds a hint to a text that ends with what is undefined.
pub(crate) fn add(text: &mut String, event: &Event) {
    let Some(path) = text
        .strip_suffix(UNDEFINED)
        .and_then(|before| before.rsplit_once('`'))
        .map(|(_, path)| path)
    else {
        return;
    };
    if let Some(meant) = meant(path, event) {
        text.push_str("; did you mean `");
        text.push_str(&meant);
        text.push_str("`?");
    }
}

/// What an event has of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there, or nothing can be said about it.
    Yes,
    /// It is not, and this is.
    Similar(String),
    No,
}

fn meant(path: &str, event: &Event) -> Option<String> {
    match find(path, event) {
        Found::Similar(meant) => Some(meant),
        Found::Yes | Found::No => None,
    }
}

/// Follows a path of plain words, and says what was probably meant where it
/// ends.
pub(crate) fn find(path: &str, event: &Event) -> Found {
    let missed = |similar: Option<String>| similar.map_or(Found::No, Found::Similar);
    let mut words = path.split('.');
    let (mut known, mut at) = match (words.next(), words.clone().next()) {
        (Some("msg"), _) => ("msg".to_owned(), &event.body),
        (Some("event"), Some("body")) => {
            words.next();
            ("event.body".to_owned(), &event.body)
        }
        (Some("event"), Some("headers")) => {
            let Some(word) = words.nth(1) else {
                return Found::Yes;
            };
            if event.headers.contains_key(word) {
                return Found::Yes;
            }
            return missed(of(&event.headers, "event.headers", word));
        }
        (Some(_) | None, _) => return Found::Yes,
    };
    for word in words {
        let Some(fields) = at.as_object() else {
            return Found::No;
        };
        match fields.get(word) {
            Some(next) => at = next,
            None => return missed(of(fields, &known, word)),
        }
        known = format!("{known}.{word}");
    }
    Found::Yes
}

fn of(fields: &Object, known: &str, word: &str) -> Option<String> {
    let names = fields.keys().map(String::as_str).take(MAX_FIELDS);
    let found = nearest(word, names.filter(|name| is_word(name)))?;
    // Any two short words are near to each other.
    let is_sure = word.chars().count() >= MIN_WORD || found.eq_ignore_ascii_case(word);
    is_sure.then(|| format!("{known}.{found}"))
}

/// Whether a rule can write it behind a dot. Other names would be text from
/// outside in a message.
fn is_word(name: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_';
    name.len() <= MAX_NAME && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests;
