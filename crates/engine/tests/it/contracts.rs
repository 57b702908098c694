//! The contracts that the engine has a part in, by their names.

use model::{
    job::{JobState, OnLost},
    verdict::Verdict,
};
use serde_json::json;
use testkit::FaultPlan;

use crate::harness::{TestEngine, draft};

const TWO_RULES: &str = r#"
rules:
  - name: first
    on: a.one
    run:
      - command: [ok]
  - name: second
    on: "a.#"
    run:
      - command: [work, "1000"]
    on_lost: retry
"#;

#[tokio::test(start_paused = true)]
async fn accepted_means_durable() {
    let mut engine = TestEngine::start(TWO_RULES).await;
    let accepted = engine.publish("e1", "a.one", json!({"n": 1})).await;
    engine.restart().await;
    engine.until_idle().await;
    assert_eq!(2, accepted.jobs.len());
    for job in &accepted.jobs {
        assert_eq!(JobState::Succeeded, engine.job(job).await.state);
    }
}

#[tokio::test(start_paused = true)]
async fn one_firing() {
    let engine = TestEngine::start(TWO_RULES).await;
    let first = engine.publish("e1", "a.one", json!({})).await;
    let again = engine.publish("e1", "a.one", json!({})).await;
    engine.until_idle().await;
    let late = engine.publish("e1", "a.one", json!({})).await;
    assert!(!first.duplicate && again.duplicate && late.duplicate);
    assert_eq!(first.jobs, again.jobs);
    assert_eq!(first.jobs, late.jobs);
    assert_eq!(2, engine.jobs().await.len());
    assert_eq!(2, engine.world.runs().len());
}

#[tokio::test(start_paused = true)]
async fn never_two_at_once() {
    let first = TestEngine::start(TWO_RULES).await;
    let second = engine::Engine::start(first.parts()).await.unwrap();
    let drafts = (0..100).map(|n| draft(&format!("e{n}"), "a.one", json!({})));
    first.engine.publish(drafts.collect(), "api").await.unwrap();
    first.until_idle().await;
    assert_eq!(200, first.world.runs().len(), "each job ran once");
    assert_eq!(Vec::<String>::new(), first.world.overlaps());
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn interrupted_work_is_a_choice() {
    check_lost(OnLost::Retry, JobState::Succeeded, 2).await;
    check_lost(OnLost::Hold, JobState::Held, 1).await;
    check_lost(OnLost::Fail, JobState::Failed, 1).await;
}

async fn check_lost(on_lost: OnLost, expect: JobState, runs: usize) {
    let rules = format!(
        "rules:\n  - name: one\n    on: a.one\n    run:\n      - command: [work, \"1000\"]\n    on_lost: {}\n",
        on_lost.as_str()
    );
    let mut engine = TestEngine::start(&rules).await;
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until_running(1).await;
    engine.restart().await;
    engine.until_idle().await;
    let job = engine.job(&job).await;
    assert_eq!(expect, job.state, "on_lost: {}", on_lost.as_str());
    assert_eq!(runs, engine.world.runs().len());
    assert_eq!("lost", job.attempts[0].outcome.as_ref().unwrap().as_str());
}

#[tokio::test(start_paused = true)]
async fn nothing_blocks_the_line() {
    let rules = r#"
rules:
  - name: bad
    on: a.bad
    run:
      - command: [fail]
    retry: {attempts: 3, delay: 30s}
  - name: panics
    on: a.panic
    run:
      - command: [panic]
    retry: {attempts: 2, delay: 30s}
  - name: good
    on: a.good
    run:
      - command: [ok]
"#;
    let engine = TestEngine::start(rules).await;
    for n in 0..10 {
        engine.publish(&format!("b{n}"), "a.bad", json!({})).await;
        engine.publish(&format!("p{n}"), "a.panic", json!({})).await;
        engine.publish(&format!("g{n}"), "a.good", json!({})).await;
    }
    engine.until_idle().await;
    let jobs = engine.jobs().await;
    for job in &jobs {
        let (state, attempts) = match job.rule.as_str() {
            "bad" => (JobState::Failed, 3),
            "panics" => (JobState::Failed, 2),
            _ => (JobState::Succeeded, 1),
        };
        assert_eq!((state, attempts), (job.state, job.attempts.len()));
    }
    assert_eq!(
        20,
        engine.letters().await.len(),
        "each gave up with a letter"
    );
    let panicked = jobs.iter().find(|job| job.rule.as_str() == "panics");
    let reason = panicked.unwrap().reason.clone().unwrap();
    assert!(reason.contains("panicked"), "{reason}");
    let good_by = jobs
        .iter()
        .filter(|job| job.rule.as_str() == "good")
        .map(|job| job.finished.unwrap());
    let first_retry = jobs[0].attempts[1].started;
    assert!(
        good_by.max().unwrap() < first_retry,
        "good ones did not wait"
    );
}

const KEYED: &str = r#"
rules:
  - name: keyed
    on: a.keyed
    key: "{{ event.body.key }}"
    run:
      - command: [flaky, "1"]
    retry: {attempts: 2, delay: 30s}
    on_lost: retry
"#;

#[tokio::test(start_paused = true)]
async fn order_per_key() {
    let mut engine = TestEngine::start(KEYED).await;
    let drafts = (0..30).map(|n| {
        let body = json!({"key": format!("k{}", n % 3)});
        draft(&format!("e{n:02}"), "a.keyed", body)
    });
    engine
        .engine
        .publish(drafts.collect(), "api")
        .await
        .unwrap();
    engine.until_running(0).await;
    engine.restart().await;
    engine.until_idle().await;
    assert_eq!(Vec::<String>::new(), engine.world.overlaps());
    for key in ["k0", "k1", "k2"] {
        let mut order: Vec<String> = engine
            .world
            .runs()
            .iter()
            .filter(|run| run.key.as_deref() == Some(&format!("{key:?}")))
            .map(|run| run.event.to_string())
            .collect();
        order.dedup();
        let mut sorted = order.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted, order, "a job begins when the one before has ended");
        assert_eq!(10, order.len());
    }
}

