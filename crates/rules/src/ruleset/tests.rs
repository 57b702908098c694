//! Whole rule files, through the door that everyone else uses.

mod accounts;
mod check;
mod http;
mod judge;
mod prepare;
mod storms;

use std::{collections::BTreeMap, sync::Arc};

use model::{diagnostic::Diagnostic, event::Event, ports::ProjectText};
use serde_json::json;

use super::{Checked, compile};

const LISTING: [&str; 9] = [
    "ansible.cfg",
    "inventory/prod/hosts",
    "inventory/test",
    "playbooks/org.example.hello.yml",
    "playbooks/site.yml",
    "root.yml",
    "scripts/run.sh",
    "vault.txt",
    "playbooks/sub/deep.yml",
];

fn project(files: &[(&str, &str)]) -> Arc<ProjectText> {
    Arc::new(ProjectText {
        files: files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        listing: LISTING.map(str::to_owned).to_vec(),
        commit: None,
    })
}

fn compile_one(text: &str) -> Result<Checked, Vec<Diagnostic>> {
    compile(project(&[("rules/x.yml", text)]))
}

#[track_caller]
fn rules(text: &str) -> super::RuleSet {
    match compile_one(text) {
        Ok(checked) => checked.rules,
        Err(findings) => panic!("{}", crate::render::diagnostics(&findings, false)),
    }
}

/// One rule named `r` with these lines, on `org.example.#` unless they say.
fn rule(lines: &str) -> String {
    let lines = lines.replace('\n', "\n    ");
    let on = if lines.contains("on:") {
        ""
    } else {
        "    on: org.example.#\n"
    };
    format!("rules:\n  - name: r\n{on}    {lines}\n")
}

fn event(topic: &str, body: &str) -> Event {
    let mut event: Event = serde_json::from_value(json!({
        "id": "e-1", "topic": topic, "time": "2026-11-20T22:43:00Z",
        "accepted": "2026-11-20T22:43:01Z", "source": "api", "severity": "info",
        "headers": {"kind": "x"}, "body": null,
        "origin": {"verified": false, "by": null, "via": "http"},
    }))
    .unwrap();
    event.body = model::json::parse(body).unwrap();
    event
}
