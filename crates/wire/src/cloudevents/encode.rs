//! An event as a CloudEvent of the JSON format.
//!
//! An event that came in as one goes out with the attributes that it came
//! with. Any other has Lariat's id, and `urn:lariat:` with the name of its
//! source as source.

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{event::Event, id::RuleName, json::Object};
use serde_json::Value;

use super::{PREFIX, SPEC_VERSION, attributes, data::ContentType, event_id};
use crate::event_json::fields::read_time;

/// The event as the body of a request in structured mode.
pub fn encode(event: &Event) -> Value {
    let came = came(event);
    let mut members = Object::new();
    match came {
        Some((id, source)) => head(&mut members, id, source, event.topic.as_str()),
        None => {
            let source = urn(&event.source);
            head(
                &mut members,
                event.id.as_str(),
                &source,
                event.topic.as_str(),
            );
        }
    }
    members.insert("time".to_owned(), Value::String(time(event)));
    for (name, value) in &event.headers {
        if let Some(name) = name.strip_prefix(PREFIX)
            && attributes::is_optional(name, value)
        {
            members.insert(name.to_owned(), value.clone());
        }
    }
    if came.is_some() {
        put_data(&mut members, event);
    } else {
        put_json(&mut members, &event.body);
    }
    Value::Object(members)
}

/// What `rule` says about `event`: a CloudEvent of the same type with an id and
/// data of its own.
pub fn encode_about(event: &Event, id: &str, rule: &RuleName, data: &Value) -> Value {
    let mut members = Object::new();
    let source = urn(&format!("rule:{rule}"));
    head(&mut members, id, &source, event.topic.as_str());
    put_json(&mut members, data);
    Value::Object(members)
}

fn head(members: &mut Object, id: &str, source: &str, topic: &str) {
    for (name, value) in [
        ("specversion", SPEC_VERSION),
        ("id", id),
        ("source", source),
        ("type", topic),
    ] {
        members.insert(name.to_owned(), Value::String(value.to_owned()));
    }
}

fn urn(source: &str) -> String {
    format!("urn:lariat:{source}")
}

/// The text of an attribute that the event came with.
fn text<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    let header = format!("{PREFIX}{name}");
    event.headers.get(&header)?.as_str()
}

/// The id and the source that the event came with, when it is the one that
/// they are of: headers are copied into other events.
fn came(event: &Event) -> Option<(&str, &str)> {
    let (id, source) = (text(event, "id")?, text(event, "source")?);
    let is_its = !id.is_empty()
        && attributes::characters(id).is_ok()
        && !source.is_empty()
        && attributes::uri_reference(source).is_ok()
        && event_id(source, id) == event.id;
    is_its.then_some((id, source))
}

/// The time as it came, which may be finer than what is kept.
fn time(event: &Event) -> String {
    let came = text(event, "time").filter(|text| read_time(text) == Ok(event.time));
    came.map_or_else(|| event.time.to_string(), str::to_owned)
}

/// The data as it came.
fn put_data(members: &mut Object, event: &Event) {
    let content_type =
        text(event, "datacontenttype").and_then(|text| text.parse::<ContentType>().ok());
    if let Some(content_type) = &content_type {
        let text = Value::String(content_type.text.clone());
        members.insert("datacontenttype".to_owned(), text);
        if content_type.is_json() || event.body.is_string() {
            members.insert("data".to_owned(), event.body.clone());
            return;
        }
    }
    if event.body.is_null() {
        return;
    }
    match base64_of(&event.body) {
        Some(text) => {
            members.insert("data_base64".to_owned(), Value::String(text.to_owned()));
        }
        None => put_json(members, &event.body),
    }
}

fn put_json(members: &mut Object, body: &Value) {
    let json = ContentType::json();
    members.insert("datacontenttype".to_owned(), Value::String(json.text));
    members.insert("data".to_owned(), body.clone());
}

/// The bytes of a body that stands for some.
fn base64_of(body: &Value) -> Option<&str> {
    let members = body.as_object().filter(|members| members.len() == 1)?;
    let text = members.get("data_base64")?.as_str()?;
    STANDARD.decode(text).is_ok().then_some(text)
}