#[tokio::test(start_paused = true)]
async fn payload_is_data() {
    let rules = r#"
rules:
  - name: echo
    on: a.echo
    run:
      - command: [echo, "{{ event.body.text }}"]
"#;
    let engine = TestEngine::start(rules).await;
    let texts = [
        "{{ 7 * 7 }}",
        "{% raw %}",
        "$(id)",
        "!unsafe x",
        "\u{1b}[31m",
    ];
    for (n, text) in texts.iter().enumerate() {
        engine
            .publish(&format!("e{n}"), "a.echo", json!({"text": text}))
            .await;
        engine.until_idle().await;
        assert_eq!(*text, engine.world.runs()[n].argv[1]);
    }
}

#[tokio::test(start_paused = true)]
async fn every_decision_is_explained() {
    let mut engine = TestEngine::start(TWO_RULES).await;
    engine.publish("e1", "a.two", json!({})).await;
    engine.publish("e1", "a.two", json!({})).await;
    // Explained by the rules that judged, not by those of today.
    *engine.project.0.lock().unwrap() = KEYED.to_owned();
    engine.engine.reload().await.unwrap();
    engine.restart().await;
    let id = "e1".parse().unwrap();
    let all = engine.engine.verdicts(&id, None).await.unwrap().unwrap();
    let told: Vec<(String, Verdict, bool)> = all
        .iter()
        .map(|one| (one.rule.to_string(), one.verdict, one.job_id.is_some()))
        .collect();
    assert_eq!(
        vec![
            ("first".to_owned(), Verdict::NoMatch, false),
            ("second".to_owned(), Verdict::Fired, true),
            ("second".to_owned(), Verdict::Duplicate, true),
        ],
        told
    );
    let rule = "first".parse().unwrap();
    let one = engine.engine.verdicts(&id, Some(&rule)).await.unwrap();
    assert_eq!(1, one.unwrap().len());
    let unknown = "nobody".parse().unwrap();
    assert_eq!(None, engine.engine.verdicts(&unknown, None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn long_jobs_are_safe() {
    let rules = "rules:\n  - name: long\n    on: a.long\n    run:\n      - command: [work, \"3000000\"]\n        timeout: 2h\n";
    let engine = TestEngine::with_plan(rules, FaultPlan::none()).await;
    let job = engine.publish_job("e1", "a.long", json!({})).await;
    engine.until_idle().await;
    let job = engine.job(&job).await;
    assert_eq!(JobState::Succeeded, job.state, "50 minutes under one lease");
    assert_eq!(1, job.attempts.len());
}
