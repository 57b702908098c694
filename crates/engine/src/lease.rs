//! The leases that this worker holds, and what keeps them alive.
//!
//! A lease is good until its deadline: the boot time at which the request
//! that took or extended it was *begun*, plus the lease, less a margin. So
//! everything of a step is dead before the store lets its job be claimed
//! again, however long the request took. When renewing fails the deadline
//! simply stays, and passes.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{
    action::Stop,
    clock::{BootTime, Clock},
    id::{EventId, JobId, LeaseId, Principal},
    job::Lease,
    ports::{Renewed, StoreError},
};
use tokio::sync::watch;

use crate::{
    shared::Shared,
    tasks::{Policy, Task},
    telemetry::{LeaseLost, StoreFailed},
};

/// How often a deadline is compared with the clock, at least. The boot clock
/// counts a suspended machine, timers do not.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// From `start` to `end`; zero when they cannot be compared.
pub(crate) fn between(start: &BootTime, end: &BootTime) -> Duration {
    if start.boot != end.boot {
        return Duration::ZERO;
    }
    let millis = end.millis.saturating_sub(start.millis);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// What a running attempt is told from outside.
#[derive(Debug)]
struct Steering {
    event: EventId,
    stop: watch::Sender<Option<Stop>>,
    deadline: watch::Sender<BootTime>,
}

impl Steering {
    /// The lease is gone, which nothing outweighs: what ends politely for
    /// another reason is to end at once.
    fn lose(&self) {
        self.stop.send_if_modified(|stop| {
            let is_new = *stop != Some(Stop::LeaseLost);
            *stop = Some(Stop::LeaseLost);
            is_new
        });
    }

    /// The first reason to stop stays the reason.
    fn stop(&self, why: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            if is_first {
                *stop = Some(why);
            }
            is_first
        });
    }
}

/// Every lease that is held here.
#[derive(Debug, Default)]
pub(crate) struct Held {
    leases: Mutex<HashMap<LeaseId, Arc<Steering>>>,
}

impl Held {
    fn leases(&self) -> MutexGuard<'_, HashMap<LeaseId, Arc<Steering>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.leases().len()
    }

    /// Holds a lease until the answer is released or dropped.
    pub(crate) fn hold(self: &Arc<Self>, lease: &Lease, deadline: BootTime) -> Hold {
        let id = lease.id.clone();
        let steering = Arc::new(Steering {
            event: lease.event.id.clone(),
            stop: watch::Sender::new(None),
            deadline: watch::Sender::new(deadline),
        });
        self.leases().insert(id.clone(), Arc::clone(&steering));
        Hold {
            id,
            steering,
            held: Arc::clone(self),
        }
    }

    /// Tells the attempt of a job to stop. `false` when none runs here.
    pub(crate) fn cancel(&self, job: &JobId, by: &Principal) -> bool {
        let leases = self.leases();
        let mut found = false;
        for (id, steering) in leases.iter() {
            if id.job == *job {
                steering.stop(Stop::Cancel(by.clone()));
                found = true;
            }
        }
        found
    }

    /// Tells an attempt that its lease is gone.
    pub(crate) fn lose(&self, id: &LeaseId) -> bool {
        let leases = self.leases();
        let found = leases.get(id);
        if let Some(steering) = found {
            steering.lose();
        }
        found.is_some()
    }

    /// Tells the attempts of these events that their leases are as good as
    /// gone: they may not run on. The answer names those that did run.
    pub(crate) fn lose_events(&self, is_meant: impl Fn(&EventId) -> bool) -> Vec<LeaseId> {
        let leases = self.leases();
        let meant = leases.iter().filter(|(_, steering)| {
            is_meant(&steering.event) && *steering.stop.borrow() != Some(Stop::LeaseLost)
        });
        meant
            .map(|(id, steering)| {
                steering.lose();
                id.clone()
            })
            .collect()
    }

    /// The leases that are worth renewing.
    fn alive(&self) -> Vec<LeaseId> {
        let leases = self.leases();
        leases
            .iter()
            .filter(|(_, steering)| *steering.stop.borrow() != Some(Stop::LeaseLost))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn extend(&self, id: &LeaseId, deadline: BootTime) {
        if let Some(steering) = self.leases().get(id) {
            steering.deadline.send_replace(deadline);
        }
    }
}

