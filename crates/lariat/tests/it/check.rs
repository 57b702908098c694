//! `lariat init` and `lariat check`.

use testkit::TempProject;

use crate::harness::{BINARY, example, examples, run};

#[tokio::test]
async fn init_writes_the_hello_example_byte_for_byte() {
    let dir = TempProject::new(&[]);
    let target = dir.join("new project");
    let ran = run(&["init", target.to_str().unwrap()], &[])
        .await
        .expect(0);
    assert!(
        ran.stderr.contains("lariat serve --project '"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("lariat publish org.example.hello"),
        "{}",
        ran.stderr
    );
    assert_eq!(6, ran.stdout.lines().count());
    for line in ran.stdout.lines() {
        let path = std::path::Path::new(line).strip_prefix(&target).unwrap();
        let expected = fs_err::read(examples().join("hello").join(path)).unwrap();
        assert_eq!(expected, fs_err::read(line).unwrap(), "{line}");
    }
    let committed = std::process::Command::new("find")
        .arg(examples().join("hello"))
        .args(["-type", "f", "-not", "-path", "*/lariat.db*"])
        .output()
        .unwrap();
    let committed = String::from_utf8(committed.stdout).unwrap();
    assert_eq!(6, committed.lines().count(), "{committed}");
}

#[tokio::test]
async fn init_overwrites_nothing_and_names_what_is_there() {
    let dir = TempProject::new(&[("lariat.yml", "mine"), ("inventory/hosts", "mine")]);
    run(&["init", dir.path().to_str().unwrap()], &[])
        .await
        .expect(2)
        .says("lariat.yml` is there already")
        .says("inventory/hosts` is there already");
    assert_eq!("mine", dir.read("lariat.yml"));
    assert!(!dir.join("rules").exists());
}

#[tokio::test]
async fn check_shows_what_happens_on_interruption() {
    let dir = example("deploy");
    let ran = run(&["check", "--project", dir.path().to_str().unwrap()], &[])
        .await
        .expect(0);
    insta::assert_snapshot!(ran.stdout, @r"
    deploy-release  on org.example.release.published  rules/deploy.yml:5
      step 0 command bin/fetch -- {{ msg.service }} {{ msg.version }}  at most 10m; interrupted: it is tried again
      step 1 playbook rollout.yml  at most 30m; interrupted: it is tried again
      step 2 command bin/announce  at most 1m; interrupted: the job is held for a person
    roll-back  on org.example.release.withdrawn  rules/deploy.yml:25
      step 0 playbook rollout.yml  at most 1h; interrupted: the job is held for a person
    ");
}

#[tokio::test]
async fn check_leaves_the_project_as_it_was() {
    let project = example("hello");
    let listing = || {
        let entries = fs_err::read_dir(project.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listing();
    let path = project.path().to_str().unwrap();
    run(&["check", "--project", path], &[]).await.expect(0);
    assert_eq!(before, listing());
}

#[tokio::test]
async fn check_reports_everything_at_once() {
    let dir = TempProject::new(&[
        (
            "lariat.yml",
            "listn: 127.0.0.1:8470\nworkers: {concurrency: many}\n",
        ),
        (
            "rules/a.yml",
            "rules:\n  - name: one\n    on: org..x\n    when: event.body.x ==\n    run: {playbook: gone.yml}\n",
        ),
        ("rules/b.yml", "rules: [\n"),
    ]);
    let project = dir.path().to_str().unwrap();
    let ran = run(&["check", "--project", project], &[]).await.expect(3);
    assert_eq!("", ran.stdout);
    insta::assert_snapshot!(ran.stderr, @r"
    error[unknown-key]: `lariat.yml` has no key `listn`
     --> lariat.yml:1:1
      |
    1 | listn: 127.0.0.1:8470
      | ^^^^^
      |
      = help: did you mean `listen`?

    error[wrong-type]: expected a number, found a string
     --> lariat.yml:2:24
      |
    2 | workers: {concurrency: many}
      |                        ^^^^

    error[bad-pattern]: word 2 of the topic is empty
     --> rules/a.yml:3:9
      |
    3 |     on: org..x
      |         ^^^^^^

    error[bad-condition]: unexpected end of input, expected expression
     --> rules/a.yml:4:24
      |
    4 |     when: event.body.x ==
      |                        ^^

    error[missing-file]: there is no playbook `gone.yml`: neither `playbooks/gone.yml` nor `gone.yml` is in the project
     --> rules/a.yml:5:21
      |
    5 |     run: {playbook: gone.yml}
      |                     ^^^^^^^^
      |
      = help: create `playbooks/gone.yml`

    error[yaml-syntax]: while parsing a node, did not find expected node content
    --> rules/b.yml:2:1

    6 errors
    ");
    let json = run(&["check", "--project", project, "--json"], &[])
        .await
        .expect(3)
        .json();
    assert_eq!(false, json["ok"]);
    let files: Vec<&str> = json["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["file"].as_str().unwrap())
        .collect();
    for file in ["lariat.yml", "rules/a.yml", "rules/b.yml"] {
        assert!(files.contains(&file), "{files:?}");
    }
    // The same guards the start.
    run(&["serve", "--project", project], &[])
        .await
        .expect(3)
        .says("gone.yml");
}

#[tokio::test]
async fn a_directory_without_a_project_says_how_to_make_one() {
    let dir = TempProject::new(&[]);
    for command in ["check", "serve"] {
        run(&[command, "--project", dir.path().to_str().unwrap()], &[])
            .await
            .expect(3)
            .says("lariat init");
        run(&[command, "--project", "/does/not/exist"], &[])
            .await
            .expect(3)
            .says("lariat init");
    }
}

#[tokio::test]
async fn a_missing_ansible_is_said_with_the_remedy() {
    let dir = example("hello");
    let project = dir.path().to_str().unwrap();
    run(&["check", "--project", project], &[("PATH", "/nowhere")])
        .await
        .expect(0)
        .says("ansible-playbook")
        .says("install");
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_2() {
    run(&["publsh"], &[]).await.expect(2).says("publish");
    run(&["publish"], &[]).await.expect(2);
    run(&["serve", "--fault", "nowhere"], &[]).await.expect(2);
    run(&["status", "--url", "nonsense"], &[])
        .await
        .expect(2)
        .says("is not a URL");
    run(&["--help"], &[]).await.expect(0).says("publish");
    run(&["--version"], &[]).await.expect(0).says("lariat 0.");
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() {
    let dir = example("hello");
    let project = dir.path().to_str().unwrap();
    for address in ["0.0.0.0:0", "[::]:0"] {
        run(&["serve", "--project", project, "--listen", address], &[])
            .await
            .expect(3)
            .says("there is no token")
            .says("lariat token create --role admin");
    }
    assert!(std::path::Path::new(BINARY).exists());
}

#[tokio::test]
async fn a_closed_pipe_is_not_an_error() {
    let dir = example("deploy");
    let status = std::process::Command::new("sh")
        .arg("-c")
        .arg(r#"{ "$0" check --project "$1"; echo "code $?" >&2; } | true"#)
        .args([BINARY, dir.path().to_str().unwrap()])
        .output()
        .unwrap();
    let stderr = String::from_utf8(status.stderr).unwrap();
    assert!(stderr.contains("code 0"), "{stderr}");
    assert!(!stderr.contains("error"), "{stderr}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_may_be_there_at_the_next_start() {
    let file = "source `rabbit` cannot be started";
    for (place, expected) in [
        ("{file: later.secret}", file),
        ("{command: ['false']}", "`false` does not give it"),
        ("{env: LARIAT_NOT_SET}", "`LARIAT_NOT_SET` is not set"),
    ] {
        let text = format!(
            "listen: 127.0.0.1:0\nsources:\n  rabbit:\n    kind: amqp\n    url: amqp://u@127.0.0.1:1\n    \
             queue: q\n    password: {place}\n"
        );
        let dir = TempProject::new(&[("lariat.yml", &text)]);
        let path = dir.path().to_str().unwrap();
        run(&["serve", "--project", path], &[])
            .await
            .expect(4)
            .says(expected);
        run(&["check", "--connect", "--project", path], &[])
            .await
            .expect(4)
            .says(expected);
    }
    let unit = fs_err::read_to_string(examples().join("../packaging/systemd/lariat.service"));
    let never = "RestartPreventExitStatus=2 3\n";
    assert!(unit.unwrap().contains(never), "4 is tried again");
}

#[tokio::test]
async fn a_path_that_is_not_there_is_named_in_plain_words() {
    for args in [
        ["check", "--project", "/none/here"].as_slice(),
        &["import", "loopabull", "/none/here"],
    ] {
        let ran = run(args, &[])
            .await
            .expect(3)
            .says("cannot find `/none/here`");
        assert!(!ran.stderr.contains("failed to"), "{}", ran.stderr);
    }
}
