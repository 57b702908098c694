//! What rules say about events.

use model::verdict::Firing;

use super::{event, rule, rules};

fn show(firing: &Firing) -> String {
    match firing {
        Firing::Fire(plan) => {
            let steps: Vec<String> = plan
                .steps
                .iter()
                .map(|step| format!("{} {}", step.kind, step.on_lost.as_str()))
                .collect();
            let key = plan.key.as_deref().unwrap_or("-");
            let fire = format!("fire key={key} {}", steps.join(", "));
            if plan.flow.is_plain() {
                return fire;
            }
            format!("{fire} {}", serde_json::to_string(&plan.flow).unwrap())
        }
        Firing::Suppress { reason } => format!("suppress: {reason}"),
        Firing::Shadow { reason } => format!("shadow: {reason}"),
        Firing::Error { reason } => format!("error: {reason}"),
    }
}

#[track_caller]
pub(super) fn check(lines: &str, body: &str, expect: &str) {
    let rules = rules(&rule(lines));
    let event = event("org.example.hello", body);
    let decided: Vec<String> = rules
        .judge(&event)
        .iter()
        .map(|decision| show(&decision.firing))
        .collect();
    assert_eq!(expect, decided.join(" | "), "{lines}");
    // The long way comes to the same end.
    let explained = &rules.explain(&event, None)[0];
    let verdict = match expect.split([' ', ':']).next().unwrap() {
        "fire" => "fired",
        "suppress" => "suppressed",
        "shadow" => "shadow",
        "error" => "error",
        _ => "no_match",
    };
    assert_eq!(verdict, explained.verdict.as_str(), "{}", explained.reason);
}

