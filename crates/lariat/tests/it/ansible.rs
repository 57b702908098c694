//! The main job with real Ansible: from `init` to the playbook's output.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    TempProject,
    process::wait_until,
    tools::{Ansible, ansible},
};

use crate::harness::{Service, client, example, run};

/// A busy machine takes its time over the proof.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn init_serve_publish_runs_the_playbook() {
    let Some(playbook) = ansible(Ansible::Newest) else {
        return;
    };
    let dir = TempProject::new(&[]);
    let project = dir.join("p");
    run(&["init", project.to_str().unwrap()], &[])
        .await
        .expect(0);
    let service = Service::start_with_ansible(&project, &playbook).await;
    let ran = service
        .lariat(&[
            "publish",
            "org.example.hello",
            r#"{"name": "world"}"#,
            "--id",
            "first",
            "--wait",
        ])
        .await
        .expect(0);
    assert!(ran.stdout.starts_with("first\n"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("hello world, event first says"),
        "{}",
        ran.stdout
    );
    service
        .lariat(&["explain", "first"])
        .await
        .expect(0)
        .says("hello  fired");
}

#[tokio::test]
async fn playbooks_start_warm_once_that_is_proven() {
    let Some(playbook) = ansible(Ansible::Newest) else {
        return;
    };
    let project = example("hello");
    let service = Service::start_with_ansible(project.path(), &playbook).await;
    warm_up(&service).await;
    publish(&service, "warm").await;
    let status = service.lariat(&["status"]).await.expect(0);
    status
        .says("1 started warm, 1 cold")
        .says("ready `")
        .says("ansible-core 2.");
}

/// A bad day: everything comes at the same moment.
#[tokio::test]
async fn two_hundred_events_at_once_all_run_their_playbook() {
    const EVENTS: usize = 200;
    let Some(playbook) = ansible(Ansible::Newest) else {
        return;
    };
    let project = example("hello");
    let service = Service::start_with_ansible(project.path(), &playbook).await;
    warm_up(&service).await;
    let events: Vec<Value> = (0..EVENTS)
        .map(|n| json!({"id": format!("e-{n}"), "topic": "org.example.hello"}))
        .collect();
    let sent = client()
        .post(format!("{}/api/v1/events", service.url))
        .json(&events)
        .send()
        .await
        .unwrap();
    assert_eq!(202, sent.status());
    wait_until("every playbook has succeeded", PATIENCE * 3, async || {
        service.json(&["status"]).await["store"]["jobs"]["succeeded"] == EVENTS + 1
    })
    .await;
    let status = service.json(&["status"]).await;
    // Who waits too long for the fork server, on a busy machine, starts cold.
    let warm = status["playbooks"]["started_warm"].as_u64().unwrap();
    assert!(warm > 150, "{status}");
}

async fn publish(service: &Service, id: &str) {
    let words = ["publish", "org.example.hello", "--id", id, "--wait"];
    service.lariat(&words).await.expect(0);
}

/// The first playbook starts cold; the next ones will not.
async fn warm_up(service: &Service) {
    publish(service, "cold").await;
    wait_until("a fork server is ready", PATIENCE, async || {
        let status = service.json(&["status"]).await;
        let server = &status["playbooks"]["servers"][0];
        assert!(server["reason"].is_null(), "{server}");
        server["state"] == "ready"
    })
    .await;
}

#[tokio::test]
async fn a_missing_ansible_fails_the_job_with_the_remedy() {
    let project = example("hello");
    let service = Service::start_with(project.path(), &[], &[("PATH", "/usr/bin/nowhere")]).await;
    service
        .lariat(&["publish", "org.example.hello", "--id", "h", "--wait"])
        .await
        .expect(5)
        .says("ansible-playbook");
    let jobs = service.json(&["jobs", "list"]).await;
    assert_eq!("unstartable", jobs["items"][0]["attempts"][0]["outcome"]);
    let status = service.lariat(&["status"]).await.expect(0);
    status.says("ansible-playbook").says("install");
}
