//! `lariat import loopabull`: what it writes is a project that `check` passes.

use std::os::unix::fs::PermissionsExt;

use testkit::TempProject;

use crate::harness::run;

const CONFIG: &str = r#"
loglevel: info
ansible:
  playbooks_dir: playbooks
  cfg_file_path: ansible.cfg
  playbook_cmd: /usr/bin/ansible-playbook
routing_keys:
  - org.example.build.done
  - org.example.build.failed
plugins:
  looper:
    name: fedmsgrabbitmq
    rabbitmq: {host: rabbit.example.org, virtual_host: /pubsub, retry_delay: 5}
    credentials: {username: releng, password: hunter2}
    routing_keys: ["org.example.#"]
    channel_queue: {name: releng, durable: true, exclusive: false, auto_delete: false}
  translator: {name: rkname}
"#;

fn machine() -> TempProject {
    TempProject::new(&[
        ("loopabull.yml", CONFIG),
        ("ansible.cfg", "[defaults]\nroles_path = roles\n"),
        (
            "playbooks/org.example.build.done.yml",
            "- hosts: localhost\n  tasks:\n    - debug: {msg: '{{ topic }} {{ i }} {{ username }} {{ msg.x }}'}\n",
        ),
        ("playbooks/files/notice.txt", "built\n"),
    ])
}

#[tokio::test]
async fn an_imported_project_is_sound_and_says_what_differs() {
    let machine = machine();
    let (file, into) = (machine.join("loopabull.yml"), machine.join("new/releng"));
    let (file, into) = (file.to_str().unwrap(), into.to_str().unwrap());
    let ran = run(&["import", "loopabull", file, "--into", into], &[])
        .await
        .expect(0);
    for remark in [
        "There is no playbook `org.example.build.failed.yml`",
        "`plugins.looper.rabbitmq.retry_delay` was left out",
        "`ansible.cfg`, line 2: `roles_path = roles` is relative",
        "is tried three times",
    ] {
        assert!(ran.stderr.contains(remark), "{remark}: {}", ran.stderr);
        assert!(
            machine.read("new/releng/NOTES.md").contains(remark),
            "{remark}"
        );
    }
    assert!(!ran.stderr.contains("hunter2") && !ran.stdout.contains("hunter2"));

    let mut written: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix(into))
        .collect();
    written.sort_unstable();
    assert_eq!(
        [
            "/.gitignore",
            "/NOTES.md",
            "/ansible.cfg",
            "/lariat.yml",
            "/playbooks/files/notice.txt",
            "/playbooks/org.example.build.done.yml",
            "/rabbitmq.secret",
            "/rules/loopabull.yml",
        ],
        written.as_slice()
    );
    let secret = machine.join("new/releng/rabbitmq.secret");
    let mode = fs_err::metadata(secret).unwrap().permissions().mode();
    assert_eq!(0o600, mode & 0o777);

    run(&["check", "--project", into], &[])
        .await
        .expect(0)
        .says("org.example.build.done  on org.example.build.done")
        .says("2 rules checked");
    // What is there stays as it is.
    run(&["import", "loopabull", file, "--into", into], &[])
        .await
        .expect(2)
        .says("is not empty");
}

#[tokio::test]
async fn every_looper_and_translator_makes_a_project_that_check_passes() {
    let machine = machine();
    let loopers = [
        "{name: fedmsg}",
        "{name: redis, host: 127.0.0.1, port: 6379, db: 0}",
        "{name: fedmsgrabbitmq, host: mq.example.org}",
        "{name: fedmsgrabbitmq, rabbitmq: {host: '::1', virtual_host: 'a/b c'}, channel_queue: {name: '1'}}",
        "{name: fedmsgrabbitmq, rabbitmq: {}, tls: {ca_cert: ca, certfile: c, keyfile: k}, channel_queue: {name: q}}",
        "{name: fedmsgrabbitmq, rabbitmq: {}, credentials: {username: fedora, password: }, channel_queue: {name: q}}",
    ];
    for (number, looper) in loopers.into_iter().enumerate() {
        for (translator, keys) in [("rkname", "[all]"), ("rkdirectory", "[a.b, 'a:b', c]")] {
            let config = format!(
                "ansible: {{playbooks_dir: playbooks, cfg_file_path: gone.cfg, playbook_cmd: x}}\n\
                 routing_keys: {keys}\n\
                 plugins:\n  looper: {looper}\n  translator: {{name: {translator}}}\n"
            );
            machine.write("other.yml", &config);
            let into = machine.join(&format!("{number}-{translator}"));
            let into = into.to_str().unwrap();
            let file = machine.join("other.yml");
            let args = [
                "import",
                "loopabull",
                file.to_str().unwrap(),
                "--into",
                into,
            ];
            run(&args, &[]).await.expect(0);
            run(&["check", "--project", into], &[]).await.expect(0);
        }
    }
}

#[tokio::test]
async fn a_broken_configuration_is_shown_without_its_password() {
    let machine = TempProject::new(&[(
        "loopabull.yml",
        "routing_keys: [a]\nplugins:\n  looper:\n    name: fedmsgrabbitmq\n    rabbitmq: {}\n    \
         credentials: {username: [x], password: hunter2}\n    channel_queue: {name: q}\n",
    )]);
    let file = machine.join("loopabull.yml");
    let into = machine.join("project");
    let args = [
        "import",
        "loopabull",
        file.to_str().unwrap(),
        "--into",
        into.to_str().unwrap(),
    ];
    let ran = run(&args, &[])
        .await
        .expect(3)
        .says("needs the key `ansible`")
        .says("expected a string, found a list")
        .says("loopabull.yml:6:");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    assert!(!into.exists());
    run(&["import", "loopabull", "/no/such/file.yml"], &[])
        .await
        .expect(3)
        .says("cannot read Loopabull's configuration");
}
