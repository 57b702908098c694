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

const TOLD: &str = r#"
rules:
  - name: work
    on: a.work
    key: "{{ event.body.key }}"
    run: {command: [result, "7"]}
  - name: broken
    on: a.broken
    run: {command: [refuse]}
  - name: notify
    on: [lariat.job.failed, lariat.job.succeeded]
    when: event.body.rule != 'other'
    run: {command: [refuse, "{{ event.body.rule }} {{ event.body.state }}"]}
"#;

/// What was said about jobs, oldest first.
async fn told(engine: &TestEngine) -> Vec<Event> {
    let events = events(engine).await.into_iter();
    events.filter(|event| event.topic.is_reserved()).collect()
}

async fn until_told(engine: &TestEngine, count: usize) {
    engine
        .wait(&format!("{count} changes are told"), async || {
            told(engine).await.len() == count
        })
        .await;
    engine.until_idle().await;
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_jobs_is_told_to_the_rules_that_listen() {
    let engine = TestEngine::start(TOLD).await;
    let job = engine
        .publish_job("e1", "a.work", json!({"key": "k"}))
        .await;
    engine.publish("e2", "a.broken", json!({})).await;
    until_told(&engine, 2).await;
    let told = told(&engine).await;
    let [good, bad] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!("lariat.job.succeeded", good.topic.as_str());
    assert_eq!(
        json!({
            "job": job, "rule": "work", "state": "succeeded", "reason": null, "key": "k",
            "attempt": 1, "outcome": "succeeded", "summary": "exit code 0",
            "result": {"step": 7}, "event": {"id": "e1", "topic": "a.work"},
        }),
        good.body
    );
    let cause = good.cause.as_ref().unwrap();
    assert_eq!(
        ("e1", &job, 1),
        (cause.event.as_str(), &cause.job, cause.hops)
    );
    assert_eq!("lariat.job.failed", bad.topic.as_str());
    assert_eq!(model::event::Severity::Error, bad.severity);
    // The notifications have failed, and nobody is told of that.
    let runs = engine.world.runs();
    let mut notified: Vec<&str> = runs
        .iter()
        .filter_map(|run| run.argv.get(1).map(String::as_str))
        .filter(|text| text.contains(' '))
        .collect();
    notified.sort_unstable();
    assert_eq!(vec!["broken failed", "work succeeded"], notified);
    assert_eq!(3, engine.letters().await.len());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_at_the_end_of_a_chain_is_told_of() {
    let rules = "rules:\n  - name: echo\n    on: a.echo\n    run: {publish: {topic: a.echo}}\n  \
                 - name: listen\n    on: lariat.job.*\n    run: {publish: {topic: a.echo}}\n    \
                 when: event.body.state == 'failed'\n";
    let engine = TestEngine::start(rules).await;
    engine.publish("e1", "a.echo", json!({})).await;
    engine
        .wait("the failure is told", async || {
            told(&engine)
                .await
                .iter()
                .any(|event| event.topic.as_str() == "lariat.job.failed")
        })
        .await;
    engine.until_idle().await;
    let failed: Vec<Event> = told(&engine)
        .await
        .into_iter()
        .filter(|event| event.topic.as_str() == "lariat.job.failed")
        .collect();
    assert_eq!(1, failed.len(), "that of the listener is not told");
    let hops = failed[0].cause.as_ref().map(|cause| cause.hops);
    assert_eq!(Some(MAX_HOPS + 1), hops);
    let chain = engine.engine.chain(&failed[0].id).await.unwrap().unwrap();
    assert_eq!("e1", chain.root.as_str());
    assert_eq!(2, engine.letters().await.len());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_where_nobody_listens() {
    let rules = "rules:\n  - name: all\n    on: '#'\n    run: {command: [ok]}\n";
    let engine = TestEngine::start(rules).await;
    engine.publish("e1", "a.x", json!({})).await;
    engine.until_idle().await;
    assert_eq!(1, events(&engine).await.len());

    // Until somebody does.
    let listening = engine.engine.listen_to_lifecycle().await.unwrap();
    engine.publish("e2", "a.x", json!({})).await;
    until_told(&engine, 3).await;
    let states: Vec<String> = told(&engine)
        .await
        .iter()
        .map(|event| event.topic.to_string())
        .collect();
    assert_eq!(
        vec![
            "lariat.job.queued",
            "lariat.job.running",
            "lariat.job.succeeded"
        ],
        states
    );
    drop(listening);
    engine
        .wait("nobody listens any more", async || {
            let id = model::id::JobId::generate().to_string();
            engine.publish(&id, "a.x", json!({})).await;
            engine.until_idle().await;
            let before = events(&engine).await.len();
            engine.publish(&format!("{id}-2"), "a.x", json!({})).await;
            engine.until_idle().await;
            events(&engine).await.len() == before + 1
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_decides_who_listens() {
    let quiet = "rules:\n  - name: w\n    on: a.work\n    run: {command: [ok]}\n";
    let engine = TestEngine::start(quiet).await;
    *engine.project.0.lock().unwrap() = TOLD.to_owned();
    engine.engine.reload().await.unwrap();
    engine.publish("e1", "a.work", json!({"key": "k"})).await;
    until_told(&engine, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_a_change_and_its_event_loses_nothing() {
    for point in [
        FaultPoint::AfterFinish,
        FaultPoint::AfterAcceptCommitBeforeReply,
    ] {
        for nth in 1..=3 {
            let mut engine = TestEngine::with_plan(TOLD, FaultPlan::nth(point, nth)).await;
            let publish = engine.engine.publish(
                vec![crate::harness::draft("e1", "a.work", json!({"key": "k"}))],
                "api",
            );
            tokio::select! {
                biased;
                _ = engine.faults.wait_tripped() => {}
                answer = publish => {
                    answer.unwrap();
                    // The death may lie behind everything that happens.
                    tokio::select! {
                        _ = engine.faults.wait_tripped() => {}
                        () = engine.until_idle() => {}
                    }
                }
            }
            engine.restart().await;
            until_told(&engine, 1).await;
            assert_eq!(2, engine.jobs().await.len(), "{point:?} {nth}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_listens_to_everything_and_itself_ends() {
    let rules = "rules:\n  - name: all\n    on: lariat.job.#\n    run: {command: [ok]}\n  \
                 - name: work\n    on: a.work\n    run: {command: [ok]}\n";
    let engine = TestEngine::start(rules).await;
    engine.publish("e1", "a.work", json!({})).await;
    until_told(&engine, 3).await;
    assert_eq!(4, engine.jobs().await.len());
}
