//! What people do to jobs.
//!
//! The store decides; a job that runs here is told at once instead of with
//! the next renewal.

use model::{
    id::{JobId, Principal},
    job::JobState,
    ports::{Controlled, StoreError},
};

use crate::{shared::Shared, telemetry::CancelAsked};

pub(crate) async fn cancel(
    shared: &Shared,
    job: &JobId,
    by: &Principal,
) -> Result<Controlled, StoreError> {
    let control = &shared.parts.control;
    let answer = control.cancel(job, by).await?;
    if let Controlled::Done(state) = &answer {
        CancelAsked { job, by: &by.0 }.emit();
        let is_told = *state == JobState::Running && shared.held.cancel(job, by);
        if *state == JobState::Running && !is_told {
            return cancel_after_end(shared, job, by, answer).await;
        }
    }
    Ok(answer)
}

/// The job was running when it was asked to stop, and does not run here: its
/// attempt may have ended in between, with another to follow.
async fn cancel_after_end(
    shared: &Shared,
    job: &JobId,
    by: &Principal,
    answer: Controlled,
) -> Result<Controlled, StoreError> {
    let now = shared.parts.history.job(job).await?;
    match now.map(|job| job.state) {
        Some(JobState::Retrying | JobState::Queued | JobState::Waiting | JobState::Held) => {
            shared.parts.control.cancel(job, by).await
        }
        Some(JobState::Running | JobState::Succeeded | JobState::Failed | JobState::Cancelled)
        | None => Ok(answer),
    }
}

pub(crate) async fn retry(
    shared: &Shared,
    job: &JobId,
    by: &Principal,
) -> Result<Controlled, StoreError> {
    shared.parts.control.retry(job, by).await
}
