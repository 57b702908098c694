//! Sources and sinks as `/api/v1/sources`, `/api/v1/sinks` and the status show
//! them.

use model::{
    clock::Timestamp,
    id::{SinkName, SourceName},
    link::{AckMode, LinkState},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Where events come from, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    #[schemars(with = "String")]
    pub name: SourceName,
    /// The word of `kind:` in `lariat.yml`.
    pub kind: String,
    #[schemars(with = "schema::AckMode")]
    pub ack: AckMode,
    #[schemars(with = "schema::LinkState")]
    pub state: LinkState,
    /// Since when it is in this state.
    #[schemars(with = "schema::Time")]
    pub since: Timestamp,
    /// `host:port` of the peer, while there is one.
    pub peer: Option<String>,
    /// Why it is not connected, or what the peer said last.
    pub detail: Option<String>,
    /// Messages received since the start.
    pub messages: u64,
    /// Times that the connection was lost.
    pub losses: u64,
    /// Deliveries that are not acknowledged yet.
    pub held: u64,
}

/// Where events are published, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sink {
    #[schemars(with = "String")]
    pub name: SinkName,
    /// The word of `kind:` in `lariat.yml`.
    pub kind: String,
    #[schemars(with = "schema::LinkState")]
    pub state: LinkState,
    /// Since when it is in this state.
    #[schemars(with = "schema::Time")]
    pub since: Timestamp,
    /// `host:port` of the peer, while there is one.
    pub peer: Option<String>,
    /// Why it is not connected, or what the peer said last.
    pub detail: Option<String>,
    /// Messages published since the start.
    pub messages: u64,
    /// Times that the connection was lost.
    pub losses: u64,
    pub backlog: Backlog,
    /// Why the first event of the backlog was not taken, when it was tried.
    pub trouble: Option<String>,
}

/// What routes have for a sink and it has not taken yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    pub events: u64,
    /// When the oldest of them was accepted.
    #[schemars(with = "Option<schema::Time>")]
    pub oldest: Option<Timestamp>,
}

impl From<engine::SourceReport> for Source {
    fn from(report: engine::SourceReport) -> Self {
        let link = report.link;
        Self {
            name: report.name,
            kind: report.kind.to_owned(),
            ack: report.ack,
            state: link.state,
            since: link.since,
            peer: link.peer,
            detail: link.detail,
            messages: link.messages,
            losses: link.losses,
            held: u64::try_from(report.held).unwrap_or(u64::MAX),
        }
    }
}

impl From<engine::SinkReport> for Sink {
    fn from(report: engine::SinkReport) -> Self {
        let link = report.link;
        Self {
            name: report.name,
            kind: report.kind.to_owned(),
            state: link.state,
            since: link.since,
            peer: link.peer,
            detail: link.detail,
            messages: link.messages,
            losses: link.losses,
            backlog: Backlog {
                events: report.backlog.events,
                oldest: report.backlog.oldest,
            },
            trouble: report.trouble,
        }
    }
}
