//! The log as JSON, against the manual's list of its fields.

use std::{collections::BTreeSet, path::Path};

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{process::wait_until, tools::workspace};

use crate::harness::{PATIENCE, Service, project, run};

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

/// The lines of standard error, each an object.
fn entries(text: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("plain: {line}"));
    text.lines().map(read).collect()
}

#[tokio::test]
async fn whatever_a_service_says_is_an_entry_of_its_json_log() {
    let project = project(RULES, &[]);
    let config = project.path().join("lariat.yml");
    fs_err::write(&config, "log: {format: json}\n").unwrap();
    let mut service = Service::start(project.path()).await;
    let rules = project.path().join("rules/broken.yml");
    fs_err::write(&rules, "rules:\n  - name: x\n").unwrap();
    service.program.signal(Signal::SIGHUP);
    wait_until("the reload is refused", PATIENCE, async || {
        service
            .program
            .stderr()
            .contains("the old ones stay in force")
            && service.program.stderr().contains("missing-key")
    })
    .await;
    service.program.signal(Signal::SIGTERM);
    service.program.wait(PATIENCE).await;
    wait_until("everything is said", PATIENCE, async || {
        service.program.stderr().contains("drained")
    })
    .await;
    let entries = entries(&service.program.stderr());
    let about = |what: &str| {
        let is_about = |entry: &&Value| entry["message"].as_str().unwrap().contains(what);
        entries.iter().filter(is_about).count()
    };
    assert_eq!(1, about("listening on http://"));
    assert_eq!(
        1,
        about("the old ones stay in force"),
        "a failure is told once"
    );
    let finding = entries.iter().find(|entry| entry["code"] == "missing-key");
    assert_eq!("rules/broken.yml", finding.unwrap()["file"]);

    // What keeps it from starting.
    let path = project.path().to_str().unwrap();
    let ran = run(&["serve", "--project", path], &[]).await.expect(3);
    assert!(ran.stderr.contains("missing-key"), "{}", ran.stderr);
    self::entries(&ran.stderr);
    fs_err::remove_file(&rules).unwrap();
    let store = ["--store", "sqlite:/not/there/x.db"];
    let args = [&["serve", "--project", path][..], &store].concat();
    let ran = run(&args, &[]).await.expect(3);
    let entries = self::entries(&ran.stderr);
    let last = entries.last().unwrap();
    assert_eq!(3, last["exit"]);
    let message = last["message"].as_str().unwrap();
    assert!(message.contains("there is no directory"), "{message}");
}

#[tokio::test]
async fn steps_that_cannot_run_here_are_a_warning_at_the_start() {
    let rules = "rules:\n  - {name: p, on: a.b, run: {playbook: p.yml}}\n";
    let project = project(rules, &[]);
    fs_err::create_dir_all(project.path().join("playbooks")).unwrap();
    fs_err::write(project.path().join("playbooks/p.yml"), "[]").unwrap();
    let service = Service::start_with(project.path(), &[], &[("PATH", "/nowhere")]).await;
    wait_until("it is said", PATIENCE, async || {
        let said = service.program.stderr();
        said.contains("WARN") && said.contains("playbooks cannot run")
    })
    .await;
    let said = service.program.stderr();
    assert!(said.contains("warnings=0"), "{said}");
    let status = service.json(&["status"]).await;
    assert_eq!("ansible-missing", status["notices"][0]["code"]);
}

/// The names of fields in the source of what is logged, from either side.
#[test]
fn the_manual_names_no_field_that_nothing_logs() {
    let engine = workspace().join("crates/engine/src");
    let mut source = String::new();
    for file in ["telemetry.rs", "telemetry/links.rs"] {
        source.push_str(&fs_err::read_to_string(engine.join(Path::new(file))).unwrap());
    }
    for file in ["logging.rs", "failure.rs"] {
        let path = workspace().join("crates/lariat/src").join(file);
        source.push_str(&fs_err::read_to_string(path).unwrap());
    }
    let of_the_library = ["timestamp", "level", "target", "message"];
    for name in documented() {
        let is_said = of_the_library.contains(&name.as_str()) || source.contains(&name);
        assert!(is_said, "`{name}` is in docs/metrics.md and nowhere logged");
    }
}
