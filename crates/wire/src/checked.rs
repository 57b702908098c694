//! JSON text from outside becomes a value.
//!
//! Nesting is looked at before the parser is, since a parser has a stack, and
//! keys beside it, since it has an opinion on what stands twice. Numbers keep
//! their text.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{
    scan::{self, BadKey, KeyFault},
    shown,
};

/// What the parser behind this can take, with room for what events are
/// embedded in.
pub(crate) const MAX_NESTING: usize = 100;

/// Why a text is no value of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    NotJson(String),
    TooDeep,
    Keys(Vec<BadKey>),
}

/// Bytes as text, without the white space around it.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    trimmed(text)
}

/// The text without the white space around it.
pub(crate) fn trimmed(text: &str) -> Result<&str, String> {
    if text.starts_with('\u{feff}') {
        return Err("the text begins with a byte order mark; JSON is sent without one".to_owned());
    }
    Ok(text.trim_matches([' ', '\t', '\r', '\n']))
}

/// Whether the text is JSON at all. This does not recurse.
pub(crate) fn grammar(text: &str) -> Result<(), String> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(not_json(&error)),
    }
}

/// Reads a text in which arrays and objects may lie `depth` deep in each other.
/// At most `max` bad keys are named.
pub(crate) fn value(text: &str, depth: usize, max: usize) -> Result<Value, Fault> {
    if scan::outline(text.as_bytes()).depth > depth {
        return Err(grammar(text).map_or_else(Fault::NotJson, |()| Fault::TooDeep));
    }
    let parsed = model::json::parse(text);
    if parsed.is_err() {
        // The parser may have refused a key that is to be named.
        grammar(text).map_err(Fault::NotJson)?;
    }
    let bad = scan::keys(text, max);
    if !bad.is_empty() {
        return Err(Fault::Keys(bad));
    }
    parsed.map_err(|error| Fault::NotJson(not_json(&error)))
}

pub(crate) fn not_json(error: &serde_json::Error) -> String {
    format!("not JSON: {error}")
}

pub(crate) fn too_deep(nesting: usize) -> String {
    format!("arrays and objects may lie {nesting} deep in each other, these lie deeper")
}

/// What is wrong with a key, without its path.
pub(crate) fn about_key(bad: &BadKey) -> String {
    let what = match bad.fault {
        KeyFault::Repeated => "stands twice in one object",
        KeyFault::Reserved => "is a name that no event may use",
    };
    let key = bad.path.last().map_or("", String::as_str);
    format!("the key {} {what}", shown::quoted(key))
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