#[test]
fn a_rule_fires_when_topic_and_condition_hold() {
    check(
        "run: {playbook: site.yml}",
        "{}",
        "fire key=- playbook retry",
    );
    check("on: org.other.#\nrun: {playbook: site.yml}", "{}", "");
    check("mode: off\nrun: {playbook: site.yml}", "{}", "");
    let when = "when: event.body.state == 'failed'\nrun: {playbook: site.yml}";
    check(when, r#"{"state": "failed"}"#, "fire key=- playbook retry");
    check(when, r#"{"state": "ok"}"#, "");
    check(when, "{}", "");
    let list = "when: [msg.a == 1, msg.b == 2]\nrun: {playbook: site.yml}";
    check(list, r#"{"a": 1, "b": 2}"#, "fire key=- playbook retry");
    check(list, r#"{"a": 1, "b": 3}"#, "");
}

#[test]
fn interrupted_work_is_a_choice() {
    check(
        "run: [{playbook: site.yml}, {command: [x]}]",
        "{}",
        "fire key=- playbook retry, command hold",
    );
    check(
        "on_lost: fail\nrun: [{playbook: site.yml}, {command: [x], idempotent: true}]",
        "{}",
        "fire key=- playbook fail, command fail",
    );
    check(
        "run: [{playbook: site.yml, idempotent: false}, {command: [x], idempotent: true}]",
        "{}",
        "fire key=- playbook hold, command retry",
    );
}

#[test]
fn a_key_is_text_that_is_there() {
    let key = "key: '{{ msg.k }}'\nrun: {playbook: site.yml}";
    check(key, r#"{"k": "f41"}"#, "fire key=f41 playbook retry");
    check(key, r#"{"k": 41}"#, "fire key=41 playbook retry");
    check(key, "{}", "error: `key`: `msg.k` is undefined");
    check(key, r#"{"k": ""}"#, "error: `key`: it is empty");
    check(
        key,
        r#"{"k": "{{ 7 * 7 }}"}"#,
        "fire key={{ 7 * 7 }} playbook retry",
    );
    let long = format!(r#"{{"k": "{}"}}"#, "é".repeat(501));
    check(
        key,
        &long,
        "error: `key`: it has 501 characters, more than 500",
    );
}

#[test]
fn an_undefined_variable_is_an_error_before_there_is_a_job() {
    let vars = "run: {playbook: site.yml, vars: {a: {b: ['{{ msg.v }}']}}}";
    check(vars, r#"{"v": 1}"#, "fire key=- playbook retry");
    check(
        vars,
        "{}",
        "error: step 0 (playbook): `vars`: `a`: `b`: `msg.v` is undefined",
    );
    check(
        "run: {command: [echo, '{{ msg.v }}']}",
        "{}",
        "error: step 0 (command): `command`: `msg.v` is undefined",
    );
    check(
        "run: {command: [x], env: {A: '{{ msg.v }}'}}",
        "{}",
        "error: step 0 (command): `env`: `A`: `msg.v` is undefined",
    );
    check(
        "run: {playbook: site.yml, vars: {a: '{{ attempt }}', b: '{{ job }}'}}",
        "{}",
        "fire key=- playbook retry",
    );
    check(
        "run: {playbook: site.yml, vars: {a: '{{ job }}', b: '{{ msg.v }}'}}",
        "{}",
        "error: step 0 (playbook): `vars`: `b`: `msg.v` is undefined",
    );
}

#[test]
fn a_playbook_that_is_missing_is_skipped_when_the_step_says_so() {
    let skip = "run: {playbook: '{{ event.topic }}.yml', missing: skip}";
    check(skip, "{}", "fire key=- playbook retry");
    let named = "run: {playbook: '{{ msg.p }}', missing: skip}";
    check(
        named,
        r#"{"p": "none.yml"}"#,
        "suppress: there is no playbook `none.yml`: neither `playbooks/none.yml` nor `none.yml` \
         is in the project, and the step says `missing: skip`",
    );
    let partly = "run: [{playbook: '{{ msg.p }}', missing: skip}, {command: [x]}]";
    check(
        partly,
        r#"{"p": "none.yml"}"#,
        "fire key=- playbook retry, command hold",
    );
    let fail = "run: {playbook: '{{ msg.p }}'}";
    check(fail, r#"{"p": "none.yml"}"#, "fire key=- playbook retry");
}

#[test]
fn hostile_names_and_words_are_refused() {
    let playbook = "run: {playbook: '{{ msg.p }}', missing: skip}";
    for (name, why) in [
        ("../../etc/passwd", "it leaves the project with `..`"),
        (
            "/etc/passwd",
            "it is absolute; names are relative to the project",
        ),
        ("a//b", "a part of it is empty or `.`"),
        ("-e", "it starts with `-`"),
        ("", "it is empty"),
    ] {
        check(
            playbook,
            &format!(r#"{{"p": {name:?}}}"#),
            &format!("error: step 0 (playbook): `playbook`: the name {name:?} is refused: {why}"),
        );
    }
    let limit = "run: {playbook: site.yml, limit: '{{ msg.l }}'}";
    check(limit, r#"{"l": "web1,web2"}"#, "fire key=- playbook retry");
    check(
        limit,
        r#"{"l": "-i"}"#,
        "error: step 0 (playbook): `limit`: the rendered value \"-i\" starts with `-`",
    );
    check(
        limit,
        r#"{"l": ""}"#,
        "error: step 0 (playbook): `limit`: the rendered value \"\" has no letter and no digit",
    );
    check(
        limit,
        r#"{"l": "@/etc/x"}"#,
        "error: step 0 (playbook): `limit`: the rendered value \"@/etc/x\" contains '@'; \
         allowed are letters, digits and `_.:,-`",
    );
    let inventory = "run: {playbook: site.yml, inventory: '{{ msg.h }},'}";
    check(inventory, r#"{"h": "web1"}"#, "fire key=- playbook retry");
    check(
        inventory,
        r#"{"h": "x ansible_connection=local"}"#,
        "error: step 0 (playbook): `inventory`: the rendered value \
         \"x ansible_connection=local,\" contains ' '; allowed are letters, digits and `_.:,-`",
    );
    let command = "run: {command: [rm, '{{ msg.f }}']}";
    check(command, r#"{"f": "x; y"}"#, "fire key=- command hold");
    check(
        command,
        r#"{"f": "-rf"}"#,
        "error: step 0 (command): `command`: the rendered argument \"-rf\" starts with `-` \
         and would be an option; put `--` before it if the program knows that",
    );
    check(
        "run: {command: [rm, --, '{{ msg.f }}']}",
        r#"{"f": "-rf"}"#,
        "fire key=- command hold",
    );
    check(
        command,
        r#"{"f": "a\u0000b"}"#,
        "error: step 0 (command): `command`: the value contains a NUL character",
    );
}

#[test]
fn decisions_come_in_rule_order() {
    let mut text = "rules:\n".to_owned();
    for (name, on) in [
        ("z", "org.#"),
        ("a", "'*.example.hello'"),
        ("m", "[org.example.hello, org.#]"),
    ] {
        text += &[
            "  - {name: ",
            name,
            ", on: ",
            on,
            ", run: {playbook: site.yml}}\n",
        ]
        .concat();
    }
    let rules = rules(&text);
    let names: Vec<String> = rules
        .judge(&event("org.example.hello", "{}"))
        .iter()
        .map(|decision| decision.rule.to_string())
        .collect();
    assert_eq!(vec!["z", "a", "m"], names);
}

#[test]
fn explain_gives_every_rule_and_its_reason() {
    let text = "rules:\n\
        - {name: a, on: org.other.#, run: {playbook: site.yml}}\n\
        - {name: b, on: [x, y], when: msg.x == 1, run: {playbook: site.yml}}\n\
        - {name: c, on: org.#, when: msg.x == 1, run: {playbook: site.yml}}\n\
        - {name: d, on: org.#, when: msg.y == 1, run: {playbook: site.yml}}\n\
        - {name: e, on: org.#, mode: off, run: {playbook: site.yml}}\n\
        - {name: f, on: org.#, when: msg.x == 2, run: {playbook: site.yml}}\n\
        - {name: g, on: org.#, run: {playbook: site.yml}}\n";
    let rules = rules(text);
    let event = event("org.example.hello", r#"{"x": 2}"#);
    let lines: Vec<String> = rules
        .explain(&event, None)
        .iter()
        .map(|found| format!("{} {}: {}", found.rule, found.verdict, found.reason))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    a no_match: topic `org.example.hello` does not match `org.other.#`
    b no_match: topic `org.example.hello` matches none of `x`, `y`
    c no_match: the condition is false
    d no_match: the condition is unknown: `msg.y` is undefined
    e no_match: the rule is off (`mode: off`)
    f fired: the topic matches and the condition is true
    g fired: the topic matches
    ");
    let name = "c".parse().unwrap();
    let only = rules.explain(&event, Some(&name));
    assert_eq!(1, only.len());
    assert!(!only[0].conditions.is_empty());
    assert!(rules.explain(&event, None)[0].conditions.is_empty());
    assert!(
        rules
            .explain(&event, Some(&"none".parse().unwrap()))
            .is_empty()
    );
}

#[test]
fn the_engines_topics_reach_only_rules_that_name_them() {
    let text = "rules:\n\
        - {name: all, on: '#', run: {playbook: site.yml}}\n\
        - {name: own, on: lariat.job.*, run: {playbook: site.yml}}\n";
    let rules = rules(text);
    let event = event("lariat.job.failed", "{}");
    let names: Vec<String> = rules
        .judge(&event)
        .iter()
        .map(|d| d.rule.to_string())
        .collect();
    assert_eq!(vec!["own"], names);
    assert!(
        rules.explain(&event, None)[0]
            .reason
            .contains("start with `lariat`")
    );
}
