//! The attributes of one CloudEvent: which have a meaning, and what each may
//! hold.

use model::{clock::Timestamp, id::EventId, json::Object, topic::Topic};
use serde_json::Value;

use super::{PREFIX, REQUIRED, SPEC_VERSION, data::ContentType, event_id};
use crate::{
    checked::kind_of,
    event_json::{Problems, RefusalKind, fields::read_time},
    shown::quoted,
};

/// Where attributes stand, which is how they are named in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the object of the JSON format.
    Member,
    /// In headers of HTTP.
    Header,
}

impl Place {
    fn name(self, attribute: &str) -> String {
        let short: String = attribute.chars().take(64).collect();
        match self {
            Self::Member => short,
            Self::Header if attribute == "datacontenttype" => "Content-Type".to_owned(),
            Self::Header => format!("{PREFIX}{short}"),
        }
    }
}

/// What the attributes of a CloudEvent come to.
#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) id: EventId,
    pub(super) topic: Topic,
    pub(super) time: Option<Timestamp>,
    pub(super) content_type: Option<ContentType>,
    /// All but the type, as headers of the event.
    pub(super) headers: Object,
}

impl Attributes {
    /// Names the content type that data without one has.
    pub(super) fn say_json(&mut self) {
        if self.content_type.is_none() {
            let json = ContentType::json();
            let text = Value::String(json.text.clone());
            self.headers
                .insert(format!("{PREFIX}datacontenttype"), text);
            self.content_type = Some(json);
        }
    }
}

/// Reads all attributes, or notes all that is wrong with them.
pub(super) fn read(values: Object, place: Place, problems: &mut Problems) -> Option<Attributes> {
    let before = problems.count();
    let (mut id, mut source, mut topic) = (None, None, None);
    let (mut time, mut content_type) = (None, None);
    let mut headers = Object::new();
    let mut missing = REQUIRED.to_vec();
    for (name, value) in values {
        // A member that is null is one that is not there.
        if value.is_null() {
            continue;
        }
        missing.retain(|known| *known != name);
        if value == "" && REQUIRED.contains(&name.as_str()) {
            let message = "is required and must not be empty".to_owned();
            problems.add(RefusalKind::Invalid, Some(place.name(&name)), message);
            continue;
        }
        let read = match name.as_str() {
            "specversion" => text(&value).and_then(spec_version),
            "id" => text(&value).map(|text| id = Some(text.to_owned())),
            "source" => text(&value).and_then(|text| {
                uri_reference(text)?;
                source = Some(text.to_owned());
                Ok(())
            }),
            "type" => text(&value).and_then(|text| {
                topic = Some(topic_of(text)?);
                Ok(())
            }),
            "time" => text(&value).and_then(|text| {
                time = Some(read_time(text)?);
                Ok(())
            }),
            "dataschema" => text(&value).and_then(uri),
            "datacontenttype" => text(&value).and_then(|text| {
                content_type = Some(text.parse::<ContentType>()?);
                Ok(())
            }),
            "subject" => text(&value).map(drop),
            "data" => Err("no attribute has this name".to_owned()),
            _ => extension(&name, &value),
        };
        match read {
            Ok(()) if name != "type" => {
                headers.insert(format!("{PREFIX}{name}"), value);
            }
            Ok(()) => {}
            Err(message) => {
                problems.add(RefusalKind::Invalid, Some(place.name(&name)), message);
            }
        }
    }
    for name in missing {
        let message = format!("every CloudEvent has `{name}`, and this has none");
        problems.add(RefusalKind::Invalid, Some(place.name(name)), message);
    }
    match (id, source, topic) {
        (Some(id), Some(source), Some(topic)) if problems.count() == before => Some(Attributes {
            id: event_id(&source, &id),
            topic,
            time,
            content_type,
            headers,
        }),
        (_, _, _) => None,
    }
}

/// A text that is not empty and has only characters that an attribute may have.
fn text(value: &Value) -> Result<&str, String> {
    let Value::String(text) = value else {
        return Err(format!("must be a string, not {}", kind_of(value)));
    };
    if text.is_empty() {
        return Err("must not be empty; leave it out instead".to_owned());
    }
    characters(text)?;
    Ok(text)
}

/// Neither control characters nor what Unicode calls noncharacters.
pub(super) fn characters(text: &str) -> Result<(), String> {
    let is_forbidden = |c: &char| {
        let code = u32::from(*c);
        c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
    };
    match text.chars().find(is_forbidden) {
        Some(found) => Err(format!("may not contain {found:?}")),
        None => Ok(()),
    }
}

fn spec_version(text: &str) -> Result<(), String> {
    if text == SPEC_VERSION {
        return Ok(());
    }
    let shown = quoted(text);
    Err(format!(
        "only version {SPEC_VERSION:?} of CloudEvents is read, not {shown}"
    ))
}

fn topic_of(text: &str) -> Result<Topic, String> {
    Topic::from_outside(text).map_err(|error| format!("the type becomes the topic: {error}"))
}

/// RFC 3986, section 4.1, as far as characters tell.
pub(super) fn uri_reference(text: &str) -> Result<(), String> {
    const OTHERS: &str = "-._~:/?#[]@!$&'()*+,;=%";
    let is_strange = |c: &char| !c.is_ascii_alphanumeric() && !OTHERS.contains(*c);
    if let Some(found) = text.chars().find(is_strange) {
        let shown = quoted(text);
        return Err(format!(
            "{shown} is no URI: {found:?} has to be percent-encoded in one"
        ));
    }
    let mut parts = text.split('%');
    parts.next();
    let is_encoded = |part: &str| {
        let mut digits = part.bytes();
        let mut is_digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_digit() && is_digit()
    };
    if parts.all(is_encoded) {
        Ok(())
    } else {
        let shown = quoted(text);
        Err(format!(
            "{shown} is no URI: `%` must be followed by two digits in one"
        ))
    }
}

fn uri(text: &str) -> Result<(), String> {
    uri_reference(text)?;
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) && !rest.is_empty() => Ok(()),
        Some(_) | None => Err(format!("{} is no absolute URI", quoted(text))),
    }
}

fn extension(name: &str, value: &Value) -> Result<(), String> {
    check_name(name)?;
    check_value(value)
}

/// Whether this is a subject, a schema or an extension that may be written.
pub(super) fn is_optional(name: &str, value: &Value) -> bool {
    match name {
        "specversion" | "id" | "source" | "type" | "time" | "datacontenttype" | "data" => false,
        "subject" => text(value).is_ok(),
        "dataschema" => text(value).and_then(uri).is_ok(),
        _ => extension(name, value).is_ok(),
    }
}

/// Lower-case letters and digits of ASCII.
fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !name.is_empty() && name.chars().all(is_allowed) {
        return Ok(());
    }
    let shown = quoted(name);
    Err(format!(
        "{shown} is no name of an attribute, which are lower-case letters and digits"
    ))
}

/// What an extension may hold in the JSON format.
fn check_value(value: &Value) -> Result<(), String> {
    const FORM: &str = "must be a string, a boolean or an integer of 32 bits";
    match value {
        Value::Bool(_) => Ok(()),
        Value::String(text) => characters(text),
        Value::Number(number) => match number.as_str().parse::<i32>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{FORM}, not {}", quoted(number.as_str()))),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("{FORM}, not {}", kind_of(value)))
        }
    }
}
