//! What becomes of deliveries that come a second time, and of those that this
//! process has to part with: because its connection is gone, or because it
//! ends.

use std::time::Duration;

use super::{Due, JobStanding, due};
use crate::job::JobState;

/// What is done with a delivery that was delivered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Accept it: nothing comes of it that another process could have begun,
    /// or its jobs are here.
    Accept,
    /// Ask the other instances first: one of them may have begun with it.
    Ask,
}

/// Decides about a delivery that was delivered before. `kept`: the jobs that
/// this store has of its event, if it has the event. `makes_jobs`: whether the
/// rules fire. With no `takeover` there is nobody to ask.
pub fn came_again(kept: Option<&[JobStanding]>, makes_jobs: bool, takeover: Duration) -> Again {
    let may_be_elsewhere = match kept {
        Some(jobs) => jobs.iter().any(|job| job.state == JobState::Returned),
        None => makes_jobs,
    };
    if may_be_elsewhere && !takeover.is_zero() {
        Again::Ask
    } else {
        Again::Accept
    }
}

/// What becomes of the jobs of an event whose delivery is gone while the
/// process goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Nothing has begun: whoever gets the delivery next runs them.
    GiveBack,
    /// Something has begun: it goes on here, and this process says so to
    /// whoever asks. Giving back the rest would let the whole run twice.
    KeepOn,
    /// Nothing is left that anybody could ask for.
    Forget,
}

/// Decides about an event whose delivery is gone.
pub fn gone(jobs: &[JobStanding]) -> Gone {
    let is_open = |job: &&JobStanding| !job.state.is_ended() && job.delivery.is_some();
    if !jobs.iter().any(|job| is_open(&job)) {
        Gone::Forget
    } else if jobs.iter().any(|job| job.begun) {
        Gone::KeepOn
    } else {
        Gone::GiveBack
    }
}

/// What is to become of a delivery when its process begins nothing any more
/// and is about to end. [`Due::Requeue`] asks for the jobs to be given back.
pub fn leaving(jobs: &[JobStanding]) -> Due {
    let is_running = |job: &JobStanding| job.state == JobState::Running;
    match due(jobs, false) {
        Due::Later if jobs.iter().any(is_running) => Due::Later,
        // Another instance would repeat what was done here already.
        Due::Later if jobs.iter().any(|job| job.begun) => Due::Park,
        Due::Later => Due::Requeue,
        decided @ (Due::Ack | Due::Park | Due::Requeue) => decided,
    }
}

#[cfg(test)]
mod tests;
