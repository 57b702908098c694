//! Text as a YAML scalar that reads back as this text, whoever reads it.

use std::fmt::Write;

/// Plain where that is safe, otherwise between double quotes.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            ' '..='~' => quoted.push(c),
            _ if c.is_alphanumeric() => quoted.push(c),
            _ => {
                write!(quoted, "\\U{:08x}", u32::from(c)).expect("writing to a string cannot fail")
            }
        }
    }
    quoted.push('"');
    quoted
}

/// `[a, b]`.
pub(super) fn list(texts: &[String]) -> String {
    let items: Vec<String> = texts.iter().map(|text| scalar(text)).collect();
    format!("[{}]", items.join(", "))
}

/// Words that no version of YAML takes for something else.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan",
    ];
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '/';
    text.starts_with(is_start)
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::{list, scalar};

    #[test]
    fn text_stays_text() {
        for (text, expect) in [
            ("org.example.a_b-c", "org.example.a_b-c"),
            ("/usr/bin/x", "/usr/bin/x"),
            ("", r#""""#),
            ("yes", r#""yes""#),
            ("12", r#""12""#),
            ("1e3", r#""1e3""#),
            ("org.example.#", r##""org.example.#""##),
            ("a: b", r#""a: b""#),
            ("{{ event.topic }}.yml", r#""{{ event.topic }}.yml""#),
            ("\"\\\n", r#""\"\\\U0000000a""#),
            ("ä\u{202e}", r#""ä\U0000202e""#),
        ] {
            assert_eq!(expect, scalar(text));
            let mut reader = rules::yaml::Reader::new("x", expect);
            let node = reader.parse();
            let read = node.as_ref().and_then(|node| reader.string(node));
            assert_eq!(Some(text), read);
        }
        assert_eq!(r#"[a, "no"]"#, list(&["a".to_owned(), "no".to_owned()]));
    }
}
