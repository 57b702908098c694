//! How an engine ends: by draining, or at once.
//!
//! Both close the store last. An engine that is draining can still be
//! stopped; then both return.

use std::time::Duration;

use model::fault::FaultPoint;

use crate::{
    shared::{Phase, Shared},
    telemetry,
};

/// How long stopping waits for the store to close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Claims nothing more, lets running jobs end, closes the store.
pub(crate) async fn drain(shared: &Shared) {
    shared.enter(Phase::Draining);
    telemetry::draining(shared.held.len());
    shared.parts.faults.reach(FaultPoint::DuringDrain);
    shared.tasks.drain().await;
    if shared.phase() == Phase::Draining {
        shared.parts.upkeep.close().await;
    }
}

/// Cuts everything. Dropping a step closes its guard's pipe, which kills what
/// runs; the leases are left to recovery.
pub(crate) async fn stop(shared: &Shared) {
    shared.enter(Phase::Stopped);
    telemetry::stopping(shared.held.len());
    shared.tasks.stop().await;
    let closed = tokio::time::timeout(CLOSE_WAIT, shared.parts.upkeep.close()).await;
    if closed.is_err() {
        tracing::warn!("the store did not close in time; what was committed is kept");
    }
}
