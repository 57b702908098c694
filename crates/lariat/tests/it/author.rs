//! `lariat test`, `lariat schema`, and `lariat explain` with drafts: what
//! people use who write rules.

use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::TempProject;

use crate::harness::{Service, example, examples, run, run_with_input};

const RULE: &str = "rules:
  - name: sync
    on: org.example.compose.#
    when: msg.status == 'FINISHED' and msg.release is defined
    key: '{{ msg.release }}'
    run: {playbook: site.yml, vars: {release: '{{ msg.release }}'}}
";

fn project(tests: &[(&str, &str)]) -> TempProject {
    let mut files = vec![
        ("lariat.yml", ""),
        ("rules/x.yml", RULE),
        ("playbooks/site.yml", "[]"),
    ];
    files.extend_from_slice(tests);
    TempProject::new(&files)
}

#[tokio::test]
async fn every_example_with_tests_passes_them() {
    let mut tested = Vec::new();
    for entry in fs_err::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !examples().join(&name).join("tests").is_dir() {
            continue;
        }
        let project = example(&name);
        let ran = run(
            &["test", "--project", project.path().to_str().unwrap()],
            &[],
        )
        .await
        .expect(0);
        assert!(ran.stderr.contains("passed"), "{name}: {}", ran.stderr);
        tested.push(name);
    }
    for expected in [
        "chain",
        "cloudevents",
        "debounce",
        "deploy",
        "hello",
        "releng",
        "throttle",
    ] {
        assert!(tested.iter().any(|name| name == expected), "{tested:?}");
    }
}

