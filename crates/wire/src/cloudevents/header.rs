//! The headers of a request in binary mode, as values of attributes.
//!
//! A value is taken out of double quotes, then decoded once (HTTP binding,
//! section 3.1.3.2). What does not decode is refused rather than guessed at.

use model::json::Object;
use serde_json::Value;

use super::{Binary, PREFIX};
use crate::event_json::{Problems, RefusalKind};

const CONTENT_TYPE: &str = "datacontenttype";

/// The attributes by name. Notes what is wrong and leaves it out.
pub(super) fn values(request: Binary<'_>, problems: &mut Problems) -> Object {
    let mut values = Object::new();
    for (name, bytes) in request.headers {
        let mut refuse = |message: String| {
            problems.add(RefusalKind::Invalid, Some(name.clone()), message);
        };
        let attribute = name.strip_prefix(PREFIX).unwrap_or(name);
        if attribute == CONTENT_TYPE {
            refuse("this attribute is the header `Content-Type`; leave `ce-` out".to_owned());
            continue;
        }
        if attribute == "data" || attribute == "data_base64" {
            refuse("the data is the body of the request".to_owned());
            continue;
        }
        if values.contains_key(attribute) {
            refuse("the header stands twice".to_owned());
            continue;
        }
        let text = decode(bytes).unwrap_or_else(|message| {
            refuse(message);
            // It is there all the same, and not missing.
            String::from_utf8_lossy(bytes).into_owned()
        });
        values.insert(attribute.to_owned(), Value::String(text));
    }
    if let Some(bytes) = request.content_type {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let text = text.trim().to_owned();
                values.insert(CONTENT_TYPE.to_owned(), Value::String(text));
            }
            Err(_) => problems.add(
                RefusalKind::Invalid,
                Some("Content-Type".to_owned()),
                "is not ASCII".to_owned(),
            ),
        }
    }
    values
}

/// The text of a value.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    let plain = unquoted(bytes)?;
    let mut decoded = Vec::with_capacity(plain.len());
    let mut rest = plain.as_slice();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let ([high, low], behind) = behind
            .split_first_chunk::<2>()
            .ok_or("`%` must be followed by two digits; a `%` itself is sent as `%25`")?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return Err("`%` must be followed by two digits; a `%` itself is sent as `%25`".into());
        };
        decoded.push(u8::try_from(high * 16 + low).expect("two digits are a byte"));
        rest = behind;
    }
    String::from_utf8(decoded)
        .map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

/// Without the double quotes that earlier versions of the binding put around
/// texts, and the backslashes inside them.
fn unquoted(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut is_quoted = false;
    let mut bytes = bytes.trim_ascii().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => match bytes.next() {
                Some(escaped) => plain.push(*escaped),
                None => break,
            },
            other => plain.push(*other),
        }
    }
    if is_quoted {
        return Err("a double quote is not closed".to_owned());
    }
    Ok(plain)
}
