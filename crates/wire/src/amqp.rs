//! AMQP messages become events, and events become AMQP messages.
//!
//! Two forms: fedora-messaging's, where the routing key is the topic, the body
//! is the event's, and headers have names and types that its readers insist
//! on; and the *serializer*'s, the JSON object `{"topic", "body"}` around a
//! whole fedmsg envelope that Loopabull's older workers read.

use std::collections::BTreeMap;

/// A value of a header table, with the type that it has on the wire
/// (AMQP 0-9-1, section 4.2.1, with RabbitMQ's letters).
#[derive(Debug, Clone, PartialEq)]
pub enum HeaderValue {
    /// `t`
    Bool(bool),
    /// `b`, `B`, `s`, `u`, `I`, `i`, `l`: integers that are read all alike.
    Integer(i64),
    /// `I`, a signed 32-bit integer: fedora-messaging insists on it.
    Int32(i32),
    /// `f`, `d`
    Float(f64),
    /// `D`: digits and the place of the decimal point.
    Decimal { scale: u8, value: i32 },
    /// `S`; bytes that need not be UTF-8.
    Text(Vec<u8>),
    /// `x`
    Bytes(Vec<u8>),
    /// `T`, seconds since the Unix epoch.
    Timestamp(u64),
    /// `A`
    Array(Vec<Self>),
    /// `F`
    Table(BTreeMap<String, Self>),
    /// `V`
    Void,
}

/// An AMQP message, apart from any client library.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    pub exchange: String,
    pub routing_key: String,
    pub message_id: Option<String>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    pub priority: Option<u8>,
    /// The user that the broker has checked, when the sender asked for it.
    pub user_id: Option<String>,
    pub headers: BTreeMap<String, HeaderValue>,
    pub body: Vec<u8>,
}

/// In which form events stand in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    #[default]
    FedoraMessaging,
    /// The serializer's. Reading also takes plain messages, which Loopabull
    /// 0.0.7 and newer read.
    Serializer,
}

/// How messages are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoding {
    pub format: Format,
    /// Bytes of a body.
    pub event_bytes: usize,
    /// Arrays and objects inside each other in the body.
    pub nesting: usize,
}

/// How messages are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    pub format: Format,
    pub exchange: String,
    /// Absent: the topic, with `topic_prefix` before it.
    pub routing_key: Option<String>,
    /// Words that stand before the topic in the routing key.
    pub topic_prefix: Option<String>,
    /// 0 to 255, AMQP's priority, for events that bring none.
    pub priority: Option<u8>,
}

/// Bytes of a header table, at most: it has to fit into one frame, and brokers
/// agree to frames of 128 KiB unless they are told otherwise.
pub const MAX_HEADERS: usize = 100 * 1024;

/// Why an event cannot be a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("the routing key would have {len} bytes, 255 is the most")]
    RoutingKey { len: usize },
    #[error("the name of a header has {len} bytes, 255 is the most")]
    HeaderName { len: usize },
    #[error("the header {name} must be {must}: readers of fedora-messaging insist on it")]
    Header { name: String, must: &'static str },
    #[error("the headers have {bytes} bytes, {MAX_HEADERS} is the most")]
    Headers { bytes: usize },
}

mod cause;
mod decode;
mod encode;
mod envelope;
mod fedora;
mod headers;

pub use decode::decode;
pub use encode::encode;

#[cfg(test)]
mod tests;
