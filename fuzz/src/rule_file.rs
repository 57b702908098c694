//! Rule files: whatever a file says, everything that is found stands in it and
//! can be shown; and rules that are sound judge as they explain.

use std::sync::Arc;

use model::{account::Grants, diagnostic::Level, ports::ProjectText, verdict::Verdict};
use rules::{Surroundings, check as check_rules, compile, render};
use serde_json::json;

use crate::event;

const FILE: &str = "rules/fuzz.yml";

pub const SEEDS: &[&str] = &[
    "rules:\n  - name: a\n    on: org.example.#\n    when: msg.state == 'failed'\n    run: {command: [bin/x, '{{ msg.n }}']}\n",
    "rules:\n  - name: b\n    on: ['#', 'a.*']\n    key: '{{ msg.key }}'\n    retry: {attempts: 3, delay: 1s, backoff: exponential}\n    run:\n      - playbook: playbooks/p.yml\n        inventory: inventory/hosts\n        vars: {a: '{{ msg.a }}', b: [1, 2.0]}\n        timeout: 2h\n      - publish: {topic: a.b, body: {x: '{{ event.id }}'}, sink: bus}\n",
    "rules:\n  - name: d\n    on: a\n    run:\n      playbook: playbooks/p.yml\n      hosts: {h: {ansible_host: '{{ msg.ip }}'}}\n      inventory: ['inventory/{{ msg.x }}', {web: {hosts: ['{{ msg.h }}'], vars: {v: 1}}}]\n      vault: [{id: x, file: /v}, {command: [a, b]}]\n      env: {A_B: c}\n      become: true\n      private_key: {env: K}\n",
    "rules:\n  - name: c\n    on: '#'\n    mode: off\n    on_lost: hold\n    run: {playbook: '{{ event.topic }}.yml', missing: skip}\n",
    "rules:\n  - {name: f, on: a.b, account: releng, run: {command: [bin/x]}}\n  - {name: g, on: a.c, account: '{{ msg.x }}', run: {publish: {topic: a}}}\n",
    "rules: [{name: d, on: x, run: {http: {url: 'https://example.org/', method: POST, body: {}}}}]\n",
    "rules:\n  - &a {name: e, on: x}\n  - *a\n  - !!str x\n",
];

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let project = Arc::new(ProjectText {
        files: [(FILE.to_owned(), text.to_owned())].into(),
        listing: ["bin/x", "inventory/hosts", "playbooks/p.yml"]
            .map(str::to_owned)
            .into(),
        commit: None,
    });
    let around = Surroundings {
        sinks: ["bus".parse().expect("this is a name")].into(),
        grants: Some(Grants::default()),
    };
    // A line ends as YAML says, and one more is the end of the file.
    let lines = text.matches(['\n', '\r']).count() + 2;
    let checked = match check_rules(Arc::clone(&project), around) {
        Ok(checked) => checked,
        Err(findings) => {
            assert!(findings.iter().any(|one| one.level == Level::Error));
            for finding in &findings {
                assert!(finding.line <= lines, "{finding:?}");
            }
            render::diagnostics(&findings, false);
            return;
        }
    };
    let compiled = compile(project)
        .expect("what is sound can be compiled")
        .rules;
    assert_eq!(checked.rules.revision(), compiled.revision());
    let event = event(&json!({"state": "failed", "n": 1, "key": "k", "a": [1.0]}));
    let decisions = checked.rules.judge(&event);
    assert_eq!(decisions, compiled.judge(&event));
    let explained = checked.rules.explain(&event, None);
    assert_eq!(checked.rules.len(), explained.len());
    for explanation in explained {
        let is_decided = decisions.iter().any(|one| one.rule == explanation.rule);
        assert_eq!(
            is_decided,
            explanation.verdict != Verdict::NoMatch,
            "{explanation:?}"
        );
    }
}
