use std::time::Duration;

use model::{
    clock::Timestamp,
    job::{Outcome, StepKind},
};

use super::{MAX_RULES, Meter};

#[track_caller]
fn says(meter: &Meter, line: &str) {
    let text = meter.text(None, Timestamp::from_millis(0));
    assert!(
        text.lines().any(|it| it == line),
        "`{line}` is not in {text}"
    );
}

#[test]
fn a_million_rules_are_a_thousand_labels_and_one() {
    let meter = Meter::default();
    for number in 0..MAX_RULES + 5 {
        meter.ended(&format!("r{number}").parse().unwrap(), "failed");
    }
    meter.ended(&"r0".parse().unwrap(), "failed");
    says(
        &meter,
        r#"lariat_jobs_ended_total{rule="r0",state="failed"} 2"#,
    );
    says(
        &meter,
        r#"lariat_jobs_ended_total{rule="other",state="failed"} 5"#,
    );
    let text = meter.text(None, Timestamp::from_millis(0));
    let series = text.matches("lariat_jobs_ended_total{").count();
    assert_eq!(MAX_RULES + 1, series);
}

#[test]
fn what_is_known_beforehand_begins_at_nothing() {
    let meter = Meter::default();
    says(&meter, r#"lariat_events_accepted_total{source="api"} 0"#);
    says(&meter, r#"lariat_verdicts_total{verdict="suppressed"} 0"#);
    says(
        &meter,
        r#"lariat_step_duration_seconds_count{kind="playbook"} 0"#,
    );
    says(&meter, "lariat_leases_lost_total 0");
    says(&meter, "lariat_store_up 0");
}

#[test]
fn durations_are_sums_counts_and_buckets() {
    let meter = Meter::default();
    let rule = "r".parse().unwrap();
    let outcome = Outcome::Succeeded {
        summary: String::new(),
    };
    meter.attempt(&rule, &outcome, Duration::from_millis(1500));
    meter.step(StepKind::Command, Duration::from_millis(1500));
    says(
        &meter,
        r#"lariat_attempts_total{rule="r",outcome="succeeded"} 1"#,
    );
    says(
        &meter,
        r#"lariat_attempt_duration_seconds_bucket{le="1.0"} 0"#,
    );
    says(
        &meter,
        r#"lariat_attempt_duration_seconds_bucket{le="2.5"} 1"#,
    );
    says(&meter, "lariat_attempt_duration_seconds_sum 1.5");
    says(
        &meter,
        r#"lariat_step_duration_seconds_count{kind="command"} 1"#,
    );
}
