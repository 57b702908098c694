//! What an engine counts.

use std::time::Duration;

use serde_json::json;

use crate::harness::TestEngine;

const RULES: &str = r#"
rules:
  - name: flaky
    on: a.flaky
    run:
      - command: [flaky, "1"]
    retry: {attempts: 3, delay: 30s}
  - name: absent
    on: a.flaky
    key: "{{ event.body.absent }}"
    run:
      - command: [ok]
"#;

fn number(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("`{series}` is not in {text}"));
    line.parse().unwrap()
}

#[track_caller]
fn is(text: &str, series: &str, expect: f64) {
    let found = number(text, series);
    assert!((found - expect).abs() < 1e-9, "{series} is {found}");
}

#[tokio::test(start_paused = true)]
async fn attempts_verdicts_and_ends_are_counted() {
    let engine = TestEngine::start(RULES).await;
    engine.publish("e1", "a.flaky", json!({})).await;
    engine.until_idle().await;
    engine.publish("e1", "a.flaky", json!({})).await;
    engine.publish("e1", "a.other", json!({})).await;
    let text = engine.engine.metrics().await;
    is(&text, r#"lariat_events_accepted_total{source="api"}"#, 1.0);
    is(&text, r#"lariat_events_duplicate_total{source="api"}"#, 1.0);
    is(
        &text,
        r#"lariat_intake_refused_total{source="api",reason="id_conflict"}"#,
        1.0,
    );
    is(&text, r#"lariat_verdicts_total{verdict="duplicate"}"#, 1.0);
    is(
        &text,
        r#"lariat_attempts_total{rule="flaky",outcome="failed"}"#,
        1.0,
    );
    is(
        &text,
        r#"lariat_attempts_total{rule="flaky",outcome="succeeded"}"#,
        1.0,
    );
    is(
        &text,
        r#"lariat_jobs_ended_total{rule="flaky",state="succeeded"}"#,
        1.0,
    );
    assert!(!text.contains(r#"state="retrying"} 1"#), "{text}");
    is(&text, r#"lariat_verdicts_total{verdict="fired"}"#, 1.0);
    is(&text, r#"lariat_verdicts_total{verdict="error"}"#, 1.0);
    is(&text, "lariat_job_start_seconds_count", 1.0);
    is(&text, "lariat_dead_letters_open", 2.0);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_once_a_second_however_many_ask() {
    let engine = TestEngine::start(RULES).await;
    let before = engine.engine.metrics().await;
    engine.publish("e1", "b", json!({})).await;
    let at_once = engine.engine.metrics().await;
    let series = r#"lariat_events_accepted_total{source="api"}"#;
    is(&before, series, 0.0);
    is(&at_once, series, 1.0);
    is(&at_once, "lariat_store_events", 0.0);
    tokio::time::advance(Duration::from_secs(1)).await;
    is(&engine.engine.metrics().await, "lariat_store_events", 1.0);
}
