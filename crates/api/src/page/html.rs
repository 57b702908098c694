//! Values become HTML text here, and only text.
//!
//! Whatever a template prints passes [`write_text`]: markup is escaped, and
//! control, invisible and direction-changing characters are shown as symbols.
//! The only exception is [`Safe`], which only this file can make.

use std::{fmt, sync::LazyLock};

use minijinja::{Environment, Error, UndefinedBehavior, Value, value::Serde};
use serde::{Serialize, Serializer};

/// HTML that one of our templates has made.
#[derive(Debug)]
pub(super) struct Safe(String);

impl Safe {
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Serialize for Safe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::from_safe_string(self.0.clone()).serialize(serializer)
    }
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, _state, value| write_value(out, value));
    for (name, text) in [
        ("layout.html", include_str!("layout.html")),
        ("home.html", include_str!("home.html")),
        ("event.html", include_str!("event.html")),
        ("job.html", include_str!("job.html")),
        ("problem.html", include_str!("problem.html")),
        ("login.html", include_str!("login.html")),
    ] {
        environment
            .add_template(name, text)
            .expect("the templates are compiled by every test");
    }
    environment
});

/// Renders one of the pages.
pub(super) fn render(template: &str, context: &impl Serialize) -> Safe {
    let rendered = TEMPLATES
        .get_template(template)
        .and_then(|template| template.render(Serde(context)));
    Safe(rendered.unwrap_or_else(|error| {
        tracing::error!("the page `{template}` cannot be rendered: {error}");
        "<p>This page cannot be shown; the log of the service says why.</p>".to_owned()
    }))
}

fn write_value(out: &mut impl fmt::Write, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        return Ok(());
    }
    let written = match value.as_str() {
        Some(text) if value.is_safe() => out.write_str(text),
        Some(text) => write_text(out, text),
        None => write_text(out, &value.to_string()),
    };
    Ok(written?)
}

/// Writes `text` so that it is seen and nothing else, between tags and in
/// quoted attributes. Line feeds and tabs stay.
fn write_text(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&#39;")?,
            '\n' | '\t' => out.write_char(c)?,
            '\0'..='\u{1f}' => {
                out.write_char(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'))?;
            }
            '\u{7f}' => out.write_char('\u{2421}')?,
            _ if is_deceptive(c) => write!(out, "[U+{:04X}]", u32::from(c))?,
            _ => out.write_char(c)?,
        }
    }
    Ok(())
}

/// Cannot be seen, or changes how what is around it is seen.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0e}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{fffe}'..='\u{ffff}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::write_text;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let mut out = String::new();
        write_text(&mut out, text).unwrap();
        assert_eq!(expect, out);
    }

    #[test]
    fn text_stays_text() {
        check("plain ž 漢 🎉", "plain ž 漢 🎉");
        check(
            "<script>alert('x')</script>",
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;",
        );
        check(
            "\" onclick=\"x\" &amp;",
            "&quot; onclick=&quot;x&quot; &amp;amp;",
        );
        check("\u{1b}[31mred\u{7}\0\r\n\t\u{7f}", "␛[31mred␇␀␍\n\t␡");
        check("a\u{202e}b\u{2066}c\u{200b}", "a[U+202E]b[U+2066]c[U+200B]");
        check("\u{9b}31m\u{feff}\u{e0041}", "[U+009B]31m[U+FEFF][U+E0041]");
    }
}
