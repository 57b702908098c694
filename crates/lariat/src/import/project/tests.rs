use std::path::Path;

use insta::assert_snapshot;
use testkit::TempProject;

use super::{Written, compose};
use crate::import::{found::Found, loopabull};

/// Imports a configuration that stands in `project`.
#[track_caller]
fn import(project: &TempProject, config: &str) -> Written {
    let config =
        loopabull::read("loopabull.yml", config).unwrap_or_else(|findings| panic!("{findings:#?}"));
    let found = Found::look(&config, project.path()).unwrap();
    compose("loopabull.yml", &config, &found)
}

#[track_caller]
fn file(written: &Written, path: &str) -> String {
    let file = written.files.iter().find(|file| file.path == path);
    file.unwrap_or_else(|| panic!("there is no {path}"))
        .text
        .clone()
}

fn remarks(written: &Written, count: usize) -> String {
    let first: Vec<&str> = written
        .remarks
        .iter()
        .take(count)
        .map(String::as_str)
        .collect();
    first.join("\n")
}

const RABBIT: &str = r#"
loglevel: warning
ansible: {playbooks_dir: plays, cfg_file_path: etc/ansible.cfg, playbook_cmd: /opt/bin/ansible-playbook}
routing_keys: [org.example.built, org.example.gone, org.example.built]
plugins:
  looper:
    name: fedmsgrabbitmq
    rabbitmq: {host: rabbit.example.org, virtual_host: /pub sub}
    credentials: {username: "re:leng", password: hunter2}
    routing_keys: ["org.example.#"]
    channel_queue: {name: releng, durable: true, exclusive: false, auto_delete: false}
"#;

