//! Rules that change while jobs run.

use std::sync::Arc;

use engine::ReloadError;
use model::job::JobState;
use serde_json::json;

use crate::harness::{TestEngine, draft};

const OLD: &str = r#"
rules:
  - name: one
    on: a.one
    run:
      - command: [work, "5000"]
      - command: [echo, old]
    on_lost: retry
"#;

fn new_rules() -> String {
    OLD.replace("echo, old", "echo, new")
}

async fn put(engine: &TestEngine, rules: &str) {
    *engine.project.0.lock().unwrap() = rules.to_owned();
    engine.engine.reload().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_the_rules_that_fired_it_also_after_a_restart() {
    let mut engine = TestEngine::start(OLD).await;
    let old = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until_running(1).await;
    put(&engine, &new_rules()).await;
    engine.restart().await;
    let new = engine.publish_job("e2", "a.one", json!({})).await;
    engine.until_idle().await;
    for (job, expect) in [(&old, "old"), (&new, "new")] {
        let runs = engine.world.runs();
        let last = runs.iter().rfind(|run| run.job == *job).unwrap();
        assert_eq!(expect, last.argv[1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_reload_keeps_the_old_rules() {
    let engine = TestEngine::start(OLD).await;
    let before = engine.engine.rules().revision().clone();
    *engine.project.0.lock().unwrap() = "rules:\n  - no such key: 1\n".to_owned();
    match engine.engine.reload().await {
        Err(ReloadError::Diagnostics(problems)) => assert!(!problems.is_empty()),
        other => panic!("{other:?}"),
    }
    assert_eq!(before, *engine.engine.rules().revision());
    let job = engine.publish_job("e1", "a.one", json!({})).await;
    engine.until(&job, JobState::Succeeded).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_rules_again_are_no_change() {
    let engine = TestEngine::start(OLD).await;
    assert!(!engine.engine.reload().await.unwrap().changed);
    *engine.project.0.lock().unwrap() = new_rules();
    assert!(engine.engine.reload().await.unwrap().changed);
}

#[tokio::test(start_paused = true)]
async fn reloads_under_load_lose_nothing() {
    let engine = Arc::new(TestEngine::start(OLD).await);
    let publishing = async {
        for n in 0..50 {
            let drafts = (0..4).map(|m| draft(&format!("e{n}-{m}"), "a.one", json!({})));
            engine
                .engine
                .publish(drafts.collect(), "api")
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
    };
    let reloading = async {
        for n in 0..50 {
            let rules = OLD.replace("echo, old", &format!("echo, v{n}"));
            *engine.project.0.lock().unwrap() = rules;
            engine.engine.reload().await.unwrap();
        }
    };
    tokio::join!(publishing, reloading);
    engine.until_idle().await;
    let jobs = engine.jobs().await;
    assert_eq!(200, jobs.len());
    assert!(jobs.iter().all(|job| job.state == JobState::Succeeded));
    assert_eq!(400, engine.world.runs().len());
}
