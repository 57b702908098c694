//! lapin's types ↔ those of `wire`.

use std::collections::BTreeMap;

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, DecimalValue, FieldTable, LongString, ShortString},
};
use wire::amqp::{HeaderValue, Message};

/// Messages survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// What was delivered, apart from its body's meaning.
pub(super) fn message(delivery: Delivery) -> Message {
    let properties = delivery.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(ShortString::to_string);
    Message {
        exchange: delivery.exchange.to_string(),
        routing_key: delivery.routing_key.to_string(),
        message_id: text(properties.message_id()),
        content_type: text(properties.content_type()),
        content_encoding: text(properties.content_encoding()),
        timestamp: *properties.timestamp(),
        priority: *properties.priority(),
        user_id: text(properties.user_id()),
        headers: properties
            .headers()
            .as_ref()
            .map(headers)
            .unwrap_or_default(),
        body: delivery.data,
    }
}

/// A text that does not fit into 255 bytes.
#[derive(Debug, thiserror::Error)]
#[error("its {what} has {len} bytes, 255 is the most")]
pub(super) struct TooLong {
    what: &'static str,
    len: usize,
}

pub(super) fn short(what: &'static str, text: &str) -> Result<ShortString, TooLong> {
    ShortString::try_new(text).map_err(|_| TooLong {
        what,
        len: text.len(),
    })
}

/// The properties that a message is published with.
pub(super) fn properties(message: &Message) -> Result<BasicProperties, TooLong> {
    let mut to = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(id) = &message.message_id {
        to = to.with_message_id(short("message id", id)?);
    }
    if let Some(kind) = &message.content_type {
        to = to.with_content_type(short("content type", kind)?);
    }
    if let Some(encoding) = &message.content_encoding {
        to = to.with_content_encoding(short("content encoding", encoding)?);
    }
    if let Some(user) = &message.user_id {
        to = to.with_user_id(short("user id", user)?);
    }
    if let Some(at) = message.timestamp {
        to = to.with_timestamp(at);
    }
    if let Some(priority) = message.priority {
        to = to.with_priority(priority);
    }
    if !message.headers.is_empty() {
        to = to.with_headers(table(&message.headers)?);
    }
    Ok(to)
}

/// Header tables and optional arguments.
pub(super) fn table(headers: &BTreeMap<String, HeaderValue>) -> Result<FieldTable, TooLong> {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(short("header name", name)?, to_amqp(value)?);
    }
    Ok(table)
}

fn to_amqp(value: &HeaderValue) -> Result<AMQPValue, TooLong> {
    Ok(match value {
        HeaderValue::Bool(value) => AMQPValue::Boolean(*value),
        HeaderValue::Integer(value) => AMQPValue::LongLongInt(*value),
        HeaderValue::Int32(value) => AMQPValue::LongInt(*value),
        HeaderValue::Float(value) => AMQPValue::Double(*value),
        HeaderValue::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue {
            scale: *scale,
            value: value.cast_unsigned(),
        }),
        HeaderValue::Text(text) => AMQPValue::LongString(LongString::from(text.as_slice())),
        HeaderValue::Bytes(bytes) => AMQPValue::ByteArray(bytes.as_slice().into()),
        HeaderValue::Timestamp(at) => AMQPValue::Timestamp(*at),
        HeaderValue::Array(values) => {
            let values: Vec<_> = values.iter().map(to_amqp).collect::<Result<_, _>>()?;
            AMQPValue::FieldArray(values.into())
        }
        HeaderValue::Table(entries) => AMQPValue::FieldTable(table(entries)?),
        HeaderValue::Void => AMQPValue::Void,
    })
}

fn headers(table: &FieldTable) -> BTreeMap<String, HeaderValue> {
    table
        .inner()
        .iter()
        .map(|(name, value)| (name.to_string(), from_amqp(value)))
        .collect()
}

fn from_amqp(value: &AMQPValue) -> HeaderValue {
    match value {
        AMQPValue::Boolean(value) => HeaderValue::Bool(*value),
        AMQPValue::ShortShortInt(value) => HeaderValue::Integer(i64::from(*value)),
        AMQPValue::ShortShortUInt(value) => HeaderValue::Integer(i64::from(*value)),
        AMQPValue::ShortInt(value) => HeaderValue::Integer(i64::from(*value)),
        AMQPValue::ShortUInt(value) => HeaderValue::Integer(i64::from(*value)),
        AMQPValue::LongInt(value) => HeaderValue::Int32(*value),
        AMQPValue::LongUInt(value) => HeaderValue::Integer(i64::from(*value)),
        AMQPValue::LongLongInt(value) => HeaderValue::Integer(*value),
        AMQPValue::Float(value) => HeaderValue::Float(f64::from(*value)),
        AMQPValue::Double(value) => HeaderValue::Float(*value),
        AMQPValue::DecimalValue(value) => HeaderValue::Decimal {
            scale: value.scale,
            value: value.value.cast_signed(),
        },
        AMQPValue::ShortString(text) => HeaderValue::Text(text.as_str().as_bytes().to_vec()),
        AMQPValue::LongString(text) => HeaderValue::Text(text.as_bytes().to_vec()),
        AMQPValue::FieldArray(values) => {
            HeaderValue::Array(values.as_slice().iter().map(from_amqp).collect())
        }
        AMQPValue::Timestamp(at) => HeaderValue::Timestamp(*at),
        AMQPValue::FieldTable(table) => HeaderValue::Table(headers(table)),
        AMQPValue::ByteArray(bytes) => HeaderValue::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::Void => HeaderValue::Void,
    }
}

#[cfg(test)]
mod tests;
