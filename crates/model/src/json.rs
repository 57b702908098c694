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
