//! fedora-messaging, its oldest and its newest supported version, both ways.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use testkit::{
    Broker, Program, TempProject, Vhost,
    broker::Outgoing,
    tools::{Ansible, FedoraMessaging, ansible, fedora_messaging},
};
use tokio::{io::AsyncWriteExt, process::Command};

use super::wait_lines;
use crate::harness::{PATIENCE, Service};

/// Answers each message with one of the same class, after a playbook has run
/// with it.
const RULES: &str = r##"
rules:
  - name: answer
    on: "org.fedoraproject.test.#"
    run:
      - playbook: note.yml
        inventory: "localhost,"
      - publish:
          sink: bus
          topic: "answer.{{ event.topic }}"
          severity: "{{ event.severity }}"
          headers:
            fedora_messaging_schema: "{{ event.headers.fedora_messaging_schema }}"
            noted: "{{ result.noted }}"
          body: "{{ event.body }}"
"##;

const PLAYBOOK: &str = r#"
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.set_stats:
        data: {noted: "{{ event.topic }} {{ msg | length }}"}
"#;

/// A message of each schema package.
fn messages() -> Vec<Value> {
    let user = json!({
        "name": "mary", "fullname": "Mary Ü {{ x }}", "url_path": "user/mary",
        "full_url": "https://pagure.example.org/user/mary",
    });
    let group = json!({
        "name": "releng", "display_name": "RelEng", "description": "", "group_type": "user", "members": ["mary"],
        "creator": user, "date_created": "1700000000", "full_url": "https://pagure.example.org/group/releng",
    });
    vec![
        json!({
            "schema": "bodhi.compose.complete.v1", "topic": "bodhi.compose.complete",
            "body": {"agent": "releng", "ctype": "rpm", "repo": "f43-updates", "success": true},
        }),
        json!({
            "schema": "pagure.group.edit", "topic": "pagure.group.edit", "severity": 30, "priority": 7,
            "body": {"agent": "mary", "fields": ["description", "ü"], "group": group},
        }),
        json!({
            "schema": "koji_fedoramessaging.repo.DoneV1", "topic": "buildsys.repo.done", "severity": 10,
            "body": {"instance": "primary", "repo_id": 9_007_199_254_740_993_i64, "tag": "f43-build", "tag_id": 7},
        }),
    ]
}

/// A Python with fedora-messaging, and how it finds the broker.
struct Peer {
    python: PathBuf,
    config: PathBuf,
}

impl Peer {
    fn new(version: FedoraMessaging, vhost: &Vhost, dir: &Path) -> Option<Self> {
        let python = fedora_messaging(version)?;
        let config = dir.join(format!("{}.toml", version.as_str()));
        let text = format!(
            r#"
amqp_url = "{}"
publish_exchange = "amq.topic"
topic_prefix = "org.fedoraproject.test"
[client_properties]
app = "Lariat's tests"
[exchanges."amq.topic"]
type = "topic"
durable = true
auto_delete = false
arguments = {{}}
[queues.answers]
durable = true
auto_delete = false
exclusive = false
arguments = {{}}
[[bindings]]
queue = "answers"
exchange = "amq.topic"
routing_keys = ["out.#"]
"#,
            vhost.url()
        );
        fs_err::write(&config, text).unwrap();
        Some(Self { python, config })
    }

    fn config(&self) -> &str {
        self.config.to_str().unwrap()
    }

