//! Full disks, and processes that end at any moment.

use std::{sync::Arc, time::Duration};

use model::{
    clock::{Clock, Timestamp},
    id::LeaseId,
    ports::{AcceptError, Cutoffs, Fenced, History, Intake, JobQueue, StoreError, Upkeep},
};
use store::SqliteStore;
use testkit::{
    TestClock,
    contract::build::{LEASE, claimant, event, fire, judged, plan},
    disk::SmallDisk,
};

use super::options;

fn large(id: &str, now: Timestamp) -> model::event::Event {
    let mut large = event(id, now);
    large.body = serde_json::json!("x".repeat(20_000));
    large
}

#[tokio::test]
async fn a_full_disk_refuses_whole_batches_and_serves_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = SqliteStore::open_bounded(&path, options(&clock), Some(400))
        .await
        .unwrap();
    let mut kept = 0;
    let error = loop {
        let batch = (0..5)
            .map(|n| {
                judged(
                    large(&format!("e{kept}-{n}"), clock.now()),
                    vec![fire("r", plan())],
                )
            })
            .collect();
        match store.accept(batch).await {
            Ok(_) => kept += 5,
            Err(error) => break error,
        }
        assert!(kept < 100_000, "the store never fills up");
    };
    assert!(
        matches!(error, AcceptError::Store(StoreError::Full(_))),
        "{error:?}"
    );
    let status = store.status().await.unwrap();
    assert_eq!((status.events, status.jobs["queued"]), (kept, kept));
    // What is there is still read.
    let first = "e0-0".parse().unwrap();
    assert!(store.event(&first).await.unwrap().is_some());
    assert_eq!(store.verdicts(&first).await.unwrap().len(), 1);

    cancel_all(&store).await;
    clock.advance(Duration::from_secs(60));
    let old = Cutoffs {
        events: clock.now(),
        output: clock.now(),
        dead: clock.now(),
    };
    let pruned = store.prune(&old, 1_000).await.unwrap();
    assert_eq!(pruned.events, kept);
    let again = judged(large("again", clock.now()), vec![fire("r", plan())]);
    assert_eq!(store.accept(vec![again]).await.unwrap()[0].jobs.len(), 1);
    store.probe().await.unwrap();
    assert_eq!(store.status().await.unwrap().events, 1);
}

#[tokio::test]
async fn a_disk_that_others_fill_is_said_to_be_full_and_used_again_when_it_is_not() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let clock = Arc::new(TestClock::by_hand());
    let path = disk.path().join("store.db");
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let batch = |n: u32| {
        let sent = large(&format!("e{n}"), clock.now());
        vec![judged(sent, vec![fire("r", plan())])]
    };
    store.accept(batch(0)).await.unwrap();
    let ballast = disk.path().join("ballast");
    let mut size = 4 << 20;
    while size >= 1024 {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&ballast)
            .unwrap();
        if std::io::Write::write_all(&mut file, &vec![0; size]).is_err() {
            size /= 2;
        }
    }
    let mut kept = 1;
    let error = loop {
        match store.accept(batch(kept)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100_000, "the disk never fills up");
    };
    assert!(
        matches!(error, AcceptError::Store(StoreError::Full(_))),
        "{error:?}"
    );
    let probed = store.probe().await;
    assert!(
        matches!(probed, Ok(()) | Err(StoreError::Full(_))),
        "{probed:?}"
    );
    assert_eq!(store.status().await.unwrap().events, u64::from(kept));
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(store.accept(batch(kept)).await.unwrap()[0].jobs.len(), 1);
    store.probe().await.unwrap();
    assert_eq!(store.status().await.unwrap().events, u64::from(kept) + 1);
}

