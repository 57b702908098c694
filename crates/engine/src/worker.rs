//! Claims jobs for the free slots and runs each as a task of its own.
//!
//! Being woken makes it fast and polling makes it right; both are the store's
//! `claim`, which waits a little for the first job. An engine that drains
//! waits for none: it drops the claim, and what that took goes back.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use model::ports::Claimant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    attempt::Attempt,
    shared::{Phase, Shared},
    tasks::{Policy, Task},
    telemetry::StoreFailed,
};

/// Before the next claim when one failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(crate) fn start(shared: &Arc<Shared>) {
    let task = Task {
        name: "claim",
        owner: "worker",
        policy: Policy::AwaitOnDrain,
    };
    let slots = Arc::new(Semaphore::new(shared.parts.settings.concurrency));
    let own = Arc::clone(shared);
    shared.tasks.rounds(task, move || {
        let shared = Arc::clone(&own);
        let slots = Arc::clone(&slots);
        async move { round(&shared, &slots).await }
    });
}

/// Waits for a free slot, claims for all that are free, starts what it got.
async fn round(shared: &Arc<Shared>, slots: &Arc<Semaphore>) -> ControlFlow<()> {
    let mut phase = shared.phase.subscribe();
    let free = tokio::select! {
        biased;
        Ok(_) = phase.wait_for(|phase| *phase > Phase::Serving) => None,
        first = Arc::clone(slots).acquire_owned() => first.ok(),
    };
    let Some(first) = free else {
        return ControlFlow::Break(());
    };
    let parts = &shared.parts;
    let settings = &parts.settings;
    let max = 1 + slots.available_permits();
    // Nothing is given back while a claim is under way.
    let begins = shared.begins.acquire().await;
    let deadline = parts.clock.boot().plus(settings.lease - settings.margin());
    let who = Claimant {
        worker: settings.worker.clone(),
        deliveries: shared.may_begin_deliveries(),
    };
    let claim = parts.queue.claim(&who, max, settings.lease, settings.poll);
    let claimed = tokio::select! {
        biased;
        claimed = claim => Some(claimed),
        Ok(_) = phase.wait_for(|phase| *phase > Phase::Serving) => None,
    };
    drop(begins);
    let Some(claimed) = claimed else {
        return ControlFlow::Break(());
    };
    match claimed {
        Ok(leases) => {
            let mut permits = Permits {
                first: Some(first),
                slots,
            };
            for lease in leases {
                let hold = shared.held.hold(&lease, deadline.clone());
                let attempt = Attempt::new(Arc::clone(shared), lease, hold);
                let permit = permits.next();
                let task = Task {
                    name: "attempt",
                    owner: "worker",
                    policy: Policy::AwaitOnDrain,
                };
                shared.tasks.spawn(task, async move {
                    attempt.run().await;
                    drop(permit);
                });
            }
        }
        Err(error) => {
            StoreFailed {
                what: "claim jobs",
                error: &error,
            }
            .emit();
            shared.recover_now.notify_one();
            tokio::select! {
                () = tokio::time::sleep(AFTER_ERROR) => {}
                Ok(_) = phase.wait_for(|phase| *phase > Phase::Serving) => {}
            }
        }
    }
    ControlFlow::Continue(())
}

/// Slots for what a claim brought: only this file takes them, so there are
/// as many as the claim asked for.
struct Permits<'a> {
    first: Option<OwnedSemaphorePermit>,
    slots: &'a Arc<Semaphore>,
}

impl Permits<'_> {
    fn next(&mut self) -> Option<OwnedSemaphorePermit> {
        self.first
            .take()
            .or_else(|| Arc::clone(self.slots).try_acquire_owned().ok())
    }
}
