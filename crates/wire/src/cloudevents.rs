//! CloudEvents 1.0 become events, and events become CloudEvents.
//!
//! Read are the three modes of the HTTP binding: structured and batch in the
//! JSON format, and binary, where attributes are headers. Written is the
//! structured mode. What came in as a CloudEvent goes out as the same one: its
//! attributes are kept in the headers of the event under `ce-…`.
//!
//! An id of a CloudEvent is unique only for its source. The id of the event is
//! derived from both, see [`event_id`], and it alone says whether the headers
//! of an event are still those that it came with.

use std::ops::ControlFlow;

use model::{
    event::{EventDraft, Origin, Severity},
    id::EventId,
    json::{Object, hex},
};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    checked::kind_of,
    event_json::{self, Limits, Problems, Refusal, RefusalKind, Texts, whole},
};

mod attributes;
mod data;
mod encode;
mod header;

pub use encode::{encode, encode_about};

use attributes::{Attributes, Place};

/// The JSON format of one event.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";
/// The JSON format of an array of events.
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";

/// The only version that is read and written.
const SPEC_VERSION: &str = "1.0";
/// Stands before the names of attributes in the headers of events, and of HTTP.
const PREFIX: &str = "ce-";
/// Attributes that every CloudEvent has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Digits of the hash of a source behind an id.
const SOURCE_DIGITS: usize = 32;
/// Digits of the hash that stands for an id that cannot be one of ours.
const WHOLE_DIGITS: usize = 40;

/// The id of the event that a CloudEvent becomes: its own id, `@`, and the
/// first 32 digits of the SHA-256 of its source. When that is no id of ours,
/// `ce:` and the first 40 digits of the SHA-256 of source, a zero byte and id.
pub fn event_id(source: &str, id: &str) -> EventId {
    let digits = |bytes: &[u8], count: usize| -> String {
        hex(&Sha256::digest(bytes)).chars().take(count).collect()
    };
    let readable = format!("{id}@{}", digits(source.as_bytes(), SOURCE_DIGITS));
    readable.parse().unwrap_or_else(|_| {
        let both = [source.as_bytes(), &[0], id.as_bytes()].concat();
        format!("ce:{}", digits(&both, WHOLE_DIGITS))
            .parse()
            .expect("digits of a hash are allowed in ids")
    })
}

/// Whether headers of HTTP make a request a CloudEvent in binary mode: any of
/// those that every one of them has. `names` are in lower case.
pub fn is_binary<'n>(names: impl IntoIterator<Item = &'n str>) -> bool {
    names
        .into_iter()
        .filter_map(|name| name.strip_prefix(PREFIX))
        .any(|name| REQUIRED.contains(&name))
}

/// Reads one event in structured mode.
pub fn read_structured(
    bytes: &[u8],
    limits: &Limits,
    origin: &Origin,
) -> Result<Vec<EventDraft>, Refusal> {
    let Texts { is_array, events } = event_json::texts(bytes, limits)?;
    if is_array {
        return Err(whole(
            RefusalKind::Invalid,
            format!("this is an array; send it with `Content-Type: {BATCH_MEDIA_TYPE}`"),
        ));
    }
    read_objects(&events, limits, origin)
}

/// Reads a batch, which may be empty. One bad event refuses all.
pub fn read_batch(
    bytes: &[u8],
    limits: &Limits,
    origin: &Origin,
) -> Result<Vec<EventDraft>, Refusal> {
    let Texts { is_array, events } = event_json::texts(bytes, limits)?;
    if !is_array {
        return Err(whole(
            RefusalKind::Invalid,
            "a batch is an array of events".to_owned(),
        ));
    }
    read_objects(&events, limits, origin)
}

fn read_objects(
    events: &[&RawValue],
    limits: &Limits,
    origin: &Origin,
) -> Result<Vec<EventDraft>, Refusal> {
    let mut problems = Problems::default();
    let mut drafts = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        problems.index = index;
        let ControlFlow::Continue(value) = problems.value(event.get(), limits) else {
            continue;
        };
        if let Some((attributes, body)) = read_object(value, limits, &mut problems) {
            drafts.push(draft(attributes, body, origin));
        }
    }
    problems.into_result(drafts)
}

fn read_object(
    value: Value,
    limits: &Limits,
    problems: &mut Problems,
) -> Option<(Attributes, Value)> {
    let Value::Object(mut members) = value else {
        let message = format!("a CloudEvent is an object, not {}", kind_of(&value));
        problems.add(RefusalKind::Invalid, None, message);
        return None;
    };
    let data = members.shift_remove("data");
    let encoded = members.shift_remove("data_base64");
    let mut attributes = attributes::read(members, Place::Member, problems)?;
    if data.is_some() {
        // Without a content type, data is what it would be with this one.
        attributes.say_json();
    }
    let body = data::of_members(data, encoded, &attributes, limits, problems)?;
    Some((attributes, body))
}

/// A request in binary mode.
#[derive(Debug, Clone, Copy)]
pub struct Binary<'a> {
    /// The value of `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The headers whose names begin with `ce-`, in lower case, with their
    /// values as they came; one that stands twice is here twice.
    pub headers: &'a [(String, Vec<u8>)],
    /// The body.
    pub data: &'a [u8],
}

/// Reads one event in binary mode.
pub fn read_binary(
    request: Binary<'_>,
    limits: &Limits,
    origin: &Origin,
) -> Result<Vec<EventDraft>, Refusal> {
    let mut problems = Problems::default();
    let len = request.data.len();
    if len > limits.event_bytes {
        let message = event_json::too_large(limits.event_bytes, len);
        problems.add(RefusalKind::EventTooLarge, None, message);
        return problems.into_result(Vec::new());
    }
    let before = problems.count();
    let values = header::values(request, &mut problems);
    let attributes = attributes::read(values, Place::Header, &mut problems);
    let mut drafts = Vec::new();
    if let Some(attributes) = attributes.filter(|_| problems.count() == before)
        && let Some(body) = data::of_bytes(request.data, &attributes, limits, &mut problems)
    {
        drafts.push(draft(attributes, body, origin));
    }
    problems.into_result(drafts)
}

fn draft(attributes: Attributes, body: Value, origin: &Origin) -> EventDraft {
    let Attributes {
        id,
        topic,
        time,
        content_type: _,
        headers,
    } = attributes;
    EventDraft {
        id: Some(id),
        topic,
        time,
        severity: Severity::default(),
        headers,
        body,
        origin: origin.clone(),
        cause: None,
    }
}

/// The shape of a body that is neither JSON nor text.
fn bytes_body(base64: String) -> Value {
    let mut body = Object::new();
    body.insert("data_base64".to_owned(), Value::String(base64));
    Value::Object(body)
}

#[cfg(test)]
mod tests;