#[test]
fn a_queue_becomes_a_source_and_keys_become_rules() {
    let project = TempProject::new(&[
        (
            "plays/org.example.built.yml",
            "- hosts: all\n  tasks: [{debug: {msg: '{{ topic }} {{ i }}'}}]\n",
        ),
        ("plays/roles/x/templates/y.j2", "{{ username }}"),
        (
            "etc/ansible.cfg",
            "[defaults]\ninventory = hosts\nroles_path = /etc/roles\n",
        ),
    ]);
    let written = import(&project, RABBIT);
    assert_snapshot!(file(&written, "lariat.yml"), @r#"
    # Written by `lariat import loopabull` from loopabull.yml.
    # NOTES.md says what is not as it was.
    listen: 127.0.0.1:8470
    store: sqlite:lariat.db
    sources:
      loopabull:
        kind: amqp
        url: amqp://rabbit.example.org/%2Fpub%20sub
        username: "re:leng"
        password: {file: rabbitmq.secret}
        exchange: amq.topic
        bindings: ["org.example.#"]
        queue:
          name: releng
          # As Loopabull declares it, should it not be there.
          type: classic
          durable: true
          exclusive: false
          auto_delete: false
        # Old serializers' messages and those of Loopabull 0.0.7 alike.
        format: serializer
        ack: done
    ansible: {playbook_command: /opt/bin/ansible-playbook}
    # Loopabull runs one playbook at a time.
    workers: {concurrency: 1}
    log: {level: warn}
    "#);
    assert_snapshot!(file(&written, "rules/loopabull.yml"), @r#"
    # One rule for each of Loopabull's routing keys.
    rules:
      - name: org.example.built
        on: org.example.built
        run:
          playbook: org.example.built.yml
          vars:
            topic: "{{ event.topic }}"
            i: "{{ event.headers.i | default(none) }}"
            username: "{{ event.headers.username | default(none) }}"
      - name: org.example.gone
        on: org.example.gone
        run:
          playbook: org.example.gone.yml
          missing: skip
          vars:
            topic: "{{ event.topic }}"
            i: "{{ event.headers.i | default(none) }}"
            username: "{{ event.headers.username | default(none) }}"
    "#);
    assert_snapshot!(file(&written, ".gitignore"), @r"
    # The store and what stands beside it.
    /lariat.db*
    # The broker's password.
    /rabbitmq.secret
    ");
    assert_eq!("hunter2\n", file(&written, super::SECRET));
    let secrets = written
        .files
        .iter()
        .filter(|file| file.text.contains("hunter2"));
    assert_eq!(1, secrets.filter(|file| file.is_secret).count());
    let remarks = remarks(&written, 2).replace(&project.path().display().to_string(), "[project]");
    assert_snapshot!(remarks, @r"
    There is no playbook `org.example.gone.yml`. Loopabull would try it for ever; its rule passes such events over until there is one (`missing: skip`).
    `ansible.cfg`, line 2: `inventory = hosts` is relative to the file. It was in `[project]/etc`; copy what it names, or write the whole path.
    ");
}

#[test]
fn a_certificate_and_all_keys_are_carried_over() {
    let project = TempProject::new(&[("plays/a/b.yml", "- hosts: all\n"), ("ca.pem", "")]);
    let written = import(
        &project,
        r#"
ansible: {playbooks_dir: plays, cfg_file_path: none.cfg, playbook_cmd: "tower-cli job launch"}
routing_keys: [all]
plugins:
  looper:
    name: fedmsgrabbitmq
    rabbitmq: {host: "::1", port: 5671, heartbeat: 0}
    tls: {ca_cert: /etc/ca.pem, certfile: /etc/cert.pem, keyfile: /etc/key.pem}
    channel_queue: {name: 0c0ffee0-0000-4000-8000-000000000000}
  translator: {name: rkdirectory}
"#,
    );
    assert_snapshot!(file(&written, "lariat.yml"), @r#"
    # Written by `lariat import loopabull` from loopabull.yml.
    # NOTES.md says what is not as it was.
    listen: 127.0.0.1:8470
    store: sqlite:lariat.db
    sources:
      loopabull:
        kind: amqp
        url: amqps://[::1]:5671/
        tls:
          ca: /etc/ca.pem
          cert: /etc/cert.pem
          key: /etc/key.pem
        queue:
          name: "0c0ffee0-0000-4000-8000-000000000000"
          # As Loopabull declares it, should it not be there.
          type: classic
          durable: false
          exclusive: true
          auto_delete: true
        # Old serializers' messages and those of Loopabull 0.0.7 alike.
        format: serializer
        # The queue goes away with its connection: the store holds the work.
        ack: stored
    # Loopabull runs one playbook at a time.
    workers: {concurrency: 1}
    "#);
    assert_snapshot!(file(&written, "rules/loopabull.yml"), @r##"
    # One rule for each of Loopabull's routing keys.
    rules:
      - name: all
        on: "#"
        run:
          playbook: "{{ event.topic | replace('.', '/') }}.yml"
          missing: skip
    "##);
    assert_snapshot!(remarks(&written, 7), @r"
    `heartbeat: 0` was left out: Lariat notices dead brokers by heartbeats of 1 to 600 seconds, 10 unless it is told otherwise.
    `playbook_cmd: tower-cli job launch` was left out: it is one program without arguments. Write a small script that adds them, and name it in `lariat.yml` as `ansible: {playbook_command: …}`.
    `none.cfg` cannot be read here: copy it to `ansible.cfg`, or Ansible looks where it always looks.
    The queue goes away with its connection, or with the broker, as it did with Loopabull: what is sent meanwhile is lost. A durable queue that is neither `exclusive` nor `auto_delete`, under another name, keeps it.
    Messages are acknowledged when they are stored (`ack: stored`), not when their playbooks have ended: a queue that goes away cannot hold them.
    An exclusive queue has one reader: stop Loopabull before you start this, and start one instance only.
    A playbook that fails is tried three times, with pauses, and then is a dead letter (`lariat dead list`). Loopabull put its message back and ran it again for ever. `retry:` of a rule says otherwise.
    ");
}

#[test]
fn keys_that_are_no_topics_have_no_rule() {
    let project = TempProject::new(&[]);
    let written = import(
        &project,
        r#"
ansible: {playbooks_dir: plays, cfg_file_path: a.cfg, playbook_cmd: ansible-playbook}
routing_keys: ["org.*.built", "a..b", "lariat.job", "a b", "x.{{y}}"]
plugins: {looper: {name: fedmsg}}
"#,
    );
    assert_snapshot!(file(&written, "rules/loopabull.yml"), @r"
    # One rule for each of Loopabull's routing keys.
    rules: []
    ");
    assert_snapshot!(remarks(&written, 8), @r#"
    The routing key `org.*.built` has no rule: Loopabull compares it as it is and never met it; a rule whose `on` it is would run.
    The routing key `a..b` has no rule: word 2 of the topic is empty.
    The routing key `lariat.job` has no rule: topics that start with `lariat` are the engine's own.
    The routing key `a b` has no rule: the word "a b" may not contain ' '.
    The routing key `x.{{y}}` has no rule: it would be a template in the name of its playbook.
    There is no directory `plays` here: copy the playbooks into `playbooks/`.
    `a.cfg` cannot be read here: copy it to `ansible.cfg`, or Ansible looks where it always looks.
    The `fedmsg` looper has no source here: this version does not read fedmsg's ZeroMQ (`kind: fedmsg`). The rules are there. Feed them from RabbitMQ (`kind: amqp`), where Fedora's messages are today, or over HTTP.
    "#);
}

#[test]
fn names_of_rules_are_names_and_differ() {
    let mut taken = std::collections::BTreeSet::new();
    let long = "x".repeat(120);
    let names: Vec<String> = ["a:b", "a/b", "a.b", &long, &long]
        .into_iter()
        .map(|key| super::rule_name(key, &mut taken))
        .collect();
    let cut = "x".repeat(90);
    assert_eq!(
        ["a-b", "a-b-2", "a.b", &cut, &format!("{cut}-2")],
        names.as_slice()
    );
}

#[test]
fn links_are_followed_and_circles_are_not() {
    let project = TempProject::new(&[
        ("plays/a.yml", ""),
        ("plays/.git/config", ""),
        ("elsewhere/roles/b.yml", ""),
    ]);
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(to, project.join(from)).unwrap();
    };
    link("plays/linked.yml", "a.yml");
    link("plays/roles", "../elsewhere/roles");
    link("plays/circle", ".");
    link("plays/nowhere", "gone");
    let config = loopabull::read(
        "x",
        "ansible: {playbooks_dir: plays, cfg_file_path: c, playbook_cmd: p}\n\
         routing_keys: [a]\nplugins: {}",
    )
    .unwrap();
    let found = Found::look(&config, project.path()).unwrap();
    let paths: Vec<&str> = found
        .playbooks
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(["a.yml", "linked.yml", "roles/b.yml"], paths.as_slice());
    let place = project.path().canonicalize().unwrap().display().to_string();
    let mut skipped = found.skipped;
    skipped.sort();
    assert_snapshot!(skipped.join("\n").replace(&place, "[project]"), @r"
    `[project]/plays/circle` was not copied: it is a link to a directory that it lies in.
    `[project]/plays/nowhere` was not copied: it is a link that leads nowhere, or cannot be read.
    ");
}

#[test]
fn relative_paths_start_in_the_current_directory_or_beside_the_file() {
    use crate::import::found::whole;

    let project = TempProject::new(&[("here.pem", "")]);
    assert_eq!(
        project.join("here.pem"),
        whole(Path::new("here.pem"), project.path())
    );
    assert_eq!(
        Path::new("/etc/x"),
        whole(Path::new("/etc/x"), project.path())
    );
}
