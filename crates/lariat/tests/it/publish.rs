//! `lariat publish` and what it follows.

use crate::harness::{Service, project, run, run_with_input};

const RULES: &str = r#"
rules:
  - name: good
    on: org.example.good
    run: {command: [bin/good]}
  - name: other
    on: org.example.two.*
    run: {command: [bin/good]}
  - name: bad
    on: org.example.bad
    run: {command: [bin/bad]}
    retry: {attempts: 1}
  - name: bad-too
    on: org.example.two.bad
    run: {command: [bin/bad]}
    retry: {attempts: 1}
  - name: slow
    on: org.example.slow
    run: {command: [sleep, "1000"]}
  - name: twice
    on: org.example.twice
    run: {command: [bin/twice]}
    retry: {attempts: 2, delay: 100ms}
  - name: picky
    on: org.example.picky
    when: msg.colour == "red"
    run: {command: [bin/good]}
  - name: keyed
    on: org.example.keyed
    key: "{{ msg.key }}"
    run: {command: [bin/good]}
  - name: keyless
    on: org.example.mixed
    run: {command: [bin/good]}
  - name: keyed-too
    on: org.example.mixed
    key: "{{ msg.key }}"
    run: {command: [bin/good]}
"#;

fn service_project() -> testkit::TempProject {
    project(
        RULES,
        &[
            ("bin/good", "#!/bin/sh\necho one\necho two\n"),
            (
                "bin/bad",
                "#!/bin/sh\necho going wrong\nprintf 'no end of line'\nexit 7\n",
            ),
            (
                "bin/twice",
                "#!/bin/sh\necho \"attempt\"\n[ -e done ] && exit 0\ntouch done\nexit 1\n",
            ),
        ],
    )
}

