//! `lariat tail` over a service that goes and comes back.

use std::{path::Path, process::Stdio};

use serde_json::Value;
use testkit::{Program, TempProject, process::wait_until};
use tokio::process::{Child, Command};

use crate::harness::{BINARY, PATIENCE, Service, project};

/// A tail whose output goes into files of the project.
fn tail(project: &TempProject, url: &str, args: &[&str]) -> Child {
    let file = |name: &str| {
        let file = fs_err::File::create(project.join(name)).unwrap();
        Stdio::from(file.into_file())
    };
    Command::new(BINARY)
        .arg("tail")
        .args(args)
        .args(["--url", url])
        .stdout(file("out"))
        .stderr(file("err"))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn ids(project: &TempProject) -> Vec<String> {
    let text = project.read("out");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

async fn publish(service: &Service, id: &str) {
    let args = ["publish", "org.example.thing", "--id", id];
    service.lariat(&args).await.expect(0);
}

#[tokio::test]
async fn a_tail_misses_nothing_when_the_service_is_started_again() {
    let project = project("rules: []\n", &[]);
    let service = Service::start(project.path()).await;
    publish(&service, "before").await;
    let mut tail = tail(&project, &service.url, &["--json", "--since", "c0"]);
    wait_until("the past is there", PATIENCE, async || {
        ids(&project) == ["before"]
    })
    .await;
    publish(&service, "one").await;
    wait_until("what comes is there", PATIENCE, async || {
        ids(&project) == ["before", "one"]
    })
    .await;

    let address = service.url.strip_prefix("http://").unwrap().to_owned();
    drop(service);
    wait_until("the loss is told", PATIENCE, async || {
        project.read("err").contains("the connection is lost")
    })
    .await;
    let dir = project.path().to_str().unwrap();
    let args = ["serve", "--project", dir, "--listen", &address];
    let mut program = Program::start(Path::new(BINARY), &args, &[]);
    let url = program.wait_listening(PATIENCE).await;
    let service = Service { program, url };
    publish(&service, "two").await;
    wait_until("it goes on", PATIENCE, async || {
        ids(&project) == ["before", "one", "two"]
    })
    .await;
    assert_eq!(1, project.read("err").matches("connected again").count());
    tail.kill().await.unwrap();
}

#[tokio::test]
async fn a_tail_ends_with_what_it_is_refused_for() {
    let project = project("rules: []\n", &[]);
    let service = Service::start(project.path()).await;
    service
        .lariat(&["tail", "--where", "event.body."])
        .await
        .expect(2)
        .says("at character");
    service
        .lariat(&["tail", "--where", "evnt.body.state == 1"])
        .await
        .expect(2)
        .says("error: `--where`: at character 1: ")
        .says("hint: did you mean `event`?");
    // An empty store cannot know what it has given.
    publish(&service, "one").await;
    service
        .lariat(&["tail", "--since", "c99"])
        .await
        .expect(2)
        .says("beyond the newest event");
    // Nobody listens there.
    let nowhere = [("LARIAT_URL", "http://127.0.0.1:1")];
    crate::harness::run(&["tail"], &nowhere)
        .await
        .expect(4)
        .says("cannot reach");
}

#[tokio::test]
async fn a_tail_prints_text_and_nothing_that_a_terminal_obeys() {
    let project = project("rules: []\n", &[]);
    let service = Service::start(project.path()).await;
    let body = r#"{"name": "\u001b[31mred\u202e", "list": [1, {"a": null}]}"#;
    let args = ["publish", "org.example.thing", body, "--severity", "error"];
    service.lariat(&args).await.expect(0);
    let args = ["--since", "1h", "--pretty", "--severity", "error"];
    let mut tail = tail(&project, &service.url, &args);
    wait_until("the event is printed", PATIENCE, async || {
        project.read("out").contains("list: ")
    })
    .await;
    let text = project.read("out");
    assert!(text.contains(r"name: \x1b[31mred\u{202e}"), "{text}");
    assert!(text.contains(r#"list: [1,{"a":null}]"#), "{text}");
    assert!(text.contains("  error    org.example.thing  "), "{text}");
    tail.kill().await.unwrap();
}
