//! What a sink with `format: serializer` puts into a queue: read as the
//! workers of Loopabull up to 0.0.6 read it. Those are not to be had any more,
//! so a script does what their documentation says.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{
    Broker, TempProject,
    tools::{FedoraMessaging, fedora_messaging},
};
use tokio::process::Command;

use crate::harness::{PATIENCE, Service};

/// Prints the routing key and the variables that a playbook would be given.
const WORKER: &str = r#"
import json, sys
payload = json.loads(sys.stdin.buffer.read().decode("utf-8"))
assert sorted(payload) == ["body", "topic"], payload
envelope = payload["body"]
assert isinstance(envelope["msg"], dict), envelope
assert isinstance(envelope["i"], int), envelope
assert isinstance(envelope["timestamp"], (int, float)), envelope
print(json.dumps([payload["topic"], envelope]))
"#;

#[tokio::test]
async fn old_workers_can_read_what_the_sink_writes() {
    // Any Python will do.
    let python = fedora_messaging(FedoraMessaging::Newest);
    let (Some(broker), Some(python)) = (Broker::shared().await, python) else {
        return;
    };
    let vhost = broker.vhost("serializer").await;
    let config = format!(
        "sinks:\n  old:\n    kind: amqp\n    url: \"{}\"\n    format: serializer\n    \
         queue: {{name: workers, type: classic}}\n\
         routes: [{{from: api, to: old, topics: [\"org.#\"]}}]\n",
        vhost.url()
    );
    let project = TempProject::new(&[("lariat.yml", &config)]);
    let service = Service::start(project.path()).await;
    let body = r#"{"package": "kernel", "by": "mary ü {{ x }}", "n": 9007199254740993}"#;
    let id = "2026-2f9f0c1e-0000-4000-8000-000000000001";
    service
        .lariat(&["publish", "org.example.build.finished", body, "--id", id])
        .await
        .expect(0);
    vhost
        .wait_queue(
            "workers",
            "the message is in the queue",
            PATIENCE,
            |queue| queue.ready == 1 && queue.kind == "classic",
        )
        .await;
    let messages = vhost.take("workers", 2).await;
    assert_eq!(1, messages.len());
    let message = &messages[0];
    assert_eq!("application/json", message.properties["content_type"]);
    assert_eq!(2, message.properties["delivery_mode"], "it is persistent");
    let read = read_as_old_workers_do(&python, &message.body).await;
    assert_eq!("org.example.build.finished", read[0]);
    let envelope = &read[1];
    assert_eq!("org.example.build.finished", envelope["topic"]);
    assert_eq!(id, envelope["msg_id"]);
    let msg = json!({"package": "kernel", "by": "mary ü {{ x }}", "n": 9_007_199_254_740_993_i64});
    assert_eq!(msg, envelope["msg"]);
}

async fn read_as_old_workers_do(python: &Path, body: &[u8]) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), body).unwrap();
    let output = Command::new(python)
        .args(["-c", WORKER])
        .stdin(fs_err::File::open(file.path()).unwrap().into_file())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}
