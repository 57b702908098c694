//! Failing, backing off, resuming, giving up.

use model::job::JobState;
use serde_json::json;

use crate::harness::{TestEngine, ann};

const FLAKY: &str = r#"
rules:
  - name: flaky
    on: a.flaky
    run:
      - command: [flaky, "2"]
    retry: {attempts: 3, delay: 30s}
"#;

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_followed_by_another_after_a_growing_delay() {
    let engine = TestEngine::start(FLAKY).await;
    let job = engine.publish_job("e1", "a.flaky", json!({})).await;
    engine.until_idle().await;
    let job = engine.job(&job).await;
    assert_eq!(JobState::Succeeded, job.state);
    let starts: Vec<i64> = engine.world.runs().iter().map(|run| run.started).collect();
    let (first, second) = (starts[1] - starts[0], starts[2] - starts[1]);
    assert!((24_000..=37_000).contains(&first), "30 s ± 20 %: {first}");
    assert!((48_000..=73_000).contains(&second), "60 s ± 20 %: {second}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_not_tried_again() {
    let rules = "rules:\n  - name: no\n    on: a.no\n    run:\n      - command: [refuse]\n";
    let engine = TestEngine::start(rules).await;
    engine.publish("e1", "a.no", json!({})).await;
    engine.until_idle().await;
    assert_eq!(1, engine.world.runs().len());
    insta::assert_snapshot!(engine.state(), @"
    events 1 in 1 commits of 1, revisions 1
      e1  a.no  {}
    verdicts 1
      e1  no  fired  job-1
    jobs 1
      job-1  no  e1  failed  step 0/1  tries 1+0  finished  (exit code 2)
        1  worker-1  failed
          0  command  failed  exit code 2  7 bytes  (exit code 2)
    dead letters 1
      dead-1  job_failed  open  from api  e1  no  job-1  (exit code 2)
    ");
}

const STEPS: &str = r#"
rules:
  - name: steps
    on: a.steps
    run:
      - command: [result, "1"]
      - command: [echo, "{{ result.step }}"]
      - command: [flaky, "1"]
    retry: {attempts: 2, delay: 30s}
    on_lost: retry
"#;

#[tokio::test(start_paused = true)]
async fn a_retry_resumes_at_the_step_that_failed() {
    let engine = TestEngine::start(STEPS).await;
    engine.publish("e1", "a.steps", json!({})).await;
    engine.until_idle().await;
    let runs: Vec<String> = engine
        .world
        .runs()
        .iter()
        .map(|run| format!("{}.{} {}", run.attempt, run.step, run.argv.join(" ")))
        .collect();
    assert_eq!(
        vec!["1.0 result 1", "1.1 echo 1", "1.2 flaky 1", "2.2 flaky 1"],
        runs
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_cannot_be_rendered_is_unstartable() {
    let rules = "rules:\n  - name: bad\n    on: a.bad\n    run:\n      - command: [ok]\n      - command: [echo, \"{{ result.missing }}\"]\n";
    let engine = TestEngine::start(rules).await;
    let job = engine.publish_job("e1", "a.bad", json!({})).await;
    engine.until_idle().await;
    let job = engine.job(&job).await;
    assert_eq!(JobState::Failed, job.state);
    let outcome = job.attempts[0].outcome.as_ref().unwrap();
    assert_eq!("unstartable", outcome.as_str());
    assert!(outcome.summary().contains("result"), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_person_may_retry_and_the_budget_begins_anew() {
    let rules = "rules:\n  - name: f\n    on: a.f\n    run:\n      - command: [flaky, \"3\"]\n    retry: {attempts: 2, delay: 30s}\n";
    let engine = TestEngine::start(rules).await;
    let job = engine.publish_job("e1", "a.f", json!({})).await;
    engine.until(&job, JobState::Failed).await;
    engine.engine.retry(&job, &ann()).await.unwrap();
    engine.until(&job, JobState::Succeeded).await;
    assert_eq!(4, engine.job(&job).await.attempts.len());
    assert!(engine.letters().await.is_empty(), "its letter is closed");
}
