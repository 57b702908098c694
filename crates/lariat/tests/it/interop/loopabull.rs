//! Loopabull: its queue is worked off in its place, and what Lariat publishes
//! is worked off by it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{
    Broker, Program, TempProject, Vhost,
    broker::Outgoing,
    process::wait_until,
    tools::{Ansible, ansible, loopabull},
};
use tokio::process::Command;

use super::{lines, wait_lines};
use crate::harness::{PATIENCE, Service, run};

/// What a playbook of Loopabull's looks like: it knows `msg` and, from older
/// versions, the top-level names of the envelope.
const PLAYBOOK: &str = r#"
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.shell: printf '%s\n' "$LINE" >> "$SEEN"
      environment:
        LINE: "{{ {'package': msg.package, 'msg_id': msg_id | default('')} | to_json }}"
        SEEN: "{{ playbook_dir }}/../seen"
"#;

/// An installation of Loopabull's: its configuration and what that names.
fn installation(vhost: &Vhost, port: u16, playbook_cmd: &Path) -> TempProject {
    let project = TempProject::new(&[
        ("playbooks/org.example.build.finished.yml", PLAYBOOK),
        ("hosts", "localhost\n"),
    ]);
    let dir = project.path().display();
    let config = format!(
        r##"
loglevel: debug
ansible:
  playbooks_dir: {dir}/playbooks
  cfg_file_path: {dir}/ansible.cfg
  playbook_cmd: {command}
routing_keys:
  - org.example.build.finished
plugins:
  looper:
    name: fedmsgrabbitmq
    rabbitmq: {{host: 127.0.0.1, port: {port}, virtual_host: {vhost}}}
    credentials: {{username: guest, password: guest}}
    exchange: {{name: amq.topic}}
    routing_keys: ["org.example.#"]
    channel_queue: {{name: workers, durable: true, exclusive: false, auto_delete: false}}
  translator:
    name: rkname
"##,
        command = playbook_cmd.display(),
        vhost = vhost.name(),
    );
    fs_err::write(project.path().join("loopabull.yml"), config).unwrap();
    let ansible = format!("[defaults]\ninventory = {dir}/hosts\n");
    fs_err::write(project.path().join("ansible.cfg"), ansible).unwrap();
    project
}

/// As fedmsg-rabbitmq-serializer put them into the queue.
fn serialized(topic: &str, package: &str) -> Vec<u8> {
    let envelope = json!({
        "topic": topic, "msg_id": format!("2026-{package}"), "timestamp": 1_700_000_000.5,
        "i": 1, "username": "root", "msg": {"package": package},
    });
    json!({"topic": topic, "body": envelope})
        .to_string()
        .into_bytes()
}

fn packages(seen: &[Value]) -> Vec<&str> {
    let of = |line: &'_ Value| line["package"].as_str().map(str::len);
    assert!(seen.iter().all(|line| of(line).is_some()), "{seen:#?}");
    let mut packages: Vec<&str> = seen
        .iter()
        .filter_map(|line| line["package"].as_str())
        .collect();
    packages.sort_unstable();
    packages
}

