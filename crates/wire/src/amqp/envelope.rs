//! fedmsg's envelope, as the serializer wraps it: `{"topic", "body"}` around
//! `{"topic", "msg_id", "msg", "timestamp", "i", "username", …}`.
//!
//! What the envelope holds beside `msg` stands in the event's headers, so that
//! a message that is passed on looks to old workers as it did before.

use model::{clock::Timestamp, event::Event, json::Object};
use serde_json::{Number, Value};

use crate::checked::kind_of;

pub(super) const MSG_ID: &str = "msg_id";
const MSG: &str = "msg";
const TOPIC: &str = "topic";
const TIMESTAMP: &str = "timestamp";

/// What else may stand in an envelope. This list is closed: old workers make a
/// variable of each, and a header with another name must not become one.
const OTHERS: [&str; 8] = [
    "crypto",
    "signature",
    "certificate",
    "seq_id",
    "headers",
    "gilmsg_version",
    "source_name",
    "source_version",
];

/// Who sends when nobody else is known to have.
const USERNAME: &str = "lariat";

/// An envelope that was opened.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) topic: String,
    pub(super) msg: Value,
    /// Everything else.
    pub(super) others: Object,
}

/// A body that is an envelope, or the body as it is.
pub(super) fn open(mut body: Value) -> Result<Envelope, Value> {
    let Some((topic, mut others)) = take(&mut body) else {
        return Err(body);
    };
    let msg = others.shift_remove(MSG).unwrap_or_default();
    if others.get(TOPIC).and_then(Value::as_str) == Some(&topic) {
        others.shift_remove(TOPIC);
    }
    Ok(Envelope { topic, msg, others })
}

/// Takes the outer topic and the envelope out, when they are there and nothing
/// else is.
fn take(body: &mut Value) -> Option<(String, Object)> {
    let outer = body.as_object_mut().filter(|outer| outer.len() == 2)?;
    let topic = outer.get(TOPIC)?.as_str()?.to_owned();
    let inner = outer.get_mut("body")?.as_object_mut()?;
    inner
        .contains_key(MSG)
        .then(|| (topic, std::mem::take(inner)))
}

impl Envelope {
    /// When it was sent; absent when the envelope does not say.
    pub(super) fn time(&self) -> Result<Option<Timestamp>, String> {
        match self.others.get(TIMESTAMP) {
            None => Ok(None),
            Some(Value::Number(number)) => seconds(number)
                .map(Some)
                .ok_or_else(|| "`timestamp` of the envelope is no time".to_owned()),
            Some(other) => Err(format!(
                "`timestamp` of the envelope must be a number of seconds, not {}",
                kind_of(other)
            )),
        }
    }
}

fn seconds(number: &Number) -> Option<Timestamp> {
    let millis = match number.as_i64() {
        Some(seconds) => seconds.checked_mul(1000)?,
        None => {
            let millis = number.as_f64()? * 1000.0;
            if !millis.is_finite() || millis.abs() > 1e15 {
                return None;
            }
            #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
            let millis = millis.round() as i64;
            millis
        }
    };
    let time = Timestamp::from_millis(millis);
    // What lies outside of the calendar was moved into it.
    (time.as_millis() == millis).then_some(time)
}

/// Whether a header has a place in the envelope.
pub(super) fn holds(name: &str) -> bool {
    [TOPIC, MSG, MSG_ID, TIMESTAMP, "i", "username"].contains(&name) || OTHERS.contains(&name)
}

/// The serializer's message for an event.
pub(super) fn seal(event: &Event) -> Value {
    let header = |name: &str| event.headers.get(name);
    let is_integer = |value: &&Value| value.is_i64() || value.is_u64();
    let timestamp = header(TIMESTAMP)
        .filter(is_integer)
        .cloned()
        .unwrap_or_else(|| Value::from(event.time.as_millis().div_euclid(1000)));
    let i = header("i").filter(is_integer).cloned();
    let username = header("username").and_then(Value::as_str);
    let topic = Value::from(event.topic.as_str());
    // Not with `json!`, which would rewrite the text of numbers.
    let mut envelope = Object::new();
    envelope.insert(TOPIC.to_owned(), topic.clone());
    envelope.insert(MSG_ID.to_owned(), Value::from(event.id.as_str()));
    envelope.insert(MSG.to_owned(), event.body.clone());
    envelope.insert(TIMESTAMP.to_owned(), timestamp);
    envelope.insert("i".to_owned(), i.unwrap_or_else(|| Value::from(0)));
    let username = Value::from(username.unwrap_or(USERNAME));
    envelope.insert("username".to_owned(), username);
    for name in OTHERS {
        if let Some(value) = header(name) {
            envelope.insert(name.to_owned(), value.clone());
        }
    }
    let mut outer = Object::new();
    outer.insert(TOPIC.to_owned(), topic);
    outer.insert("body".to_owned(), Value::Object(envelope));
    Value::Object(outer)
}
