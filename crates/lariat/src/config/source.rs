//! The section `sources`: where events come in, apart from HTTP.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use bus::amqp::QueueSettings;
use model::{
    id::{IdError, SourceName},
    link::AckMode,
};
use rules::{
    Code,
    yaml::{Entry, Mapping, Node, Reader, Span},
};
use wire::amqp::Format;

use crate::config::{
    HOUR, SECOND, Scope,
    connection::{self, Connection},
    queue::{self, short},
};

/// What events from elsewhere have for their source.
pub(crate) const RESERVED: [&str; 2] = [API, "lariat"];
/// Events over HTTP and from the command line.
pub(crate) const API: &str = "api";

/// Kinds of sources and sinks that a later version will have.
const LATER: [&str; 4] = ["fedmsg", "webhook", "schedule", "celery"];

pub(super) const EXCHANGE: &str = "amq.topic";
const PREFETCH: u16 = 1000;
/// RabbitMQ's own default.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const CONSUMER_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3600);

/// A source, checked, before its secrets are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    Amqp(Box<AmqpSource>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AmqpSource {
    pub(crate) name: SourceName,
    pub(crate) connection: Connection,
    pub(crate) exchange: String,
    pub(crate) queue: QueueSettings,
    pub(crate) bindings: Vec<String>,
    pub(crate) format: Format,
    pub(crate) ack: AckMode,
    pub(crate) prefetch: u16,
    pub(crate) consumer_timeout: Duration,
    /// Zero: this is the only instance on the queue, or `ack: stored`.
    pub(crate) takeover: Duration,
}

