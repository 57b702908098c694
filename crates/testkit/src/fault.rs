//! Planned failures of a simulated process.
//!
//! A plan trips at most once. From then on the simulated process is dead: a
//! [`crate::MemoryStore`] that shares the plan answers nothing any more and
//! keeps nothing any more, so whatever the engine's tasks still do until they
//! are aborted leaves no trace, as after `kill -9`. Nothing here ends the
//! test's own process.

use std::{
    collections::{HashMap, HashSet},
    future::pending,
};

use model::fault::{FaultPoint, Faults};
use tokio::sync::watch;

/// When a simulated process dies, and what it passed on its way.
#[derive(Debug)]
pub struct FaultPlan {
    trip: Option<(FaultPoint, u64)>,
    reached: watch::Sender<HashMap<FaultPoint, u64>>,
    tripped: watch::Sender<Option<FaultPoint>>,
    held: watch::Sender<HashSet<FaultPoint>>,
}

impl FaultPlan {
    /// Nothing fails; points are counted.
    pub fn none() -> Self {
        Self::with(None)
    }

    /// The process dies when it reaches `point` first.
    pub fn once(point: FaultPoint) -> Self {
        Self::with(Some((point, 1)))
    }

    /// The process dies when it reaches `point` for the `nth` time, from 1.
    pub fn nth(point: FaultPoint, nth: u64) -> Self {
        Self::with(Some((point, nth)))
    }

    fn with(trip: Option<(FaultPoint, u64)>) -> Self {
        Self {
            trip,
            reached: watch::Sender::new(HashMap::new()),
            tripped: watch::Sender::new(None),
            held: watch::Sender::new(HashSet::new()),
        }
    }

    /// How often a point was passed.
    pub fn reached(&self, point: FaultPoint) -> u64 {
        self.reached.borrow().get(&point).copied().unwrap_or(0)
    }

    /// Where the process died.
    pub fn tripped(&self) -> Option<FaultPoint> {
        *self.tripped.borrow()
    }

    /// The process dies now, wherever it is.
    pub fn kill(&self, at: FaultPoint) {
        self.tripped.send_if_modified(|tripped| {
            let is_first = tripped.is_none();
            tripped.get_or_insert(at);
            is_first
        });
    }

    /// Waits until the process has died.
    pub async fn wait_tripped(&self) -> FaultPoint {
        let mut tripped = self.tripped.subscribe();
        let seen = tripped
            .wait_for(Option::is_some)
            .await
            .expect("the plan holds the sender");
        (*seen).expect("waited for it to be there")
    }

    /// Sets a breakpoint: the memory store waits at `point` until it is
    /// released. Points that the engine passes by itself cannot wait, since
    /// [`Faults::reach`] is not a future.
    pub fn hold(&self, point: FaultPoint) {
        self.held.send_modify(|held| {
            held.insert(point);
        });
    }

    /// Lets everything that waits at `point` go on, and removes the breakpoint.
    pub fn release(&self, point: FaultPoint) {
        self.held.send_modify(|held| {
            held.remove(&point);
        });
    }

    /// Waits until `point` has been passed `times` times in all.
    pub async fn wait_reached(&self, point: FaultPoint, times: u64) {
        let mut reached = self.reached.subscribe();
        let enough =
            |counts: &HashMap<FaultPoint, u64>| counts.get(&point).copied().unwrap_or(0) >= times;
        reached
            .wait_for(enough)
            .await
            .expect("the plan holds the sender");
    }

    /// Passes `point` inside the store: a dead process stays here for ever, a
    /// held one until it is released.
    pub(crate) async fn pass(&self, point: FaultPoint) {
        self.reach(point);
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held.contains(&point))
            .await
            .expect("the plan holds the sender");
        drop(held);
        self.alive().await;
    }

    /// Returns while the process lives, never when it is dead.
    pub(crate) async fn alive(&self) {
        if self.tripped().is_some() {
            pending::<()>().await;
        }
    }
}

impl Faults for FaultPlan {
    fn reach(&self, point: FaultPoint) {
        let mut count = 0;
        self.reached.send_modify(|reached| {
            let reached = reached.entry(point).or_insert(0);
            *reached += 1;
            count = *reached;
        });
        if self.trip == Some((point, count)) {
            self.kill(point);
        }
    }
}

#[cfg(test)]
mod tests;
