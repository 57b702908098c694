//! Every client command, for people and with `--json`.

use serde_json::Value;
use testkit::process::wait_until;

use crate::harness::{BINARY, PATIENCE, Service, project};

const RULES: &str = r#"
rules:
  - name: greet
    on: org.example.greet
    when: msg.name == "world" and msg.colour is defined or not msg.quiet == 1
    run: {command: [bin/greet]}
  - name: break
    on: org.example.break
    run:
      - command: [bin/greet]
      - command: [bin/break]
    retry: {attempts: 1}
  - name: unkeyed
    on: org.example.unkeyed
    key: "{{ msg.key }}"
    run: {command: [bin/greet]}
"#;

async fn service(project: &testkit::TempProject) -> Service {
    let service = Service::start(project.path()).await;
    service
        .lariat(&[
            "publish",
            "org.example.greet",
            r#"{"name": "world", "colour": "red"}"#,
            "--id",
            "greeted",
            "--wait",
        ])
        .await
        .expect(0);
    service
        .lariat(&["publish", "org.example.break", "--id", "broken", "--wait"])
        .await
        .expect(5);
    service
        .lariat(&["publish", "org.example.unkeyed", "--id", "unkeyed"])
        .await
        .expect(0);
    service
}

fn faces() -> testkit::TempProject {
    project(
        RULES,
        &[
            (
                "bin/greet",
                "#!/bin/sh\necho hello\necho '{\"said\": \"hello\"}' >&\"$LARIAT_RESULT_FD\"\n",
            ),
            ("bin/break", "#!/bin/sh\necho broken\nexit 3\n"),
        ],
    )
}

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().unwrap()
}

