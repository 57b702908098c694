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
use serde_json::Value;

/// Fields of an object among which a similar one is looked for.
const MAX_FIELDS: usize = 1_000;
/// Notes of one verdict that get a hint.
const MAX_HINTS: usize = 100;
const FIELDS: [&str; 10] = [
    "id", "topic", "time", "accepted", "source", "severity", "headers", "body", "origin", "cause",
];
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

/// The path that was probably meant.
fn meant(path: &str, event: &Event) -> Option<String> {
    let mut words = path.split('.');
    let (mut known, mut at) = match (words.next()?, &event.body) {
        ("msg", body) => ("msg".to_owned(), body),
        ("event", body) => match words.next()? {
            "body" => ("event.body".to_owned(), body),
            "headers" => return of(&event.headers, "event.headers", words.next()?),
            word if FIELDS.contains(&word) => return None,
            word => return of_event(word, body),
        },
        _ => return None,
    };
    for word in words {
        let fields = at.as_object()?;
        match fields.get(word) {
            Some(next) => at = next,
            None => return of(fields, &known, word),
        }
        known = format!("{known}.{word}");
    }
    None
}

/// A field of the event, or of its body when somebody forgot the word.
fn of_event(word: &str, body: &Value) -> Option<String> {
    let is_in_body = body
        .as_object()
        .is_some_and(|fields| fields.contains_key(word));
    if is_in_body {
        return Some(format!("event.body.{word}"));
    }
    nearest(word, FIELDS).map(|field| format!("event.{field}"))
}

fn of(fields: &Object, known: &str, word: &str) -> Option<String> {
    let names = fields.keys().map(String::as_str).take(MAX_FIELDS);
    nearest(word, names).map(|field| format!("{known}.{field}"))
}

#[cfg(test)]
mod tests;
