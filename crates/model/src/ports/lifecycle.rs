//! What becomes of jobs, for those who want to be told.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;

use crate::{
    id::{EventId, JobId, RuleName},
    job::{JobState, Outcome},
    json::Object,
    ports::StoreError,
    topic::Topic,
};

/// A job has come into a state.
#[derive(Debug, Clone, PartialEq)]
pub struct JobChange {
    /// In order, and never used again.
    pub seq: u64,
    pub job: JobId,
    pub rule: RuleName,
    pub key: Option<String>,
    pub state: JobState,
    pub reason: Option<String>,
    /// The number of the last attempt; 0 before the first.
    pub attempt: u32,
    /// How that attempt ended, once it has.
    pub outcome: Option<Outcome>,
    pub result: Option<Object>,
    pub event: EventId,
    pub topic: Topic,
    /// Follow-ups before the job's event.
    pub hops: u8,
}

/// Notes what becomes of jobs, in the transaction in which it does, until it
/// has been told. What nobody listens to is not noted.
///
/// Contract:
/// - `changes_are_noted_while_somebody_listens_to_their_state`
/// - `what_was_told_is_not_given_again`
/// - `waiting_for_changes_wakes_when_a_job_changes`
#[async_trait]
pub trait Lifecycle: Send + Sync {
    /// From now on, jobs that come into one of these states are noted, and no
    /// others. What was noted stays.
    async fn listen_to(&self, states: &HashSet<JobState>) -> Result<(), StoreError>;

    /// The oldest changes that have not been told, at most `max`; waits up to
    /// `wait` for the first.
    async fn changes(&self, max: usize, wait: Duration) -> Result<Vec<JobChange>, StoreError>;

    /// These have been told. Idempotent.
    async fn told(&self, seqs: &[u64]) -> Result<(), StoreError>;
}
