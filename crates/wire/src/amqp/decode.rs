//! A message becomes the draft of an event, or a dead letter with its cause.
//!
//! Nothing here panics or recurses without a bound, whatever arrives. Causes
//! are read by people: they name the message, and what is quoted in them from
//! the message is short and cannot steer a terminal.

use std::{borrow::Cow, fmt::Write};

use model::{
    event::{EventDraft, Origin},
    id::EventId,
    json::{self, ContentHash},
    link::Undecodable,
    topic::{Topic, TopicError},
};
use serde_json::Value;

use super::{Decoding, Format, Message, cause, envelope, fedora, headers};
use crate::{checked, scan, shown};

/// An id of the sender that is no id of ours is kept under this name.
const MESSAGE_ID: &str = "message-id";
/// Bad keys that are named.
const BAD_KEYS: usize = 6;

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the routing key is no topic: {0}")]
    RoutingKey(TopicError),
    #[error("`topic` of the envelope is no topic: {0}")]
    EnvelopeTopic(TopicError),
    #[error("content encoding {0} is not supported; bodies are utf-8, us-ascii or iso-8859-1")]
    Codec(String),
    #[error("the body has {len} bytes, {max} is the most")]
    TooLarge { len: usize, max: usize },
    #[error("byte {at} of the body is not {codec}")]
    NotText { at: usize, codec: &'static str },
    #[error("the body is empty")]
    Empty,
    #[error("{0}")]
    NotJson(String),
    #[error("{place}: {}", checked::too_deep(*.nesting))]
    TooDeep { place: &'static str, nesting: usize },
    #[error("{}", headers::listed(.0))]
    Keys(Vec<String>),
    #[error("headers of the wrong type: {}", headers::listed(.0))]
    Headers(Vec<String>),
    #[error("{0}")]
    Time(String),
}

/// Reads a message.
pub fn decode(message: Message, how: &Decoding, origin: Origin) -> Result<EventDraft, Undecodable> {
    match read(&message, how, origin) {
        Ok(draft) => Ok(draft),
        Err(fault) => Err(Undecodable {
            cause: format!("{}: {fault}", name(&message)),
            raw: message.body,
        }),
    }
}

/// Which message it is, for people.
fn name(message: &Message) -> String {
    let mut text = match &message.message_id {
        Some(id) => format!("message {}", shown::code(id, 80)),
        None => "message without an id".to_owned(),
    };
    let key = shown::code(&message.routing_key, 120);
    write!(text, " with routing key {key}").expect("writing to a string cannot fail");
    text
}

fn read(message: &Message, how: &Decoding, origin: Origin) -> Result<EventDraft, Fault> {
    let nesting = how.nesting.min(checked::MAX_NESTING);
    let said = fedora::read(&message.headers).map_err(Fault::Headers)?;
    let mut event_headers =
        headers::to_json(&message.headers).map_err(|headers::TooDeep| Fault::TooDeep {
            place: "headers",
            nesting,
        })?;
    let cause = cause::take(&message.headers, &mut event_headers);
    if let Some(priority) = message.priority {
        event_headers.insert(fedora::PRIORITY.to_owned(), Value::from(priority));
    }
    let body = body(message, how, nesting)?;
    let opened = match how.format {
        Format::FedoraMessaging => Err(body),
        Format::Serializer => envelope::open(body),
    };

    let mut time = said
        .sent_at
        .or_else(|| message.timestamp.and_then(headers::timestamp));
    let mut id = None;
    let (topic, body) = match opened {
        Ok(envelope) => {
            let topic = Topic::from_outside(&envelope.topic).map_err(Fault::EnvelopeTopic)?;
            time = envelope.time().map_err(Fault::Time)?.or(time);
            id = valid_id(
                envelope
                    .others
                    .get(envelope::MSG_ID)
                    .and_then(Value::as_str),
            );
            event_headers.extend(envelope.others);
            (topic, envelope.msg)
        }
        Err(body) => {
            let topic = Topic::from_outside(&message.routing_key).map_err(Fault::RoutingKey)?;
            (topic, body)
        }
    };
    let property = message.message_id.as_deref();
    let property_id = valid_id(property);
    if let (Some(text), None) = (property, &property_id) {
        event_headers.insert(MESSAGE_ID.to_owned(), Value::from(text));
    }
    check_headers(&event_headers, nesting)?;
    if json::depth(&body) > nesting {
        return Err(Fault::TooDeep {
            place: "the body",
            nesting,
        });
    }
    Ok(EventDraft {
        id: id.or(property_id).or_else(|| derived_id(&topic, &body)),
        topic,
        time,
        severity: said.severity,
        headers: event_headers,
        body,
        origin,
        cause,
    })
}

fn valid_id(text: Option<&str>) -> Option<EventId> {
    text.and_then(|text| text.parse().ok())
}

/// The id of a message that brings none: two with the same topic and body are
/// one event.
fn derived_id(topic: &Topic, body: &Value) -> Option<EventId> {
    let hash = ContentHash::of(topic.as_str(), body);
    format!("amqp-{}", hash.0.get(..40)?).parse().ok()
}

fn body(message: &Message, how: &Decoding, nesting: usize) -> Result<Value, Fault> {
    let len = message.body.len();
    if len > how.event_bytes {
        return Err(Fault::TooLarge {
            len,
            max: how.event_bytes,
        });
    }
    let text = text(message)?;
    let text = checked::trimmed(&text).map_err(Fault::NotJson)?;
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    let depth = match how.format {
        Format::FedoraMessaging => nesting,
        // Two objects may lie around the body of the event.
        Format::Serializer => nesting + 2,
    };
    checked::value(text, depth, BAD_KEYS).map_err(|fault| match fault {
        checked::Fault::NotJson(message) => Fault::NotJson(message),
        checked::Fault::TooDeep => Fault::TooDeep {
            place: "the body",
            nesting,
        },
        checked::Fault::Keys(keys) => Fault::Keys(keys.iter().map(checked::about_key).collect()),
    })
}

/// The body in the codec that the message names, or in UTF-8.
fn text(message: &Message) -> Result<Cow<'_, str>, Fault> {
    let codec = message.content_encoding.as_deref().unwrap_or("utf-8");
    let bytes = message.body.as_slice();
    match codec.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|error| Fault::NotText {
                at: error.valid_up_to(),
                codec: "UTF-8",
            }),
        "us-ascii" | "ascii" => match bytes.iter().position(|byte| !byte.is_ascii()) {
            Some(at) => Err(Fault::NotText { at, codec: "ASCII" }),
            None => Ok(String::from_utf8_lossy(bytes)),
        },
        "iso-8859-1" | "iso8859-1" | "latin-1" | "latin1" => {
            Ok(bytes.iter().copied().map(char::from).collect())
        }
        _ => Err(Fault::Codec(shown::code(codec, 64))),
    }
}

/// What would not come back out of JSON text as it went in.
fn check_headers(headers: &json::Object, nesting: usize) -> Result<(), Fault> {
    if headers.values().map(json::depth).max().unwrap_or(0) >= nesting.max(1) {
        return Err(Fault::TooDeep {
            place: "headers",
            nesting,
        });
    }
    let mut reserved = Vec::new();
    for value in headers.values() {
        find_reserved(value, &mut reserved);
    }
    reserved.extend(headers.keys().filter(|key| scan::is_reserved(key)).cloned());
    if reserved.is_empty() {
        return Ok(());
    }
    let about = |key: &String| format!("{} is a name that no event may use", shown::code(key, 64));
    Err(Fault::Headers(reserved.iter().map(about).collect()))
}

fn find_reserved(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => {
            for item in items {
                find_reserved(item, found);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                if scan::is_reserved(key) {
                    found.push(key.clone());
                }
                find_reserved(value, found);
            }
        }
    }
}
