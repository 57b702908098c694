//! Sources, sinks and routes of a real project, with a real broker where
//! there is one to talk to.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::{
    TempProject,
    broker::{Broker, Outgoing, Vhost},
    process::wait_until,
};

use crate::harness::{PATIENCE, Service, run};

const RULES: &str = r#"
rules:
  - name: answer
    on: org.example.build.done
    run:
      - command: [sh, -c, "cat > seen"]
      - publish: {sink: answers, topic: org.example.answer, body: {build: "{{ msg.build }}"}}
"#;

/// A source, a sink by a route, and a sink for a step.
fn project(url: &str) -> TempProject {
    let config = format!(
        "workers: {{lease: 5s}}
sources:
  builds: {{kind: amqp, url: '{url}', queue: builds, bindings: ['org.example.#'], ack: done}}
sinks:
  archive: {{kind: amqp, url: '{url}', queue: archive}}
  answers: {{kind: amqp, url: '{url}', queue: {{name: answers, type: classic}}}}
routes:
  - {{from: builds, to: archive, topics: ['org.example.build.#']}}
"
    );
    TempProject::new(&[("lariat.yml", &config), ("rules/answer.yml", RULES)])
}

async fn link(service: &Service, section: &str, name: &str) -> Value {
    let status = service.json(&["status"]).await;
    let links = status[section].as_array().unwrap();
    let found = links.iter().find(|link| link["name"] == name);
    found.unwrap_or(&Value::Null).clone()
}

async fn wait_for_message(vhost: &Vhost, queue: &str) -> Value {
    vhost
        .wait_queue(queue, "it has a message", PATIENCE, |info| info.ready > 0)
        .await;
    let mut messages = vhost.take(queue, 1).await;
    serde_json::from_slice(&messages.remove(0).body).unwrap()
}

#[tokio::test]
async fn an_event_comes_from_a_queue_and_goes_on_to_others() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let vhost = broker.vhost("project").await;
    let project = project(&vhost.url());
    let mut service = Service::start(project.path()).await;
    wait_until("the source consumes", PATIENCE, async || {
        let queue = vhost.queue("builds").await;
        queue.is_some_and(|queue| queue.consumers == 1)
    })
    .await;
    let body = br#"{"build": 17}"#;
    let message = Outgoing {
        exchange: "amq.topic",
        routing_key: "org.example.build.done",
        body,
        properties: json!({"message_id": "build-17"}),
    };
    assert!(vhost.publish(&message).await);
    let answer = wait_for_message(&vhost, "answers").await;
    assert_eq!(json!({"build": 17}), answer);
    assert_eq!(
        json!({"build": 17}),
        wait_for_message(&vhost, "archive").await
    );
    let event = service.json(&["events", "show", "build-17"]).await;
    assert_eq!("builds", event["source"]);
    assert!(project.join("seen").exists());

    wait_until("the delivery is acknowledged", PATIENCE, async || {
        link(&service, "sources", "builds").await["held"] == 0
    })
    .await;
    let source = link(&service, "sources", "builds").await;
    assert_eq!(("connected", 1), state(&source), "{source:#}");
    let sink = link(&service, "sinks", "archive").await;
    assert_eq!(("connected", 1), state(&sink), "{sink:#}");
    service
        .lariat(&["status"])
        .await
        .expect(0)
        .says("source     `builds` connected to 127.0.0.1:")
        .says("1 received, 0 held")
        .says("sink       `archive` connected to 127.0.0.1:")
        .says("1 sent, 0 waiting");
    service.program.signal(Signal::SIGTERM);
    let status = service.program.wait(PATIENCE).await;
    assert_eq!(Some(0), status.code(), "{}", service.program.stderr());
}

fn state(link: &Value) -> (&str, u64) {
    let state = link["state"].as_str().unwrap();
    (state, link["messages"].as_u64().unwrap())
}

#[tokio::test]
async fn a_broker_that_is_away_does_not_hinder_the_start() {
    // Nobody listens on this port any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let project = project(&format!("amqp://{address}"));
    let mut service = Service::start(project.path()).await;
    let said = service.program.stderr();
    assert!(
        said.contains("source `builds` connects in the background"),
        "{said}"
    );
    wait_until("the status says why", PATIENCE, async || {
        let source = link(&service, "sources", "builds").await;
        let detail = source["detail"].as_str().unwrap_or_default();
        detail.contains("refuses connections")
    })
    .await;
    // The rest does its work.
    service
        .lariat(&["publish", "org.example.other", "--wait"])
        .await
        .expect(0);
    service.program.signal(Signal::SIGTERM);
    let status = service.program.wait(PATIENCE).await;
    assert_eq!(Some(0), status.code(), "{}", service.program.stderr());
}