/// One lease, as long as its attempt runs.
#[derive(Debug)]
pub(crate) struct Hold {
    id: LeaseId,
    steering: Arc<Steering>,
    held: Arc<Held>,
}

impl Hold {
    pub(crate) fn id(&self) -> &LeaseId {
        &self.id
    }

    pub(crate) fn stop(&self) -> watch::Receiver<Option<Stop>> {
        self.steering.stop.subscribe()
    }

    pub(crate) fn deadline(&self) -> watch::Receiver<BootTime> {
        self.steering.deadline.subscribe()
    }

    /// Who asked for the job to be cancelled, if somebody did.
    pub(crate) fn cancelled_by(&self) -> Option<Principal> {
        match &*self.steering.stop.borrow() {
            Some(Stop::Cancel(by)) => Some(by.clone()),
            Some(Stop::LeaseLost) | None => None,
        }
    }

    /// Whether the lease may have ended.
    pub(crate) fn is_gone(&self, clock: &dyn Clock) -> bool {
        *self.steering.stop.borrow() == Some(Stop::LeaseLost)
            || self.steering.deadline.borrow().has_passed(&clock.boot())
    }

    /// Returns when the lease may have ended, and has told the step so.
    pub(crate) async fn gone(&self, clock: &dyn Clock) {
        let mut stop = self.stop();
        let mut deadline = self.deadline();
        while !self.is_gone(clock) {
            let left = between(&clock.boot(), &deadline.borrow_and_update());
            let look_again = left.clamp(Duration::from_millis(1), LOOK_AGAIN);
            // The senders live in `self`, so a change is never an error.
            tokio::select! {
                () = tokio::time::sleep(look_again) => {}
                Ok(()) = stop.changed() => {}
                Ok(()) = deadline.changed() => {}
            }
        }
        self.steering.lose();
    }

    /// Marks the lease as gone: the store said so.
    pub(crate) fn lose(&self) {
        self.steering.lose();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.leases().remove(&self.id);
    }
}

/// Renews everything that is held, again and again.
pub(crate) fn start(shared: &Arc<Shared>) {
    let task = Task {
        name: "renewal",
        owner: "lease",
        policy: Policy::CutAfterDrain,
    };
    let own = Arc::clone(shared);
    shared.tasks.rounds(task, move || {
        let shared = Arc::clone(&own);
        async move {
            let pause = shared.parts.settings.renew;
            tokio::time::sleep(pause).await;
            while renew(&shared).await.is_err() {
                // There is less time now than before.
                tokio::time::sleep(pause / 5).await;
            }
            ControlFlow::Continue(())
        }
    });
}

/// One renewal of everything that is held.
async fn renew(shared: &Shared) -> Result<(), StoreError> {
    let parts = &shared.parts;
    let ids = shared.held.alive();
    if ids.is_empty() {
        return Ok(());
    }
    let settings = &parts.settings;
    let deadline = parts.clock.boot().plus(settings.lease - settings.margin());
    let asked = tokio::time::timeout(settings.renew, parts.queue.renew(&ids, settings.lease));
    let answer = match asked.await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(StoreError::Deadline {
            after: settings.renew,
        }),
    };
    let renewed = answer.inspect_err(|error| {
        StoreFailed {
            what: "renew leases",
            error,
        }
        .emit();
    })?;
    apply(shared, &ids, renewed, &deadline);
    Ok(())
}

fn apply(shared: &Shared, asked: &[LeaseId], renewed: Vec<Renewed>, deadline: &BootTime) {
    let mut renewed: HashMap<LeaseId, Option<Principal>> = renewed
        .into_iter()
        .map(|Renewed { lease, cancel }| (lease, cancel))
        .collect();
    for id in asked {
        match renewed.remove(id) {
            Some(cancel) => {
                shared.held.extend(id, deadline.clone());
                if let Some(by) = cancel {
                    shared.held.cancel(&id.job, &by);
                }
            }
            // An attempt that has just ended is no longer held: nothing to say.
            None => {
                if shared.held.lose(id) {
                    LeaseLost {
                        lease: id,
                        why: "the store gave it up",
                    }
                    .emit();
                }
            }
        }
    }
}
