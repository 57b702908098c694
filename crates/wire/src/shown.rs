//! Text from outside, inside our own messages: short, quoted, and with
//! nothing in it that a terminal would obey.

use std::fmt::Write;

/// At most 64 characters of a text between double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let (short, is_cut) = cut(text, 64);
    let mut shown = format!("{short:?}");
    if is_cut {
        shown.push('…');
    }
    shown
}

/// At most `max` characters of a text between backticks.
pub(crate) fn code(text: &str, max: usize) -> String {
    let (short, is_cut) = cut(text, max);
    let mut shown = String::with_capacity(short.len() + 4);
    shown.push('`');
    for c in short.chars() {
        match c {
            '\'' | '"' => shown.push(c),
            _ => write!(shown, "{}", c.escape_debug()).expect("writing to a string cannot fail"),
        }
    }
    if is_cut {
        shown.push('…');
    }
    shown.push('`');
    shown
}

/// The keys that lead to a field, shortened to what a message can hold.
pub(crate) fn path(path: &[String]) -> String {
    let joined = path.join(".");
    match cut(&joined, 200) {
        (_, false) => joined,
        (short, true) => format!("{short}…"),
    }
}

/// The first `max` characters, and whether there are more.
fn cut(text: &str, max: usize) -> (&str, bool) {
    match text.char_indices().nth(max) {
        Some((end, _)) => text
            .split_at_checked(end)
            .map_or((text, false), |(short, _)| (short, true)),
        None => (text, false),
    }
}
