//! What is wrong with a rule file is found, all of it, where it stands.

use insta::assert_snapshot;
use model::diagnostic::Diagnostic;

use super::{compile, compile_one, project, rule};
use crate::Code;

fn list(findings: &[Diagnostic]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|found| format!("{}:{} {}", found.line, found.column, found.code))
        .collect();
    lines.join(", ")
}

/// The problems and warnings of one rule; its lines start on line 4, column 5,
/// or on line 3 when they begin with `on:`.
#[track_caller]
pub(super) fn check(lines: &str, expect: &str) {
    let text = rule(lines);
    let found = match compile_one(&text) {
        Ok(checked) => checked.warnings,
        Err(findings) => findings,
    };
    assert_eq!(
        expect,
        list(&found),
        "{}",
        crate::render::diagnostics(&found, false)
    );
}

/// A rule whose step has these keys, from line 6, column 9.
#[track_caller]
fn check_step(key: &str, expect: &str) {
    check(&format!("run:\n  - playbook: site.yml\n    {key}"), expect);
}

/// Left empty, each of these would make a rule do more than its author meant.
#[test]
fn every_mistake_of_a_condition_is_reported() {
    check(
        "when: mesage.x == 1 and foo(msg.y) and (msg.z | nofilter or tpic == other)\nrun: {playbook: site.yml}",
        "4:11 bad-condition, 4:29 bad-condition, 4:53 bad-condition, 4:65 bad-condition, 4:73 bad-condition",
    );
}

#[test]
fn a_key_without_a_value_is_not_an_absent_key() {
    check("when:\nrun: {playbook: site.yml}", "4:5 missing-key");
    check("key: # todo\nrun: {playbook: site.yml}", "4:5 missing-key");
    check_step("limit:", "6:9 missing-key");
    check_step("limit: []", "6:16 bad-value");
    check_step("tags: []", "6:15 bad-value");
    check_step("skip_tags: []", "6:20 bad-value");
    check_step("inventory: []", "6:20 bad-value");
}

#[test]
fn a_good_rule_has_no_problem() {
    check("run: {playbook: site.yml}", "");
    check("run: {playbook: ./sub/deep.yml}", "");
    check("run: [{playbook: root.yml}, {command: [echo, hi]}]", "");
    check_step("inventory: inventory/prod", "");
    check_step(
        "inventory: [./inventory/prod/, inventory/test, 'localhost,']",
        "",
    );
    check_step("limit: 'web*:!web3'", "");
    check_step("vault_password_file: vault.txt", "");
    check_step("vault_password_files: [vault.txt]", "");
    check_step("warm: false", "");
    check_step(
        "vars: {a: [1, {b: '{{ msg.x }}'}], ansible_user: deploy}",
        "",
    );
    check_step("timeout: 2h\n    grace: 0ms\n    output_cap: 1MiB", "");
    check(
        "on_lost: hold\nretry: {attempts: 1, delay: 2h}\nrun: {playbook: site.yml}",
        "",
    );
}

#[test]
fn what_a_playbook_may_be_told_has_no_problem() {
    check_step("hosts: [web1, '{{ msg.host }}', 'db[01:10]']", "");
    check_step("hosts: '{{ msg.hosts }}'", "");
    check_step(
        "hosts: {web1: , web2: {ansible_host: '{{ msg.ip }}', ansible_user: app}}",
        "",
    );
    check_step(
        "inventory: [inventory/test, {web: {hosts: [a], vars: {b: '{{ msg.c }}'}}}]",
        "",
    );
    check_step("inventory: 'inventory/{{ msg.env }}'", "");
    check_step(
        "inventory: '{% if msg.x %}inventory/prod{% else %}inventory/test{% endif %}'",
        "",
    );
    check_step("vault: {id: prod, command: [pass, show, vault]}", "");
    check_step(
        "collections: collections\n    become: true\n    warm: false",
        "",
    );
    check_step("env: {ANSIBLE_HOST_KEY_CHECKING: 'False', TZ: UTC}", "");
}