#[tokio::test]
async fn events_and_their_verdicts_are_shown() {
    let project = faces();
    let service = service(&project).await;

    let list = service.json(&["events", "list"]).await;
    assert_eq!(3, items(&list).len());
    assert_eq!("unkeyed", list["items"][0]["id"]);
    let list = service
        .json(&[
            "events",
            "list",
            "--topic",
            "*.*.greet",
            "--since",
            "1h",
            "--severity",
            "info",
        ])
        .await;
    assert_eq!(1, items(&list).len());
    let page = service.json(&["events", "list", "--limit", "2"]).await;
    let next = page["next"].as_str().unwrap();
    let rest = service.json(&["events", "list", "--cursor", next]).await;
    assert_eq!(1, items(&rest).len());
    service
        .lariat(&["events", "list", "--limit", "2"])
        .await
        .expect(0)
        .says("ACCEPTED")
        .says("org.example.unkeyed")
        .says(&format!("--cursor {next}"));
    service
        .lariat(&["events", "list", "--source", "nobody"])
        .await
        .expect(0)
        .says("no such events");
    service
        .lariat(&["events", "list", "--since", "soon"])
        .await
        .expect(2)
        .says("`since`");
    let event = service.json(&["events", "show", "greeted"]).await;
    assert_eq!("world", event["body"]["name"]);
    service
        .lariat(&["events", "show", "greeted"])
        .await
        .expect(0)
        .says("topic      org.example.greet")
        .says(r#""colour": "red""#);
    service
        .lariat(&["events", "show", "nothing"])
        .await
        .expect(1);

    let verdicts = service.json(&["explain", "greeted"]).await;
    assert_eq!(3, items(&verdicts).len());
    let one = service
        .json(&["explain", "greeted", "--rule", "greet"])
        .await;
    assert_eq!(1, items(&one).len());
    assert_eq!("fired", one["items"][0]["verdict"]);
    let shown = service
        .lariat(&["explain", "greeted", "--rule", "greet"])
        .await
        .expect(0);
    let job = one["items"][0]["job_id"].as_str().unwrap();
    insta::assert_snapshot!(shown.stdout.replace(job, "JOB"), @r#"
    greet  fired  job JOB
      the topic matches and the condition is true
      true    msg.name == "world" and msg.colour is defined or not msg.quiet == 1
        true    msg.name == "world" and msg.colour is defined
          true    msg.name == "world"  value "world"
          true    msg.colour is defined  value "red"
        unknown not msg.quiet == 1
          unknown msg.quiet == 1  (`msg.quiet` is undefined)
    "#);
    service
        .lariat(&["explain", "greeted", "--rule", "nobody"])
        .await
        .expect(1)
        .says("there was no rule `nobody`");
    service
        .lariat(&["explain", "unkeyed"])
        .await
        .expect(0)
        .says("unkeyed  error");
}

#[tokio::test]
async fn jobs_are_shown_and_steered() {
    let project = faces();
    let service = service(&project).await;

    let list = service.json(&["jobs", "list"]).await;
    assert_eq!(2, items(&list).len());
    let failed = service
        .json(&[
            "jobs", "list", "--state", "failed", "--rule", "break", "--event", "broken",
        ])
        .await;
    assert_eq!(1, items(&failed).len());
    let id = failed["items"][0]["id"].as_str().unwrap();
    service
        .lariat(&["jobs", "list"])
        .await
        .expect(0)
        .says("STATE")
        .says(id);
    let job = service.json(&["jobs", "show", id]).await;
    assert_eq!(3, job["attempts"][0]["exit"]["code"]);
    let shown = service
        .lariat(&["jobs", "show", id])
        .await
        .expect(0)
        .says("attempt 1  failed")
        .says("step 0 command  succeeded")
        .says("step 1 command  failed");
    let step = shown.stdout.lines().find(|line| line.contains("step 1"));
    assert_eq!(
        Some(1),
        step.map(|line| line.matches("exit code 3").count())
    );
    let output = service.lariat(&["jobs", "output", id]).await.expect(0);
    assert_eq!("hello\nbroken\n", output.stdout);
    let output = service
        .lariat(&["jobs", "output", id, "--step", "1", "--attempt", "1"])
        .await
        .expect(0);
    assert_eq!("broken\n", output.stdout);
    let step = ["jobs", "output", id, "--step", "1"];
    let whole = service.json(&step).await;
    let expect = serde_json::json!({"job_id": id, "attempt": 1, "step": 1, "text": "broken\n"});
    assert_eq!(expect, whole);
    for missing in [["--step", "9"], ["--attempt", "9"]] {
        let args = [&["jobs", "output", id], &missing[..]].concat();
        service
            .lariat(&args)
            .await
            .expect(1)
            .says(missing[0].trim_start_matches('-'))
            .says("/9`");
    }
    let output = service
        .lariat(&["jobs", "output", id, "-f"])
        .await
        .expect(0);
    assert_eq!("hello\nbroken\n", output.stdout);
    service
        .lariat(&["jobs", "cancel", id])
        .await
        .expect(1)
        .says("is failed; a job that has ended");
    let retried = service.json(&["jobs", "retry", id]).await;
    assert_eq!(id, retried["id"]);
    let output = service
        .lariat(&["jobs", "output", id, "-f"])
        .await
        .expect(0);
    assert!(output.stdout.ends_with("broken\n"), "{}", output.stdout);
    assert!(
        output.stderr.contains("attempt 2 of `break`"),
        "{}",
        output.stderr
    );
    service.lariat(&["jobs", "show", "0"]).await.expect(1);
}

#[tokio::test]
async fn dead_letters_are_shown_and_closed() {
    let project = faces();
    let service = service(&project).await;

    let list = service.json(&["dead", "list"]).await;
    assert_eq!(2, items(&list).len());
    let failed = service
        .json(&[
            "dead",
            "list",
            "--kind",
            "job_failed",
            "--rule",
            "break",
            "--state",
            "open",
        ])
        .await;
    let id = failed["items"][0]["id"].as_str().unwrap();
    service
        .lariat(&["dead", "list"])
        .await
        .expect(0)
        .says("CAUSE")
        .says(id);
    let shown = service.json(&["dead", "show", id]).await;
    assert_eq!("job_failed", shown["kind"]);
    service
        .lariat(&["dead", "show", id])
        .await
        .expect(0)
        .says("cause")
        .says("exit code 3");
    let retried = service.json(&["dead", "retry", id]).await;
    assert_eq!(id, retried["id"]);
    service.lariat(&["dead", "retry", id]).await.expect(1);
    let unkeyed = service
        .json(&["dead", "list", "--kind", "rule_error"])
        .await;
    let id = unkeyed["items"][0]["id"].as_str().unwrap();
    let discarded = service.json(&["dead", "discard", id]).await;
    assert_eq!("discarded", discarded["state"]);
    service
        .lariat(&["dead", "list", "--kind", "rule_error"])
        .await
        .expect(0)
        .says("no such dead letters");
}

#[tokio::test]
async fn the_service_says_how_it_stands() {
    let project = faces();
    let service = service(&project).await;
    let status = service.json(&["status"]).await;
    assert_eq!(env!("CARGO_PKG_VERSION"), status["version"]);
    assert_eq!(3, status["rules"]);
    service
        .lariat(&["status"])
        .await
        .expect(0)
        .says("3 in revision")
        .says("1 succeeded, 1 failed")
        .says("2 open");
}

#[tokio::test]
async fn reloading_says_what_came_of_it() {
    let project = faces();
    let service = service(&project).await;
    let reloaded = service.json(&["reload"]).await;
    assert_eq!(false, reloaded["changed"]);
    project.write(
        "rules/more.yml",
        "rules: [{name: more, on: a.b, run: {command: [x]}}]\n",
    );
    service
        .lariat(&["reload"])
        .await
        .expect(0)
        .says("4 rules are in force now");
    project.write(
        "rules/more.yml",
        "rules: [{name: more, on: a..b, run: {command: [x]}}]\n",
    );
    service
        .lariat(&["reload"])
        .await
        .expect(3)
        .says("rules/more.yml:1:")
        .says("still in force");
    service
        .lariat(&["reload", "--json"])
        .await
        .expect(3)
        .says("bad-pattern");
    let status = service.json(&["status"]).await;
    assert_eq!(4, status["rules"]);
}

#[tokio::test]
async fn tail_prints_what_comes_and_only_that() {
    let project = faces();
    let service = service(&project).await;
    let file = project.join("tailed");
    let mut tail = tokio::process::Command::new(BINARY)
        .args([
            "tail",
            "org.example.a",
            "org.*.b",
            "--json",
            "--url",
            &service.url,
        ])
        .stdout(fs_err::File::create(&file).unwrap().into_file())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // It says nothing when it is ready: events are published until one is seen.
    wait_until("an event is tailed", PATIENCE, async || {
        for topic in ["org.example.a", "org.example.b", "org.example.c"] {
            service.lariat(&["publish", topic]).await.expect(0);
        }
        project.read("tailed").lines().count() >= 2
    })
    .await;
    for line in project.read("tailed").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let topic = event["topic"].as_str().unwrap();
        assert!(
            ["org.example.a", "org.example.b"].contains(&topic),
            "{topic}"
        );
    }
    tail.kill().await.unwrap();
}
