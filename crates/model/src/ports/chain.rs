//! Follow-up events: what a step hands back to the intake, and the chains that
//! come of it.

use std::fmt;

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    event::{Cause, EventDraft, MAX_HOPS},
    id::{EventId, JobId, RuleName},
    job::JobState,
    ports::{AcceptError, StoreError},
    topic::Topic,
};

/// Why a follow-up did not become an event.
#[derive(Debug, thiserror::Error)]
pub enum FollowUpError {
    #[error("the chain of follow-ups has {MAX_HOPS} hops already; this looks like a loop")]
    TooManyHops,
    #[error("the chain of follow-ups has {limit} events already; this looks like a loop")]
    TooLong { limit: usize },
    #[error("another event has the id `{id}`")]
    IdTaken { id: EventId },
    #[error(transparent)]
    Refused(#[from] AcceptError),
}

impl FollowUpError {
    /// A loop stays one; a full queue and a store in trouble may recover.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::TooManyHops | Self::TooLong { .. } | Self::IdTaken { .. } => false,
        }
    }
}

/// Takes the follow-up events of steps back into the intake. The engine is it.
#[async_trait]
pub trait FollowUps: Send + Sync + fmt::Debug {
    /// Judges and accepts an event with an id and a cause; returns once it is
    /// durable. One that the same job has published before is not another.
    async fn follow_up(&self, event: EventDraft) -> Result<(), FollowUpError>;
}

/// A follow-up event, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub id: EventId,
    pub topic: Topic,
    pub accepted: Timestamp,
    pub source: String,
    pub cause: Cause,
}

/// A job of an event, as a chain shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkJob {
    pub event: EventId,
    pub id: JobId,
    pub rule: RuleName,
    pub state: JobState,
}

/// Reads which events are follow-ups of which.
///
/// Contract:
/// - `follow_ups_are_found_by_their_cause`
/// - `follow_ups_are_found_when_their_cause_is_gone`
/// - `the_jobs_of_several_events_are_found_at_once`
/// - `the_length_of_a_chain_counts_all_its_branches`
#[async_trait]
pub trait Chains: Send + Sync {
    /// The follow-ups of these events in the order of their acceptance, at
    /// most `max`.
    async fn follow_ups(&self, of: &[EventId], max: usize) -> Result<Vec<Link>, StoreError>;

    /// The jobs of these events in rule order, at most `max`.
    async fn jobs_of(&self, events: &[EventId], max: usize) -> Result<Vec<LinkJob>, StoreError>;

    /// How many follow-ups the whole chain of an event has, counted up to
    /// `max`.
    async fn chain_length(&self, of: &EventId, max: usize) -> Result<usize, StoreError>;
}
