//! The store in memory, behind all its ports.
//!
//! It exists to test the engine without a disk, and to say what the ports
//! mean: it passes the same contract suite as the real store. It is not a
//! cache and not a store for service: nothing outlives the process.
//!
//! A handle is one simulated process. When its plan of failures has tripped,
//! or it was closed, the handle does nothing more; [`MemoryStore::reopened`]
//! gives the next process the same state.

mod access;
mod chain;
mod control;
mod custody;
mod dump;
mod history;
mod intake;
mod job;
mod lifecycle;
mod outbox;
mod queue;
mod state;
mod storms;
mod task;
mod upkeep;

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use model::{clock::Clock, fault::FaultPoint, ports::StoreError};
use tokio::sync::Notify;

use self::state::{Now, State};
use crate::fault::FaultPlan;

/// All ports of a store over one state in memory.
pub struct MemoryStore {
    shared: Arc<Shared>,
    faults: Arc<FaultPlan>,
    is_closed: AtomicBool,
}

struct Shared {
    state: Mutex<State>,
    /// Somebody may be able to claim a job, or to send an event on.
    wake: Notify,
    clock: Arc<dyn Clock>,
    queue_limit: usize,
}

/// The state in the hands of one call, which is one transaction. What it did
/// to jobs is noted when it is over.
struct Locked<'a> {
    state: MutexGuard<'a, State>,
    wake: &'a Notify,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.state.note_changes() {
            self.wake.notify_waiters();
        }
    }
}

impl MemoryStore {
    pub fn new(clock: Arc<dyn Clock>, queue_limit: usize) -> Self {
        Self::with_faults(clock, queue_limit, Arc::new(FaultPlan::none()))
    }

    /// A store whose process dies by plan.
    pub fn with_faults(clock: Arc<dyn Clock>, queue_limit: usize, faults: Arc<FaultPlan>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::default()),
                wake: Notify::new(),
                clock,
                queue_limit,
            }),
            faults,
            is_closed: AtomicBool::new(false),
        }
    }

    /// The same state in the hands of the next process. Leases of the former
    /// one are as they were: they end by the clock, or by
    /// [`MemoryStore::expire_leases`].
    pub fn reopened(&self, faults: Arc<FaultPlan>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            faults,
            is_closed: AtomicBool::new(false),
        }
    }

    /// Ends every lease now, as a real store does when it opens and nothing
    /// that the former process started is left alive.
    pub fn expire_leases(&self) {
        let now = self.now();
        for job in self.lock().jobs.values_mut() {
            if job.lease_end.is_some() {
                job.lease_end = Some(now.boot.clone());
            }
        }
    }

    /// The complete state as text, for snapshots: stable from run to run, with
    /// ids replaced by their order of appearance.
    pub fn dump(&self) -> String {
        dump::dump(&self.lock())
    }

    fn lock(&self) -> Locked<'_> {
        Locked {
            state: self
                .shared
                .state
                .lock()
                .expect("no holder of this lock panics"),
            wake: &self.shared.wake,
        }
    }

    fn now(&self) -> Now {
        Now {
            wall: self.shared.clock.now(),
            boot: self.shared.clock.boot(),
        }
    }

    /// Every call begins here.
    async fn enter(&self) -> Result<(), StoreError> {
        self.faults.alive().await;
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    async fn pass(&self, point: FaultPoint) {
        self.faults.pass(point).await;
    }
}

#[cfg(test)]
mod tests;
