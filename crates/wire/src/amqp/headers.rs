//! Header tables as JSON, and JSON as header tables.
//!
//! JSON knows fewer types than AMQP: bytes become base64, timestamps RFC 3339,
//! decimals the text of a number, and text that is not UTF-8 is mended. What
//! was read is written with types that fedora-messaging and RabbitMQ know.

use std::{collections::BTreeMap, fmt::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{clock::Timestamp, json::Object};
use serde_json::{Number, Value};

use super::{EncodeError, HeaderValue};
use crate::checked::MAX_NESTING;

/// Headers lie deeper in each other than anything reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooDeep;

/// The last second that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

pub(super) fn to_json(headers: &BTreeMap<String, HeaderValue>) -> Result<Object, TooDeep> {
    table_to_json(headers, MAX_NESTING)
}

fn table_to_json(table: &BTreeMap<String, HeaderValue>, depth: usize) -> Result<Object, TooDeep> {
    let inner = depth.checked_sub(1).ok_or(TooDeep)?;
    let mut object = Object::with_capacity(table.len());
    for (key, value) in table {
        object.insert(key.clone(), value_to_json(value, inner)?);
    }
    Ok(object)
}

fn value_to_json(value: &HeaderValue, depth: usize) -> Result<Value, TooDeep> {
    let json = match value {
        HeaderValue::Bool(value) => Value::Bool(*value),
        HeaderValue::Integer(value) => Value::from(*value),
        HeaderValue::Int32(value) => Value::from(*value),
        HeaderValue::Float(value) => match Number::from_f64(*value) {
            Some(number) => Value::Number(number),
            None => Value::String(value.to_string()),
        },
        HeaderValue::Decimal { scale, value } => {
            Value::Number(Number::from_string_unchecked(decimal(*scale, *value)))
        }
        HeaderValue::Text(bytes) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
        HeaderValue::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
        HeaderValue::Timestamp(seconds) => match timestamp(*seconds) {
            Some(time) => Value::String(time.to_string()),
            None => Value::from(*seconds),
        },
        HeaderValue::Array(items) => {
            let inner = depth.checked_sub(1).ok_or(TooDeep)?;
            let items = items.iter().map(|item| value_to_json(item, inner));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        HeaderValue::Table(table) => Value::Object(table_to_json(table, depth)?),
        HeaderValue::Void => Value::Null,
    };
    Ok(json)
}

/// Absent: after the calendar's end, as milliseconds that are sent as seconds are.
pub(super) fn timestamp(seconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds)
        .ok()
        .filter(|_| seconds <= LAST_SECOND)?;
    Some(Timestamp::from_millis(seconds * 1000))
}

/// `value` with the point moved `scale` digits to the left.
fn decimal(scale: u8, value: i32) -> String {
    let scale = usize::from(scale);
    if scale == 0 {
        return value.to_string();
    }
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits
        .split_at_checked(digits.len() - scale)
        .unwrap_or(("0", "0"));
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction}")
}

pub(super) fn from_json(value: &Value) -> Result<HeaderValue, EncodeError> {
    let header = match value {
        Value::Null => HeaderValue::Void,
        Value::Bool(value) => HeaderValue::Bool(*value),
        Value::Number(number) => from_number(number),
        Value::String(text) => HeaderValue::Text(text.clone().into_bytes()),
        Value::Array(items) => {
            HeaderValue::Array(items.iter().map(from_json).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let mut table = BTreeMap::new();
            for (key, value) in fields {
                table.insert(name(key)?, from_json(value)?);
            }
            HeaderValue::Table(table)
        }
    };
    Ok(header)
}

/// A number that no type holds stays what it is as text.
fn from_number(number: &Number) -> HeaderValue {
    if let Some(value) = number.as_i64() {
        return match i32::try_from(value) {
            Ok(value) => HeaderValue::Int32(value),
            Err(_) => HeaderValue::Integer(value),
        };
    }
    let is_float = number.as_str().contains(['.', 'e', 'E']);
    match number.as_str().parse::<f64>() {
        Ok(value) if is_float && value.is_finite() => HeaderValue::Float(value),
        Ok(_) | Err(_) => HeaderValue::Text(number.as_str().as_bytes().to_vec()),
    }
}

/// A key of a table: at most 255 bytes.
pub(super) fn name(key: &str) -> Result<String, EncodeError> {
    if key.len() > 255 {
        return Err(EncodeError::HeaderName { len: key.len() });
    }
    Ok(key.to_owned())
}

/// Bytes of a table on the wire.
pub(super) fn size(table: &BTreeMap<String, HeaderValue>) -> usize {
    let fields = table
        .iter()
        .map(|(key, value)| 1 + key.len() + value_size(value));
    4 + fields.sum::<usize>()
}

fn value_size(value: &HeaderValue) -> usize {
    let content = match value {
        HeaderValue::Void => 0,
        HeaderValue::Bool(_) => 1,
        HeaderValue::Int32(_) => 4,
        HeaderValue::Decimal { .. } => 5,
        HeaderValue::Integer(_) | HeaderValue::Float(_) | HeaderValue::Timestamp(_) => 8,
        HeaderValue::Text(bytes) | HeaderValue::Bytes(bytes) => 4 + bytes.len(),
        HeaderValue::Array(items) => 4 + items.iter().map(value_size).sum::<usize>(),
        HeaderValue::Table(table) => size(table),
    };
    1 + content
}

/// The value of an integer of any width.
pub(super) fn integer(value: &HeaderValue) -> Option<i64> {
    if let HeaderValue::Integer(number) = value {
        return Some(*number);
    }
    if let HeaderValue::Int32(number) = value {
        return Some(i64::from(*number));
    }
    None
}

/// What a value is, with its article.
pub(super) fn kind_of(value: &HeaderValue) -> &'static str {
    match value {
        HeaderValue::Bool(true) => "true",
        HeaderValue::Bool(false) => "false",
        HeaderValue::Integer(_) | HeaderValue::Int32(_) => "an integer",
        HeaderValue::Float(_) => "a float",
        HeaderValue::Decimal { .. } => "a decimal",
        HeaderValue::Text(_) => "text",
        HeaderValue::Bytes(_) => "bytes",
        HeaderValue::Timestamp(_) => "a timestamp",
        HeaderValue::Array(_) => "an array",
        HeaderValue::Table(_) => "a table",
        HeaderValue::Void => "nothing",
    }
}

/// At most five of what is wrong, and how much more there is.
pub(super) fn listed(problems: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = problems.iter().take(SHOWN).map(String::as_str).collect();
    let mut text = shown.join("; ");
    if problems.len() > SHOWN {
        write!(text, "; and {} more", problems.len() - SHOWN)
            .expect("writing to a string cannot fail");
    }
    text
}
