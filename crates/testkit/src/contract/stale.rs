//! What becomes of everything that a worker says after its lease has ended.

use std::time::Duration;

use model::{
    id::{JobId, LeaseId},
    job::NextState,
    ports::{Fenced, OutputQuery},
};

use super::{
    Fixture,
    build::{LEASE, end, failed, gave_up, held, retrying, succeeded},
};

/// Every call of a worker is answered with `Stale`, and nothing has changed.
pub(super) async fn refused_everything(store: &Fixture, lease: &LeaseId) {
    let before = store.all_jobs().await;
    let outputs = all_output(store).await;
    let letters = store.open_dead().await;
    for (outcome, next) in [
        (succeeded(), NextState::Succeeded),
        (failed(), gave_up()),
        (failed(), retrying(Duration::ZERO)),
        (failed(), held()),
    ] {
        let last = end(0, outcome.clone());
        let fenced = store
            .queue
            .finish(lease, Some(&last), &outcome, &next)
            .await;
        assert_eq!(fenced.unwrap(), Fenced::Stale, "finishing with {lease}");
    }
    let advanced = store.queue.advance(lease, &end(0, succeeded())).await;
    assert_eq!(advanced.unwrap(), Fenced::Stale, "advancing with {lease}");
    let written = store.queue.append_output(lease, 0, b"late".to_vec()).await;
    assert_eq!(written.unwrap(), Fenced::Stale, "output with {lease}");
    let renewed = store.queue.renew(std::slice::from_ref(lease), LEASE).await;
    assert_eq!(renewed.unwrap(), [], "renewing {lease}");
    assert_eq!(store.all_jobs().await, before);
    assert_eq!(store.open_dead().await, letters);
    assert_eq!(all_output(store).await, outputs);
}

async fn all_output(store: &Fixture) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for job in store.all_jobs().await {
        for attempt in &job.attempts {
            all.push(output(store, &job.id, attempt.number).await);
        }
    }
    all
}

/// The whole output of an attempt.
pub(super) async fn output(store: &Fixture, job: &JobId, attempt: u32) -> Vec<u8> {
    let query = OutputQuery {
        job: job.clone(),
        attempt: Some(attempt),
        step: None,
        offset: 0,
        max: usize::MAX >> 1,
    };
    let output = store.history.output(&query).await.unwrap();
    output.expect("the attempt is there").bytes
}