/// Takes something away from a store that is open. Nothing is accepted then;
/// whether it is again once it is back is `recovers`.
async fn check_taken_away(name: &str, recovers: bool) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let store = SqliteStore::open(&home.join("store.db"), options(&clock))
        .await
        .unwrap();
    let batch = |id: &str| vec![judged(event(id, clock.now()), vec![fire("r", plan())])];
    store.accept(batch("e1")).await.unwrap();
    let (there, away) = (dir.path().join(name), dir.path().join("away"));
    std::fs::rename(&there, &away).unwrap();
    let error = store.accept(batch("e2")).await.unwrap_err();
    assert!(
        matches!(error, AcceptError::Store(StoreError::Unreachable(_))),
        "{name}: {error:?}"
    );
    let probed = store.probe().await;
    assert!(matches!(probed, Err(StoreError::Unreachable(_))), "{name}");
    std::fs::rename(&away, &there).unwrap();
    if recovers {
        let answer = store.accept(batch("e2")).await.unwrap();
        assert!(!answer[0].duplicate, "{name}: it was not accepted before");
    }
}

#[tokio::test]
async fn nothing_is_accepted_into_a_file_that_has_lost_its_name() {
    check_taken_away("home", true).await;
    check_taken_away("home/store.db", true).await;
    check_taken_away("home/store.db-wal", false).await;
}

#[tokio::test]
async fn nothing_is_accepted_when_another_file_has_taken_the_place_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    store.probe().await.unwrap();
    std::fs::copy(&path, dir.path().join("copy.db")).unwrap();
    std::fs::rename(dir.path().join("copy.db"), &path).unwrap();
    let sent = judged(event("e1", clock.now()), vec![]);
    let error = store.accept(vec![sent]).await.unwrap_err();
    assert!(
        matches!(error, AcceptError::Store(StoreError::Unreachable(_))),
        "{error:?}"
    );
}

/// Says when a claim is about to be committed.
struct OnClaim(tokio::sync::Notify);

impl model::fault::Faults for OnClaim {
    fn reach(&self, point: model::fault::FaultPoint) {
        if point == model::fault::FaultPoint::BeforeClaimCommit {
            self.0.notify_one();
        }
    }
}

#[tokio::test]
async fn a_claim_that_nobody_takes_goes_back_to_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let clock = Arc::new(TestClock::by_hand());
    let faults = Arc::new(OnClaim(tokio::sync::Notify::new()));
    let options = store::SqliteOptions {
        faults: Arc::clone(&faults) as Arc<dyn model::fault::Faults>,
        ..options(&clock)
    };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let sent = judged(event("e1", clock.now()), vec![fire("r", plan())]);
    let job = store.accept(vec![sent]).await.unwrap()[0].jobs[0].clone();
    let somebody = claimant("w");
    tokio::select! {
        biased;
        () = faults.0.notified() => {}
        claimed = store.claim(&somebody, 1, LEASE, Duration::ZERO) => {
            panic!("it was to be dropped before it is there: {claimed:?}");
        }
    }
    let again = store
        .claim(&somebody, 1, LEASE, Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(
        again[0].id,
        LeaseId {
            job: job.clone(),
            attempt: 1
        }
    );
    let shown = store.job(&job).await.unwrap().unwrap();
    assert_eq!(shown.attempts.len(), 1);
}

#[tokio::test]
async fn a_claim_that_nobody_takes_goes_back_although_the_store_closes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let clock = Arc::new(TestClock::by_hand());
    let faults = Arc::new(OnClaim(tokio::sync::Notify::new()));
    let slow = store::SqliteOptions {
        faults: Arc::clone(&faults) as Arc<dyn model::fault::Faults>,
        ..options(&clock)
    };
    let store = SqliteStore::open(&path, slow).await.unwrap();
    let sent = judged(event("e1", clock.now()), vec![fire("r", plan())]);
    let job = store.accept(vec![sent]).await.unwrap()[0].jobs[0].clone();
    let somebody = claimant("w");
    tokio::select! {
        biased;
        () = faults.0.notified() => {}
        claimed = store.claim(&somebody, 1, LEASE, Duration::ZERO) => {
            panic!("it was to be dropped before it is there: {claimed:?}");
        }
    }
    store.close().await;
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let shown = store.job(&job).await.unwrap().unwrap();
    assert_eq!(shown.state, model::job::JobState::Queued);
    assert!(shown.attempts.is_empty(), "{:?}", shown.attempts);
}