#[test]
fn what_a_playbook_may_not_be_told_is_said() {
    check_step("hosts: []", "6:16 bad-value");
    check_step(
        "hosts: [-a, 'a b', all]",
        "6:17 bad-value, 6:21 bad-value, 6:28 bad-value",
    );
    check_step("hosts: {'{{ msg.x }}': {}}", "6:17 bad-value");
    check_step(
        "hosts: {a: {ansible_user: '{{ msg.x }}'}}",
        "6:21 reserved-variable",
    );
    check_step("hosts: {a: {msg: 1}}", "6:21 reserved-variable");
    check_step("inventory: {ungrouped: {hosts: a}}", "6:21 bad-value");
    check_step("inventory: {web: {host: a}}", "6:27 unknown-key");
    check_step("inventory: [{web: {}}, {web: {}}]", "6:20 bad-value");
    check_step("inventory: '{{ msg.x }}'", "6:20 untrusted-code");
    check_step(
        "inventory: '{% if msg.x %}inventory/{% endif %}{{ msg.y }}'",
        "6:20 untrusted-code",
    );
    check_step("user: '{{ msg.x }}'", "6:15 untrusted-code");
    check_step("connection_timeout: 0", "6:29 bad-value");
    check_step("private_key: /etc/key", "6:22 bad-value");
    check_step("private_key: {file: key}", "6:29 bad-value");
    check_step("vault: {id: 'a@b', file: /a}", "6:21 bad-value");
    check_step("vault: {id: a, file: /a, env: B}", "6:16 bad-value");
    check_step("vault: {id: a}", "6:16 bad-value");
    check_step(
        "vault: {command: [pass, '{{ msg.x }}']}",
        "6:33 untrusted-code",
    );
    check_step("vault: [{file: /a}, {file: /b}]", "6:29 bad-value");
    check_step("collections: ../x", "6:22 path-escape");
    check_step("collections: 'a:b'", "6:22 bad-value");
    check_step("env: {LARIAT_JOB: x}", "6:15 reserved-variable");
    check_step("env: {ANSIBLE_CONFIG: x}", "6:15 reserved-variable");
    check_step("env: {ANSIBLE_BECOME_PASS: x}", "6:15 reserved-variable");
    check_step("env: {ANSIBLE_X: '{{ msg.x }}'}", "6:15 untrusted-code");
    check_step("env: {TZ: '{{ msg.x }}'}", "6:14 untrusted-code");
}

#[test]
fn keys_and_types_are_checked() {
    check("whn: x\nrun: {playbook: site.yml}", "4:5 unknown-key");
    check(
        "run: {playbook: site.yml}\nrun: {playbook: site.yml}",
        "5:5 duplicate-key",
    );
    check("when: event.body.x", "2:5 missing-key");
    check("run: []", "4:10 empty-run");
    check("run:", "4:5 missing-key");
    check("run: [site.yml]", "4:11 wrong-type");
    check("run: {command: echo hi}", "4:20 wrong-type");
    check("run: {command: []}", "4:20 bad-value");
    check("run: {playbok: site.yml}", "4:11 unknown-key");
    check("run: {playbook: site.yml, command: [x]}", "4:31 bad-value");
    check("mode: on\nrun: {playbook: site.yml}", "4:11 bad-value");
    check("mode: off\nrun: {playbook: site.yml}", "4:11 rule-off");
    check(
        "on_lost: holds\nrun: {playbook: site.yml}",
        "4:14 bad-value",
    );
    check(
        "retry: {attempts: 0, delay: 5}\nrun: {playbook: site.yml}",
        "4:23 bad-value, 4:33 wrong-type",
    );
    check(
        "retry: {delay: 2h, max_delay: 1h}\nrun: {playbook: site.yml}",
        "4:35 bad-value",
    );
    check_step("forks: many", "6:16 wrong-type");
    check_step("verbosity: 7", "6:20 bad-value");
    check_step("diff: yes", "6:15 wrong-type");
    check_step("timeout: 0s", "6:18 bad-value");
    check_step("limit: [a, b]", "6:16 wrong-type");
}

#[test]
fn what_a_later_version_has_is_named() {
    check(
        "approval: {}\nrun: {playbook: site.yml}",
        "4:5 later-version",
    );
    check(
        "run: [{celery: {}}, {notify: x}]",
        "4:12 later-version, 4:26 later-version",
    );
}

