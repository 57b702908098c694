//! How an engine behaves, as checked values.
//!
//! Reading them from a file is the binary's business. [`Settings::checked`]
//! keeps the one relation that other files rely on: a lease outlives several
//! renewals, and a claim waits for less than the margin of a lease.

use std::time::Duration;

use model::id::WorkerId;

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub events: Duration,
    pub output: Duration,
    pub dead: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            events: DAY * 90,
            output: DAY * 30,
            dead: DAY * 90,
        }
    }
}

/// How an engine behaves. Durations that make no sense together are brought
/// into relation when the engine starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This worker, unique among all that ever ran.
    pub worker: WorkerId,
    /// Jobs that run at the same time, at least 1.
    pub concurrency: usize,
    /// How long a claim is good for without renewal.
    pub lease: Duration,
    /// Between two renewals.
    pub renew: Duration,
    pub retention: Retention,
    /// Between two searches for leases that ran out.
    pub recover_every: Duration,
    /// Between two rounds of retention.
    pub prune_every: Duration,
    /// How long one claim waits for a job before it looks again.
    pub poll: Duration,
    /// Follow-ups of one event and of its follow-ups, at most. A rule that
    /// publishes two events and answers both makes thousands before its hops
    /// are used up.
    pub chain_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            worker: format!("worker-{}", uuid::Uuid::now_v7())
                .parse()
                .expect("letters, digits and `-` are a worker id"),
            concurrency: 4,
            lease: Duration::from_secs(30),
            renew: Duration::from_secs(10),
            retention: Retention::default(),
            recover_every: Duration::from_secs(5),
            prune_every: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            chain_limit: 10_000,
        }
    }
}

impl Settings {
    /// What lies between the moment when everything of a step must be dead
    /// and the moment when its job can be claimed again.
    pub fn margin(&self) -> Duration {
        self.lease / 6
    }

    /// Brings the durations into the relation that leases need.
    pub(crate) fn checked(mut self) -> Self {
        const SHORTEST: Duration = Duration::from_millis(10);
        self.concurrency = self.concurrency.max(1);
        self.lease = self.lease.max(SHORTEST * 6);
        self.renew = self.renew.clamp(SHORTEST, self.lease / 2);
        self.poll = self.poll.clamp(SHORTEST, self.lease / 6);
        self.recover_every = self.recover_every.max(SHORTEST);
        self.prune_every = self.prune_every.max(SHORTEST);
        self
    }
}
