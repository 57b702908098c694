//! The cause of an event in the headers of its message.
//!
//! It goes with a follow-up through a broker, so that a rule that is fed by
//! what it publishes comes to its end there too. Who may publish to the broker
//! may claim what they like: only the number of hops is ever acted upon, and a
//! claim that cannot be read is a header like any other.

use std::collections::BTreeMap;

use model::{
    event::{Cause, MAX_HOPS},
    json::Object,
};

use super::{HeaderValue, headers};

const EVENT: &str = "lariat-cause-event";
const JOB: &str = "lariat-cause-job";
const HOPS: &str = "lariat-hops";

/// Whether a header is one of those that the cause is written in.
pub(super) fn holds(name: &str) -> bool {
    [EVENT, JOB, HOPS].contains(&name)
}

pub(super) fn write(cause: &Cause, table: &mut BTreeMap<String, HeaderValue>) {
    let text = |text: &str| HeaderValue::Text(text.as_bytes().to_vec());
    table.insert(EVENT.to_owned(), text(cause.event.as_str()));
    table.insert(JOB.to_owned(), text(cause.job.as_str()));
    let hops = HeaderValue::Int32(i32::from(cause.hops));
    table.insert(HOPS.to_owned(), hops);
}

/// Takes the cause out of the headers that become the event's.
pub(super) fn take(table: &BTreeMap<String, HeaderValue>, event: &mut Object) -> Option<Cause> {
    let cause = Cause {
        event: text(table.get(EVENT)?)?.parse().ok()?,
        job: text(table.get(JOB)?)?.parse().ok()?,
        hops: hops(table.get(HOPS)?)?,
    };
    event.retain(|name, _| !holds(name));
    Some(cause)
}

/// What is beyond the limit is at the limit.
fn hops(value: &HeaderValue) -> Option<u8> {
    let number = headers::integer(value).filter(|number| *number >= 1)?;
    Some(u8::try_from(number).map_or(MAX_HOPS, |hops| hops.min(MAX_HOPS)))
}

fn text(value: &HeaderValue) -> Option<&str> {
    match value {
        HeaderValue::Text(bytes) => std::str::from_utf8(bytes).ok(),
        HeaderValue::Bool(_)
        | HeaderValue::Integer(_)
        | HeaderValue::Int32(_)
        | HeaderValue::Float(_)
        | HeaderValue::Decimal { .. }
        | HeaderValue::Bytes(_)
        | HeaderValue::Timestamp(_)
        | HeaderValue::Array(_)
        | HeaderValue::Table(_)
        | HeaderValue::Void => None,
    }
}
