//! The way back of what gave up.

use engine::DeadRetry;
use model::{
    job::JobState,
    ports::{DeadKind, DeadLetterDraft, DeadState, JobControl},
};
use serde_json::json;

use crate::harness::{TestEngine, ann};

const RULES: &str = r#"
rules:
  - name: keyed
    on: a.keyed
    key: "{{ event.body.key }}"
    run:
      - command: [ok]
  - name: refuses
    on: a.refuse
    run:
      - command: [refuse]
"#;

#[tokio::test(start_paused = true)]
async fn a_failed_job_is_retried_and_its_letter_closed() {
    let engine = TestEngine::start(RULES).await;
    let job = engine.publish_job("e1", "a.refuse", json!({})).await;
    engine.until(&job, JobState::Failed).await;
    let letter = engine.letters().await.remove(0);
    assert_eq!(
        DeadRetry::Job(job.clone()),
        engine.retry_dead(&letter.id).await
    );
    let closed = engine.retry_dead(&letter.id).await;
    assert_eq!(DeadRetry::WrongState(DeadState::Retried), closed);
    engine.until_idle().await;
    assert_eq!(2, engine.job(&job).await.attempts.len());
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_is_accepted_under_an_id_of_its_own() {
    let engine = TestEngine::start(RULES).await;
    engine.publish("e1", "a.keyed", json!({"key": "a"})).await;
    let body: serde_json::Value = model::json::parse(r#"{"key":"b","n":1.10,"e":1E2}"#).unwrap();
    let refused = engine.publish("e1", "a.keyed", body.clone()).await;
    assert!(refused.conflict);
    let letter = engine.letters().await.remove(0);
    let DeadRetry::Event(accepted) = engine.retry_dead(&letter.id).await else {
        panic!("it is an event");
    };
    assert!(!accepted.duplicate);
    assert_ne!("e1", accepted.id.as_str());
    assert_eq!(1, accepted.jobs.len());
    engine.until_idle().await;
    let history = engine.engine.history();
    let kept = history.event(&accepted.id).await.unwrap().unwrap();
    assert_eq!(body.to_string(), kept.event.body.to_string());
    assert_eq!("api", kept.event.source);
    assert!(engine.letters().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_failed_judges_again_as_it_is_today() {
    let engine = TestEngine::start(RULES).await;
    let accepted = engine.publish("e1", "a.keyed", json!({})).await;
    assert!(accepted.jobs.is_empty());
    let letter = engine.letters().await.remove(0);
    assert_eq!(DeadKind::RuleError, letter.content.kind);
    let still = engine.retry_dead(&letter.id).await;
    assert!(matches!(still, DeadRetry::NotRetryable { .. }), "{still:?}");
    assert_eq!(
        1,
        engine.letters().await.len(),
        "and makes no second letter"
    );
    let mended = RULES.replace("    key: \"{{ event.body.key }}\"\n", "");
    *engine.project.0.lock().unwrap() = mended;
    engine.engine.reload().await.unwrap();
    let DeadRetry::Job(job) = engine.retry_dead(&letter.id).await else {
        panic!("the rule fires now");
    };
    engine.until(&job, JobState::Succeeded).await;
    let id = "e1".parse().unwrap();
    let told: Vec<String> = engine
        .engine
        .verdicts(&id, None)
        .await
        .unwrap()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one.rule, one.verdict))
        .collect();
    assert_eq!(vec!["keyed error", "keyed fired", "refuses no_match"], told);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_event_are_only_discarded() {
    let engine = TestEngine::start(RULES).await;
    let letter = DeadLetterDraft {
        kind: DeadKind::Undecodable,
        cause: "not JSON".to_owned(),
        event_id: None,
        rule: None,
        job_id: None,
        source: "bus".to_owned(),
        raw: Some(vec![0xff]),
    };
    let id = engine.store.keep_dead(letter).await.unwrap();
    let answer = engine.retry_dead(&id).await;
    assert!(matches!(answer, DeadRetry::NotRetryable { .. }));
    let discard = async || engine.engine.discard_dead(&id, &ann()).await.unwrap();
    assert_eq!(Some(true), discard().await);
    assert_eq!(Some(false), discard().await);
    let unknown = model::id::DeadLetterId::generate();
    assert_eq!(
        None,
        engine.engine.discard_dead(&unknown, &ann()).await.unwrap()
    );
    assert_eq!(DeadRetry::NotFound, engine.retry_dead(&unknown).await);
}