#[test]
fn what_is_published_is_checked() {
    check(
        "run: {publish: {sink: bus, topic: 'org.example.{{ msg.x }}', body: {a: ['{{ job }}', 1]}, \
         severity: warning, headers: {a: '{{ result.n }}', b: 1, c: true}}, timeout: 5s}",
        "",
    );
    check("run: {publish: {topic: a}}", "");
    check(
        "run: {publish: {topic: a, headers: {lariat-hops: 1}}}",
        "4:41 bad-value",
    );
    check("run: {publish: bus}", "4:20 wrong-type");
    check("run: {publish: {sink: bus}}", "4:20 missing-key");
    check("run: {publish: {sink: , topic: a}}", "4:21 missing-key");
    check("run: {publish: {sink: 'a b', topic: a}}", "4:27 bad-value");
    check(
        "run: {publish: {sink: '{{ msg.to }}', topic: a}}",
        "4:27 bad-value",
    );
    check(
        "run: {publish: {sink: bus, topic: lariat.job.done}}",
        "4:39 bad-value",
    );
    check(
        "run: {publish: {sink: bus, topic: 'a..b', severity: bad, bdy: 1}}",
        "4:39 bad-value, 4:57 bad-value, 4:62 unknown-key",
    );
    check(
        "run: {publish: {sink: bus, topic: a, headers: {a: [1], b: {c: d}, e: , '': x}}}",
        "4:55 wrong-type, 4:63 wrong-type, 4:72 wrong-type, 4:76 bad-value",
    );
    check(
        "run: {publish: {sink: bus, topic: a, body: {x: '{{ ) }}'}}}",
        "4:56 bad-template",
    );
    check(
        "run: {publish: {sink: bus, topic: a}, command: [x]}",
        "4:11 bad-value",
    );
}

