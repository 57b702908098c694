//! Looks at JSON text byte by byte, without recursion, before a parser does.
//!
//! The parser that follows has a stack and an opinion on repeated keys; this
//! file makes sure that neither matters. [`outline`] works on any bytes,
//! [`keys`] on text whose grammar has been checked.

use std::{borrow::Cow, collections::HashSet};

use memchr::memchr2;

/// The shape of a text, as far as brackets and commas tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Outline {
    /// The most arrays and objects that are open at once.
    pub(crate) depth: usize,
    /// Commas inside the outermost array or object.
    pub(crate) commas: usize,
}

/// Strings are left out; brackets that do not match are the parser's to refuse.
pub(crate) fn outline(bytes: &[u8]) -> Outline {
    let mut found = Outline::default();
    let mut open = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'[' | b'{' => {
                open += 1;
                found.depth = found.depth.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            b',' if open == 1 => found.commas += 1,
            _ => {}
        }
        at += 1;
    }
    found
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyFault {
    /// It stands twice in one object. Parsers differ in which one they see.
    Repeated,
    /// The JSON library takes such a key for a mark of its own.
    Reserved,
}

/// A key that is refused, with the keys that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadKey {
    pub(crate) path: Vec<String>,
    pub(crate) fault: KeyFault,
}

const RESERVED: &str = "$serde_json::private::";

pub(crate) fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED)
}

/// Up to this many keys are searched one by one; more are hashed.
const FEW: usize = 16;

#[derive(Default)]
struct Keys<'t> {
    seen: Vec<Cow<'t, str>>,
    hashed: HashSet<Cow<'t, str>>,
}

impl<'t> Keys<'t> {
    /// Whether the key is new.
    fn add(&mut self, key: Cow<'t, str>) -> bool {
        if self.hashed.is_empty() {
            if self.seen.contains(&key) {
                return false;
            }
            if self.seen.len() < FEW {
                self.seen.push(key);
                return true;
            }
            self.hashed = self.seen.drain(..).collect();
        }
        self.hashed.insert(key)
    }
}

enum Frame<'t> {
    Array,
    Object {
        keys: Keys<'t>,
        current: Cow<'t, str>,
    },
}

/// All keys of `text` that are refused, at most `max`. The grammar of `text`
/// has been checked before.
pub(crate) fn keys(text: &str, max: usize) -> Vec<BadKey> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut stack: Vec<Frame<'_>> = Vec::new();
    let mut expect_key = false;
    let mut at = 0;
    while at < bytes.len() && found.len() < max {
        match bytes[at] {
            b'{' => {
                stack.push(Frame::Object {
                    keys: Keys::default(),
                    current: Cow::Borrowed(""),
                });
                expect_key = true;
            }
            b'[' => {
                stack.push(Frame::Array);
                expect_key = false;
            }
            b'}' | b']' => {
                stack.pop();
                expect_key = false;
            }
            b',' => expect_key = matches!(stack.last(), Some(Frame::Object { .. })),
            b'"' => {
                let end = string_end(bytes, at);
                if expect_key {
                    let key = decode(text, at, end);
                    if let Some(fault) = enter(&mut stack, key) {
                        found.push(BadKey {
                            path: path(&stack),
                            fault,
                        });
                    }
                    expect_key = false;
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn enter<'t>(stack: &mut [Frame<'t>], key: Cow<'t, str>) -> Option<KeyFault> {
    let Some(Frame::Object { keys, current }) = stack.last_mut() else {
        return None;
    };
    current.clone_from(&key);
    if is_reserved(&key) {
        return Some(KeyFault::Reserved);
    }
    (!keys.add(key)).then_some(KeyFault::Repeated)
}

fn path(stack: &[Frame<'_>]) -> Vec<String> {
    stack
        .iter()
        .filter_map(|frame| match frame {
            Frame::Array => None,
            Frame::Object { current, .. } => Some(current.to_string()),
        })
        .collect()
}

/// Where the string that begins at `start` has its closing quote. Most of a
/// text lies in strings.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += next;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

/// A key as the parser will read it. An escape that it will refuse is left as
/// it stands: the parser speaks of it.
fn decode(text: &str, start: usize, end: usize) -> Cow<'_, str> {
    let inner = text.get(start + 1..end).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    text.get(start..=end)
        .and_then(|quoted| serde_json::from_str::<String>(quoted).ok())
        .map_or(Cow::Borrowed(inner), Cow::Owned)
}

#[cfg(test)]
mod tests;