#[tokio::test]
async fn an_imported_project_works_off_the_queue_in_both_formats() {
    let (Some(broker), Some(playbook)) = (Broker::shared().await, ansible(Ansible::Newest)) else {
        return;
    };
    let vhost = broker.vhost("loopabull").await;
    let old = installation(&vhost, broker.port(), &playbook);
    vhost.declare("workers", "classic").await;
    vhost.bind("workers", "amq.topic", "org.example.#").await;
    let finished = "org.example.build.finished";
    for package in ["kernel", "mutt"] {
        let body = serialized(finished, package);
        let message = Outgoing {
            routing_key: "workers",
            body: &body,
            ..Outgoing::default()
        };
        assert!(vhost.publish(&message).await);
    }
    // As Loopabull 0.0.7 reads them; no playbook is there for the last one.
    for (topic, body) in [
        (finished, r#"{"package": "bash"}"#),
        ("org.example.build.started", r#"{"package": "zsh"}"#),
    ] {
        let message = Outgoing {
            exchange: "amq.topic",
            routing_key: topic,
            body: body.as_bytes(),
            ..Outgoing::default()
        };
        assert!(vhost.publish(&message).await);
    }
    let config = old.path().join("loopabull.yml");
    let new = old.path().join("new");
    let [config, into] = [&config, &new].map(|path| path.to_str().unwrap());
    run(&["import", "loopabull", config, "--into", into], &[])
        .await
        .expect(0);
    run(&["check", "--project", into], &[]).await.expect(0);
    let service = Service::start_with_ansible(&new, &playbook).await;
    let seen = wait_lines(&new.join("seen"), 3, "playbooks ran", &service).await;
    assert_eq!(["bash", "kernel", "mutt"], packages(&seen).as_slice());
    let mut ids: Vec<&str> = seen
        .iter()
        .filter_map(|line| line["msg_id"].as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    // Loopabull 0.0.7 gave its playbooks no id; the message had none either.
    assert!(
        ids.contains(&"2026-kernel") && ids.contains(&"2026-mutt"),
        "{ids:?}"
    );
    vhost
        .wait_queue("workers", "the queue is worked off", PATIENCE, |queue| {
            queue.ready + queue.unacknowledged == 0
        })
        .await;
    let dead = service.json(&["dead", "list"]).await;
    assert_eq!(json!([]), dead["items"], "{dead:#}");
}

/// Whether Loopabull 0.0.7 runs on this Python at all: from 3.12 on it does
/// not, since `imp` is gone.
async fn starts(program: &PathBuf) -> bool {
    let output = Command::new(program).arg("--help").output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || said.contains("No module named 'imp'"),
        "{said}"
    );
    if !output.status.success() {
        testkit::tools::skip("Loopabull 0.0.7 does not run on this Python");
    }
    output.status.success()
}

#[tokio::test]
async fn loopabull_works_off_what_lariat_publishes() {
    let (Some(broker), Some(playbook), Some(program)) = (
        Broker::shared().await,
        ansible(Ansible::Newest),
        loopabull(),
    ) else {
        return;
    };
    if !starts(&program).await {
        return;
    }
    let vhost = broker.vhost("worker").await;
    let old = installation(&vhost, broker.port(), &playbook);
    let config = old.path().join("loopabull.yml");
    let _worker = Program::start(&program, &[config.to_str().unwrap()], &[]);
    vhost
        .wait_queue("workers", "Loopabull consumes", PATIENCE, |queue| {
            queue.consumers > 0
        })
        .await;
    let config = format!(
        "sinks:\n  old: {{kind: amqp, url: \"{}\", mandatory: true}}\n\
         routes: [{{from: api, to: old, topics: [\"org.#\"]}}]\n",
        vhost.url()
    );
    let project = TempProject::new(&[("lariat.yml", &config)]);
    let service = Service::start(project.path()).await;
    for package in ["kernel", "mutt"] {
        let body = json!({"package": package}).to_string();
        service
            .lariat(&["publish", "org.example.build.finished", &body])
            .await
            .expect(0);
    }
    let seen = wait_lines(&old.path().join("seen"), 2, "playbooks ran", &service).await;
    assert_eq!(["kernel", "mutt"], packages(&seen).as_slice());
}

#[tokio::test]
async fn both_work_on_one_queue_side_by_side() {
    let (Some(broker), Some(playbook), Some(program)) = (
        Broker::shared().await,
        ansible(Ansible::Newest),
        loopabull(),
    ) else {
        return;
    };
    if !starts(&program).await {
        return;
    }
    let vhost = broker.vhost("both").await;
    let old = installation(&vhost, broker.port(), &playbook);
    let config = old.path().join("loopabull.yml");
    let new = old.path().join("new");
    let into = new.to_str().unwrap();
    run(
        &[
            "import",
            "loopabull",
            config.to_str().unwrap(),
            "--into",
            into,
        ],
        &[],
    )
    .await
    .expect(0);
    let _worker = Program::start(&program, &[config.to_str().unwrap()], &[]);
    let service = Service::start_with_ansible(&new, &playbook).await;
    vhost
        .wait_queue("workers", "both consume", PATIENCE, |queue| {
            queue.consumers == 2
        })
        .await;
    let sent: Vec<String> = (0..8).map(|number| format!("p{number}")).collect();
    for package in &sent {
        let body = json!({"package": package}).to_string();
        let message = Outgoing {
            exchange: "amq.topic",
            routing_key: "org.example.build.finished",
            body: body.as_bytes(),
            properties: Value::Null,
        };
        assert!(vhost.publish(&message).await);
    }
    let files = [old.path().join("seen"), new.join("seen")];
    let read = || -> Vec<Value> { files.iter().flat_map(|file| lines(file)).collect() };
    wait_until("all have run", PATIENCE, async || {
        read().len() >= sent.len()
    })
    .await;
    assert_eq!(sent, packages(&read()), "each ran once");
    drop(service);
}