#[tokio::test]
async fn what_cannot_be_read_at_the_start_is_named() {
    let project = TempProject::new(&[(
        "lariat.yml",
        "sources: {a: {kind: amqp, queue: q, url: 'amqp://u@h', password: {file: none}}}
sinks: {b: {kind: amqp, url: 'amqps://h', tls: {ca: gone}}}\n",
    )]);
    let path = project.path().to_str().unwrap();
    // Somebody may check a project where the secrets are not.
    run(&["check", "--project", path], &[])
        .await
        .expect(0)
        .says("warning[missing-file]");
    let args = ["serve", "--project", path, "--listen", "127.0.0.1:0"];
    run(&args, &[])
        .await
        .expect(4)
        .says("source `a` cannot be started")
        .says("`password` cannot be used")
        .says("/none`")
        .says("sink `b` cannot be started: `tls.ca` cannot be used");
    assert!(!project.join("lariat.db").exists());
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let project = TempProject::new(&[(
        "lariat.yml",
        "sources: {a: {kind: amqp, queue: 5, url: 'amqp://u:hunter2@h', prefetch: x}}\n",
    )]);
    let path = project.path().to_str().unwrap();
    for args in [
        vec!["check", "--project", path],
        vec!["check", "--project", path, "--json"],
        vec!["serve", "--project", path],
    ] {
        let ran = run(&args, &[]).await.expect(3);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("u:*******@h"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn a_rule_that_publishes_to_a_sink_that_is_not_there_is_refused() {
    let project = TempProject::new(&[("lariat.yml", ""), ("rules/answer.yml", RULES)]);
    let path = project.path().to_str().unwrap();
    run(&["check", "--project", path], &[])
        .await
        .expect(3)
        .says("error[unknown-sink]");
}

#[tokio::test]
async fn a_reload_names_what_it_leaves_for_the_next_start() {
    let project = TempProject::new(&[("lariat.yml", "workers: {concurrency: 2}\n")]);
    let service = Service::start(project.path()).await;
    let said = service.lariat(&["reload"]).await.expect(0);
    assert!(!said.stderr.contains("next start"), "{}", said.stderr);
    project.write(
        "lariat.yml",
        "workers: {concurrency: 3}\nsinks: {b: {kind: amqp, url: 'amqp://h'}}\n",
    );
    service
        .lariat(&["reload"])
        .await
        .expect(0)
        .says("changes of `sinks`, `workers` are taken at the next start");
    // Also when that is why the rules are refused.
    project.write(
        "rules/a.yml",
        "rules: [{name: a, on: a.b, run: {publish: {sink: b, topic: x.y}}}]\n",
    );
    service
        .lariat(&["reload"])
        .await
        .expect(3)
        .says("unknown-sink")
        .says("next start");
}

#[tokio::test]
async fn sources_and_sinks_can_be_tried_before_serving() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let vhost = broker.vhost("tried").await;
    let project = project(&vhost.url());
    let path = project.path().to_str().unwrap();
    let args = ["check", "--connect", "--project", path];
    run(&args, &[])
        .await
        .expect(0)
        .says("source `builds`  ok  127.0.0.1:")
        .says("queue `builds` will be made, exchange `amq.topic` is there")
        .says("sink `archive`  ok");
    assert!(vhost.queue("builds").await.is_none());

    let config = project.read("lariat.yml");
    let wrong = config.replace("queue: archive", "exchange: nowhere");
    project.write("lariat.yml", &wrong);
    run(&args, &[])
        .await
        .expect(4)
        .says("source `builds`  ok")
        .says("sink `archive`  failed")
        .says("cannot find exchange `nowhere`");
    let json = ["check", "--connect", "--json", "--project", path];
    let found = run(&json, &[]).await.expect(4).json();
    let oks: Vec<bool> = found["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["ok"].as_bool().unwrap())
        .collect();
    assert_eq!([true, false, true], *oks, "{found:#}");
    // Without a broker nothing is tried.
    run(&["check", "--project", path], &[]).await.expect(0);
}
