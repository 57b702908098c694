//! Sources and sinks as values: what arrives, what is told, how a link stands.
//!
//! A *delivery* is what a broker hands out and takes back unless it is
//! acknowledged. Its [`DeliveryTag`] means something only on the connection
//! that it came by.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{BootTime, Timestamp},
    event::EventDraft,
    id::{EventId, WorkerId},
};

/// When a delivery is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckMode {
    /// When the event, its verdicts and its jobs are committed.
    #[default]
    Stored,
    /// When all jobs of the event have ended, or none matched, or the store
    /// answers for those that are left.
    Done,
}

impl AckMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Done => "done",
        }
    }
}

/// Which delivery: the connection it came by, counted from 1 by the source,
/// and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryTag {
    pub connection: u64,
    pub number: u64,
}

impl fmt::Display for DeliveryTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connection, self.number)
    }
}

/// What a source hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub tag: DeliveryTag,
    /// It was delivered before, here or to another, and not acknowledged.
    pub redelivered: bool,
    /// When it arrived here.
    pub received: BootTime,
    pub content: Result<EventDraft, Undecodable>,
}

/// Bytes that are not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// What is wrong, and of which message: its routing key and id.
    pub cause: String,
    /// The body as it came.
    pub raw: Vec<u8>,
}

/// What is to become of deliveries at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settle {
    /// Done with: the broker may forget them.
    Ack,
    /// Back to the queue, for any instance.
    Requeue,
}

/// What the instances that share a queue tell each other through the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetNote {
    pub from: WorkerId,
    pub about: FleetWord,
    pub events: Vec<EventId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetWord {
    /// These came to me a second time: does anyone have them?
    Ask,
    /// These are kept and finished here: acknowledge them.
    Mine,
    /// These were delivered to me, go back to the queue, and nothing of them
    /// has begun: run them.
    Unbegun,
}

/// Whether an instance hears the others on its queue. One that does not cannot
/// be asked what it has, and ends what runs of a delivery that it has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// What others tell is heard, by the connection that stands.
    Heard,
    /// Not now: the connection is gone, or not ready yet.
    Silent,
    /// The broker forbids it to this user, and so to all instances.
    Refused,
}

/// What comes out of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// In order of arrival; never empty.
    Deliveries(Vec<Delivery>),
    Note(FleetNote),
    /// This connection is gone; what came by it and was not settled is the
    /// broker's again. Reconnecting is the source's own business.
    Lost {
        connection: u64,
    },
    /// The source was closed; nothing more comes.
    Closed,
}

/// What a source has agreed with its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub ack: AckMode,
    /// Deliveries that are taken at once, at most.
    pub batch: usize,
    /// How long a delivery that came before waits for the word of another
    /// instance before it is taken over. Zero: there is no other instance.
    pub takeover: Duration,
}

/// Whether the peer can still be heard. A delivery that is not acknowledged is
/// this process's only while it can: this decides what may be begun and what
/// has to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// Deliveries of this connection were still ours at `answered`.
    Live { connection: u64, answered: BootTime },
    /// Every host refuses connections: no broker runs that could give our
    /// deliveries to others.
    Down,
    /// Since then nothing was heard, and others may hear more than we do.
    Silent { since: BootTime },
}

/// How a source or a sink stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkStatus {
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// `host:port` of the peer, while there is one.
    pub peer: Option<String>,
    /// Why it is not connected, or what the peer said last.
    pub detail: Option<String>,
    /// Messages received or published since the start.
    pub messages: u64,
    /// Times that the connection was lost.
    pub losses: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    Connecting,
    Connected,
    /// Connected, and the broker takes nothing for want of disk or memory.
    Blocked,
    /// Between two attempts to connect.
    Waiting,
    Closed,
}

impl LinkState {
    pub const ALL: [Self; 5] = [
        Self::Connecting,
        Self::Connected,
        Self::Blocked,
        Self::Waiting,
        Self::Closed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Blocked => "blocked",
            Self::Waiting => "waiting",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
