//! The chain of an event, as JSON.

use engine::{About, ChainEvent};
use model::{
    clock::Timestamp,
    event::Cause,
    id::{EventId, JobId, RuleName},
    job::JobState,
    ports::chain::LinkJob,
    topic::Topic,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What an event comes of, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chain {
    #[schemars(with = "String")]
    pub root: EventId,
    /// The root first, every other behind its cause.
    pub events: Vec<Member>,
    /// There is more than is shown.
    pub truncated: bool,
}

/// An event of a chain. Of one that retention has removed only the id is
/// known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    #[schemars(with = "String")]
    pub id: EventId,
    #[schemars(with = "Option<String>")]
    pub topic: Option<Topic>,
    #[schemars(with = "Option<schema::Time>")]
    pub accepted: Option<Timestamp>,
    pub source: Option<String>,
    #[schemars(with = "Option<schema::Cause>")]
    pub cause: Option<Cause>,
    pub jobs: Vec<MemberJob>,
}

/// A job of an event of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberJob {
    #[schemars(with = "String")]
    pub id: JobId,
    #[schemars(with = "String")]
    pub rule: RuleName,
    #[schemars(with = "schema::JobState")]
    pub state: JobState,
}

impl From<engine::Chain> for Chain {
    fn from(chain: engine::Chain) -> Self {
        Self {
            root: chain.root,
            events: chain.events.into_iter().map(Member::from).collect(),
            truncated: chain.is_cut,
        }
    }
}

impl From<ChainEvent> for Member {
    fn from(event: ChainEvent) -> Self {
        let ChainEvent {
            id,
            about,
            cause,
            jobs,
        } = event;
        let (topic, accepted, source) = match about {
            Some(About {
                topic,
                accepted,
                source,
            }) => (Some(topic), Some(accepted), Some(source)),
            None => (None, None, None),
        };
        Self {
            id,
            topic,
            accepted,
            source,
            cause,
            jobs: jobs.into_iter().map(MemberJob::from).collect(),
        }
    }
}

impl From<LinkJob> for MemberJob {
    fn from(job: LinkJob) -> Self {
        Self {
            id: job.id,
            rule: job.rule,
            state: job.state,
        }
    }
}
