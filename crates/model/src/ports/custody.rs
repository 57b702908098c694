//! What the engine needs of a store to let a broker hold work.

use async_trait::async_trait;

use crate::{
    custody::JobStanding,
    id::{EventId, JobId, WorkerId},
    ports::StoreError,
};

/// Keeps the jobs of deliveries: whose they are, and when the store takes them
/// for its own. See [`crate::custody`].
///
/// Contract:
/// - `standing_shows_the_jobs_of_an_event_and_whose_they_are`
/// - `a_parked_job_is_the_stores_and_survives_its_worker`
/// - `giving_back_returns_what_does_not_run`
/// - `the_deliveries_of_former_workers_are_given_back`
/// - `a_delayed_job_goes_back_with_its_delivery_and_stays_delayed`
#[async_trait]
pub trait JobCustody: Send + Sync {
    /// The jobs of these events in rule order. Events that the store does not
    /// have are absent.
    async fn standing(
        &self,
        events: &[EventId],
    ) -> Result<Vec<(EventId, Vec<JobStanding>)>, StoreError>;

    /// From now on the store answers for all jobs of these events that have
    /// not ended: they belong to no delivery. Idempotent.
    async fn park(&self, events: &[EventId]) -> Result<(), StoreError>;

    /// Jobs of these events that belong to a delivery, have not ended and do
    /// not run become `returned`, which releases their keys. What runs is left
    /// alone. The answer names what was returned.
    async fn give_back(&self, events: &[EventId], reason: &str) -> Result<Vec<JobId>, StoreError>;

    /// The same for all jobs of deliveries that are not of `worker`, at most
    /// `max` at a time; the answer says how many. Their processes are gone.
    async fn give_back_of_others(
        &self,
        worker: &WorkerId,
        max: usize,
        reason: &str,
    ) -> Result<usize, StoreError>;
}
