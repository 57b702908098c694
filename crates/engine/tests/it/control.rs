//! Cancelling in every state.

use model::{action::Stop, id::JobId, job::JobState, ports::Controlled};
use serde_json::json;

use crate::harness::{TestEngine, ann};

const RULES: &str = r#"
rules:
  - name: hangs
    on: a.hang
    key: "{{ event.body.key }}"
    run:
      - command: [hang]
      - command: [ok]
  - name: fails
    on: a.fail
    run:
      - command: [fail]
  - name: fine
    on: a.fine
    run:
      - command: [ok]
"#;

#[tokio::test(start_paused = true)]
async fn a_running_job_is_told_at_once() {
    let engine = TestEngine::start(RULES).await;
    let job = engine
        .publish_job("e1", "a.hang", json!({"key": "k"}))
        .await;
    engine.until_running(1).await;
    let asked = tokio::time::Instant::now();
    let answer = engine.engine.cancel(&job, &ann()).await.unwrap();
    assert_eq!(Controlled::Done(JobState::Running), answer);
    engine.until(&job, JobState::Cancelled).await;
    assert!(asked.elapsed().as_secs() < 1, "not only with a renewal");
    assert_eq!(Some(Stop::Cancel(ann())), engine.world.runs()[0].told);
    assert_eq!(1, engine.world.runs().len(), "the next step did not begin");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_another_process_comes_with_a_renewal() {
    use model::ports::JobControl;
    let engine = TestEngine::start(RULES).await;
    let job = engine
        .publish_job("e1", "a.hang", json!({"key": "k"}))
        .await;
    engine.until_running(1).await;
    let asked = tokio::time::Instant::now();
    engine.store.cancel(&job, &ann()).await.unwrap();
    engine.until(&job, JobState::Cancelled).await;
    assert!(asked.elapsed().as_secs() <= 11);
}

#[tokio::test(start_paused = true)]
async fn cancel_in_each_state() {
    let engine = TestEngine::start(RULES).await;
    let running = engine
        .publish_job("e1", "a.hang", json!({"key": "k"}))
        .await;
    let waiting = engine
        .publish_job("e2", "a.hang", json!({"key": "k"}))
        .await;
    let retrying = engine.publish_job("e3", "a.fail", json!({})).await;
    let succeeded = engine.publish_job("e4", "a.fine", json!({})).await;
    engine.until(&running, JobState::Running).await;
    engine.until(&retrying, JobState::Retrying).await;
    engine.until(&succeeded, JobState::Succeeded).await;
    check(&engine, &waiting, Controlled::Done(JobState::Cancelled)).await;
    check(&engine, &retrying, Controlled::Done(JobState::Cancelled)).await;
    check(
        &engine,
        &succeeded,
        Controlled::WrongState(JobState::Succeeded),
    )
    .await;
    check(&engine, &running, Controlled::Done(JobState::Running)).await;
    engine.until_idle().await;
    check(
        &engine,
        &running,
        Controlled::WrongState(JobState::Cancelled),
    )
    .await;
    check(&engine, &JobId::generate(), Controlled::NotFound).await;
}

async fn check(engine: &TestEngine, job: &JobId, expect: Controlled) {
    assert_eq!(expect, engine.engine.cancel(job, &ann()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_held_job_is_retried_or_cancelled_by_a_person() {
    let mut engine = TestEngine::start(RULES).await;
    let held = engine
        .publish_job("e1", "a.hang", json!({"key": "k"}))
        .await;
    let next = engine
        .publish_job("e2", "a.hang", json!({"key": "k"}))
        .await;
    engine.until_running(1).await;
    engine.restart().await;
    engine.until(&held, JobState::Held).await;
    assert_eq!(JobState::Waiting, engine.job(&next).await.state);
    engine.engine.retry(&held, &ann()).await.unwrap();
    engine.until(&held, JobState::Running).await;
    engine.restart().await;
    engine.until(&held, JobState::Held).await;
    engine.engine.cancel(&held, &ann()).await.unwrap();
    engine.until(&next, JobState::Running).await;
}
