use std::time::Duration;

use model::{
    clock::Clock,
    fault::FaultPoint,
    job::{JobState, NextState, OnLost},
    ports::{History, Intake, JobControl, JobQueue, Judged, StoreError, Upkeep},
};

use super::*;
use crate::{
    TestClock,
    contract::build::{
        LEASE, by, claimant, delivered, end, event, failed, fire, gave_up, judged, keyed, plan,
        sink, steps, succeeded,
    },
};

fn store(faults: FaultPlan) -> (MemoryStore, Arc<TestClock>) {
    let clock = Arc::new(TestClock::following());
    let store =
        MemoryStore::with_faults(Arc::clone(&clock) as Arc<dyn Clock>, 100, Arc::new(faults));
    (store, clock)
}

/// Whether a call gets an answer at all.
async fn answers<T>(call: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_secs(60), call)
        .await
        .is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_commit_keeps_nothing_and_after_it_everything() {
    for (point, kept) in [
        (FaultPoint::BeforeAcceptCommit, false),
        (FaultPoint::AfterAcceptCommitBeforeReply, true),
    ] {
        let (store, clock) = store(FaultPlan::once(point));
        let batch = vec![judged(event("e1", clock.now()), vec![fire("r", plan())])];
        assert!(!answers(store.accept(batch.clone())).await, "it is dead");
        assert!(!answers(store.status()).await, "and stays dead");

        let next = store.reopened(Arc::new(FaultPlan::none()));
        assert_eq!(next.status().await.unwrap().events, u64::from(kept));
        let again = next.accept(batch).await.unwrap();
        assert_eq!(again[0].duplicate, kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_changes_nothing_that_it_still_tries() {
    let (store, clock) = store(FaultPlan::once(FaultPoint::BeforeFinishCommit));
    let batch = vec![judged(event("e1", clock.now()), vec![fire("r", plan())])];
    let job = store.accept(batch).await.unwrap()[0].jobs[0].clone();
    let leases = store
        .claim(&claimant("w1"), 1, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let last = end(0, succeeded());
    let finish = store.finish(
        &leases[0].id,
        Some(&last),
        &last.outcome,
        &NextState::Succeeded,
    );
    assert!(!answers(finish).await);

    let next = store.reopened(Arc::new(FaultPlan::none()));
    let shown = next.job(&job).await.unwrap().unwrap();
    assert_eq!(shown.state, JobState::Running);
    next.expire_leases();
    assert_eq!(next.recover(10, 0.5).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_waits_on_paused_time_until_a_retry_is_due() {
    let (store, clock) = store(FaultPlan::none());
    let batch = vec![judged(event("e1", clock.now()), vec![fire("r", plan())])];
    store.accept(batch).await.unwrap();
    let leases = store
        .claim(&claimant("w1"), 1, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let next = NextState::Retrying {
        delay: Duration::from_millis(12_345),
        reason: "exit code 2".to_owned(),
    };
    let last = end(0, failed());
    let fenced = store
        .finish(&leases[0].id, Some(&last), &last.outcome, &next)
        .await;
    assert_eq!(fenced.unwrap(), model::ports::Fenced::Recorded);

    let start = tokio::time::Instant::now();
    let again = store
        .claim(&claimant("w1"), 1, LEASE, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(again[0].id.attempt, 2);
    let waited = start.elapsed();
    assert!(
        (Duration::from_millis(12_345)..Duration::from_millis(12_350)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_closed_store_says_so_and_the_next_handle_goes_on() {
    let (store, _) = store(FaultPlan::none());
    store.close().await;
    assert!(matches!(store.probe().await, Err(StoreError::Closed)));
    let accepted = store.accept(vec![]).await;
    assert!(accepted.is_err());
    let next = store.reopened(Arc::new(FaultPlan::none()));
    next.probe().await.unwrap();
}

#[tokio::test]
async fn the_dump_shows_everything_and_is_the_same_on_every_run() {
    let clock = Arc::new(TestClock::by_hand());
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>, 100);
    let mut two_steps = keyed("k");
    two_steps.steps = steps(2, OnLost::Retry);
    let batch = vec![
        judged(
            event("e1", clock.now()),
            vec![fire("build", two_steps), fire("notify", plan())],
        ),
        judged(event("e2", clock.now()), vec![fire("build", keyed("k"))]),
    ];
    store.accept(batch).await.unwrap();
    let leases = store
        .claim(&claimant("w1"), 10, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let first = &leases[0].id;
    for fenced in [
        store.append_output(first, 0, b"hello\n".to_vec()).await,
        store.advance(first, &end(0, succeeded())).await,
        store
            .finish(first, Some(&end(1, failed())), &failed(), &gave_up())
            .await,
    ] {
        assert_eq!(fenced.unwrap(), model::ports::Fenced::Recorded);
    }
    store.cancel(&leases[1].id.job, &by("ann")).await.unwrap();
    let delivered = Judged {
        custody: delivered("w2"),
        routes: vec![sink("bus"), sink("archive")],
        ..judged(event("e3", clock.now()), vec![fire("notify", plan())])
    };
    store.accept(vec![delivered]).await.unwrap();
    insta::assert_snapshot!(store.dump(), @r#"
    events 3 in 2 commits of 3, revisions 0
      e1  org.example.e1  {"name":"e1"}
      e2  org.example.e2  {"name":"e2"}
      e3  org.example.e3  {"name":"e3"}
    verdicts 4
      e1  build  fired  job-1
      e1  notify  fired  job-2
      e2  build  fired  job-3  (waiting for key `k` held by job job-1)
      e3  notify  fired  job-4
    jobs 4
      job-1  build  e1  failed  step 1/2  tries 1+0  key k  finished  (exit code 2; gave up after 3 attempts)
        1  w1  failed
          0  playbook  succeeded  exit code 0  6 bytes  (all is well)
          1  playbook  failed  exit code 2  (exit code 2)
      job-2  notify  e1  running  step 0/1  tries 0+0  cancel asked by ann  leased
        1  w1  running
          0  playbook  running
      job-3  build  e2  queued  step 0/1  tries 0+0  key k
      job-4  notify  e3  queued  step 0/1  tries 0+0  delivered to w2
    dead letters 1
      dead-1  job_failed  open  from api  e1  build  job-1  (exit code 2; gave up after 3 attempts)
    outbox 2
      bus  e3
      archive  e3
    "#);
}