/// Rules of old are compiled whatever sinks there are now.
#[test]
fn the_sinks_of_rules_exist_when_they_are_put_in_force() {
    let text = rule("run: {publish: {sink: bsu, topic: a}}");
    let project = || project(&[("rules/x.yml", &text)]);
    assert!(compile(project()).is_ok());
    let sinks = |names: [&str; 2]| crate::Surroundings {
        sinks: names.map(|name| name.parse().unwrap()).into(),
        grants: None,
    };
    assert!(crate::check(project(), sinks(["bsu", "bus"])).is_ok());
    let findings = crate::check(project(), sinks(["workers", "bus"])).unwrap_err();
    assert_snapshot!(crate::render::diagnostics(&findings, false), @"
    error[unknown-sink]: there is no sink `bsu` in lariat.yml
     --> rules/x.yml:4:27
      |
    4 |     run: {publish: {sink: bsu, topic: a}}
      |                           ^^^
      |
      = help: did you mean `bus`?

    1 error
    ");
}

#[test]
fn patterns_are_checked() {
    check("on: a..b\nrun: {playbook: site.yml}", "3:9 bad-pattern");
    check(
        "on: [a, 'b*', '']\nrun: {playbook: site.yml}",
        "3:13 bad-pattern, 3:19 bad-pattern",
    );
    check("on: []\nrun: {playbook: site.yml}", "3:9 bad-value");
    for pattern in ["#", "*.#", "#.*", "#.#", "#.*.#"] {
        let rule = format!("on: '{pattern}'\nrun: {{playbook: site.yml}}");
        check(&rule, "3:9 catch-all");
    }
    for pattern in ["*", "*.*.#", "org.#", "#.done", "*.*"] {
        check(&format!("on: {pattern:?}\nrun: {{playbook: site.yml}}"), "");
    }
    check("on: lariat.#\nrun: {playbook: site.yml}", "");
}

#[test]
fn conditions_are_checked_where_they_stand() {
    check(
        "when: 'event.body.x = 1'\nrun: {playbook: site.yml}",
        "4:25 bad-condition",
    );
    check(
        "when: [event.body.x == 1, 'event.) ']\nrun: {playbook: site.yml}",
        "4:38 bad-condition",
    );
    check(
        "when: |\n  event.body.x == 1\n  and )\nrun: {playbook: site.yml}",
        "6:11 bad-condition",
    );
    check(
        "when: true\nrun: {playbook: site.yml}",
        "4:11 constant-condition",
    );
    check(
        "when: 1 == 1\nrun: {playbook: site.yml}",
        "4:11 constant-condition",
    );
    check("when: {a: b}\nrun: {playbook: site.yml}", "4:11 wrong-type");
}

#[test]
fn templates_are_checked_where_they_stand() {
    check("key: ''\nrun: {playbook: site.yml}", "4:10 bad-value");
    check_step("vars: {a: ['{{ ) }}']}", "6:24 bad-template");
    check(
        "when: attempt > 1\nkey: '{{ job }}'\nrun: {playbook: site.yml}",
        "4:11 bad-condition, 5:10 bad-template",
    );
    check(
        "key: '{{ event.bdy }}'\nrun: {playbook: site.yml}",
        "4:14 bad-template",
    );
    check(
        "throttle: {limit: 1, per: 1m, by: '{{ event.build.id }}'}\nrun: {playbook: site.yml}",
        "4:43 bad-template",
    );
    check_step(
        "vars: {a: 'x {{ event.bdy | default(1) }}'}",
        "6:25 bad-template",
    );
}

#[test]
fn files_that_rules_name_must_be_in_the_project() {
    check("run: {playbook: sites.yml}", "4:21 missing-file");
    check(
        "run: {playbook: sites.yml, missing: skip}",
        "4:21 missing-file",
    );
    check("run: {playbook: ../x.yml}", "4:21 path-escape");
    check("run: {playbook: /etc/x.yml}", "4:21 path-escape");
    check("run: {playbook: a//b.yml}", "4:21 bad-value");
    check_step("inventory: inventory/prd", "6:20 missing-file");
    check_step("inventory: ../x", "6:20 path-escape");
    check_step("vault_password_file: other.txt", "6:30 missing-file");
    check_step(
        "vault_password_file: '{{ event.body.x }}'",
        "6:30 untrusted-code",
    );
    check("run: {command: [x], chdir: nowhere}", "4:32 missing-file");
    check("run: {command: [x], chdir: ../x}", "4:32 path-escape");
}

#[test]
fn variables_have_names_of_their_own() {
    check_step(
        "vars: {event: 1, msg: 2, lariat: 3}",
        "6:16 reserved-variable, 6:26 reserved-variable, 6:34 reserved-variable",
    );
    check_step(
        "vars: {ansible_host: '{{ msg.h }}'}",
        "6:16 reserved-variable",
    );
    check_step(
        "vars: {ansible_x: {y: ['{{ msg.h }}']}}",
        "6:16 reserved-variable",
    );
    check_step(
        "vars: {a-b: 1, class: 2, 1a: 3}",
        "6:16 bad-variable, 6:24 bad-variable, 6:34 bad-variable",
    );
    check(
        "run: {command: [x], env: {LARIAT_X: a, a-b: c, PATH: '{{ msg.x }}'}}",
        "4:31 reserved-variable, 4:44 bad-variable, 4:52 untrusted-code",
    );
}

#[test]
fn what_an_event_says_is_never_code() {
    check("run: {command: ['{{ msg.x }}']}", "4:21 untrusted-code");
    check(
        "run: {command: [sh, -c, 'rm {{ msg.x }}']}",
        "4:29 untrusted-code",
    );
    check(
        "run: {command: [/usr/bin/env, bash, -ec, '{{ msg.x }}']}",
        "4:46 untrusted-code",
    );
    check(
        "run: {command: [python3.11, -c, '{{ msg.x }}']}",
        "4:37 untrusted-code",
    );
    check(
        "run: {command: [sh, -c, 'echo \"$1\"', sh, '{{ msg.x }}']}",
        "",
    );
    check("run: {command: [grep, -c, '{{ msg.x }}']}", "");
}

#[test]
fn names_are_unique_across_files() {
    let text = rule("run: {playbook: site.yml}");
    let both = project(&[("rules/a.yml", &text), ("rules/b.yml", &text)]);
    let findings = compile(both).unwrap_err();
    assert_snapshot!(crate::render::diagnostics(&findings, false), @"
    error[duplicate-rule]: there are two rules named `r`
     --> rules/b.yml:2:11
      |
    2 |   - name: r
      |           ^
      |
      = help: the first is at rules/a.yml:2

    1 error
    ");
}

#[test]
fn a_file_that_is_no_rule_file_says_so() {
    for (text, expect) in [
        ("", "1:1 no-rules"),
        ("rules:\n", "1:6 no-rules"),
        ("- name: x\n", "1:1 wrong-type"),
        ("rules: {}\n", "1:8 wrong-type"),
        ("rule: []\n", "1:1 missing-key, 1:1 unknown-key"),
        ("rules: [x]\n", "1:9 wrong-type"),
    ] {
        let found = match compile_one(text) {
            Ok(checked) => checked.warnings,
            Err(findings) => findings,
        };
        assert_eq!(expect, list(&found), "{text:?}");
    }
}

#[test]
fn the_revision_follows_text_and_listing() {
    let text = rule("run: {playbook: site.yml}");
    let revision = |project| compile(project).unwrap().rules.revision().clone();
    let first = revision(project(&[("rules/a.yml", &text)]));
    assert_eq!(first, revision(project(&[("rules/a.yml", &text)])));
    assert_ne!(first, revision(project(&[("rules/b.yml", &text)])));
    let mut other = (*project(&[("rules/a.yml", &text)])).clone();
    other.listing.push("new".to_owned());
    assert_ne!(first, revision(std::sync::Arc::new(other)));
    assert_eq!(64, first.as_str().len());
}

#[test]
fn every_code_is_in_the_manual() {
    let manual = include_str!("../../../../../docs/rules.md");
    let section = manual.split("## Diagnostic codes").nth(1).unwrap();
    let listed: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes, listed);
}
