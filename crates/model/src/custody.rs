//! Who answers for the jobs of an event: this store, or the broker that still
//! has the delivery. Pure decisions; `engine::custody` carries them out.
//!
//! With `ack: done` the broker holds the work. As long as a delivery is not
//! acknowledged its jobs may be begun only by the process that holds it, and
//! when that process is gone they are not this store's to repeat. A *parked*
//! delivery is one that the store answers for from then on: it is acknowledged
//! and its jobs are finished here, whatever happens.

pub mod parting;

use std::time::Duration;

use crate::{
    clock::BootTime,
    id::{JobId, WorkerId},
    job::JobState,
    link::Contact,
};

/// Who answers for the jobs of an event that is being accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Custody {
    #[default]
    Store,
    Broker {
        /// The process that holds the delivery.
        worker: WorkerId,
        /// It was delivered before, to a process that is gone and may have
        /// begun with it.
        taken_over: bool,
    },
}

impl Custody {
    /// The process whose delivery the jobs belong to; absent when the store
    /// answers for them.
    pub fn worker(&self) -> Option<&WorkerId> {
        match self {
            Self::Store => None,
            Self::Broker { worker, .. } => Some(worker),
        }
    }
}

/// A job of an event, as far as the acknowledgement depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStanding {
    pub job: JobId,
    pub state: JobState,
    /// Whether an attempt was ever claimed.
    pub begun: bool,
    /// The process whose delivery it belongs to; absent when the store answers
    /// for it.
    pub delivery: Option<WorkerId>,
}

/// What is to become of a delivery, by the jobs of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Something of it runs or is about to.
    Later,
    /// Everything ended, or the store answers for what is left.
    Ack,
    /// What is left waits for a delay, a key or a person: the store takes it.
    Park,
    /// It went back while this process was not looking.
    Requeue,
}

/// Decides about a delivery. `is_overdue`: half of what the broker allows has
/// passed.
pub fn due(jobs: &[JobStanding], is_overdue: bool) -> Due {
    let is_running = |job: &JobStanding| job.state == JobState::Running;
    if jobs.iter().any(|job| job.state == JobState::Returned) {
        // What still runs of it ends first.
        return if jobs.iter().any(is_running) {
            Due::Later
        } else {
            Due::Requeue
        };
    }
    let mut open = jobs
        .iter()
        .filter(|job| !job.state.is_ended() && job.delivery.is_some())
        .peekable();
    if open.peek().is_none() {
        return Due::Ack;
    }
    let is_waiting = |job: &JobStanding| match job.state {
        JobState::Waiting | JobState::Delayed | JobState::Retrying | JobState::Held => true,
        JobState::Queued
        | JobState::Running
        | JobState::Succeeded
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Returned => false,
    };
    if is_overdue || open.all(is_waiting) {
        Due::Park
    } else {
        Due::Later
    }
}

/// Whether an instance answers [`crate::link::FleetWord::Mine`] when another asks about an
/// event that its store has, by its jobs; what is open of it is parked first.
/// Otherwise it is silent: what came of a returned job since is not known here.
pub fn is_kept(jobs: &[JobStanding]) -> bool {
    jobs.iter().all(|job| job.state != JobState::Returned)
}

/// What may be done with deliveries that are held, by what is heard of the
/// peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// They are ours: their jobs may be begun.
    Sure,
    /// They may not be ours any more: what runs goes on, nothing is begun.
    Unsure,
    /// Another instance may be about to take them over: what runs is ended.
    Fenced,
}

/// Decides what may be done. Nothing is begun when the last answer is older
/// than half of `takeover`, and everything has ended by three quarters of it,
/// so that the instance that takes over after the whole of it is alone. With
/// no `takeover` there is no other instance.
pub fn hold(contact: &Contact, takeover: Duration, now: &BootTime) -> Hold {
    if takeover.is_zero() {
        return Hold::Sure;
    }
    match contact {
        Contact::Live { answered, .. } => by_age(answered, takeover, now),
        Contact::Down => Hold::Unsure,
        Contact::Silent { since } => match by_age(since, takeover, now) {
            Hold::Sure | Hold::Unsure => Hold::Unsure,
            Hold::Fenced => Hold::Fenced,
        },
    }
}

fn by_age(since: &BootTime, takeover: Duration, now: &BootTime) -> Hold {
    if since.plus(takeover * 3 / 4).has_passed(now) {
        Hold::Fenced
    } else if since.plus(takeover / 2).has_passed(now) {
        Hold::Unsure
    } else {
        Hold::Sure
    }
}

#[cfg(test)]
mod tests;
