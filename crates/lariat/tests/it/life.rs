//! The life of a service: signals, restarts, and its hold on the store.

use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{
    TempProject,
    process::{wait_gone, wait_until},
};

use crate::harness::{PATIENCE, Ran, Service, project, run};

/// A job that goes on until the file `go` is there.
const WAIT: &str = r#"#!/bin/sh
echo started >> "$1"
while [ ! -e "$2" ]; do sleep 0.02; done
echo finished
"#;

fn waiting_project(on_lost: &str) -> TempProject {
    let rules = format!(
        "rules:\n  - name: wait\n    on: org.example.wait\n    run: {{command: [bin/wait, started, go]}}\n    on_lost: {on_lost}\n"
    );
    project(&rules, &[("bin/wait", WAIT)])
}

async fn running(project: &TempProject, service: &Service) {
    service
        .lariat(&["publish", "org.example.wait", "--id", "w"])
        .await
        .expect(0);
    wait_until("the step has started", PATIENCE, async || {
        project.join("started").exists()
    })
    .await;
}

#[tokio::test]
async fn the_first_signal_lets_running_jobs_end() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let project = waiting_project("retry");
        let mut service = Service::start(project.path()).await;
        running(&project, &service).await;
        service.program.signal(signal);
        wait_until("it says what it waits for", PATIENCE, async || {
            let said = service.program.stderr();
            said.contains("waiting for 1 running job")
        })
        .await;
        assert!(!service.program.has_ended());
        project.write("go", "");
        let status = service.program.wait(PATIENCE).await;
        assert_eq!(Some(0), status.code(), "{}", service.program.stderr());

        let service = Service::start(project.path()).await;
        let jobs = service.json(&["jobs", "list"]).await;
        assert_eq!("succeeded", jobs["items"][0]["state"]);
        assert_eq!("started\n", project.read("started"));
    }
}

#[tokio::test]
async fn the_second_signal_stops_at_once() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let project = waiting_project("retry");
        let mut service = Service::start(project.path()).await;
        running(&project, &service).await;
        service.program.signal(Signal::SIGTERM);
        wait_until("it says what it waits for", PATIENCE, async || {
            service.program.stderr().contains("waiting for 1")
        })
        .await;
        service.program.signal(signal);
        let status = service.program.wait(Duration::from_secs(20)).await;
        assert_eq!(Some(code), status.code(), "{}", service.program.stderr());
        wait_gone(project.path().to_str().unwrap(), PATIENCE).await;
    }
}

#[tokio::test]
async fn an_idle_service_ends_at_the_first_signal() {
    let project = waiting_project("retry");
    let mut service = Service::start(project.path()).await;
    service.program.signal(Signal::SIGTERM);
    let status = service.program.wait(Duration::from_secs(20)).await;
    assert_eq!(Some(0), status.code(), "{}", service.program.stderr());
}

#[tokio::test]
async fn a_killed_service_goes_on_at_once_when_it_is_started_again() {
    let project = waiting_project("retry");
    let mut service = Service::start(project.path()).await;
    running(&project, &service).await;
    service.program.kill().await;
    project.write("go", "");
    let service = Service::start(project.path()).await;
    let ran = service
        .lariat(&[
            "publish",
            "org.example.wait",
            "--id",
            "w",
            "--wait",
            "--timeout",
            "20s",
        ])
        .await
        .expect(0);
    assert!(ran.stdout.contains("finished"), "{}", ran.stdout);
    let jobs = service.json(&["jobs", "list"]).await;
    assert_eq!(1, jobs["items"].as_array().unwrap().len());
    let attempts = jobs["items"][0]["attempts"].as_array().unwrap();
    let outcomes: Vec<&str> = attempts
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(["lost", "succeeded"], *outcomes);
}

#[tokio::test]
async fn an_interrupted_command_is_held_for_a_person() {
    let project = waiting_project("hold");
    let mut service = Service::start(project.path()).await;
    running(&project, &service).await;
    service.program.kill().await;
    let service = Service::start(project.path()).await;
    service
        .lariat(&["publish", "org.example.wait", "--id", "w", "--wait"])
        .await
        .expect(5)
        .says("is held");
    let jobs = service.json(&["jobs", "list", "--state", "held"]).await;
    let id = jobs["items"][0]["id"].as_str().unwrap();
    project.write("go", "");
    service.lariat(&["jobs", "retry", id]).await.expect(0);
    service
        .lariat(&["publish", "org.example.wait", "--id", "w", "--wait"])
        .await
        .expect(0);
}

#[tokio::test]
async fn a_store_has_one_owner_and_names_it() {
    let project = waiting_project("retry");
    let service = Service::start(project.path()).await;
    let second = serve_to_its_end(&project, "127.0.0.1:0").await.expect(1);
    let pid = format!("pid {}", service.program.pid());
    let address = service.url.strip_prefix("http://").unwrap();
    second.says("is in use by").says(&pid).says(address);
    // The first has not noticed.
    service.lariat(&["status"]).await.expect(0);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let project = waiting_project("retry");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    serve_to_its_end(&project, &address)
        .await
        .expect(1)
        .says(&format!("cannot listen on `{address}`"));
}

/// A service that is not expected to get far.
async fn serve_to_its_end(project: &TempProject, address: &str) -> Ran {
    let project = project.path().to_str().unwrap();
    let args = ["serve", "--project", project, "--listen", address];
    run(&args, &[]).await
}

#[tokio::test]
async fn a_hangup_reloads_the_rules_or_keeps_the_old_ones() {
    let project = waiting_project("retry");
    let service = Service::start(project.path()).await;
    let good = "rules: [{name: more, on: a.b, run: {command: [x]}}]\n";
    project.write("rules/more.yml", good);
    service.program.signal(Signal::SIGHUP);
    wait_until("the new rule is in force", PATIENCE, async || {
        service.json(&["status"]).await["rules"] == 2
    })
    .await;
    project.write(
        "rules/more.yml",
        "rules: [{name: more, on: a..b, runs: 5}]\n",
    );
    service.program.signal(Signal::SIGHUP);
    wait_until("the bad rule is reported", PATIENCE, async || {
        let said = service.program.stderr();
        said.contains("rules/more.yml:1:") && said.contains("stay in force")
    })
    .await;
    assert_eq!(2, service.json(&["status"]).await["rules"]);
}

#[tokio::test]
async fn the_log_is_lines_of_json_when_asked() {
    let project = waiting_project("retry");
    project.write("lariat.yml", "log: {format: json, level: debug}\n");
    let mut service = Service::start(project.path()).await;
    service.program.signal(Signal::SIGHUP);
    wait_until("the reload is logged", PATIENCE, async || {
        service.program.stderr().contains("rules reloaded")
    })
    .await;
    service.program.signal(Signal::SIGTERM);
    service.program.wait(PATIENCE).await;
    let said = service.program.stderr();
    let entries = said.lines().filter(|line| line.starts_with('{'));
    let mut count = 0;
    for entry in entries {
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        assert!(entry["level"].is_string(), "{entry}");
        count += 1;
    }
    assert!(count > 0, "{said}");
}
