//! The `publish` step: reading its keys, rendering it into a call.
//!
//! What an event says can be the topic, in a header or in the body, all of
//! which are data to whoever receives them. Where it goes is the rule's alone:
//! the sink may not be computed, nor may the topic be one of the engine's own.

use model::{
    action::{PublishCall, StepCall},
    event::Severity,
    id::SinkName,
    json::Object,
    suggest::nearest,
    topic::Topic,
};
use serde_json::Value;

use super::{Field, NoCall, Renderer, field::Shape, read::Tally};
use crate::{
    code::Code,
    listing::Listing,
    yaml::{Data, Entry, Mapping, Node, Reader, shorten},
};

/// Longest name of a header, in bytes: AMQP's limit.
const MAX_HEADER_NAME: usize = 255;
/// What the names of the headers begin with that carry the cause of an event.
const RESERVED: &str = "lariat-";

#[derive(Debug)]
pub(crate) struct Publish {
    /// Absent: back into the intake.
    sink: Option<SinkName>,
    topic: Field,
    /// Absent: an empty object.
    body: Option<Shape>,
    severity: Option<Field>,
    /// Scalars, or texts that are rendered.
    headers: Vec<(String, Shape)>,
}

impl Publish {
    pub(super) fn what(&self) -> String {
        match &self.sink {
            Some(sink) => format!("{} to {sink}", self.topic.source()),
            None => format!("{} as a follow-up", self.topic.source()),
        }
    }

    /// `node` is the value of the key `publish`.
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<Self> {
        let mut keys = reader.mapping(node, "a `publish` step")?;
        let sink = read_sink(reader, &mut keys, listing);
        let topic = keys
            .required(reader, "topic")
            .and_then(|node| read_topic(reader, node));
        let body = match keys.stated(reader, "body") {
            Some(node) => Shape::read(reader, node).map(Some),
            None => Some(None),
        };
        let severity = match keys.stated(reader, "severity") {
            Some(node) => read_severity(reader, node).map(Some),
            None => Some(None),
        };
        let headers = match keys.stated(reader, "headers") {
            Some(node) => read_headers(reader, node),
            None => Some(Vec::new()),
        };
        keys.finish(reader, &[]);
        Some(Self {
            sink: sink?,
            topic: topic?,
            body: body?,
            severity: severity?,
            headers: headers?,
        })
    }

    pub(super) fn render(&self, renderer: &Renderer<'_>) -> Result<StepCall, NoCall> {
        let mut tally = Tally::default();
        let topic = self.topic.text(renderer).and_then(|text| {
            Topic::from_outside(&text)
                .map_err(|error| NoCall::Bad(format!("{:?} is refused: {error}", shorten(&text))))
        });
        let topic = tally.take("topic", topic)?;
        let body = match &self.body {
            Some(shape) => tally.take("body", shape.render(renderer))?,
            None => Some(Value::Object(Object::new())),
        };
        let severity = match &self.severity {
            Some(field) => {
                let severity = field.text(renderer).and_then(|text| {
                    text.parse::<Severity>().map_err(|error| {
                        NoCall::Bad(format!("{:?} is refused: {error}", shorten(&text)))
                    })
                });
                tally.take("severity", severity)?
            }
            None => Some(Severity::default()),
        };
        let headers = tally.take("headers", render_headers(&self.headers, renderer))?;
        let (Some(topic), Some(body), Some(severity), Some(headers)) =
            (topic, body, severity, headers)
        else {
            return Err(tally.into_no_call());
        };
        tally.finish()?;
        Ok(StepCall::Publish(PublishCall {
            sink: self.sink.clone(),
            topic,
            severity,
            headers,
            body,
        }))
    }
}

fn read_sink(
    reader: &mut Reader<'_>,
    keys: &mut Mapping<'_>,
    listing: &Listing,
) -> Option<Option<SinkName>> {
    let Some(node) = keys.stated(reader, "sink") else {
        return Some(None);
    };
    let text = reader.string(node)?;
    let name: SinkName = match text.parse() {
        Ok(name) => name,
        Err(error) => {
            let hint = text
                .contains("{{")
                .then(|| "where events go cannot be computed; write two rules".to_owned());
            reader.error(Code::BadValue, node.span, format!("{error}"), hint);
            return None;
        }
    };
    if listing.has_sink(&name) {
        return Some(Some(name));
    }
    let hint = match nearest(name.as_str(), listing.sinks()) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!(
            "add `{name}` to the `sinks` of lariat.yml, or leave `sink` out for an event \
             that Lariat itself takes in"
        ),
    };
    reader.error(
        Code::UnknownSink,
        node.span,
        format!("there is no sink `{name}` in lariat.yml"),
        Some(hint),
    );
    None
}

fn read_topic(reader: &mut Reader<'_>, node: &Node) -> Option<Field> {
    let field = Field::read(reader, node)?;
    if let Some(Err(error)) = field.fixed().map(Topic::from_outside) {
        reader.error(Code::BadValue, node.span, error.to_string(), None);
        return None;
    }
    Some(field)
}

fn read_severity(reader: &mut Reader<'_>, node: &Node) -> Option<Field> {
    let field = Field::read(reader, node)?;
    if field.fixed().is_some() {
        let words = Severity::ALL.map(|severity| (severity.as_str(), severity));
        reader.word(node, &words)?;
    }
    Some(field)
}

fn read_headers(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Shape)>> {
    let Data::Mapping(entries) = &node.data else {
        reader.wrong_type(node, "a mapping");
        return None;
    };
    let headers: Vec<Option<(String, Shape)>> = entries
        .iter()
        .map(|entry| read_header(reader, entry))
        .collect();
    headers.into_iter().collect()
}

fn read_header(reader: &mut Reader<'_>, entry: &Entry) -> Option<(String, Shape)> {
    let name = entry.key.as_str();
    let is_ours = name.starts_with(RESERVED);
    if is_ours {
        reader.error(
            Code::BadValue,
            entry.key_span,
            format!("headers that start with `{RESERVED}` are the engine's own"),
            None,
        );
    }
    let is_name = (1..=MAX_HEADER_NAME).contains(&name.len()) && !name.contains(char::is_control);
    if !is_name {
        reader.error(
            Code::BadValue,
            entry.key_span,
            format!(
                "the name of a header has 1 to {MAX_HEADER_NAME} bytes and no control characters"
            ),
            None,
        );
    }
    let shape = match &entry.value.data {
        Data::Bool(_) | Data::Number(_) | Data::Text(_) => Shape::read(reader, &entry.value)?,
        Data::Null | Data::List(_) | Data::Mapping(_) => {
            reader.wrong_type(&entry.value, "text, a number or a boolean");
            return None;
        }
    };
    (is_name && !is_ours).then(|| (entry.key.clone(), shape))
}

fn render_headers(headers: &[(String, Shape)], renderer: &Renderer<'_>) -> Result<Object, NoCall> {
    let mut object = Object::new();
    for (name, shape) in headers {
        if renderer.is_rehearsal && shape.needs_job() {
            continue;
        }
        let value = shape.render(renderer).map_err(|error| error.of(name))?;
        match value {
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                object.insert(name.clone(), value);
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                let message = "expected text, a number or a boolean";
                return Err(NoCall::Bad(message.to_owned()).of(name));
            }
        }
    }
    Ok(object)
}
