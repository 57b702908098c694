//! A store that does not take everything at first.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use model::{
    job::JobState,
    page::Position,
    ports::{AcceptError, History, OutputQuery},
};
use serde_json::json;

use crate::harness::{TestEngine, draft};

const RULES: &str = r#"
rules:
  - name: one
    on: a.one
    run:
      - command: [ok]
    on_lost: retry
"#;

#[tokio::test(start_paused = true)]
async fn an_end_that_is_refused_is_offered_again() {
    let engine = TestEngine::start(RULES).await;
    engine.trouble.refuse_ends.store(5, SeqCst);
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until(&job, JobState::Succeeded).await;
    assert_eq!(1, engine.world.runs().len(), "it is not run again for that");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_never_taken_is_left_to_recovery() {
    let engine = TestEngine::start(RULES).await;
    engine.trouble.refuse_ends.store(u32::MAX, SeqCst);
    engine.trouble.renewals_fail.store(true, SeqCst);
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine
        .wait("another attempt begins", async || {
            engine.world.runs().len() == 2
        })
        .await;
    engine.trouble.refuse_ends.store(0, SeqCst);
    engine.trouble.renewals_fail.store(false, SeqCst);
    engine.until(&job, JobState::Succeeded).await;
}

#[tokio::test(start_paused = true)]
async fn refused_output_slows_a_step_down_and_is_kept() {
    let engine = TestEngine::start(RULES).await;
    engine.trouble.refuse_output.store(3, SeqCst);
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until(&job, JobState::Succeeded).await;
    let query = OutputQuery {
        job,
        attempt: None,
        step: None,
        offset: 0,
        max: 100,
    };
    let output = engine.store.output(&query).await.unwrap().unwrap();
    assert_eq!(b"ok\n".as_slice(), output.bytes);
}

#[tokio::test(start_paused = true)]
async fn claims_go_on_after_an_error() {
    let engine = TestEngine::start(RULES).await;
    engine.trouble.refuse_claims.store(3, SeqCst);
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until(&job, JobState::Succeeded).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_a_batch_as_a_whole() {
    let engine = TestEngine::start(RULES).await;
    let drafts = (0..1001).map(|n| draft(&format!("e{n}"), "a.one", json!({})));
    let refused = engine.engine.publish(drafts.collect(), "api").await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { .. })));
    assert_eq!(0, engine.jobs().await.len());
    let query = model::page::EventQuery {
        topic: None,
        since: None,
        until: None,
        source: None,
        severity: None,
        position: Position::Newest,
        limit: 10,
    };
    assert!(engine.store.events(&query).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn status_tells_what_is_there() {
    let engine = TestEngine::start(RULES).await;
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until(&job, JobState::Succeeded).await;
    engine.engine.ready().await.unwrap();
    let status = engine.engine.status().await.unwrap();
    assert_eq!(1, status.rules);
    assert_eq!(1, status.store.events);
    assert_eq!(Some(&1), status.store.jobs.get("succeeded"));
    assert_eq!(0, status.worker.running);
    assert_eq!("scripted", status.notices[0].code);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_it_is_to_be_kept_goes() {
    let engine = TestEngine::start(RULES).await;
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until(&job, JobState::Succeeded).await;
    engine.clock.advance(Duration::from_secs(91 * 24 * 3600));
    engine
        .wait("the job is gone", async || engine.jobs().await.is_empty())
        .await;
    let fresh = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until(&fresh, JobState::Succeeded).await;
}
