//! What rules say about storms, and rules on trial.

use insta::assert_snapshot;

use super::{check::check as check_file, compile_one, judge::check, rule};

const RUN: &str = "run: {playbook: site.yml}";

#[track_caller]
fn fires(lines: &str, flow: &str) {
    check(
        &format!("key: k\n{lines}\n{RUN}"),
        r#"{"host": "a", "n": 7}"#,
        format!("fire key=k playbook retry {flow}").trim_end(),
    );
}

#[track_caller]
fn wrong(lines: &str, expect: &str) {
    check_file(&format!("{lines}\n{RUN}"), expect);
}

#[test]
fn a_plan_says_what_its_rule_says_about_storms() {
    fires("when_busy: queue", "");
    fires("when_busy: latest", r#"{"when_busy":"latest"}"#);
    fires("when_busy: drop", r#"{"when_busy":"drop"}"#);
    fires(
        "debounce: 30s",
        r#"{"debounce":{"quiet":{"secs":30,"nanos":0}}}"#,
    );
    fires(
        "debounce: {quiet: 1m, max: 1m}",
        r#"{"debounce":{"quiet":{"secs":60,"nanos":0},"max":{"secs":60,"nanos":0}}}"#,
    );
    fires(
        "throttle: {limit: 10, per: 1h}",
        r#"{"throttle":{"limit":10,"per":{"secs":3600,"nanos":0},"then":"drop"}}"#,
    );
    fires(
        "throttle: {limit: 1, per: 1s, by: '{{ msg.host }}-{{ msg.n }}', then: queue}",
        r#"{"throttle":{"limit":1,"per":{"secs":1,"nanos":0},"by":"a-7","then":"queue"}}"#,
    );
}

#[test]
fn a_throttle_that_cannot_be_counted_is_an_error() {
    let by = |by: &str| format!("throttle: {{limit: 1, per: 1s, by: '{by}'}}\n{RUN}");
    check(
        &by("{{ msg.host }}"),
        r#"{"other": 1}"#,
        "error: `throttle.by`: `msg.host` is undefined",
    );
    check(
        &by("{{ msg.host }}"),
        r#"{"host": ""}"#,
        "error: `throttle.by`: it is empty",
    );
}

#[test]
fn a_rule_on_trial_says_what_would_follow() {
    check(
        "mode: shadow\nkey: '{{ msg.k }}'\nrun: [{playbook: site.yml}, {command: [echo, hi]}]",
        r#"{"k": "f40"}"#,
        "shadow: would have fired: playbook `site.yml`, command `echo hi`, with key `f40`",
    );
    check(
        "mode: shadow\nkey: '{{ msg.k }}'\nrun: {playbook: site.yml}",
        "{}",
        "shadow: would have been an error: `key`: `msg.k` is undefined",
    );
    check(
        "mode: shadow\nrun: {playbook: '{{ msg.p }}.yml', missing: skip}",
        r#"{"p": "none"}"#,
        "shadow: would have been suppressed: there is no playbook `none.yml`: neither \
         `playbooks/none.yml` nor `none.yml` is in the project, and the step says `missing: skip`",
    );
    check(
        "mode: shadow\nwhen: msg.a\nrun: {playbook: site.yml}",
        "{}",
        "",
    );
}

#[test]
fn what_is_wrong_about_storms_is_found_where_it_stands() {
    wrong("when_busy: queue", "4:16 bad-value");
    wrong("key: k\nwhen_busy: last", "5:16 bad-value");
    wrong("debounce: 30", "4:15 wrong-type");
    wrong("debounce: 1ms", "4:15 bad-value");
    wrong("debounce: 31d", "4:15 bad-value");
    wrong("debounce: {max: 3s}", "4:15 missing-key");
    wrong("debounce: {quiet: 5s, max: 3s}", "4:32 bad-value");
    wrong("debounce: {quiet: 5s, quite: 3s}", "4:27 unknown-key");
    wrong("throttle: 10", "4:15 wrong-type");
    wrong("throttle: {}", "4:15 missing-key, 4:15 missing-key");
    wrong("throttle: {limit: 0, per: 1h}", "4:23 bad-value");
    wrong("throttle: {limit: 10001, per: 1h}", "4:23 bad-value");
    wrong("throttle: {limit: 1.5, per: 1h}", "4:23 bad-value");
    wrong("throttle: {limit: 1, per: 1y}", "4:31 bad-value");
    wrong(
        "throttle: {limit: 1, per: 1h, then: delay}",
        "4:41 bad-value",
    );
    wrong("throttle: {limit: 1, per: 1h, by: x}", "4:39 bad-value");
    wrong(
        "throttle: {limit: 1, per: 1h, by: '{{ job }}'}",
        "4:39 bad-template",
    );
    wrong("throttle:", "4:5 missing-key");
}

#[test]
fn a_word_without_its_key_is_explained() {
    let found = compile_one(&rule(&format!("when_busy: latest\n{RUN}"))).unwrap_err();
    assert_snapshot!(crate::render::diagnostics(&found, false), @"
    error[bad-value]: `when_busy` needs a `key`: without one no job waits for another
     --> rules/x.yml:4:16
      |
    4 |     when_busy: latest
      |                ^^^^^^
      |
      = help: add `key`, which names what jobs must not share

    1 error
    ");
}
