//! The log as JSON, against the manual's list of its fields.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use testkit::{process::wait_until, tools::workspace};

use crate::harness::{PATIENCE, Service, project};

const RULES: &str = r#"
rules:
  - name: well
    on: org.example.well
    run: {command: [bin/well]}
  - name: badly
    on: org.example.badly
    run: {command: [bin/badly]}
    retry: {attempts: 2, delay: 1ms}
"#;

/// The names in the list and the table of fields.
fn documented() -> BTreeSet<String> {
    let manual = fs_err::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let (_, logs) = manual.split_once("## Logs").unwrap();
    let lines = logs
        .lines()
        .filter_map(|line| line.strip_prefix("| ").or_else(|| line.strip_prefix("* ")));
    let names = lines.map(|line| line.split([':', '|']).next().unwrap());
    names
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn every_field_of_the_log_is_in_the_manual() {
    let programs = [
        ("bin/well", "#!/bin/sh\nexit 0\n"),
        ("bin/badly", "#!/bin/sh\nexit 1\n"),
    ];
    let project = project(RULES, &programs);
    let config = project.path().join("lariat.yml");
    fs_err::write(&config, "log: {format: json, level: debug}\n").unwrap();
    let service = Service::start(project.path()).await;
    for topic in ["org.example.well", "org.example.badly"] {
        service.lariat(&["publish", topic, "--wait"]).await;
    }
    wait_until("a job has failed", PATIENCE, async || {
        service.program.stderr().contains(r#""outcome":"failed""#)
    })
    .await;
    service.lariat(&["reload"]).await.expect(0);

    let text = service.program.stderr();
    let mut found = BTreeSet::new();
    // The last line may still be being written.
    let (complete, _) = text.rsplit_once('\n').unwrap();
    for line in complete.lines().filter(|line| line.starts_with('{')) {
        let entry: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let target = entry["target"].as_str().unwrap();
        let crates = ["engine", "api", "bus", "store", "actions", "lariat"];
        if crates
            .iter()
            .any(|ours| target.split("::").next() == Some(*ours))
        {
            found.extend(entry.as_object().unwrap().keys().cloned());
        }
    }
    let documented = documented();
    let unknown: Vec<&String> = found.difference(&documented).collect();
    assert!(
        unknown.is_empty(),
        "docs/metrics.md does not name {unknown:?}"
    );
    for name in [
        "timestamp",
        "level",
        "target",
        "message",
        "job.id",
        "job.rule",
        "attempt",
        "outcome",
        "duration_ms",
    ] {
        assert!(found.contains(name), "no entry has `{name}`: {found:?}");
    }
}

/// The names of fields in the source of what is logged, from either side.
#[test]
fn the_manual_names_no_field_that_nothing_logs() {
    let engine = workspace().join("crates/engine/src");
    let mut source = String::new();
    for file in ["telemetry.rs", "telemetry/links.rs"] {
        source.push_str(&fs_err::read_to_string(engine.join(Path::new(file))).unwrap());
    }
    let of_the_library = ["timestamp", "level", "target", "message"];
    for name in documented() {
        let is_said = of_the_library.contains(&name.as_str()) || source.contains(&name);
        assert!(is_said, "`{name}` is in docs/metrics.md and nowhere logged");
    }
}
