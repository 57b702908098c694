//! Stores that earlier versions wrote are opened and read.

use std::{io::Read, path::Path, sync::Arc};

use flate2::read::GzDecoder;
use model::{
    clock::Clock,
    job::{JobState, Outcome},
    page::{DeadQuery, Position},
    ports::{
        DeadKind, History, Intake, JobControl, JobQueue, Judged, OutputQuery, Upkeep,
        custody::JobCustody, outbox::Outbox,
    },
    verdict::Verdict,
};
use store::SqliteStore;
use testkit::{
    TestClock,
    contract::build::{
        LEASE, by, claimant, delivered, delivering, event, fire, judged, plan, sink,
    },
};

use super::options;

/// Three events of `org.example.*`: `fine` with a job that succeeded and
/// printed `hello`, `bad` with one that failed, and `quiet`, which came again
/// with another body.
const SCHEMA_1: &[u8] = include_bytes!("released/schema-1.db.gz");

#[tokio::test]
async fn a_store_of_schema_1_is_opened_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut bytes = Vec::new();
    GzDecoder::new(SCHEMA_1).read_to_end(&mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();

    let status = store.status().await.unwrap();
    assert_eq!((status.events, status.open_dead_letters), (3, 2));
    assert_eq!(status.jobs["succeeded"], 1);
    assert_eq!(status.jobs["failed"], 1);

    let fine = "fine".parse().unwrap();
    let event = store.event(&fine).await.unwrap().unwrap().event;
    assert_eq!(event.topic.as_str(), "org.example.fine");
    assert_eq!(event.body.to_string(), r#"{"price":1.500}"#);
    let verdicts = store.verdicts(&fine).await.unwrap();
    assert_eq!(verdicts[0].verdict, Verdict::Fired);
    let job = verdicts[0].job_id.clone().unwrap();
    let job = store.job(&job).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Succeeded);
    assert!(matches!(
        job.attempts[0].outcome,
        Some(Outcome::Succeeded { .. })
    ));
    let all = OutputQuery {
        job: job.id,
        attempt: None,
        step: None,
        offset: 0,
        max: 100,
    };
    assert_eq!(store.output(&all).await.unwrap().unwrap().bytes, b"hello");

    let open = DeadQuery {
        kind: Some(DeadKind::IdConflict),
        rule: None,
        state: None,
        position: Position::Newest,
        limit: 10,
    };
    assert_eq!(store.dead_letters(&open).await.unwrap().items.len(), 1);
    let again = judged(event, vec![]);
    assert!(store.accept(vec![again]).await.unwrap()[0].duplicate);
    let schema = store.status().await.unwrap().schema;
    assert_eq!(schema, newest_schema(dir.path(), &clock).await);
    go_on(&store, &clock).await;
    store.close().await;
    SqliteStore::open(&path, options(&clock)).await.unwrap();
}

/// The schema of a store that is made now.
async fn newest_schema(dir: &Path, clock: &Arc<TestClock>) -> u32 {
    let store = SqliteStore::open(&dir.join("new.db"), options(clock)).await;
    let store = store.unwrap();
    let schema = store.status().await.unwrap().schema;
    store.close().await;
    schema
}

/// Old jobs are the store's, and what later schemas hold has its place.
async fn go_on(store: &SqliteStore, clock: &TestClock) {
    let bad = "bad".parse().unwrap();
    let standing = store.standing(std::slice::from_ref(&bad)).await.unwrap();
    let (_, jobs) = &standing[0];
    assert_eq!(jobs[0].delivery, None);
    store.retry(&jobs[0].job, &by("ann")).await.unwrap();
    let wait = std::time::Duration::ZERO;
    let leases = store.claim(&claimant("w"), 10, LEASE, wait).await.unwrap();
    assert_eq!(leases.len(), 1);

    let new = Judged {
        custody: delivered("w"),
        routes: vec![sink("bus")],
        ..judged(event("new", clock.now()), vec![fire("r", plan())])
    };
    store.accept(vec![new]).await.unwrap();
    assert!(store.put(&sink("bus"), &bad).await.unwrap());
    let outgoing = store.pending(&sink("bus"), 0, 10, wait).await.unwrap();
    let ids: Vec<&str> = outgoing.iter().map(|it| it.event.id.as_str()).collect();
    assert_eq!(ids, ["new", "bad"]);
    let none = store.claim(&claimant("w"), 10, LEASE, wait).await.unwrap();
    assert_eq!(none, []);
    let leases = store
        .claim(&delivering("w"), 10, LEASE, wait)
        .await
        .unwrap();
    assert_eq!(leases.len(), 1);
}
