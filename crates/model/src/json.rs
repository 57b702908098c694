//! What we do with JSON beyond holding it: nesting depth and a stable hash.
//!
//! Numbers keep the text they came with (`arbitrary_precision`), and objects
//! keep the order of their keys (`preserve_order`).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A JSON object.
pub type Object = serde_json::Map<String, Value>;

/// Levels of arrays and objects in `value`; a scalar has none.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
    }
}

/// Parses JSON text and keeps the text of its numbers.
///
/// The JSON library alone keeps their digits and rewrites exponents (`1E2`
/// becomes `1e+2`). Everything that reads a body or headers back from text
/// goes through here. Keys that stand twice are the last one's, as everywhere;
/// where text comes from outside, `wire` refuses them.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    let mut value: Value = serde_json::from_str(text)?;
    if has_exponent(&value) {
        restore(&mut value, &mut exponents(text).into_iter());
    }
    Ok(value)
}

/// Whether a number in `value` has an exponent. Hardly any has one, and a value
/// is walked faster than its text.
fn has_exponent(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => false,
        Value::Number(number) => number.as_str().contains(['e', 'E']),
        Value::Array(items) => items.iter().any(has_exponent),
        Value::Object(fields) => fields.values().any(has_exponent),
    }
}

/// The numbers of a valid text that have an exponent, in order.
fn exponents(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let len = bytes[at..]
                    .iter()
                    .take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .count();
                let number = text.get(at..at + len).unwrap_or_default();
                if number.contains(['e', 'E']) {
                    found.push(number);
                }
                at += len;
            }
            _ => at += 1,
        }
    }
    found
}

/// Puts the texts back, in order. A text that is not the number that stands
/// there belongs to a key that stood twice: the rest is then left alone.
fn restore<'t>(value: &mut Value, texts: &mut impl Iterator<Item = &'t str>) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) if number.as_str().contains(['e', 'E']) => {
            let Some(text) = texts.next() else {
                return false;
            };
            let is_same = text.parse::<serde_json::Number>().ok().as_ref() == Some(&*number);
            if is_same {
                *number = serde_json::Number::from_string_unchecked(text.to_owned());
            }
            is_same
        }
        Value::Number(_) => true,
        Value::Array(items) => items.iter_mut().all(|item| restore(item, texts)),
        Value::Object(fields) => fields.values_mut().all(|field| restore(field, texts)),
    }
}

/// SHA-256 over topic and body, independent of the order of keys.
///
/// Two events with the same id are the same event when this is equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(pub String);

impl ContentHash {
    pub fn of(topic: &str, body: &Value) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(topic.as_bytes());
        hasher.update([0]);
        feed(&mut hasher, body);
        Self(hex(&hasher.finalize()))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Number(number) => feed_text(hasher, b'#', number.as_str()),
        Value::String(text) => feed_text(hasher, b'"', text),
        Value::Array(items) => {
            hasher.update(b"[");
            hasher.update(items.len().to_le_bytes());
            for item in items {
                feed(hasher, item);
            }
        }
        Value::Object(fields) => {
            hasher.update(b"{");
            hasher.update(fields.len().to_le_bytes());
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            for key in keys {
                feed_text(hasher, b'"', key);
                feed(hasher, &fields[key]);
            }
        }
    }
}

fn feed_text(hasher: &mut Sha256, kind: u8, text: &str) {
    hasher.update([kind]);
    hasher.update(text.len().to_le_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests;
