//! Lines of [`model::ports::lifecycle::Lifecycle`].

use std::{collections::HashSet, time::Duration};

use model::{
    job::{JobState, NextState},
    ports::lifecycle::JobChange,
};

use super::{
    Fixture,
    build::{plan, succeeded},
};

/// Longer than a store may take for anything, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn listen(store: &Fixture, states: &[JobState]) {
    let states: HashSet<JobState> = states.iter().copied().collect();
    store.lifecycle.listen_to(&states).await.unwrap();
}

async fn noted(store: &Fixture) -> Vec<JobChange> {
    store.lifecycle.changes(100, Duration::ZERO).await.unwrap()
}

fn states(changes: &[JobChange]) -> Vec<(&str, JobState)> {
    changes
        .iter()
        .map(|change| (change.event.as_str(), change.state))
        .collect()
}

pub async fn changes_are_noted_while_somebody_listens_to_their_state(store: &Fixture) {
    store.give("before", plan()).await;
    assert!(noted(store).await.is_empty());
    listen(store, &[JobState::Queued, JobState::Succeeded]).await;
    assert!(noted(store).await.is_empty(), "what was is no news");
    let job = store.give("a", plan()).await;
    let leases = store.claim(10).await;
    for lease in &leases {
        store.succeed(lease).await;
    }
    let changes = noted(store).await;
    assert_eq!(
        states(&changes),
        [
            ("a", JobState::Queued),
            ("before", JobState::Succeeded),
            ("a", JobState::Succeeded)
        ]
    );
    let last = &changes[2];
    assert_eq!((&last.job, last.rule.as_str()), (&job, "r"));
    assert_eq!((last.attempt, last.hops), (1, 0));
    assert_eq!(last.outcome, Some(succeeded()));
    assert_eq!(last.topic.as_str(), "org.example.a");
    assert_eq!((changes[0].attempt, &changes[0].outcome), (0, &None));

    listen(store, &[JobState::Retrying]).await;
    assert_eq!(noted(store).await.len(), 3, "what was noted stays");
    store.give("b", plan()).await;
    let lease = store.claim(1).await.remove(0);
    let next = NextState::Retrying {
        delay: Duration::from_secs(30),
        reason: "why".to_owned(),
    };
    store.finish(&lease, succeeded(), next).await;
    let changes = noted(store).await;
    assert_eq!(states(&changes)[3..], [("b", JobState::Retrying)]);
    assert_eq!(changes[3].reason.as_deref(), Some("why"));

    listen(store, &[]).await;
    store.give("c", plan()).await;
    assert_eq!(noted(store).await.len(), 4);
}

pub async fn what_was_told_is_not_given_again(store: &Fixture) {
    listen(store, &[JobState::Queued]).await;
    for name in ["a", "b", "c"] {
        store.give(name, plan()).await;
    }
    let changes = noted(store).await;
    let seqs: Vec<u64> = changes.iter().map(|change| change.seq).collect();
    assert!(seqs.is_sorted());
    store.lifecycle.told(&[seqs[0], seqs[2]]).await.unwrap();
    store.lifecycle.told(&[seqs[0]]).await.unwrap();
    let left = noted(store).await;
    assert_eq!(states(&left), [("b", JobState::Queued)]);
    store.lifecycle.told(&seqs).await.unwrap();
    store.give("d", plan()).await;
    let new = noted(store).await;
    assert_eq!(states(&new), [("d", JobState::Queued)]);
    assert!(new[0].seq > seqs[2], "a number is not used again");
}

pub async fn waiting_for_changes_wakes_when_a_job_changes(store: &Fixture) {
    listen(store, &[JobState::Queued]).await;
    let (found, _) = tokio::join!(
        store.lifecycle.changes(10, PATIENCE),
        store.give("a", plan())
    );
    assert_eq!(states(&found.unwrap()), [("a", JobState::Queued)]);
}
