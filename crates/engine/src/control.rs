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
        shared.changed_somewhere();
        shared.followers.changed(job);
        if *state == JobState::Running {
            // Not held here: its own worker hears of it when it renews.
            let _is_here = shared.held.cancel(job, by);
        }
    }
    Ok(answer)
}

pub(crate) async fn retry(
    shared: &Shared,
    job: &JobId,
    by: &Principal,
) -> Result<Controlled, StoreError> {
    let answer = shared.parts.control.retry(job, by).await?;
    shared.changed_somewhere();
    shared.followers.changed(job);
    Ok(answer)
}
