//! Something that happened: immutable, with a topic.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    clock::Timestamp,
    id::{EventId, JobId, Revision},
    json::Object,
    page::Cursor,
    topic::Topic,
};

/// How much an event matters to its sender. fedora-messaging's four levels.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Debug,
    #[default]
    Info,
    Warning,
    Error,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warning, Self::Error];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is none of the four severities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("severity is one of debug, info, warning, error")]
pub struct SeverityError;

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or(SeverityError)
    }
}

/// Where an event came from and whether that was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Whether a signature or a credential proved `by`.
    pub verified: bool,
    /// Who sent it, as far as is known.
    pub by: Option<String>,
    /// The kind of the source: `http`, `amqp`, …
    pub via: String,
}

impl Origin {
    /// An event of the HTTP API without credentials.
    pub fn open_http() -> Self {
        Self {
            verified: false,
            by: None,
            via: "http".to_owned(),
        }
    }
}

/// Follow-ups of follow-ups, at most. What goes on beyond it is a loop.
pub const MAX_HOPS: u8 = 16;

/// What an event is the follow-up of. What comes from outside is a claim:
/// nothing but the limit of hops is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The event whose job made this one.
    pub event: EventId,
    pub job: JobId,
    /// How many follow-ups stand between this event and the first of its
    /// chain, this one counted.
    pub hops: u8,
}

/// A follow-up that would be one too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the chain of follow-ups has {MAX_HOPS} hops already; this looks like a loop")]
pub struct TooManyHops;

impl Cause {
    /// The cause of what `job` makes of `event`.
    pub fn of(event: &Event, job: &JobId) -> Result<Self, TooManyHops> {
        let before = event.cause.as_ref().map_or(0, |cause| cause.hops);
        if before >= MAX_HOPS {
            return Err(TooManyHops);
        }
        Ok(Self {
            event: event.id.clone(),
            job: job.clone(),
            hops: before + 1,
        })
    }
}

/// An event as it is kept. Field names are those of the API, of templates and
/// of the `event` variable that playbooks see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub topic: Topic,
    /// The sender's time; it orders nothing.
    pub time: Timestamp,
    /// When Lariat accepted it: windows and retention use this.
    pub accepted: Timestamp,
    /// The source's name, `api` for HTTP and CLI, `lariat` for the engine.
    pub source: String,
    pub severity: Severity,
    pub headers: Object,
    pub body: Value,
    pub origin: Origin,
    /// Absent: nothing that Lariat did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// A valid event that has not been accepted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDraft {
    /// Absent: one is made on acceptance.
    pub id: Option<EventId>,
    pub topic: Topic,
    /// Absent: the time of acceptance.
    pub time: Option<Timestamp>,
    pub severity: Severity,
    pub headers: Object,
    pub body: Value,
    pub origin: Origin,
    pub cause: Option<Cause>,
}

/// An event of the history, with the revision whose rules judged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    pub event: Event,
    pub revision: Revision,
    /// Where it stands in the history, in commit order.
    pub place: Cursor,
}
