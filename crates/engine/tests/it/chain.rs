//! Follow-up events, and what ends a chain of them.

use engine::Settings;
use model::{
    event::{Event, MAX_HOPS},
    fault::FaultPoint,
    job::JobState,
    page::{EventQuery, Position},
    ports::{DeadKind, History},
};
use serde_json::json;
use testkit::FaultPlan;

use crate::harness::TestEngine;

/// All events, oldest first.
async fn events(engine: &TestEngine) -> Vec<Event> {
    let query = EventQuery {
        topic: None,
        since: None,
        until: None,
        source: None,
        severity: None,
        position: Position::Newest,
        limit: 500,
    };
    let page = engine.store.events(&query).await.unwrap();
    let mut events: Vec<Event> = page.items.into_iter().map(|it| it.event).collect();
    events.reverse();
    events
}

const RELAY: &str = r#"
rules:
  - name: first
    on: a.first
    run:
      - publish:
          topic: a.second
          severity: warning
          headers: {n: 1}
          body: {from: "{{ event.id }}", attempt: "{{ attempt }}"}
      - command: [echo, "{{ result.id }}"]
  - name: second
    on: a.second
    run: {command: [echo, "{{ event.cause.event }} {{ event.cause.hops }}"]}
"#;

#[tokio::test(start_paused = true)]
async fn a_follow_up_is_an_event_like_any_other_and_names_its_cause() {
    let engine = TestEngine::start(RELAY).await;
    let job = engine.publish_job("e1", "a.first", json!({})).await;
    engine.until_idle().await;
    let events = events(&engine).await;
    let [root, second] = events.as_slice() else {
        panic!("{events:#?}")
    };
    assert_eq!(None, root.cause);
    assert_eq!("lariat", second.source);
    assert_eq!("lariat", second.origin.via);
    assert_eq!(json!({"from": "e1", "attempt": 1}), second.body);
    let cause = second.cause.as_ref().unwrap();
    assert_eq!((&root.id, &job, 1), (&cause.event, &cause.job, cause.hops));
    let mut said: Vec<String> = engine
        .world
        .runs()
        .iter()
        .map(|run| run.argv[1].clone())
        .collect();
    said.sort();
    let mut expect = vec![second.id.to_string(), "e1 1".to_owned()];
    expect.sort();
    assert_eq!(expect, said);
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_is_published_once_whatever_happens_to_its_worker() {
    let plan = FaultPlan::once(FaultPoint::AfterStepBeforeRecord);
    let mut engine = TestEngine::with_plan(RELAY, plan).await;
    engine.publish("e1", "a.first", json!({})).await;
    engine.faults.wait_tripped().await;
    engine.restart().await;
    engine.until_idle().await;
    assert!(engine.letters().await.is_empty());
    let bodies: Vec<_> = events(&engine)
        .await
        .into_iter()
        .map(|it| it.body)
        .collect();
    // The second try would have said another number.
    assert_eq!(vec![json!({}), json!({"from": "e1", "attempt": 1})], bodies);
    let states: Vec<JobState> = engine.jobs().await.iter().map(|job| job.state).collect();
    assert_eq!(vec![JobState::Succeeded; 2], states);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_answers_itself_ends() {
    let rules = "rules:\n  - name: echo\n    on: a.echo\n    run: {publish: {topic: a.echo}}\n";
    let engine = TestEngine::start(rules).await;
    engine.publish("e1", "a.echo", json!({})).await;
    engine.until_idle().await;
    let events = events(&engine).await;
    let hops: Vec<u8> = events
        .iter()
        .map(|event| event.cause.as_ref().map_or(0, |cause| cause.hops))
        .collect();
    assert_eq!((0..=MAX_HOPS).collect::<Vec<_>>(), hops);
    let letters = engine.letters().await;
    assert_eq!(1, letters.len());
    let letter = &letters[0].content;
    assert_eq!(DeadKind::JobFailed, letter.kind);
    assert_eq!(
        events.last().map(|event| &event.id),
        letter.event_id.as_ref()
    );
    assert!(letter.cause.contains("16 hops already"), "{}", letter.cause);
    let attempts: usize = engine
        .jobs()
        .await
        .iter()
        .map(|job| job.attempts.len())
        .sum();
    assert_eq!(17, attempts, "the last is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_branches_without_end_ends() {
    let rules = "rules:\n  - name: twice\n    on: a.twice\n    run:\n      \
                 - publish: {topic: a.twice}\n      - publish: {topic: a.twice}\n";
    let mut engine = TestEngine::start(rules).await;
    let change = |settings: &mut Settings| {
        settings.chain_limit = 40;
        settings.concurrency = 1;
    };
    engine.restart_as(FaultPlan::none(), change).await;
    engine.publish("e1", "a.twice", json!({})).await;
    engine.until_idle().await;
    assert_eq!(41, events(&engine).await.len());
    let letters = engine.letters().await;
    let cause = &letters[0].content.cause;
    assert!(cause.contains("40 events already"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_another_event_has_is_not_taken_for_the_follow_up() {
    let engine = TestEngine::start(RELAY).await;
    engine.publish("e1", "a.first", json!({})).await;
    engine.until_idle().await;
    let id = events(&engine).await[1].id.to_string();

    let engine = TestEngine::start(RELAY).await;
    engine.publish(&id, "a.forged", json!({})).await;
    let job = engine.publish_job("e1", "a.first", json!({})).await;
    engine.until_idle().await;
    let job = engine.job(&job).await;
    assert_eq!((JobState::Failed, 1), (job.state, job.attempts.len()));
    let reason = job.reason.unwrap();
    assert!(reason.contains("another event has the id"), "{reason}");
}