    /// Publishes; the ids of the messages.
    async fn publish(&self, messages: &[Value]) -> Vec<String> {
        let script = script("publish.py");
        let mut child = Command::new(&self.python)
            .arg(script)
            .env("FEDORA_MESSAGING_CONF", &self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for message in messages {
            let line = format!("{message}\n");
            stdin.write_all(line.as_bytes()).await.unwrap();
        }
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .expect("the publisher ends")
            .unwrap();
        assert!(
            output.status.success(),
            "publish.py ended with {}",
            output.status
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// A consumer that writes what it receives to a file.
    fn consume(&self, seen: &Path) -> Program {
        let program = self.python.with_file_name("fedora-messaging");
        let callback = format!("{}:receive", script("receive.py").display());
        let args = [
            "--conf",
            self.config(),
            "consume",
            "--callback-file",
            &callback,
        ];
        Program::start(&program, &args, &[("SEEN", seen.to_str().unwrap())])
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/interop")
        .join(name)
}

fn project(vhost: &Vhost) -> TempProject {
    let config = format!(
        r#"
sources:
  bus:
    kind: amqp
    url: "{url}"
    queue: lariat
    bindings: ["org.fedoraproject.test.#"]
sinks:
  bus: {{kind: amqp, url: "{url}", topic_prefix: out, priority: 3}}
"#,
        url = vhost.url()
    );
    TempProject::new(&[
        ("lariat.yml", &config),
        ("rules/answer.yml", RULES),
        ("playbooks/note.yml", PLAYBOOK),
    ])
}

/// Waits until the source has its queue and consumes from it.
async fn wait_consumed(vhost: &Vhost, queue: &str) {
    let name = format!("somebody consumes from `{queue}`");
    vhost
        .wait_queue(queue, &name, PATIENCE, |queue| queue.consumers > 0)
        .await;
}

#[tokio::test]
async fn fedora_messaging_publishes_a_playbook_runs_and_fedora_messaging_receives() {
    let (Some(broker), Some(playbook)) = (Broker::shared().await, ansible(Ansible::Newest)) else {
        return;
    };
    for version in FedoraMessaging::ALL {
        let vhost = broker.vhost("fedora").await;
        let project = project(&vhost);
        let Some(peer) = Peer::new(version, &vhost, project.path()) else {
            continue;
        };
        let seen = project.path().join("seen");
        let _consumer = peer.consume(&seen);
        let service = Service::start_with_ansible(project.path(), &playbook).await;
        wait_consumed(&vhost, "answers").await;
        wait_consumed(&vhost, "lariat").await;
        let messages = messages();
        let ids = peer.publish(&messages).await;
        let mut answers = wait_lines(&seen, messages.len(), "answers", &service).await;
        for (message, id) in messages.iter().zip(&ids) {
            let event = service.json(&["events", "show", id]).await;
            came_in_whole(message, &event);
            let topic = format!(
                "out.answer.org.fedoraproject.test.{}",
                text(&message["topic"])
            );
            let place = answers.iter().position(|answer| answer["topic"] == *topic);
            let answer = answers.swap_remove(place.unwrap_or_else(|| panic!("no {topic}")));
            went_out_whole(message, &answer);
            assert_ne!(*id, text(&answer["id"]), "an event of its own");
        }
    }
}

/// An event has all that the publisher gave its message.
fn came_in_whole(message: &Value, event: &Value) {
    let topic = format!("org.fedoraproject.test.{}", text(&message["topic"]));
    assert_eq!(topic, text(&event["topic"]), "{event:#}");
    assert_eq!(message["body"], event["body"], "{event:#}");
    let severity = message["severity"].as_u64();
    if let Some(severity) = severity {
        assert_eq!(name_of(severity), text(&event["severity"]), "{event:#}");
    }
    let headers = &event["headers"];
    assert_eq!(message["schema"], headers["fedora_messaging_schema"]);
    if !message["priority"].is_null() {
        assert_eq!(message["priority"], headers["priority"], "{event:#}");
    }
}

/// fedora-messaging has taken the answer for what it claims to be.
fn went_out_whole(message: &Value, answer: &Value) {
    assert_eq!(message["body"], answer["body"], "{answer:#}");
    let headers = &answer["headers"];
    assert_eq!(
        message["schema"], headers["fedora_messaging_schema"],
        "{answer:#}"
    );
    // A schema that is not known would make it a plain `Message`.
    assert_ne!("Message", text(&answer["class"]), "{answer:#}");
    if !message["severity"].is_null() {
        assert_eq!(message["severity"], answer["severity"], "{answer:#}");
    }
    // The sink's, since the step gives none.
    assert_eq!(3, answer["priority"], "{answer:#}");
    let noted = format!(
        "org.fedoraproject.test.{} {}",
        text(&message["topic"]),
        message["body"].as_object().unwrap().len()
    );
    assert_eq!(noted, text(&headers["noted"]), "{answer:#}");
    assert!(headers["sent-at"].as_str().unwrap().ends_with("+00:00"));
}

fn name_of(severity: u64) -> &'static str {
    match severity {
        10 => "debug",
        20 => "info",
        30 => "warning",
        _ => "error",
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[tokio::test]
async fn a_route_passes_messages_on_as_they_came() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let vhost = broker.vhost("route").await;
    let project = project(&vhost);
    let config = format!(
        "{}routes: [{{from: bus, to: bus, topics: [\"org.#\"]}}]\n",
        fs_err::read_to_string(project.path().join("lariat.yml")).unwrap()
    );
    fs_err::write(project.path().join("lariat.yml"), config).unwrap();
    fs_err::write(project.path().join("rules/answer.yml"), "rules: []\n").unwrap();
    let Some(peer) = Peer::new(FedoraMessaging::Newest, &vhost, project.path()) else {
        return;
    };
    let seen = project.path().join("seen");
    let _consumer = peer.consume(&seen);
    let service = Service::start(project.path()).await;
    wait_consumed(&vhost, "answers").await;
    wait_consumed(&vhost, "lariat").await;
    let messages = messages();
    let ids = peer.publish(&messages).await;
    let passed = wait_lines(&seen, messages.len(), "what was passed on", &service).await;
    for ((message, id), passed) in messages.iter().zip(&ids).zip(&passed) {
        assert_eq!(*id, text(&passed["id"]), "the id stays");
        assert_eq!(message["body"], passed["body"]);
        assert_eq!(
            message["schema"],
            passed["headers"]["fedora_messaging_schema"]
        );
        if !message["priority"].is_null() {
            assert_eq!(message["priority"], passed["priority"], "{passed:#}");
        }
    }
    // Whom a message is about stays in its headers, as a boolean.
    assert_eq!(true, passed[0]["headers"]["fedora_messaging_user_releng"]);
}

#[tokio::test]
async fn an_unknown_codec_is_a_dead_letter_and_stops_nothing() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let vhost = broker.vhost("codec").await;
    let project = project(&vhost);
    fs_err::write(project.path().join("rules/answer.yml"), "rules: []\n").unwrap();
    let service = Service::start(project.path()).await;
    wait_consumed(&vhost, "lariat").await;
    let mut message = Outgoing {
        exchange: "amq.topic",
        routing_key: "org.fedoraproject.test.a",
        body: b"{}",
        properties: json!({"message_id": "strange", "content_encoding": "rot13"}),
    };
    assert!(vhost.publish(&message).await);
    message.properties = json!({"message_id": "plain", "content_encoding": "utf-8"});
    assert!(vhost.publish(&message).await);
    testkit::process::wait_until("the message after it is an event", PATIENCE, async || {
        service.lariat(&["events", "show", "plain"]).await.code == Some(0)
    })
    .await;
    let dead = service.json(&["dead", "list"]).await;
    let dead = &dead["items"][0];
    assert_eq!("undecodable", dead["kind"], "{dead:#}");
    assert!(text(&dead["cause"]).contains("rot13"), "{dead:#}");
    vhost
        .wait_queue(
            "lariat",
            "nothing is left in the queue",
            PATIENCE,
            |queue| queue.ready + queue.unacknowledged == 0,
        )
        .await;
}
