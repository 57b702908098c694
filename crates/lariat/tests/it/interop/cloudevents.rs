//! The CloudEvents SDK for Python, its first and its second major version:
//! as a client that sends to Lariat, and as a server that reads what Lariat
//! writes.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use testkit::{
    TempProject,
    tools::{CloudEvents, cloudevents},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::harness::{PATIENCE, Service};

const RULES: &str = r##"
rules:
  - name: seen
    on: "org.example.#"
    run: {command: [bin/note, "--", "{{ event.headers['ce-subject'] | default('none') }}"]}
"##;

fn project() -> TempProject {
    let project = TempProject::new(&[("lariat.yml", ""), ("rules/test.yml", RULES)]);
    project.write_program("bin/note", "#!/bin/sh\nexit 0\n");
    project
}

/// The answers to what the SDK was told to send.
async fn send(version: CloudEvents, url: &str, wanted: &[Value]) -> Option<Vec<Value>> {
    let python = cloudevents(version)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop/cloudevents_send.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for request in wanted {
        let line = format!("{request}\n");
        stdin.write_all(line.as_bytes()).await.unwrap();
    }
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("the client ends")
        .unwrap();
    assert!(output.status.success(), "{version:?}: {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn attributes(id: &str, others: Value) -> Value {
    let mut attributes = json!({
        "id": id, "source": "https://shop.example.org/orders", "type": "org.example.order.placed",
        "time": "2026-11-20T22:43:00.123456+00:00",
    });
    for (name, value) in others.as_object().unwrap() {
        attributes[name] = value.clone();
    }
    attributes
}

/// The event that an answer names.
async fn event(service: &Service, answer: &Value, place: usize) -> Value {
    assert_eq!(202, answer["status"], "{answer:#}");
    let id = answer["body"]["events"][place]["id"].as_str().unwrap();
    service.json(&["events", "show", id]).await
}

#[tokio::test]
async fn the_sdk_sends_in_all_three_modes() {
    let project = project();
    let service = Service::start(project.path()).await;
    for version in CloudEvents::ALL {
        let id = |number: u32| format!("{}-{number}", version.as_str());
        let json_data =
            json!({"datacontenttype": "application/json", "subject": "order/7", "level": "3"});
        let wanted = [
            json!({"mode": "structured", "events": [
                {"attributes": attributes(&id(1), json_data.clone()), "data": {"total": 9_007_199_254_740_993_i64}},
            ]}),
            json!({"mode": "binary", "events": [
                {"attributes": attributes(&id(2), json_data), "data": {"items": ["ü", null]}},
            ]}),
            json!({"mode": "binary", "events": [
                {"attributes": attributes(&id(3), json!({"datacontenttype": "image/png"})), "bytes": "AP8="},
            ]}),
            json!({"mode": "batch", "events": [
                {"attributes": attributes(&id(4), json!({"datacontenttype": "text/plain"})), "data": "a\nb"},
                {"attributes": attributes(&id(5), json!({}))},
            ]}),
        ];
        let Some(answers) = send(version, &service.url, &wanted).await else {
            continue;
        };
        let structured = event(&service, &answers[0], 0).await;
        assert_eq!("org.example.order.placed", structured["topic"]);
        assert_eq!("2026-11-20T22:43:00.123Z", structured["time"]);
        assert_eq!(
            r#"{"total":9007199254740993}"#,
            structured["body"].to_string()
        );
        let headers = &structured["headers"];
        assert_eq!(id(1), headers["ce-id"].as_str().unwrap());
        assert_eq!("https://shop.example.org/orders", headers["ce-source"]);
        assert_eq!("order/7", headers["ce-subject"]);
        assert_eq!("3", headers["ce-level"]);

        let binary = event(&service, &answers[1], 0).await;
        assert_eq!(json!({"items": ["ü", null]}), binary["body"]);
        assert_eq!("order/7", binary["headers"]["ce-subject"]);
        assert_eq!("2026-11-20T22:43:00.123Z", binary["time"]);
        let bytes = event(&service, &answers[2], 0).await;
        assert_eq!(json!({"data_base64": "AP8="}), bytes["body"]);
        let text = event(&service, &answers[3], 0).await;
        assert_eq!("a\nb", text["body"]);
        let nothing = event(&service, &answers[3], 1).await;
        assert_eq!(Value::Null, nothing["body"]);

        // Sent again it is the same event; from another source it is not.
        let again = send(version, &service.url, &wanted[..1]).await.unwrap();
        assert_eq!(true, again[0]["body"]["events"][0]["duplicate"]);
        let mut other = wanted[0].clone();
        other["events"][0]["attributes"]["source"] = json!("/elsewhere");
        let other = send(version, &service.url, &[other]).await.unwrap();
        assert_eq!(false, other[0]["body"]["events"][0]["duplicate"]);
    }
}

#[tokio::test]
async fn the_newest_sdk_encodes_what_headers_cannot_hold() {
    let project = project();
    let service = Service::start(project.path()).await;
    let subject = "Euro € 😀 \"100%\" \\ ü";
    let wanted = json!({"mode": "binary", "events": [
        {"attributes": attributes("1", json!({"datacontenttype": "text/plain", "subject": subject})), "data": "x"},
    ]});
    let Some(answers) = send(CloudEvents::Newest, &service.url, &[wanted]).await else {
        return;
    };
    let event = event(&service, &answers[0], 0).await;
    assert_eq!(subject, event["headers"]["ce-subject"]);
}

/// A server that reads CloudEvents with the SDK; ends when it is dropped.
pub(crate) struct Server {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn start(version: CloudEvents) -> Option<Self> {
        let python = cloudevents(version)?;
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop/cloudevents_receive.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = next(&mut lines).await;
        Some(Self {
            _child: child,
            lines,
            url: format!("http://127.0.0.1:{port}/"),
        })
    }

    /// The next event that the SDK has read.
    pub(crate) async fn seen(&mut self) -> Value {
        serde_json::from_str(&next(&mut self.lines).await).unwrap()
    }
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    line.expect("the server says something")
        .unwrap()
        .expect("the server runs")
}

/// Passes every event on to a server, and tells it something of its own.
fn forwarding(server: &Server) -> TempProject {
    let rules = format!(
        r#"
rules:
  - name: forward
    on: "org.example.#"
    run:
      - http: {{url: "{url}", format: cloudevents}}
      - http:
          url: "{url}"
          format: cloudevents
          body: {{about: "{{{{ event.headers['ce-id'] }}}}"}}
"#,
        url = server.url
    );
    TempProject::new(&[("lariat.yml", ""), ("rules/test.yml", &rules)])
}

#[tokio::test]
async fn the_sdk_reads_what_it_has_sent_as_an_http_step_sends_it() {
    for version in CloudEvents::ALL {
        let Some(mut server) = Server::start(version).await else {
            continue;
        };
        let project = forwarding(&server);
        let service = Service::start(project.path()).await;
        let id = |number: u32| format!("{}/{number} ü", version.as_str());
        let json_data =
            json!({"datacontenttype": "application/json", "subject": "order/7", "level": "3"});
        let text_data =
            json!({"datacontenttype": "text/plain", "dataschema": "https://example.org/s"});
        let wanted = [
            json!({"mode": "structured", "events": [
                {"attributes": attributes(&id(1), json_data), "data": {"total": [1.5, "ü", null]}},
            ]}),
            json!({"mode": "structured", "events": [
                {"attributes": attributes(&id(2), json!({"datacontenttype": "image/png"})), "bytes": "AP8="},
            ]}),
            json!({"mode": "structured", "events": [
                {"attributes": attributes(&id(3), text_data), "data": "a\nb"},
            ]}),
        ];
        for wanted in wanted {
            let sent = wanted["events"][0].clone();
            let answers = send(version, &service.url, &[wanted]).await.unwrap();
            assert_eq!(202, answers[0]["status"], "{answers:#?}");
            same_event(&sent, &server.seen().await);
            let about = server.seen().await;
            let job = answers[0]["body"]["events"][0]["jobs"][0].as_str().unwrap();
            let attributes = &about["attributes"];
            assert_eq!(json!({"about": sent["attributes"]["id"]}), about["data"]);
            assert_eq!(format!("{job}-2"), text(&attributes["id"]), "{about:#}");
            assert_eq!("urn:lariat:rule:forward", attributes["source"], "{about:#}");
            assert_eq!("org.example.order.placed", attributes["type"], "{about:#}");
        }
    }
}

/// What the SDK has read is what it had sent.
#[track_caller]
fn same_event(sent: &Value, seen: &Value) {
    assert_eq!("application/cloudevents+json", seen["content-type"]);
    let attributes = sent["attributes"].as_object().unwrap();
    for (name, value) in attributes.iter().filter(|(name, _)| *name != "time") {
        assert_eq!(value, &seen["attributes"][name], "{seen:#}");
    }
    let time = text(&seen["attributes"]["time"]);
    assert!(time.contains("22:43:00.123456"), "{seen:#}");
    let data = match sent.get("bytes") {
        Some(bytes) => json!({"bytes": bytes}),
        None => sent["data"].clone(),
    };
    assert_eq!(data, seen["data"], "{seen:#}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
