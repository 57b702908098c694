//! Rules that throttle and debounce, in an engine that runs.

use model::{
    id::JobId,
    job::JobState::{self, Cancelled, Delayed, Running, Succeeded, Waiting},
    verdict::Verdict,
};
use serde_json::json;
use testkit::clock::let_pass;

use crate::harness::TestEngine;

const RULES: &str = r#"
rules:
  - name: calm
    on: a.calm
    key: calm
    debounce: {quiet: 30s, max: 1m}
    run: {command: [work, "600000"]}
    on_lost: retry
  - name: slow
    on: a.slow
    throttle: {limit: 2, per: 1m, then: queue}
    run: {command: [work, "1000"]}
    on_lost: retry
  - name: few
    on: a.few
    throttle: {limit: 2, per: 1m, by: "{{ msg.host }}"}
    run: {command: [work, "1000"]}
  - name: trial
    on: a.few
    mode: shadow
    run: {command: [work, "1000"]}
"#;

async fn states(engine: &TestEngine, jobs: &[JobId]) -> Vec<JobState> {
    let mut states = Vec::new();
    for job in jobs {
        states.push(engine.job(job).await.state);
    }
    states
}

#[tokio::test(start_paused = true)]
async fn a_burst_becomes_one_job_that_begins_by_itself_also_after_a_crash() {
    let mut engine = TestEngine::start(RULES).await;
    let mut jobs = Vec::new();
    for n in 0..3 {
        jobs.push(
            engine
                .publish_job(&format!("e{n}"), "a.calm", json!({}))
                .await,
        );
        let_pass(std::time::Duration::from_secs(20)).await;
    }
    assert_eq!(
        vec![Cancelled, Cancelled, Delayed],
        states(&engine, &jobs).await
    );
    engine.crash().await;
    engine.restart().await;
    let begun = tokio::time::Instant::now();
    engine.until(&jobs[2], Running).await;
    assert!(
        begun.elapsed().as_secs() < 5,
        "a minute after the first event"
    );
    // While it runs the next burst waits its time, and then for the key.
    let next = engine.publish_job("e3", "a.calm", json!({})).await;
    engine.until(&next, Waiting).await;
    engine.until_idle().await;
    assert_eq!(Succeeded, engine.job(&next).await.state);
    assert_eq!(Vec::<String>::new(), engine.world.overlaps());
}

#[tokio::test(start_paused = true)]
async fn a_throttle_that_queues_spreads_what_comes_at_once() {
    let engine = TestEngine::start(RULES).await;
    for n in 0..6 {
        engine.publish(&format!("e{n}"), "a.slow", json!({})).await;
    }
    engine.until_idle().await;
    let starts: Vec<i64> = engine.world.runs().iter().map(|run| run.started).collect();
    let after: Vec<i64> = starts.iter().map(|at| (at - starts[0]) / 10_000).collect();
    assert_eq!(vec![0, 0, 6, 6, 12, 12], after, "tens of seconds");
}

#[tokio::test(start_paused = true)]
async fn what_is_suppressed_or_on_trial_is_explained() {
    let engine = TestEngine::start(RULES).await;
    for n in 0..3 {
        let body = json!({"host": "db1"});
        engine.publish(&format!("e{n}"), "a.few", body).await;
    }
    let id = "e2".parse().unwrap();
    let explained = engine.engine.verdicts(&id, None).await.unwrap().unwrap();
    let said: Vec<(&str, Verdict, &str)> = explained
        .iter()
        .filter(|one| one.verdict != Verdict::NoMatch)
        .map(|one| (one.rule.as_str(), one.verdict, one.reason.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (
                "few",
                Verdict::Suppressed,
                "suppressed by throttle: 2 in 1m for `db1`, the next at 2026-11-20T22:44:00.000Z"
            ),
            (
                "trial",
                Verdict::Shadow,
                "would have fired: command `work 1000`"
            ),
        ]
    );
    engine.until_idle().await;
    assert_eq!(2, engine.world.runs().len());
}
