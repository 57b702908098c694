//! Finds jobs whose worker vanished and lets the rule decide about each.
//!
//! One idempotent function without input. It runs at start, again and again,
//! and after an error; there is no other path by which a crash is repaired.

use std::{ops::ControlFlow, sync::Arc};

use model::ports::StoreError;

use crate::{
    shared::Shared,
    tasks::{Policy, Task},
    telemetry::{JobRecovered, StoreFailed},
};

/// Leases that are looked at in one transaction.
const STEP: usize = 100;

/// Records every lease that ran out as lost.
pub(crate) async fn recover(shared: &Shared) -> Result<usize, StoreError> {
    let mut total = 0;
    loop {
        let recovered = shared.parts.queue.recover(STEP, rand::random()).await?;
        for one in &recovered {
            JobRecovered(one).emit(&shared.meter);
            // Our own, after this process slept through its lease.
            shared.held.lose(&one.lease);
        }
        if !recovered.is_empty() {
            shared.changed_somewhere();
        }
        total += recovered.len();
        if recovered.len() < STEP {
            return Ok(total);
        }
        tokio::task::yield_now().await;
    }
}

/// Gives back what processes before this one held for brokers: whoever gets
/// the deliveries next decides about them.
pub(crate) async fn give_back_of_others(shared: &Shared) -> Result<(), StoreError> {
    let parts = &shared.parts;
    let worker = &parts.settings.worker;
    loop {
        let why = "its process is gone; its delivery is the broker's again";
        let given = parts.custody.give_back_of_others(worker, STEP, why).await?;
        if given < STEP {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) fn start(shared: &Arc<Shared>) {
    let task = Task {
        name: "recovery",
        owner: "recovery",
        policy: Policy::CutAfterDrain,
    };
    let own = Arc::clone(shared);
    shared.tasks.rounds(task, move || {
        let shared = Arc::clone(&own);
        async move {
            tokio::select! {
                () = tokio::time::sleep(shared.parts.settings.recover_every) => {}
                () = shared.recover_now.notified() => {}
            }
            if let Err(error) = recover(&shared).await {
                StoreFailed {
                    what: "recover jobs",
                    error: &error,
                }
                .emit();
            }
            ControlFlow::Continue(())
        }
    });
}
