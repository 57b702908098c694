//! The section `sinks`: where events are published.

use bus::amqp::QueueSettings;
use model::{id::SinkName, topic::Topic};
use rules::{
    Code,
    yaml::{Node, Reader},
};
use wire::amqp::Encoding;

use crate::config::{
    Scope,
    connection::{self, Connection},
    queue::{self, short},
    source::{self, EXCHANGE},
};

/// A sink, checked, before its secrets are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sink {
    Amqp(Box<AmqpSink>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AmqpSink {
    pub(crate) name: SinkName,
    pub(crate) connection: Connection,
    pub(crate) encoding: Encoding,
    /// Declared before anything is published.
    pub(crate) queue: Option<QueueSettings>,
    pub(crate) mandatory: bool,
}

impl Sink {
    pub(crate) fn name(&self) -> &SinkName {
        match self {
            Self::Amqp(sink) => &sink.name,
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Vec<Sink> {
    let Some(section) = reader.mapping(node, "`sinks`") else {
        return Vec::new();
    };
    let mut sinks = Vec::new();
    for entry in section.entries() {
        let name = source::name::<SinkName>(reader, entry);
        sinks.extend(one(reader, (&entry.value, name), scope));
    }
    sinks
}

fn one(
    reader: &mut Reader<'_>,
    (node, name): (&Node, Option<SinkName>),
    scope: &Scope<'_>,
) -> Option<Sink> {
    let mut section = reader.mapping(node, "a sink")?;
    if !source::is_amqp(reader, &mut section) {
        return None;
    }
    let connection = connection::read(reader, &mut section, scope);
    let queue_node = section.optional("queue");
    let queue = queue_node.map(|node| published(reader, node));
    let exchange_node = section.optional("exchange");
    let exchange = exchange_node.map(|node| short(reader, node));
    let key_node = section.optional("routing_key");
    let routing_key = key_node.map(|node| short(reader, node));
    let prefix_node = section.optional("topic_prefix");
    let topic_prefix = prefix_node.map(|node| prefix(reader, node));
    let format = source::format(reader, &mut section);
    let priority = section.optional("priority").map(|node| {
        let priority = reader.integer(node, 0..=255);
        priority.map(|priority| u8::try_from(priority).unwrap_or(u8::MAX))
    });
    let mandatory = match section.optional("mandatory") {
        Some(node) => reader.bool(node),
        None => Some(false),
    };
    section.finish(reader, &[]);

    let routes = [
        ("exchange", exchange_node),
        ("routing_key", key_node),
        ("topic_prefix", prefix_node),
    ];
    for (key, node) in routes {
        let Some(node) = node else { continue };
        if queue_node.is_some() {
            let message = format!("`{key}` means nothing beside `queue`");
            let hint = "what is published to a queue goes there directly".to_owned();
            reader.error(Code::BadValue, node.span, message, Some(hint));
        }
    }
    if let (Some(node), Some(_), None) = (prefix_node, key_node, queue_node) {
        let message = "`topic_prefix` means nothing beside `routing_key`".to_owned();
        let hint = "with `routing_key` all messages have that one".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
    }
    let queue = match queue {
        Some(queue) => Some(queue?),
        None => None,
    };
    let (exchange, routing_key) = match &queue {
        // The default exchange delivers to the queue that the key names.
        Some(queue) => (String::new(), Some(queue.name.clone())),
        None => {
            let exchange = exchange.unwrap_or(Some(EXCHANGE))?.to_owned();
            let key = match routing_key {
                Some(key) => Some(key?.to_owned()),
                None => None,
            };
            (exchange, key)
        }
    };
    let encoding = Encoding {
        format: format?,
        exchange,
        routing_key,
        topic_prefix: match topic_prefix {
            Some(prefix) => Some(prefix?),
            None => None,
        },
        priority: match priority {
            Some(priority) => Some(priority?),
            None => None,
        },
    };
    Some(Sink::Amqp(Box::new(AmqpSink {
        name: name?,
        connection: connection?,
        encoding,
        queue,
        mandatory: mandatory?,
    })))
}

/// A queue that others consume: it has a name, and others may reach it.
fn published(reader: &mut Reader<'_>, node: &Node) -> Option<QueueSettings> {
    let queue = queue::read(reader, node)?;
    if queue.name.is_empty() || queue.exclusive {
        let message = "a queue that is published to has a name and is not exclusive".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    Some(queue)
}

/// Words that stand before the topic.
fn prefix(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.string(node)?;
    match text.parse::<Topic>() {
        Ok(words) => Some(words.to_string()),
        Err(error) => {
            let hint = "words joined by dots, such as `org.example.prod`".to_owned();
            reader.error(Code::BadValue, node.span, error.to_string(), Some(hint));
            None
        }
    }
}