#[tokio::test]
async fn waiting_follows_jobs_to_their_end() {
    let project = service_project();
    let service = Service::start(project.path()).await;

    let ran = service
        .lariat(&["publish", "org.example.good", "--id", "good-1", "--wait"])
        .await
        .expect(0);
    assert_eq!("good-1\none\ntwo\n", ran.stdout);
    assert!(ran.stderr.contains("of `good` succeeded"), "{}", ran.stderr);

    let ran = service
        .lariat(&["publish", "org.example.bad", "--id", "bad-1", "--wait"])
        .await
        .expect(5);
    assert_eq!("bad-1\ngoing wrong\nno end of line\n", ran.stdout);
    assert!(ran.stderr.contains("of `bad` failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("lariat jobs show"), "{}", ran.stderr);

    let ran = service
        .lariat(&["publish", "org.example.twice", "--id", "twice-1", "--wait"])
        .await
        .expect(0);
    assert_eq!("twice-1\nattempt\nattempt\n", ran.stdout);
    assert!(
        ran.stderr.contains("attempt 2 of `twice`"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn the_output_of_several_jobs_is_told_apart() {
    let project = service_project();
    let service = Service::start(project.path()).await;
    let ran = service
        .lariat(&["publish", "org.example.two.bad", "--id", "two-1", "--wait"])
        .await
        .expect(5);
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        [
            "bad-too | going wrong",
            "bad-too | no end of line",
            "other | one",
            "other | two",
            "two-1",
        ],
        *lines
    );
}

#[tokio::test]
async fn waiting_for_nothing_says_so() {
    let project = service_project();
    let service = Service::start(project.path()).await;
    service
        .lariat(&["publish", "org.example.none", "--wait"])
        .await
        .expect(0)
        .says("no rule matched")
        .says("lariat explain 20");
    service
        .lariat(&["publish", "org.example.picky", "--wait"])
        .await
        .expect(0)
        .says("no rule matched");
    service
        .lariat(&["publish", "org.example.keyed", "--wait"])
        .await
        .expect(5)
        .says("`keyed` matched and cannot run");
}

#[tokio::test]
async fn a_rule_that_cannot_run_is_told_beside_jobs_that_can() {
    let project = service_project();
    let service = Service::start(project.path()).await;
    service
        .lariat(&["publish", "org.example.mixed", "--wait"])
        .await
        .expect(5)
        .says("`keyless` succeeded")
        .says("`keyed-too` matched and cannot run")
        .says("lariat explain 20");
}

#[tokio::test]
async fn waiting_ends_with_its_timeout_or_with_the_job() {
    let project = service_project();
    let service = Service::start(project.path()).await;
    service
        .lariat(&[
            "publish",
            "org.example.slow",
            "--id",
            "slow-1",
            "--wait",
            "--timeout",
            "300ms",
        ])
        .await
        .expect(4)
        .says("lariat jobs list --event slow-1");
    let jobs = service.json(&["jobs", "list", "--event", "slow-1"]).await;
    let job = jobs["items"][0]["id"].as_str().unwrap().to_owned();
    let follow = ["publish", "org.example.slow", "--id", "slow-1", "--wait"];
    let cancel = ["jobs", "cancel", &job];
    let (followed, cancelled) = tokio::join!(service.lariat(&follow), service.lariat(&cancel));
    cancelled.expect(0);
    followed
        .expect(5)
        .says("was accepted before")
        .says("of `slow` was cancelled by api");
}

#[tokio::test]
async fn an_event_is_sent_as_it_was_given() {
    let project = service_project();
    let service = Service::start(project.path()).await;
    let url = [("LARIAT_URL", service.url.as_str())];
    let body = r#"{"n":12345678901234567890.10,"text":"{{ x }}"}"#;
    let ran = run_with_input(
        &[
            "publish",
            "org.example.none",
            "-",
            "--id",
            "given",
            "--severity",
            "warning",
            "--time",
            "2026-01-02T03:04:05Z",
            "--header",
            "a=b=c",
            "--json",
        ],
        &url,
        body,
    )
    .await
    .expect(0);
    let answer = ran.json();
    assert_eq!("given", answer["events"][0]["id"]);
    assert_eq!(false, answer["events"][0]["duplicate"]);
    let event = service.json(&["events", "show", "given"]).await;
    assert_eq!(body, event["body"].to_string());
    assert_eq!("warning", event["severity"]);
    assert_eq!("2026-01-02T03:04:05.000Z", event["time"]);
    assert_eq!(r#"{"a":"b=c"}"#, event["headers"].to_string());

    project.write("body.json", body);
    let file = format!("@{}", project.join("body.json").display());
    run(
        &["publish", "org.example.none", &file, "--id", "given"],
        &url,
    )
    .await
    .expect(0)
    .says("was accepted before");
    run(
        &["publish", "org.example.none", "{}", "--id", "given"],
        &url,
    )
    .await
    .expect(1)
    .says("another event has the id `given`")
    .says("lariat dead list");
}

#[tokio::test]
async fn what_is_refused_is_said_in_full() {
    let project = service_project();
    let service = Service::start(project.path()).await;
    for (topic, body, word) in [
        ("lariat.own", "{}", "lariat"),
        ("org..x", "{}", "empty"),
        ("a.b c", "{}", "the topic \"a.b c\" is refused"),
        ("a.b c", "{}", "the word \"b c\" may not contain ' '"),
        ("a.b c", "{}", "hint: a topic is words joined by dots"),
        ("org.example.x", "{", "is not JSON"),
        ("org.example.x", r#"{"a":1,"a":2}"#, "stands twice"),
        ("org.example.x", "@/does/not/exist", "/does/not/exist"),
    ] {
        service
            .lariat(&["publish", topic, body])
            .await
            .expect(2)
            .says(word);
    }
    let twice = ["org.example.x", "--header", "a=1", "--header", "a=2"];
    service
        .lariat(&[&["publish"], &twice[..]].concat())
        .await
        .expect(2)
        .says("the header `a` is given twice");
    let events = service.json(&["events", "list"]).await;
    assert_eq!(0, events["items"].as_array().unwrap().len());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_exit_4() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for args in [
        &["publish", "org.example.x"][..],
        &["status"],
        &["events", "list"],
        &["reload"],
    ] {
        let ran = run(args, &[("LARIAT_URL", &url)]).await.expect(4);
        assert_eq!("", ran.stdout);
        ran.says("cannot reach")
            .says("Connection refused")
            .says("is `lariat serve` running?");
    }
}