async fn cancel_all(store: &SqliteStore) {
    use model::{
        page::{JobQuery, Position},
        ports::JobControl,
    };
    let all = JobQuery {
        event: None,
        rule: None,
        state: None,
        since: None,
        until: None,
        position: Position::Newest,
        limit: 1_000,
    };
    let by = testkit::contract::build::by("somebody");
    for job in store.jobs(&all).await.unwrap().items {
        store.cancel(&job.id, &by).await.unwrap();
    }
}

#[tokio::test]
async fn retention_gives_room_back_to_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    for n in 0..100 {
        let sent = large(&format!("e{n}"), clock.now());
        store.accept(vec![judged(sent, vec![])]).await.unwrap();
    }
    clock.advance(Duration::from_secs(60));
    let old = Cutoffs {
        events: clock.now(),
        output: clock.now(),
        dead: clock.now(),
    };
    while store.prune(&old, 30).await.unwrap().events > 0 {}
    store.close().await;
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 400_000, "{size} bytes are left");
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_end_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let clock = Arc::new(TestClock::by_hand());
    let mut expected = 0_u64;
    for round in 0..5 {
        let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
        assert_eq!(store.status().await.unwrap().events, expected);
        for n in 0..3 {
            let sent = event(&format!("e{round}-{n}"), clock.now());
            let answer = store
                .accept(vec![judged(sent, vec![fire("r", plan())])])
                .await
                .unwrap();
            assert_eq!((answer[0].duplicate, answer[0].jobs.len()), (false, 1));
            expected += 1;
        }
        // Dropped with a change under way: it happens or it does not.
        let sent = event(&format!("cut{round}"), clock.now());
        let unfinished = store.accept(vec![judged(sent, vec![])]);
        drop(unfinished);
        drop(store);
    }
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let leases = store
        .claim(&claimant("w"), 100, LEASE, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(leases.len() as u64, expected);
}

#[tokio::test]
async fn output_is_the_same_before_and_after_it_is_packed() {
    use model::ports::OutputQuery;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let clock = Arc::new(TestClock::by_hand());
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let sent = judged(event("e1", clock.now()), vec![fire("r", plan())]);
    store.accept(vec![sent]).await.unwrap();
    let lease: LeaseId = store
        .claim(&claimant("w"), 1, LEASE, Duration::ZERO)
        .await
        .unwrap()
        .remove(0)
        .id;
    for n in 0..50_u8 {
        let written = store.append_output(&lease, 0, vec![n; 100]).await.unwrap();
        assert_eq!(written, Fenced::Recorded);
    }
    let read = |offset, max| OutputQuery {
        job: lease.job.clone(),
        attempt: None,
        step: None,
        offset,
        max,
    };
    let before = store.output(&read(130, 4_000)).await.unwrap().unwrap();
    assert_eq!(before.bytes.len(), 4_000);
    assert_eq!((before.bytes[0], before.bytes[70]), (1, 2));
    let done = testkit::contract::build::succeeded();
    let next = model::job::NextState::Succeeded;
    let fenced = store.finish(&lease, None, &done, &next).await.unwrap();
    assert_eq!(fenced, Fenced::Recorded);
    let never = Timestamp::from_millis(0);
    let keep = Cutoffs {
        events: never,
        output: never,
        dead: never,
    };
    store.prune(&keep, 10).await.unwrap();
    let after = store.output(&read(130, 4_000)).await.unwrap().unwrap();
    assert_eq!(after.bytes, before.bytes);
    assert_eq!((after.next, after.is_open), (4_130, true));
    let rest = store.output(&read(4_130, 4_000)).await.unwrap().unwrap();
    assert_eq!(
        (rest.bytes.len(), rest.next, rest.is_open),
        (870, 5_000, false)
    );
}
