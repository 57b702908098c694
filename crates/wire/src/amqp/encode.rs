//! An event becomes a message, with headers as fedora-messaging insists on.
//!
//! What could not be sent, or would be refused by every reader, is an error
//! here: a broker answers it by closing the channel for all others.

use std::collections::BTreeMap;

use model::{event::Event, json::Object};
use serde_json::Value;

use super::{
    EncodeError, Encoding, Format, HeaderValue, MAX_HEADERS, Message, cause, envelope, fedora,
    headers,
};
use crate::shown;

/// Writes a message.
pub fn encode(event: &Event, how: &Encoding) -> Result<Message, EncodeError> {
    let priority = event_priority(&event.headers).or(how.priority);
    let headers = header_table(event, how.format, priority)?;
    let body = match how.format {
        Format::FedoraMessaging => event.body.to_string(),
        Format::Serializer => envelope::seal(event).to_string(),
    };
    Ok(Message {
        exchange: how.exchange.clone(),
        routing_key: routing_key(event, how)?,
        message_id: Some(event.id.to_string()),
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        timestamp: None,
        priority,
        user_id: None,
        headers,
        body: body.into_bytes(),
    })
}

fn routing_key(event: &Event, how: &Encoding) -> Result<String, EncodeError> {
    let prefix = how.topic_prefix.as_deref().unwrap_or_default();
    let key = match (&how.routing_key, prefix.trim_end_matches('.')) {
        (Some(key), _) => key.clone(),
        (None, "") => event.topic.to_string(),
        (None, prefix) => format!("{prefix}.{}", event.topic),
    };
    if key.len() > 255 {
        return Err(EncodeError::RoutingKey { len: key.len() });
    }
    Ok(key)
}

fn event_priority(headers: &Object) -> Option<u8> {
    let number = headers.get(fedora::PRIORITY)?.as_u64()?;
    u8::try_from(number).ok()
}

fn header_table(
    event: &Event,
    format: Format,
    priority: Option<u8>,
) -> Result<BTreeMap<String, HeaderValue>, EncodeError> {
    let mut table = BTreeMap::new();
    for (name, value) in &event.headers {
        let is_written_anew =
            cause::holds(name) || (format == Format::Serializer && envelope::holds(name));
        if is_written_anew {
            continue;
        }
        let about = fedora::is_about(name) && *value != Value::Bool(true);
        if about || (is_schema(name) && !value.is_string()) {
            return Err(EncodeError::Header {
                name: shown::code(name, 80),
                must: if about { "true" } else { "text" },
            });
        }
        table.insert(headers::name(name)?, headers::from_json(value)?);
    }
    if !table.contains_key(fedora::SCHEMA) {
        let (schema, package) = fedora::BASE_SCHEMA;
        table.insert(fedora::SCHEMA.to_owned(), text(schema));
        table.insert(fedora::SCHEMA_PACKAGE.to_owned(), text(package));
    }
    let sent_at = HeaderValue::Text(fedora::iso_text(event.time).into_bytes());
    table.insert(fedora::SENT_AT.to_owned(), sent_at);
    let severity = HeaderValue::Int32(fedora::severity_number(event.severity));
    table.insert(fedora::SEVERITY.to_owned(), severity);
    if let Some(priority) = priority {
        let priority = HeaderValue::Int32(i32::from(priority));
        table.insert(fedora::PRIORITY.to_owned(), priority);
    }
    if let Some(cause) = &event.cause {
        cause::write(cause, &mut table);
    }
    let bytes = headers::size(&table);
    if bytes > MAX_HEADERS {
        return Err(EncodeError::Headers { bytes });
    }
    Ok(table)
}

fn is_schema(name: &str) -> bool {
    name == fedora::SCHEMA || name == fedora::SCHEMA_PACKAGE
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::Text(text.as_bytes().to_vec())
}