impl Source {
    pub(crate) fn name(&self) -> &SourceName {
        match self {
            Self::Amqp(source) => &source.name,
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Vec<Source> {
    let Some(section) = reader.mapping(node, "`sources`") else {
        return Vec::new();
    };
    let mut sources: Vec<Source> = Vec::new();
    for entry in section.entries() {
        let name = name::<SourceName>(reader, entry);
        if RESERVED.contains(&entry.key.as_str()) {
            let message = format!("`{}` is what other events have for their source", entry.key);
            reader.error(Code::BadValue, entry.key_span, message, None);
        }
        let found = one(reader, (&entry.value, name), scope);
        let Some((source, span)) = found else {
            continue;
        };
        if let Some(other) = sources.iter().find(|other| is_same_queue(other, &source)) {
            let message = format!(
                "`{}` consumes the same queue: each message would come to one of both only",
                other.name()
            );
            let hint = "one source with all bindings is enough".to_owned();
            reader.error(Code::BadValue, span, message, Some(hint));
        }
        sources.push(source);
    }
    sources
}

fn is_same_queue(left: &Source, right: &Source) -> bool {
    let (Source::Amqp(left), Source::Amqp(right)) = (left, right);
    let is_named = !left.queue.name.is_empty();
    is_named
        && left.queue.name == right.queue.name
        && left.connection.vhost == right.connection.vhost
        && left
            .connection
            .hosts
            .iter()
            .any(|host| right.connection.hosts.contains(host))
}

/// A key of the section as a name.
pub(super) fn name<T: FromStr<Err = IdError>>(reader: &mut Reader<'_>, entry: &Entry) -> Option<T> {
    match entry.key.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            reader.error(Code::BadValue, entry.key_span, error.to_string(), None);
            None
        }
    }
}

/// Whether this is of the one kind that there is.
pub(super) fn is_amqp(reader: &mut Reader<'_>, section: &mut Mapping<'_>) -> bool {
    let Some(node) = section.required(reader, "kind") else {
        return false;
    };
    let Some(word) = reader.string(node) else {
        return false;
    };
    if LATER.contains(&word) {
        let message = format!("this version does not have `kind: {word}` yet");
        let hint = "this version has `kind: amqp`".to_owned();
        reader.error(Code::LaterVersion, node.span, message, Some(hint));
        return false;
    }
    reader.word(node, &[("amqp", ())]).is_some()
}

/// One source, and where its queue is named.
fn one(
    reader: &mut Reader<'_>,
    (node, name): (&Node, Option<SourceName>),
    scope: &Scope<'_>,
) -> Option<(Source, Span)> {
    let mut section = reader.mapping(node, "a source")?;
    if !is_amqp(reader, &mut section) {
        // What else there may be depends on the kind.
        return None;
    }
    let connection = connection::read(reader, &mut section, scope);
    let exchange_node = section.optional("exchange");
    let exchange = match exchange_node {
        Some(node) => short(reader, node).map(str::to_owned),
        None => Some(EXCHANGE.to_owned()),
    };
    let queue_node = section.required(reader, "queue");
    let queue = queue_node.and_then(|node| queue::read(reader, node));
    let bindings = section
        .optional("bindings")
        .map(|node| bindings(reader, node));
    let format = format(reader, &mut section);
    let acks = [("stored", AckMode::Stored), ("done", AckMode::Done)];
    let ack = match section.optional("ack") {
        Some(node) => reader.word(node, &acks),
        None => Some(AckMode::Stored),
    };
    let prefetch = section.optional("prefetch").map(|node| {
        let count = reader.integer(node, 1..=u64::from(u16::MAX));
        count.map(|count| u16::try_from(count).unwrap_or(u16::MAX))
    });
    let consumer_timeout = match section.optional("consumer_timeout") {
        Some(node) => reader.duration(node, CONSUMER_TIMEOUTS),
        None => Some(CONSUMER_TIMEOUT),
    };
    let takeover_node = section.optional("takeover");
    // What cannot be read is reported already.
    let heartbeat = connection.as_ref().map(|connection| connection.heartbeat);
    let least = least_takeover(scope, heartbeat.unwrap_or_default());
    let takeover = takeover(reader, takeover_node, (ack, least));
    if exchange.as_deref() == Some("") && bindings.is_some() {
        let message = "nothing can be bound to the default exchange".to_owned();
        let hint = "name an exchange, or remove `bindings`".to_owned();
        let span = exchange_node.map_or(section.span(), |node| node.span);
        reader.error(Code::BadValue, span, message, Some(hint));
    }
    section.finish(reader, &[]);

    let (queue, queue_node) = (queue?, queue_node?);
    let ack = ack?;
    if ack == AckMode::Done && (queue.exclusive || queue.name.is_empty()) {
        let message =
            "with `ack: done` the queue holds the work, and this one is gone with its connection";
        let hint = "name a queue that stays, or write `ack: stored`".to_owned();
        reader.error(
            Code::BadValue,
            queue_node.span,
            message.to_owned(),
            Some(hint),
        );
    }
    let prefetch = match prefetch {
        Some(count) => count?,
        None => match ack {
            AckMode::Stored => PREFETCH,
            AckMode::Done => u16::try_from(scope.concurrency).unwrap_or(u16::MAX),
        },
    };
    let source = AmqpSource {
        name: name?,
        connection: connection?,
        exchange: exchange?,
        queue,
        bindings: bindings.unwrap_or_default(),
        format: format?,
        ack,
        prefetch,
        consumer_timeout: consumer_timeout?,
        takeover: takeover?,
    };
    Some((Source::Amqp(Box::new(source)), queue_node.span))
}

fn bindings(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let mut bindings: Vec<String> = Vec::new();
    for item in reader.one_or_list(node) {
        let Some(key) = short(reader, item) else {
            continue;
        };
        if bindings.iter().any(|other| other == key) {
            let message = "this binding stands here twice".to_owned();
            reader.warning(Code::BadValue, item.span, message, None);
        } else {
            bindings.push(key.to_owned());
        }
    }
    bindings
}

pub(super) fn format(reader: &mut Reader<'_>, section: &mut Mapping<'_>) -> Option<Format> {
    let formats = [
        ("fedora-messaging", Format::FedoraMessaging),
        ("serializer", Format::Serializer),
    ];
    match section.optional("format") {
        Some(node) => reader.word(node, &formats),
        None => Some(Format::FedoraMessaging),
    }
}

/// Another instance may begin with a job again only when no worker of this
/// one can still run it: after the time that a lease outlives its renewal. And
/// the broker is heard every half heartbeat: an answer must not be too old for
/// beginning anything (half of the time) before the next one can be there.
fn least_takeover(scope: &Scope<'_>, heartbeat: Duration) -> Duration {
    scope.lease.saturating_sub(scope.renew).max(heartbeat * 2)
}

fn takeover(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    (ack, least): (Option<AckMode>, Duration),
) -> Option<Duration> {
    let Some(node) = node else {
        return Some(match ack {
            Some(AckMode::Done) => least,
            Some(AckMode::Stored) | None => Duration::ZERO,
        });
    };
    let takeover = reader.duration(node, Duration::ZERO..=HOUR)?;
    if ack == Some(AckMode::Stored) {
        let message = "`takeover` means nothing with `ack: stored`".to_owned();
        let hint = "remove it, or write `ack: done`".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
        return None;
    }
    if !takeover.is_zero() && takeover < least {
        let seconds = least.as_millis().div_ceil(SECOND.as_millis());
        let message = format!(
            "expected at least {seconds}s, two heartbeats and two thirds of `workers.lease`, or 0s"
        );
        let hint = "`0s` says that no other instance consumes this queue".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
        return None;
    }
    Some(takeover)
}
