//! Draining and stopping.

use engine::NotReady;
use model::job::JobState;
use serde_json::json;

use crate::harness::TestEngine;

const RULES: &str = r#"
rules:
  - name: works
    on: a.work
    run:
      - command: [work, "100000"]
      - command: [ok]
    on_lost: retry
"#;

#[tokio::test(start_paused = true)]
async fn draining_waits_for_what_runs_and_begins_nothing() {
    let engine = TestEngine::start(RULES).await;
    for n in 0..6 {
        engine.publish(&format!("e{n}"), "a.work", json!({})).await;
    }
    engine.until_running(4).await;
    let draining = {
        let engine = engine.engine.clone();
        async move { engine.drain().await }
    };
    let asking = async {
        engine
            .wait("it is draining", async || {
                matches!(engine.engine.ready().await, Err(NotReady::Draining))
            })
            .await;
    };
    tokio::join!(draining, asking);
    assert_eq!(0, engine.world.running());
    assert_eq!(8, engine.world.runs().len(), "four jobs of two steps");
    let next = TestEngineAfter::open(engine).await;
    assert_eq!(
        vec![4, 2],
        next.counts(&[JobState::Succeeded, JobState::Queued]).await
    );
}

#[tokio::test(start_paused = true)]
async fn draining_does_not_wait_for_jobs_that_may_come() {
    let engine = TestEngine::start(RULES).await;
    engine.publish("e1", "a.work", json!({})).await;
    engine.until_running(1).await;
    engine.until_idle().await;
    let before = tokio::time::Instant::now();
    engine.engine.drain().await;
    let took = before.elapsed();
    assert!(took < std::time::Duration::from_millis(50), "{took:?}");
}

/// The store of an engine that has ended, opened to look at it.
struct TestEngineAfter(TestEngine);

impl TestEngineAfter {
    async fn open(mut engine: TestEngine) -> Self {
        let faults = std::sync::Arc::new(testkit::FaultPlan::none());
        engine.store = std::sync::Arc::new(engine.store.reopened(faults));
        Self(engine)
    }

    async fn counts(&self, states: &[JobState]) -> Vec<usize> {
        let jobs = self.0.jobs().await;
        states
            .iter()
            .map(|state| jobs.iter().filter(|job| job.state == *state).count())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_drain_and_everything_that_runs() {
    let mut engine = TestEngine::start(RULES).await;
    let job = engine.publish_job("e1", "a.work", json!({})).await;
    engine.until_running(1).await;
    let begun = tokio::time::Instant::now();
    let drain = engine.engine.drain();
    let stop = async {
        engine
            .wait("it is draining", async || {
                engine.engine.ready().await.is_err()
            })
            .await;
        engine.engine.stop().await;
    };
    tokio::join!(drain, stop);
    assert_eq!(0, engine.world.running());
    assert!(begun.elapsed().as_secs() < 5);
    engine.restart().await;
    engine.until(&job, JobState::Succeeded).await;
}
