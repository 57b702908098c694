//! The process dies at every fault point, early and late, and comes back.
//!
//! Whatever the moment: nothing accepted is lost, nothing runs twice at once,
//! nothing that was recorded as done is done again.

use std::collections::HashMap;

use model::{fault::FaultPoint, job::JobState, ports::Accepted};
use serde_json::json;
use testkit::FaultPlan;

use crate::harness::{TestEngine, draft};

const RULES: &str = r#"
rules:
  - name: keyed
    on: a.keyed
    key: "{{ event.body.key }}"
    run:
      - command: [work, "15000"]
    on_lost: retry
  - name: steps
    on: "a.#"
    run:
      - command: [work, "300"]
      - command: [result, "7"]
      - command: [echo, "{{ result.step }}"]
    on_lost: retry
  - name: flaky
    on: a.flaky
    run:
      - command: [flaky, "1"]
    retry: {attempts: 3, delay: 30s}
    on_lost: retry
  - name: calm
    on: a.other
    debounce: 5s
    run:
      - command: [work, "100"]
    on_lost: retry
  - name: slow
    on: a.slow
    throttle: {limit: 1, per: 20s, then: queue}
    run:
      - command: [work, "100"]
    on_lost: retry
"#;

const EVENTS: [(&str, &str, &str); 8] = [
    ("e1", "a.keyed", "k"),
    ("e2", "a.keyed", "k"),
    ("e3", "a.flaky", ""),
    ("e4", "a.keyed", "l"),
    ("e5", "a.other", ""),
    ("e6", "a.flaky", ""),
    ("e7", "a.slow", ""),
    ("e8", "a.slow", ""),
];

/// Publishes each event until it is accepted, as a careful client does, and
/// brings the process back whenever it has died.
async fn publish_all(engine: &mut TestEngine) {
    for (id, topic, key) in EVENTS {
        let body = if key.is_empty() {
            json!({})
        } else {
            json!({"key": key})
        };
        while send(engine, draft(id, topic, body.clone())).await.is_none() {
            engine.restart().await;
        }
    }
}

/// `None`: the process died before it answered.
async fn send(engine: &TestEngine, draft: model::event::EventDraft) -> Option<Accepted> {
    tokio::select! {
        biased;
        answer = engine.engine.publish(vec![draft], "api") => {
            Some(answer.unwrap().remove(0))
        }
        _ = engine.faults.wait_tripped() => None,
    }
}

/// Runs everything with a process that dies at the `nth` passing of a point.
/// `false`: it was not passed so often.
async fn dies_at(point: FaultPoint, nth: u64) -> bool {
    let mut engine = TestEngine::with_plan(RULES, FaultPlan::nth(point, nth)).await;
    publish_all(&mut engine).await;
    // `publish_all` gives a dead process a successor that has no plan.
    let mut has_died = engine.died_starting || engine.plan_is_spent();
    if !has_died {
        has_died = tokio::select! {
            biased;
            _ = engine.faults.wait_tripped() => true,
            _ = engine.engine.reload() => engine.plan_is_spent(),
        };
    }
    if !has_died {
        tokio::select! {
            _ = engine.faults.wait_tripped() => {}
            () = engine.until_idle() => {}
        }
        if engine.faults.tripped().is_none() {
            tokio::select! {
                biased;
                _ = engine.faults.wait_tripped() => {}
                () = engine.engine.drain() => {}
            }
        }
    }
    let has_died = has_died || engine.faults.tripped().is_some();
    engine.restart().await;
    engine.until_idle().await;
    assert_consistent(&engine, &format!("{} #{nth}", point.as_str())).await;
    engine.engine.stop().await;
    has_died
}

async fn assert_consistent(engine: &TestEngine, at: &str) {
    let jobs = engine.jobs().await;
    let state = engine.state();
    // Every event fires two rules.
    assert_eq!(16, jobs.len(), "{at}: lost or doubled\n{state}");
    for job in &jobs {
        assert_eq!(JobState::Succeeded, job.state, "{at}\n{state}");
    }
    assert_eq!(Vec::<String>::new(), engine.world.overlaps(), "{at}");
    assert_eq!(0, engine.world.running(), "{at}: something was left behind");
    assert!(engine.letters().await.is_empty(), "{at}\n{state}");
    // A step that was recorded as done does not run again.
    let mut done: HashMap<(String, usize), u32> = HashMap::new();
    for job in &jobs {
        for attempt in &job.attempts {
            for step in &attempt.steps {
                if step.state.as_str() == "succeeded" {
                    *done.entry((job.id.to_string(), step.index)).or_default() += 1;
                }
            }
        }
    }
    assert!(done.values().all(|times| *times == 1), "{at}\n{state}");
}

async fn sweep(point: FaultPoint) -> u64 {
    let mut deaths = 0;
    for nth in [1, 2, 3, 5, 8, 13] {
        if !dies_at(point, nth).await {
            break;
        }
        deaths += 1;
    }
    deaths
}

