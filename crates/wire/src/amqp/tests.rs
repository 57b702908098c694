use std::collections::BTreeMap;

use model::{
    clock::Timestamp,
    event::{Event, EventDraft, Origin, Severity},
    json::Object,
    link::Undecodable,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Decoding, EncodeError, Encoding, Format, HeaderValue, MAX_HEADERS, Message, decode, encode,
};

mod causes;
mod envelopes;
mod reading;
mod round_trip;
mod writing;

fn origin() -> Origin {
    Origin {
        verified: false,
        by: None,
        via: "amqp".to_owned(),
    }
}

fn decoding(format: Format) -> Decoding {
    Decoding {
        format,
        event_bytes: 1_000_000,
        nesting: 64,
    }
}

fn encoding(format: Format) -> Encoding {
    Encoding {
        format,
        exchange: "amq.topic".to_owned(),
        routing_key: None,
        topic_prefix: None,
        priority: None,
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::Text(text.as_bytes().to_vec())
}

fn table<const N: usize>(fields: [(&str, HeaderValue); N]) -> BTreeMap<String, HeaderValue> {
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// A plain message: an id, a topic and a body.
fn message(body: &str) -> Message {
    Message {
        exchange: "amq.topic".to_owned(),
        routing_key: "org.example.built".to_owned(),
        message_id: Some("m-1".to_owned()),
        body: body.as_bytes().to_vec(),
        ..Message::default()
    }
}

fn event(body: Value, headers: Value) -> Event {
    let Value::Object(headers) = headers else {
        panic!("headers are an object");
    };
    Event {
        id: "2026-4f1c".parse().unwrap(),
        topic: "org.example.built".parse().unwrap(),
        time: "2026-11-20T23:02:27.678Z".parse().unwrap(),
        accepted: "2026-11-20T23:02:28.000Z".parse().unwrap(),
        source: "api".to_owned(),
        severity: Severity::Warning,
        headers,
        body,
        origin: Origin::open_http(),
        cause: None,
    }
}

fn show(draft: &EventDraft) -> Value {
    json!({
        "id": draft.id,
        "topic": draft.topic,
        "time": draft.time,
        "severity": draft.severity,
        "headers": draft.headers,
        "body": draft.body,
    })
}

#[track_caller]
fn read(message: Message, format: Format) -> EventDraft {
    decode(message, &decoding(format), origin()).unwrap()
}

#[track_caller]
fn check_read(message: Message, format: Format, expect: Value) {
    assert_eq!(expect, show(&read(message, format)));
}

/// The message is kept whole, and the cause is this.
#[track_caller]
fn check_refused(message: Message, format: Format, expect: &str) {
    let raw = message.body.clone();
    let refused = decode(message, &decoding(format), origin()).unwrap_err();
    assert_eq!(expect, refused.cause);
    assert_eq!(raw, refused.raw);
}
