//! What a source or a sink is told: checked values, no text to parse.
//!
//! They are built by the configuration loader. A [`Secret`] never prints what
//! it holds, so settings may be printed as they are.

use std::{collections::BTreeMap, fmt, time::Duration};

use model::{
    id::{SinkName, SourceName, WorkerId},
    link::AckMode,
};
use wire::amqp::{Decoding, Encoding, HeaderValue};

/// A text that is not shown: a password or a private key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How we prove who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// SASL PLAIN. The password may be empty.
    Plain { username: String, password: Secret },
    /// SASL EXTERNAL: the broker takes the name from our TLS certificate.
    External,
}

/// TLS. The server's certificate is always checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AmqpTls {
    /// Certificates in PEM: nothing else is trusted. Absent: what the system
    /// trusts.
    pub ca: Option<Vec<u8>>,
    /// What we show to the broker.
    pub identity: Option<Identity>,
}

/// A client certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM, the certificate itself first.
    pub cert: Vec<u8>,
    /// PEM, not encrypted.
    pub key: Secret,
}

/// How the broker is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmqpConnection {
    /// Tried in this order; at least one.
    pub hosts: Vec<HostPort>,
    pub vhost: String,
    pub auth: Auth,
    /// Absent: without TLS.
    pub tls: Option<AmqpTls>,
    /// Both sides notice a dead peer by it; at least one second.
    pub heartbeat: Duration,
    /// How the connection is called in the broker's lists.
    pub name: String,
}

/// What a queue is made of when it has to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum QueueKind {
    #[default]
    Quorum,
    Classic,
}

/// Whether a queue may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Declare {
    /// A queue that exists is used as it is; else it is declared.
    #[default]
    Auto,
    /// It must exist.
    Passive,
}

/// A queue that is consumed or published to.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    /// Empty: the broker chooses a name.
    pub name: String,
    /// Queues that are exclusive, deleted automatically, not durable or named
    /// by the broker are classic whatever this says.
    pub kind: QueueKind,
    pub declare: Declare,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    /// Optional arguments of the declaration; they win over ours.
    pub arguments: BTreeMap<String, HeaderValue>,
}

impl QueueSettings {
    /// A durable quorum queue of this name, made when there is none.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: QueueKind::Quorum,
            declare: Declare::Auto,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: BTreeMap::new(),
        }
    }
}

/// A source that consumes a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct AmqpSourceSettings {
    pub name: SourceName,
    /// This process, to the other instances on the same queue.
    pub worker: WorkerId,
    pub connection: AmqpConnection,
    /// Where the bindings go.
    pub exchange: String,
    pub queue: QueueSettings,
    /// Routing keys, in the syntax of the exchange.
    pub bindings: Vec<String>,
    pub decoding: Decoding,
    pub ack: AckMode,
    /// Deliveries without acknowledgement at one time; at least 1.
    pub prefetch: u16,
    /// How long the broker lets a delivery be held.
    pub consumer_timeout: Duration,
    /// How long a redelivered message waits for the word of another instance;
    /// zero: there is none.
    pub takeover: Duration,
}

/// A sink that publishes.
#[derive(Debug, Clone, PartialEq)]
pub struct AmqpSinkSettings {
    pub name: SinkName,
    pub connection: AmqpConnection,
    /// Holds the exchange and the routing key too.
    pub encoding: Encoding,
    /// Declared before the first message.
    pub declare_queue: Option<QueueSettings>,
    /// A message that no queue takes is an error, not forgotten.
    pub mandatory: bool,
}

#[cfg(test)]
mod tests;