#[tokio::test(start_paused = true)]
async fn a_process_may_die_at_any_fault_point() {
    for point in FaultPoint::ALL {
        let deaths = sweep(point).await;
        let is_reached = match point {
            // The real store's own; the memory store keeps output in one go.
            FaultPoint::AfterOutputAppended => false,
            // Nothing is old enough here.
            FaultPoint::DuringRetention => deaths > 0,
            FaultPoint::BeforeAcceptCommit
            | FaultPoint::AfterAcceptCommitBeforeReply
            | FaultPoint::BeforeClaimCommit
            | FaultPoint::AfterClaimBeforeStart
            | FaultPoint::AfterStepStarted
            | FaultPoint::AfterStepBeforeRecord
            | FaultPoint::BetweenSteps
            | FaultPoint::BeforeFinishCommit
            | FaultPoint::AfterFinish
            | FaultPoint::DuringRecovery
            | FaultPoint::DuringRenewal
            | FaultPoint::DuringReload
            | FaultPoint::DuringDrain => true,
            // There are no sources and sinks here, see `fleet.rs` and `route.rs`.
            FaultPoint::AfterAcceptBeforeAck
            | FaultPoint::AfterParkBeforeAck
            | FaultPoint::AfterPublishBeforeRecord => false,
        };
        assert_eq!(is_reached, deaths > 0, "{}", point.as_str());
    }
}

const TWO_STEPS: &str = r#"
rules:
  - name: steps
    on: a.steps
    run:
      - command: [result, "7"]
      - command: [echo, "{{ result.step }}"]
    on_lost: retry
"#;

/// The state when the process died, and in the end.
async fn around(point: FaultPoint, nth: u64) -> (String, String) {
    let mut engine = TestEngine::with_plan(TWO_STEPS, FaultPlan::nth(point, nth)).await;
    engine.publish("e1", "a.steps", json!({})).await;
    engine.faults.wait_tripped().await;
    let dead = engine.state();
    engine.restart().await;
    engine.until_idle().await;
    (dead, engine.state())
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_end_was_not_recorded_runs_again() {
    let (dead, end) = around(FaultPoint::AfterStepBeforeRecord, 2).await;
    insta::assert_snapshot!(dead, @r#"
    events 1 in 1 commits of 1, revisions 1
      e1  a.steps  {}
    verdicts 1
      e1  steps  fired  job-1
    jobs 1
      job-1  steps  e1  running  step 1/2  tries 0+0  result {"step":7}  leased
        1  worker-1  running
          0  command  succeeded  exit code 0  9 bytes  (exit code 0)
          1  command  running  7 bytes
    dead letters 0
    "#);
    insta::assert_snapshot!(end, @r#"
    events 1 in 1 commits of 1, revisions 1
      e1  a.steps  {}
    verdicts 1
      e1  steps  fired  job-1
    jobs 1
      job-1  steps  e1  succeeded  step 2/2  tries 0+1  finished
        1  worker-1  lost
          0  command  succeeded  exit code 0  9 bytes  (exit code 0)
          1  command  lost  7 bytes  (worker `worker-1` vanished)
        2  worker-3  succeeded
          1  command  succeeded  exit code 0  7 bytes  (exit code 0)
    dead letters 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_end_was_recorded_does_not() {
    let (dead, end) = around(FaultPoint::BetweenSteps, 1).await;
    insta::assert_snapshot!(dead, @r#"
    events 1 in 1 commits of 1, revisions 1
      e1  a.steps  {}
    verdicts 1
      e1  steps  fired  job-1
    jobs 1
      job-1  steps  e1  running  step 1/2  tries 0+0  result {"step":7}  leased
        1  worker-1  running
          0  command  succeeded  exit code 0  9 bytes  (exit code 0)
          1  command  running
    dead letters 0
    "#);
    insta::assert_snapshot!(end, @r#"
    events 1 in 1 commits of 1, revisions 1
      e1  a.steps  {}
    verdicts 1
      e1  steps  fired  job-1
    jobs 1
      job-1  steps  e1  succeeded  step 2/2  tries 0+1  finished
        1  worker-1  lost
          0  command  succeeded  exit code 0  9 bytes  (exit code 0)
          1  command  lost  (worker `worker-1` vanished)
        2  worker-3  succeeded
          1  command  succeeded  exit code 0  7 bytes  (exit code 0)
    dead letters 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_end_was_recorded_has_ended() {
    let (_, end) = around(FaultPoint::AfterFinish, 1).await;
    insta::assert_snapshot!(end, @r#"
    events 1 in 1 commits of 1, revisions 1
      e1  a.steps  {}
    verdicts 1
      e1  steps  fired  job-1
    jobs 1
      job-1  steps  e1  succeeded  step 2/2  tries 0+0  finished
        1  worker-1  succeeded
          0  command  succeeded  exit code 0  9 bytes  (exit code 0)
          1  command  succeeded  exit code 0  7 bytes  (exit code 0)
    dead letters 0
    "#);
}