#[tokio::test]
async fn a_case_that_fails_shows_the_difference_and_the_trace() {
    let dir = project(&[(
        "tests/compose.yml",
        "- name: a finished compose
  event: {topic: org.example.compose.x, body: {status: FINISHED, release: f44}}
  fires: {rule: sync, key: f45, vars: {release: f43}}
- name: a compose that failed
  event: {topic: org.example.compose.x, body: {stauts: FINISHED}}
  fires: sync
- event: {topic: org.example.other}
  fires: []
",
    )]);
    let path = dir.path().to_str().unwrap();
    let ran = run(&["test", "--project", path], &[]).await.expect(3);
    insta::assert_snapshot!(ran.stdout, @r#"
    FAIL  a finished compose  tests/compose.yml:1
          sync  key
            expected  "f45"
            got       "f44"
          sync  vars.release
            expected  "f43"
            got       "f44"
          sync  fired
            the topic matches and the condition is true
            true    msg.status == "FINISHED" and msg.release is defined
              true    msg.status == "FINISHED"  value "FINISHED"
              true    msg.release is defined  value "f44"
    FAIL  a compose that failed  tests/compose.yml:4
          sync  verdict
            expected  fired
            got       no_match
          sync  no_match
            the condition is false
            false   msg.status == "FINISHED" and msg.release is defined
              unknown msg.status == "FINISHED"  (`msg.status` is undefined; did you mean `msg.stauts`?)
              false   msg.release is defined  (`msg.release` is undefined)
    ok    org.example.other  tests/compose.yml:7
    "#);
    insta::assert_snapshot!(ran.stderr, @"3 cases: 1 passed, 2 failed");
    let json = run(&["test", "--project", path, "--json"], &[])
        .await
        .expect(3)
        .json();
    assert_eq!(json!(false), json["ok"]);
    assert_eq!(
        json!({"rule": "sync", "about": "key", "expected": "f45", "got": "f44", "note": null}),
        json["cases"][0]["surprises"][0]
    );
    assert_eq!("no_match", json["cases"][1]["explanations"][0]["verdict"]);
    assert_eq!(json!(true), json["cases"][2]["ok"]);
    let colours = run(&["--color", "always", "test", "--project", path], &[]).await;
    assert!(colours.stdout.contains("\x1b[1;31m"), "{}", colours.stdout);
    assert!(!ran.stdout.contains('\x1b'));
}

#[tokio::test]
async fn problems_of_all_test_files_are_reported_at_once() {
    let dir = project(&[
        (
            "tests/a.yml",
            "- event: {topic: org.example.compose.x}\n  fire: [snyc]\n",
        ),
        (
            "tests/b.yml",
            "- file: gone.json\n  fires: snyc\n- event: {topic: a}\n  fires: []\n",
        ),
        (
            "tests/c.yaml",
            "- file: bad.json\n  fires: []\n- file: events/list.json\n  fires: []\n",
        ),
        ("tests/bad.json", r#"{"topic": "a", "bdy": {}, "id": ""}"#),
        ("events/list.json", "[]"),
    ]);
    let path = dir.path().to_str().unwrap();
    let ran = run(&["test", "--project", path], &[]).await.expect(3);
    for expected in [
        "tests/a.yml:2:3",
        "did you mean `fires`?",
        "tests/b.yml:1:9",
        "there is no file `gone.json`",
        "tests/b.yml:2:10",
        "did you mean `sync`?",
        "tests/c.yaml:1:9",
        "`bad.json`: `bdy`",
        "`bad.json`: `id`",
        "`events/list.json`: this is a list",
    ] {
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    // What can be run is run all the same.
    assert!(ran.stdout.contains("tests/b.yml:3"), "{}", ran.stdout);
    // Rules with an error are reported beside them.
    dir.write("rules/y.yml", "rules: [{name: y}]\n");
    run(&["test", "--project", path], &[])
        .await
        .expect(3)
        .says("rules/y.yml")
        .says("gone.json");
}

#[tokio::test]
async fn nothing_outside_of_the_project_is_read() {
    let dir = project(&[]);
    let outside = TempProject::new(&[
        ("event.json", r#"{"topic": "secret.outside"}"#),
        (
            "cases.yml",
            "- event: {topic: secret.outside}\n  fires: []\n",
        ),
    ]);
    fs_err::create_dir_all(dir.join("tests")).unwrap();
    symlink(outside.join("cases.yml"), dir.join("tests/linked.yml")).unwrap();
    symlink(outside.join("event.json"), dir.join("tests/linked.json")).unwrap();
    let absolute = outside.join("event.json");
    let text = format!(
        "- file: linked.json\n  fires: []\n- file: {}\n  fires: []\n- file: ../x.json\n  fires: []\n\
         - file: '.'\n  fires: []\n- file: ''\n  fires: []\n",
        absolute.display()
    );
    dir.write("tests/a.yml", &text);
    let path = dir.path().to_str().unwrap();
    let ran = run(&["test", "--project", path], &[]).await.expect(3);
    for expected in [
        "tests/linked.yml",
        "`linked.json` cannot be used: this is a link that leaves the project",
        "it is absolute",
        "leaves the project with `..`",
    ] {
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!told.contains("secret.outside"), "{told}");
    let cases = outside.join("cases.yml");
    run(&["test", "--project", path, cases.to_str().unwrap()], &[])
        .await
        .expect(3)
        .says("is not in the project");
}

#[tokio::test]
async fn hostile_test_files_are_refused() {
    let dir = project(&[]);
    fs_err::create_dir_all(dir.join("tests")).unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    let huge = "#".repeat(17 * 1024 * 1024).into_bytes();
    let deep = format!("- event: {}", "[".repeat(200_000)).into_bytes();
    for (bytes, expected) in [
        (huge, "larger than 16 MiB"),
        (deep, "tests/x.yml"),
        (vec![0, 159, 146, 150], "is not UTF-8"),
        (b"- \x1b[31m: 1\n".to_vec(), "tests/x.yml"),
        (
            b"- fires: []\n  event: {topic: a, body: !!python/x y}\n".to_vec(),
            "yaml-feature",
        ),
    ] {
        fs_err::write(dir.join("tests/x.yml"), bytes).unwrap();
        let ran = run(&["test", "--project", &path], &[]).await.expect(3);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
        assert!(!ran.stderr.contains('\x1b'), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn without_tests_that_is_said() {
    let dir = project(&[]);
    let path = dir.path().to_str().unwrap();
    run(&["test", "--project", path], &[])
        .await
        .expect(0)
        .says("there are no tests");
    run(&["test", "--project", path, "/none/x.yml"], &[])
        .await
        .expect(3)
        .says("cannot find `/none/x.yml`");
}

#[tokio::test]
async fn an_event_in_a_file_is_explained_without_a_service() {
    let dir = project(&[(
        "event.json",
        r#"{"topic": "org.example.compose.x", "body": {"stauts": "FINISHED"}}"#,
    )]);
    let path = dir.path().to_str().unwrap();
    let file = format!("@{}", dir.join("event.json").display());
    let none = [("LARIAT_URL", "http://127.0.0.1:1")];
    let ran = run(&["explain", &file, "--project", path], &none)
        .await
        .expect(0)
        .says("`msg.status` is undefined; did you mean `msg.stauts`?");
    assert!(ran.stdout.starts_with("sync  no_match"), "{}", ran.stdout);
    let json = run(&["explain", &file, "--project", path, "--json"], &none)
        .await
        .expect(0)
        .json();
    assert_eq!("no_match", json["items"][0]["verdict"]);
    assert_eq!(json!(null), json["next"]);
    run_with_input(
        &["explain", "-", "--project", path, "--rule", "snyc"],
        &none,
        r#"{"topic": "a"}"#,
    )
    .await
    .expect(1)
    .says("did you mean `sync`?");
    for (input, expected) in [
        ("", "is not an event"),
        ("{}", "every event has a topic"),
        (r#"{"topic": "a", "topic": "b"}"#, "stands twice"),
        ("\u{1}", "is not an event"),
    ] {
        run_with_input(&["explain", "-", "--project", path], &none, input)
            .await
            .expect(2)
            .says(expected);
    }
    run(&["explain", "@/none", "--project", path], &none)
        .await
        .expect(2)
        .says("cannot find `/none`");
}

#[tokio::test]
async fn what_is_local_needs_no_client_and_waits_for_no_pipe() {
    let project = project(&[]);
    let path = project.path().to_str().unwrap();
    project.write("event.json", r#"{"topic": "org.example.hello"}"#);
    let file = format!("@{}", project.join("event.json").display());
    let explain = ["explain", &file, "--project", path];
    for variable in [
        ("LARIAT_TOKEN", "nonsense"),
        ("LARIAT_CA", "/none"),
        ("LARIAT_URL", "?"),
    ] {
        run(&explain, &[variable]).await.expect(0);
    }
    let pipe = project.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let file = format!("@{}", pipe.display());
    run(&["explain", &file, "--project", path], &[])
        .await
        .expect(2)
        .says("is not a file")
        .says("standard input");
}

#[tokio::test]
async fn a_test_file_is_found_from_here_and_in_the_project() {
    let tests = "- event: {topic: org.example.none}\n  fires: []\n";
    let project = project(&[("tests/one.yml", tests)]);
    let path = project.path().to_str().unwrap();
    run(&["test", "--project", path, "tests/one.yml"], &[])
        .await
        .expect(0);
    run(&["test", "--project", path, "tests/two.yml"], &[])
        .await
        .expect(3)
        .says("cannot find `tests/two.yml`")
        .says("or at the project");
}

#[tokio::test]
async fn an_event_of_a_source_that_is_not_configured_is_a_warning() {
    let case = |source| format!("- event: {{topic: a.b, source: {source}}}\n  fires: []\n");
    let tests = [case("ap"), case("api"), case("lariat")].concat();
    let project = project(&[("tests/one.yml", &tests)]);
    let path = project.path().to_str().unwrap();
    let ran = run(&["test", "--project", path], &[]).await.expect(0);
    let ran = ran.says("has no source `ap`").says("did you mean `api`?");
    assert_eq!(
        1,
        ran.stderr.matches("unknown-source").count(),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn names_that_are_nearly_right_come_with_the_right_one() {
    let project = project(&[]);
    let path = project.path().to_str().unwrap();
    let create = ["token", "create", "--role", "viewer", "--name", "grafana"];
    let place = ["--project", path];
    run(&[&create[..], &place].concat(), &[]).await.expect(0);
    run(&[&["token", "revoke", "grafna"][..], &place].concat(), &[])
        .await
        .expect(1)
        .says("did you mean `grafana`?");
    run(
        &[&["config", "show"][..], &place].concat(),
        &[("LARIAT_LOG", "a=b=c")],
    )
    .await
    .expect(2)
    .says("LARIAT_LOG is `a=b=c`");
    project.write("empty.pem", "");
    let empty = project.join("empty.pem");
    let ca = [("LARIAT_CA", empty.to_str().unwrap())];
    run(&["status", "--url", "https://127.0.0.1:1"], &ca)
        .await
        .expect(2)
        .says("has no certificate in it");
}

#[tokio::test]
async fn drafts_judge_events_in_files_and_of_the_history() {
    let dir = project(&[]);
    let drafts = TempProject::new(&[(
        "draft.yml",
        &RULE
            .replace("name: sync", "name: draft")
            .replace("FINISHED", "DOOMED"),
    )]);
    let path = dir.path().to_str().unwrap();
    let rules = drafts.path().to_str().unwrap();
    let event =
        r#"{"topic": "org.example.compose.x", "body": {"status": "DOOMED", "release": 1.50}}"#;
    let with_drafts = ["--project", path, "--rules", rules];
    let ran = run_with_input(
        &[&["explain", "-"], with_drafts.as_slice()].concat(),
        &[],
        event,
    )
    .await
    .expect(0);
    assert!(ran.stdout.starts_with("draft  fired"), "{}", ran.stdout);

    let service = Service::start(dir.path()).await;
    let body = r#"{"status": "DOOMED", "release": 1.50}"#;
    let published = service
        .lariat(&["publish", "org.example.compose.x", body])
        .await
        .expect(0);
    let id = published.stdout.trim();
    let live = service.json(&["explain", id]).await;
    assert_eq!("no_match", live["items"][0]["verdict"]);
    let explained = [&["explain", id], with_drafts.as_slice()].concat();
    let drafted = service.json(&explained).await;
    assert_eq!("draft", drafted["items"][0]["rule"]);
    assert_eq!("fired", drafted["items"][0]["verdict"]);

    drafts.write("draft.yml", "rules: [{name: draft}]\n");
    service
        .lariat(&explained)
        .await
        .expect(3)
        .says("rules/draft.yml");
    let gone = ["explain", id, "--project", path, "--rules", "/none"];
    service.lariat(&gone).await.expect(3).says("cannot find");
}

#[tokio::test]
async fn conditions_are_compared_with_what_was_seen() {
    let dir = project(&[]);
    let service = Service::start(dir.path()).await;
    let check = ["check", "--seen", "--project", dir.path().to_str().unwrap()];
    let ran = service.lariat(&check).await.expect(0);
    assert!(!ran.stderr.contains("unseen-field"), "{}", ran.stderr);
    let body = r#"{"staus": "FINISHED", "release": "f44"}"#;
    service
        .lariat(&["publish", "org.example.compose.x", body])
        .await
        .expect(0);
    service
        .lariat(&check)
        .await
        .expect(0)
        .says("warning[unseen-field]: `msg.status` is not in the one event")
        .says("rules/x.yml:4:11")
        .says("did you mean `msg.staus`?");
    let none = [("LARIAT_URL", "http://127.0.0.1:1")];
    run(&check, &none).await.expect(4).says("cannot reach");
}

#[tokio::test]
async fn schemas_are_printed_and_written() {
    for of in ["config", "rules", "tests", "accounts"] {
        let json = run(&["schema", of], &[]).await.expect(0).json();
        assert!(json["title"].as_str().unwrap().starts_with("Lariat: "));
    }
    let dir = TempProject::new(&[]);
    let target = dir.join("a/b");
    let ran = run(&["schema", "--dir", target.to_str().unwrap()], &[])
        .await
        .expect(0);
    assert_eq!(4, ran.stdout.lines().count());
    assert!(target.join("rules.schema.json").is_file());
    run(&["schema"], &[]).await.expect(2).says("FILES");
    run(&["schema", "rule"], &[]).await.expect(2).says("rules");
}

#[tokio::test]
async fn check_doubts_what_was_probably_not_meant() {
    let sources = "sources:
  bus: {kind: amqp, url: 'amqp://localhost', queue: q, bindings: ['org.example.#']}
";
    let dir = TempProject::new(&[
        ("lariat.yml", sources),
        ("rules/a.yml", RULE),
        (
            "rules/b.yml",
            "rules:
  - name: Sync
    on: [org.exmaple.compose.x, lariat.job.faild]
    run: {playbook: site.yml}
  - name: all
    on: '#'
    run: {playbook: site.yml}
",
        ),
        ("playbooks/site.yml", "[]"),
    ]);
    let path = dir.path().to_str().unwrap();
    let ran = run(&["check", "--project", path], &[]).await.expect(0);
    for expected in [
        "warning[catch-all]",
        "warning[similar-name]: `Sync` is easily taken for the rule `sync`",
        "rules/b.yml:2:11",
        "`sync` is at rules/a.yml:2",
        "warning[no-source]: no configured source delivers such topics; only HTTP can",
        "rules/b.yml:3:10",
        "the sources are bound to `org.example.#`",
        "did you mean `lariat.job.failed`?",
    ] {
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    // Examples are meant as they are.
    for entry in fs_err::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let project = example(&name);
        let ran = run(
            &["check", "--project", project.path().to_str().unwrap()],
            &[],
        )
        .await
        .expect(0);
        assert!(!ran.stderr.contains("no-source"), "{name}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains("similar-name"),
            "{name}: {}",
            ran.stderr
        );
    }
}
