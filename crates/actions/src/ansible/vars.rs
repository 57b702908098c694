//! The file of extra variables: how event data reaches Ansible.
//!
//! Block-style YAML, never JSON: in JSON, Ansible obeys objects such as
//! `{"__ansible_vault": …}`. Every text, keys below the top included, is
//! double-quoted, pure ASCII and tagged `!unsafe`, so that it is never
//! templated; texts such as `yes` or `1.10` do without the tag. Numbers are written so that YAML 1.1 reads the same value; one
//! that Python has no number for is given as the text it came as.
//!
//! The closed set of top names is [`write`]'s: nothing in an event can name a
//! variable.

use model::{action::StepContext, json::Object};
use serde_json::{Number, Value, json};

/// Python refuses to read longer integers.
const INTEGER_MAX: usize = 4000;
/// Beyond 1,024 characters a key has to be announced.
const PLAIN_KEY_MAX: usize = 512;

/// The whole file: `event`, `msg`, `lariat`, and the step's own variables,
/// which cannot take the place of the three.
pub(super) fn write(context: &StepContext, vars: &Object) -> Result<String, serde_json::Error> {
    let lariat = json!({
        "job": context.job,
        "attempt": context.attempt,
        "rule": context.rule,
        "event_id": context.event.id,
    });
    let mut top = vars.clone();
    top.insert(
        "event".to_owned(),
        serde_json::to_value(context.event.as_ref())?,
    );
    top.insert("msg".to_owned(), context.event.body.clone());
    top.insert("lariat".to_owned(), lariat);
    Ok(document(&top))
}

fn document(top: &Object) -> String {
    let mut out = String::from("---\n");
    entries(top, 0, &mut out);
    out
}

/// Variables under their names, which are plain words.
pub(super) fn entries(vars: &Object, depth: usize, out: &mut String) {
    for (name, value) in vars {
        indent(depth, out);
        quote(name, out);
        out.push(':');
        below(value, depth + 1, out);
    }
}

/// What follows a `:` or a `-`, up to and including the end of the line.
fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                indent(depth, out);
                out.push('-');
                below(item, depth + 1, out);
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            for (key, value) in fields {
                indent(depth, out);
                entry(key, depth, out);
                below(value, depth + 1, out);
            }
        }
        scalar => {
            out.push(' ');
            match scalar {
                Value::Null => out.push_str("null"),
                Value::Bool(true) => out.push_str("true"),
                Value::Bool(false) => out.push_str("false"),
                Value::Number(number) => match python_number(number) {
                    Some(text) => out.push_str(&text),
                    None => unsafe_text(number.as_str(), out),
                },
                Value::String(text) => unsafe_text(text, out),
                Value::Array(_) => out.push_str("[]"),
                Value::Object(_) => out.push_str("{}"),
            }
            out.push('\n');
        }
    }
}

fn entry(key: &str, depth: usize, out: &mut String) {
    let start = out.len();
    unsafe_text(key, out);
    if out.len() - start > PLAIN_KEY_MAX {
        out.insert_str(start, "? ");
        out.push('\n');
        indent(depth, out);
    }
    out.push(':');
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', depth));
}

/// From 2.19 on, Ansible takes a tagged text for what it would be without
/// quotes: a number, a date, a truth value. Such texts hold nothing that could
/// be templated, and stay texts without the tag.
fn unsafe_text(text: &str, out: &mut String) {
    if !is_word_of_yaml(text) {
        out.push_str("!unsafe ");
    }
    quote(text, out);
}

/// Whether YAML 1.1 might read the bare text as anything but a text.
fn is_word_of_yaml(text: &str) -> bool {
    const WORDS: [&str; 13] = [
        "", "~", "=", "<<", "null", "yes", "no", "on", "off", "true", "false", "y", "n",
    ];
    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return true;
    }
    let bare = text.trim_start_matches(['+', '-']);
    if [".inf", ".nan"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(bare))
    {
        return true;
    }
    // Integers in all bases, floats, base 60, dates and times.
    bare.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && bare.chars().all(|c| {
            c.is_ascii_hexdigit()
                || matches!(c, '_' | '.' | ':' | '+' | '-' | ' ' | '\t')
                || matches!(c, 'x' | 'o' | 't' | 'T' | 'z' | 'Z')
        })
}

/// A double-quoted scalar of printable ASCII.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            _ => escape(u32::from(character), out),
        }
    }
    out.push('"');
}

fn escape(code: u32, out: &mut String) {
    let (letter, digits) = match code {
        0..=0xff => ('x', 2),
        0x100..=0xffff => ('u', 4),
        _ => ('U', 8),
    };
    out.push('\\');
    out.push(letter);
    for place in (0..digits).rev() {
        let digit = (code >> (4 * place)) & 15;
        out.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

/// A number in the form that YAML 1.1 takes for the same number. `None`:
/// Python would refuse it or read it as infinite.
fn python_number(number: &Number) -> Option<String> {
    let text = number.as_str();
    let Some((mantissa, exponent)) = split_float(text) else {
        return (text.len() <= INTEGER_MAX).then(|| text.to_owned());
    };
    let is_finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    if !is_finite {
        return None;
    }
    let point = if mantissa.contains('.') { "" } else { ".0" };
    Some(match exponent {
        None => format!("{mantissa}{point}"),
        Some(exponent) => {
            let sign = if exponent.starts_with(['+', '-']) {
                ""
            } else {
                "+"
            };
            format!("{mantissa}{point}e{sign}{exponent}")
        }
    })
}

/// Mantissa and exponent of what is not an integer.
fn split_float(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => Some((mantissa, Some(exponent))),
        None => text.contains('.').then_some((text, None)),
    }
}

#[cfg(test)]
mod tests;
