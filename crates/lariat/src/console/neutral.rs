//! Makes text from outside harmless on a terminal: control characters, escape
//! sequences, C1 controls and characters that reorder or hide text are shown
//! as what they are instead of being obeyed.

use std::fmt::Write;

/// For one line: line breaks and tabs are shown as escapes, too.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            _ => push(&mut safe, c),
        }
    }
    safe
}

/// For several lines: line breaks and tabs stay; `\r\n` is a line break.
pub(crate) fn block(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => safe.push(c),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => safe.push_str("\\r"),
            _ => push(&mut safe, c),
        }
    }
    safe
}

/// For a printed JSON document, which stays the same document: what must not
/// reach a terminal only occurs inside strings and is escaped there.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut units = [0_u16; 2];
    for c in text.chars() {
        if c != '\n' && is_dangerous(c) {
            for unit in c.encode_utf16(&mut units) {
                write!(safe, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

fn push(safe: &mut String, c: char) {
    if is_dangerous(c) {
        let code = u32::from(c);
        let written = if code < 0x100 {
            write!(safe, "\\x{code:02x}")
        } else {
            write!(safe, "\\u{{{code:x}}}")
        };
        written.expect("writing to a string cannot fail");
    } else {
        safe.push(c);
    }
}

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Decodes bytes that arrive in pieces; a character may be cut in two.
#[derive(Debug, Default)]
pub(crate) struct Utf8Pieces {
    pending: Vec<u8>,
}

impl Utf8Pieces {
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let keep = unfinished(&self.pending);
        let rest = self.pending.split_off(self.pending.len() - keep);
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending = rest;
        text
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let needs = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        return if needs > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests;
