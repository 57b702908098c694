//! The fields of one event: which exist, and what each may hold.

use std::{ops::ControlFlow, str::FromStr};

use model::{
    clock::Timestamp,
    event::{EventDraft, Origin, Severity},
    id::EventId,
    json::Object,
    suggest::nearest,
    topic::Topic,
};
use serde_json::Value;

use super::{Problems, RefusalKind};
use crate::{checked::kind_of, shown::quoted};

const NAMES: [&str; 6] = ["id", "topic", "time", "severity", "headers", "body"];

/// Names that an event of the history has and a new one may not bring.
pub(super) const OURS: [&str; 6] = ["accepted", "source", "origin", "cause", "about", "revision"];

/// The checked fields of one event.
#[derive(Debug)]
pub(super) struct Fields {
    id: Option<EventId>,
    topic: Topic,
    time: Option<Timestamp>,
    severity: Severity,
    headers: Object,
    body: Value,
}

impl Fields {
    pub(super) fn into_draft(self, origin: &Origin) -> EventDraft {
        EventDraft {
            id: self.id,
            topic: self.topic,
            time: self.time,
            severity: self.severity,
            headers: self.headers,
            body: self.body,
            origin: origin.clone(),
            cause: None,
        }
    }
}

/// Checks every field of an event from outside and notes all that is wrong.
pub(super) fn read(value: Value, problems: &mut Problems) -> ControlFlow<(), Fields> {
    read_with(value, read_topic, problems)
}

/// The same, of an event that may be one of the engine's own.
pub(super) fn read_any(value: Value, problems: &mut Problems) -> ControlFlow<(), Fields> {
    read_with(value, parse::<Topic>, problems)
}

fn read_with(
    value: Value,
    read_topic: fn(&str) -> Result<Topic, String>,
    problems: &mut Problems,
) -> ControlFlow<(), Fields> {
    let Value::Object(fields) = value else {
        let message = format!("an event is an object, not {}", kind_of(&value));
        problems.add(RefusalKind::Invalid, None, message);
        return ControlFlow::Break(());
    };

    let before = problems.kind;
    problems.kind = None;
    let (mut id, mut topic, mut time) = (None, None, None);
    let mut severity = Severity::default();
    let mut headers = Object::new();
    let mut body = Value::Object(Object::new());
    let mut has_topic = false;
    for (name, value) in fields {
        match name.as_str() {
            "id" => id = note(problems, &name, text(&value).and_then(parse::<EventId>)),
            "topic" => {
                has_topic = true;
                topic = note(problems, &name, text(&value).and_then(read_topic));
            }
            "time" => time = note(problems, &name, text(&value).and_then(read_time)),
            "severity" => {
                let read = text(&value).and_then(read_severity);
                severity = note(problems, &name, read).unwrap_or_default();
            }
            "headers" => {
                headers = note(problems, &name, object(value)).unwrap_or_default();
            }
            "body" => body = value,
            unknown => problems.add(
                RefusalKind::Invalid,
                Some(shown_name(unknown)),
                unknown_message(unknown),
            ),
        }
    }
    if !has_topic {
        let message = "every event has a topic, and this has none".to_owned();
        problems.add(RefusalKind::Invalid, Some("topic".to_owned()), message);
    }

    let is_valid = problems.kind.is_none();
    problems.kind = problems.kind.max(before);
    match topic {
        Some(topic) if is_valid => ControlFlow::Continue(Fields {
            id,
            topic,
            time,
            severity,
            headers,
            body,
        }),
        Some(_) | None => ControlFlow::Break(()),
    }
}

fn note<T>(problems: &mut Problems, field: &str, read: Result<T, String>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(message) => {
            problems.add(RefusalKind::Invalid, Some(field.to_owned()), message);
            None
        }
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Err("must be a string, not null; leave it out instead".to_owned()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(format!("must be a string, not {}", kind_of(value)))
        }
    }
}

fn object(value: Value) -> Result<Object, String> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null => Err("must be an object, not null; leave it out instead".to_owned()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(format!("must be an object, not {}", kind_of(&value)))
        }
    }
}

fn parse<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: ToString,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn read_topic(text: &str) -> Result<Topic, String> {
    Topic::from_outside(text).map_err(|error| error.to_string())
}

pub(crate) fn read_time(text: &str) -> Result<Timestamp, String> {
    let message = || {
        format!(
            "{} is not an RFC 3339 time such as \"2026-11-20T22:43:00Z\"",
            quoted(text)
        )
    };
    if !is_rfc3339(text) {
        return Err(message());
    }
    text.parse().map_err(|_| message())
}

fn read_severity(text: &str) -> Result<Severity, String> {
    text.parse().map_err(|_| {
        let names = Severity::ALL.map(Severity::as_str);
        match nearest(text, names) {
            Some(near) => format!("{} is not a severity; did you mean `{near}`?", quoted(text)),
            None => format!("{} is not one of {}", quoted(text), names.join(", ")),
        }
    })
}

/// The shape of RFC 3339, which is narrower than what time libraries take:
/// `2026-11-20T22:43:00[.123](Z|+01:00)`.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((head, tail)) = bytes.split_at_checked(19) else {
        return false;
    };
    let is_head = head.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b'T' | b't'),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let zone = match tail {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &rest[digits..]
        }
        _ => tail,
    };
    is_head
        && match zone {
            [b'Z' | b'z'] => true,
            [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|b| b.is_ascii_digit()),
            _ => false,
        }
}

fn unknown_message(name: &str) -> String {
    if OURS.contains(&name) {
        return format!("`{name}` is set by Lariat; leave it out");
    }
    match nearest(name, NAMES) {
        Some(near) => format!(
            "an event has no field {}; did you mean `{near}`?",
            quoted(name)
        ),
        None => format!(
            "an event has no field {}; what it carries belongs into `body`",
            quoted(name)
        ),
    }
}

fn shown_name(name: &str) -> String {
    name.chars().take(64).collect()
}
