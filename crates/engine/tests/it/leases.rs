//! What keeps two workers apart when things go wrong.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use model::{action::Stop, job::JobState};
use serde_json::json;

use crate::harness::TestEngine;

const HANGS: &str = r#"
rules:
  - name: hangs
    on: a.hang
    run:
      - command: [work, "600000"]
    on_lost: retry
"#;

const LEASE: i64 = 30_000;

#[tokio::test(start_paused = true)]
async fn renewals_that_fail_end_the_step_before_the_job_can_be_claimed() {
    let engine = TestEngine::start(HANGS).await;
    engine.publish("e1", "a.hang", json!({})).await;
    engine.until_running(1).await;
    engine.trouble.renewals_fail.store(true, SeqCst);
    check_ended_in_time(&engine, 0).await;
}

#[tokio::test(start_paused = true)]
async fn renewals_that_hang_end_the_step_before_the_job_can_be_claimed() {
    let engine = TestEngine::start(HANGS).await;
    engine.publish("e1", "a.hang", json!({})).await;
    engine.until_running(1).await;
    engine.trouble.renewals_hang.store(true, SeqCst);
    check_ended_in_time(&engine, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_ends_in_time_as_well() {
    let engine = TestEngine::start(HANGS).await;
    engine.publish("e1", "a.hang", json!({})).await;
    engine.until_running(1).await;
    testkit::clock::let_pass(Duration::from_secs(25)).await;
    engine.trouble.renewals_fail.store(true, SeqCst);
    check_ended_in_time(&engine, 20_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_counted_from_the_beginning_of_its_claim() {
    let engine = TestEngine::start(HANGS).await;
    engine.trouble.slow_claims.store(7_000, SeqCst);
    engine.trouble.renewals_fail.store(true, SeqCst);
    engine.publish("e1", "a.hang", json!({})).await;
    engine.until_running(1).await;
    engine.until_running(0).await;
    let run = engine.world.runs().remove(0);
    let lived = run.ended.unwrap() - run.started;
    assert!(lived <= LEASE - 5_000 - 7_000, "lived {lived} ms");
}

/// The last lease was taken or renewed so long after the first step began.
async fn check_ended_in_time(engine: &TestEngine, renewed: i64) {
    let begun = engine.world.runs()[0].started + renewed;
    engine
        .wait("another attempt begins", async || {
            engine.world.runs().len() == 2
        })
        .await;
    let runs = engine.world.runs();
    assert_eq!(Some(Stop::LeaseLost), runs[0].told);
    let ended = runs[0].ended.unwrap();
    assert!(
        ended < begun + LEASE,
        "dead {} ms after the lease began",
        ended - begun
    );
    assert!(runs[1].started >= begun + LEASE, "claimed after the lease");
    assert_eq!(Vec::<String>::new(), engine.world.overlaps());
    let job = &engine.jobs().await[0];
    assert_eq!("lost", job.attempts[0].outcome.as_ref().unwrap().as_str());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_hear_is_dropped_before_the_job_can_be_claimed() {
    let rules = HANGS.replace("work, \"600000\"", "deaf");
    let engine = TestEngine::start(&rules).await;
    engine.publish("e1", "a.hang", json!({})).await;
    engine.until_running(1).await;
    engine.trouble.renewals_fail.store(true, SeqCst);
    engine
        .wait("another attempt begins", async || {
            engine.world.runs().len() == 2
        })
        .await;
    assert_eq!(Vec::<String>::new(), engine.world.overlaps());
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_fenced() {
    let engine = TestEngine::start(HANGS).await;
    let job = engine.publish_job("e1", "a.hang", json!({})).await;
    engine.until_running(1).await;
    // The machine slept: the lease ran out and somebody recovered the job.
    engine.store.expire_leases();
    engine
        .wait("another attempt begins", async || {
            engine.world.runs().len() == 2
        })
        .await;
    engine.until(&job, JobState::Succeeded).await;
    let job = engine.job(&job).await;
    let outcomes: Vec<&str> = job
        .attempts
        .iter()
        .map(|attempt| attempt.outcome.as_ref().unwrap().as_str())
        .collect();
    assert_eq!(vec!["lost", "succeeded"], outcomes);
    assert_eq!(Some(Stop::LeaseLost), engine.world.runs()[0].told);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_disturbs_nothing() {
    let engine = TestEngine::start(HANGS).await;
    let job = engine.publish_job("e1", "a.hang", json!({})).await;
    engine.until_running(1).await;
    let year = Duration::from_secs(365 * 24 * 3600);
    engine
        .clock
        .set_wall(model::clock::Clock::now(&*engine.clock).plus(year));
    engine.until(&job, JobState::Succeeded).await;
    assert_eq!(1, engine.job(&job).await.attempts.len());
    assert_eq!(1, engine.jobs().await.len(), "nothing was pruned");
}
