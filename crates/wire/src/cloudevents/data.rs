//! The data of a CloudEvent as the body of an event.
//!
//! Data of a JSON type is the body itself. Data of a type that says it is
//! text, and is UTF-8, is a string. Anything else is an object with the one
//! member `data_base64`. No data is `null`.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{attributes::Attributes, bytes_body};
use crate::{
    checked::{self, kind_of},
    event_json::{Limits, Problems, RefusalKind},
    shown::quoted,
};

/// The value of `datacontenttype`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContentType {
    pub(super) text: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    /// Text in UTF-8.
    Text,
    Other,
}

impl ContentType {
    pub(super) fn json() -> Self {
        Self {
            text: "application/json".to_owned(),
            kind: Kind::Json,
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.kind == Kind::Json
    }
}

impl FromStr for ContentType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{} is no media type such as \"application/json\"",
                quoted(text)
            )
        };
        let lower = text.to_ascii_lowercase();
        let (essence, parameters) = lower.split_once(';').unwrap_or((&lower, ""));
        let (top, sub) = essence.trim().split_once('/').ok_or_else(wrong)?;
        if !is_token(top) || !is_token(sub) {
            return Err(wrong());
        }
        let charset = charset(parameters).ok_or_else(wrong)?;
        let is_utf8 = matches!(charset, "" | "utf-8" | "us-ascii");
        let kind = if sub == "json" || sub.ends_with("+json") {
            Kind::Json
        } else if is_utf8 && (top == "text" || sub == "xml" || sub.ends_with("+xml")) {
            Kind::Text
        } else {
            Kind::Other
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }
}

/// RFC 2045, section 5.1.
fn is_token(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
    !text.is_empty() && text.chars().all(is_allowed)
}

/// The parameter `charset`, empty when there is none. `None`: these are no
/// parameters.
fn charset(parameters: &str) -> Option<&str> {
    let mut found = "";
    for parameter in parameters.split(';').map(str::trim) {
        if parameter.is_empty() {
            continue;
        }
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim();
        if !is_token(name.trim()) || value.is_empty() {
            return None;
        }
        if name.trim() == "charset" {
            found = value.trim_matches('"');
        }
    }
    Some(found)
}

/// The body that the members `data` and `data_base64` come to.
pub(super) fn of_members(
    data: Option<Value>,
    encoded: Option<Value>,
    attributes: &Attributes,
    limits: &Limits,
    problems: &mut Problems,
) -> Option<Value> {
    let mut refuse = |field: &str, message: String| {
        problems.add(RefusalKind::Invalid, Some(field.to_owned()), message);
        None
    };
    match (data, encoded) {
        (Some(_), Some(encoded)) if !encoded.is_null() => refuse(
            "data_base64",
            "an event has `data` or `data_base64`, not both".to_owned(),
        ),
        (None, None | Some(Value::Null)) => Some(Value::Null),
        (Some(data), _) => match &attributes.content_type {
            Some(other) if !other.is_json() && !data.is_string() && !data.is_null() => {
                let (shown, kind) = (quoted(&other.text), kind_of(&data));
                refuse(
                    "data",
                    format!("must be a string where `datacontenttype` is {shown}, not {kind}"),
                )
            }
            Some(_) | None => Some(data),
        },
        (None, Some(Value::String(text))) => match STANDARD.decode(&text) {
            Ok(bytes) => of_bytes(&bytes, attributes, limits, problems),
            Err(error) => refuse("data_base64", format!("is not base64: {error}")),
        },
        (None, Some(other)) => refuse(
            "data_base64",
            format!("must be a string, not {}", kind_of(&other)),
        ),
    }
}

/// The body that bytes come to.
pub(super) fn of_bytes(
    bytes: &[u8],
    attributes: &Attributes,
    limits: &Limits,
    problems: &mut Problems,
) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    let kind = attributes.content_type.as_ref().map(|known| known.kind);
    match (kind, std::str::from_utf8(bytes)) {
        (Some(Kind::Json), _) => json(bytes, limits, problems),
        (Some(Kind::Text), Ok(text)) => Some(Value::String(text.to_owned())),
        (Some(Kind::Text | Kind::Other) | None, _) => Some(bytes_body(STANDARD.encode(bytes))),
    }
}

fn json(bytes: &[u8], limits: &Limits, problems: &mut Problems) -> Option<Value> {
    let nesting = limits.nesting.min(checked::MAX_NESTING);
    let parsed = checked::text(bytes)
        .map_err(checked::Fault::NotJson)
        .and_then(|text| checked::value(text, nesting, 100));
    match parsed {
        Ok(value) => Some(value),
        Err(checked::Fault::NotJson(message)) => {
            let message = format!("the data is JSON by its content type, and is {message}");
            problems.add(RefusalKind::NotJson, None, message);
            None
        }
        Err(fault @ (checked::Fault::TooDeep | checked::Fault::Keys(_))) => {
            problems.add_fault(fault, nesting);
            None
        }
    }
}
