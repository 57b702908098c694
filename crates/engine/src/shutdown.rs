//! How an engine ends: by draining, or at once.
//!
//! Draining goes from the outside in: sources take nothing more, what runs
//! ends, deliveries are settled and the sinks' senders finish, then sources
//! and sinks close, and the store last. An engine that is draining can still
//! be stopped; then both return.

use std::time::Duration;

use futures_util::future::join_all;
use model::fault::FaultPoint;

use crate::{
    shared::{Phase, Shared},
    telemetry,
};

/// How long stopping waits for links and for the store to close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// How long draining waits for a source to take nothing more, and for links
/// to close: a peer that does not answer holds up nobody.
const LINK_WAIT: Duration = Duration::from_secs(10);

/// Claims nothing more, lets running jobs end, closes the store.
pub(crate) async fn drain(shared: &Shared) {
    shared.enter(Phase::Draining);
    telemetry::draining(shared.held.len());
    shared.parts.faults.reach(FaultPoint::DuringDrain);
    let pausing = join_all(shared.parts.sources.iter().map(|source| source.pause()));
    let paused = tokio::time::timeout(LINK_WAIT, pausing).await;
    if paused.is_err() {
        tracing::warn!("a source did not stop in time; what it still takes goes back");
    }
    if !shared.tasks.drain().await {
        return;
    }
    close_links(shared, LINK_WAIT).await;
    shared.tasks.end().await;
    if shared.phase() == Phase::Draining {
        shared.parts.upkeep.close().await;
    }
}

async fn close_links(shared: &Shared, patience: Duration) {
    let parts = &shared.parts;
    let closing = async {
        join_all(parts.sinks.iter().map(|sink| sink.close())).await;
        join_all(parts.sources.iter().map(|source| source.close())).await;
    };
    if tokio::time::timeout(patience, closing).await.is_err() {
        tracing::warn!("a source or a sink did not close in time");
    }
}

/// Cuts everything. Dropping a step closes its guard's pipe, which kills what
/// runs; the leases are left to recovery, and deliveries to their broker.
pub(crate) async fn stop(shared: &Shared) {
    shared.enter(Phase::Stopped);
    telemetry::stopping(shared.held.len());
    shared.tasks.stop().await;
    close_links(shared, CLOSE_WAIT).await;
    let closed = tokio::time::timeout(CLOSE_WAIT, shared.parts.upkeep.close()).await;
    if closed.is_err() {
        tracing::warn!("the store did not close in time; what was committed is kept");
    }
}
