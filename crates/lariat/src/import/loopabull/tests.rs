use insta::assert_snapshot;

use super::{Loopabull, read};

const ANSIBLE: &str =
    "ansible: {playbooks_dir: playbooks, cfg_file_path: a.cfg, playbook_cmd: ansible-playbook}\n";

#[track_caller]
fn parse(text: &str) -> Loopabull {
    read("loopabull.yml", text).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

/// What is wrong, as `line:column code: message (hint)`.
#[track_caller]
fn refused(text: &str) -> String {
    let findings = read("loopabull.yml", text).unwrap_err();
    let lines = findings.iter().map(|finding| {
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})"));
        format!(
            "{}:{} {}: {}{}\n",
            finding.line,
            finding.column,
            finding.code,
            finding.message,
            hint.unwrap_or_default()
        )
    });
    lines.collect()
}

#[test]
fn a_queue_of_rabbitmq_is_read() {
    let config = parse(
        r#"
loglevel: Debugging
ansible:
  playbooks_dir: /srv/playbooks
  cfg_file_path: /srv/ansible.cfg
  playbook_cmd: /usr/bin/ansible-playbook
routing_keys: [org.example.build.done, org.example.build.failed]
plugins:
  looper:
    name: FedmsgRabbitmq
    rabbitmq: {host: rabbit.example.org, port: 5673, virtual_host: /pubsub, heartbeat: 30}
    credentials: {username: releng, password: "p: w"}
    exchange: {name: events}
    routing_keys: ["org.example.#"]
    channel_queue: {name: releng, durable: yes, exclusive: False, auto_delete: no}
  translator: {name: rkdirectory}
"#,
    );
    assert_snapshot!(format!("{config:#?}"), @r#"
    Loopabull {
        log_level: "debug",
        playbooks_dir: "/srv/playbooks",
        ansible_cfg: "/srv/ansible.cfg",
        playbook_cmd: "/usr/bin/ansible-playbook",
        routing_keys: These(
            [
                "org.example.build.done",
                "org.example.build.failed",
            ],
        ),
        looper: Rabbit(
            Rabbit {
                host: "rabbit.example.org",
                port: Some(
                    5673,
                ),
                vhost: "/pubsub",
                heartbeat: Some(
                    30,
                ),
                login: Plain {
                    username: "releng",
                    password: [secret],
                },
                exchange: "events",
                bindings: [
                    "org.example.#",
                ],
                queue: Queue {
                    name: "releng",
                    durable: true,
                    exclusive: false,
                    auto_delete: false,
                },
            },
        ),
        translator: Directory,
        remarks: [],
    }
    "#);
}

#[test]
fn a_certificate_goes_before_a_password() {
    let config = parse(&format!(
        r#"{ANSIBLE}
routing_keys: [all, more]
plugins:
  looper:
    name: fedmsgrabbitmq
    rabbitmq: {{connection_attempts: 3}}
    credentials: {{username: fedora, password:}}
    tls: {{ca_cert: ca.pem, keyfile: key.pem, certfile: cert.pem}}
    channel_queue: {{name: mine}}
"#
    ));
    assert_snapshot!(format!("{:#?}", config.looper), @r#"
    Rabbit(
        Rabbit {
            host: "localhost",
            port: None,
            vhost: "/",
            heartbeat: None,
            login: External {
                ca: "ca.pem",
                cert: "cert.pem",
                key: "key.pem",
            },
            exchange: "amq.topic",
            bindings: [],
            queue: Queue {
                name: "mine",
                durable: false,
                exclusive: true,
                auto_delete: true,
            },
        },
    )
    "#);
    assert_snapshot!(config.remarks.join("\n"), @r"
    `all` stands first in `routing_keys`, so the other keys change nothing; the one rule is for all topics.
    `plugins.looper.rabbitmq.connection_attempts` was left out: it says how Loopabull's library behaves. Lariat connects again without end, with growing pauses.
    `credentials` was left out: with `tls` Loopabull shows its certificate and sends no password.
    ");
}

#[test]
fn the_names_of_older_versions_are_known() {
    for (looper, expect) in [
        ("{name: fedmsgrabbitmq}", "localhost workers"),
        ("{name: fedmsgrabbitmq, host: mq, queue: jobs}", "mq jobs"),
    ] {
        let config = parse(&format!(
            "{ANSIBLE}routing_keys: [a]\nplugins: {{looper: {looper}}}"
        ));
        let super::Looper::Rabbit(rabbit) = config.looper else {
            panic!("{:?}", config.looper);
        };
        assert_eq!(expect, format!("{} {}", rabbit.host, rabbit.queue.name));
        assert!(rabbit.queue.durable && !rabbit.queue.exclusive && !rabbit.queue.auto_delete);
    }
}

#[test]
fn other_loopers_and_the_readmes_form_are_known() {
    for (plugins, expect) in [
        ("plugins: {}", "Fedmsg"),
        ("plugins: {looper: {name: fedmsg}}", "Fedmsg"),
        (
            "plugins: {looper: {name: redis, host: h, port: 1, db: 0}}",
            "Redis",
        ),
        ("plugins: {looper: {name: Stomp, x: 1}}", "Other(\"stomp\")"),
        ("plugin: fedmsg", "Fedmsg"),
    ] {
        let config = parse(&format!("{ANSIBLE}routing_keys: [a]\n{plugins}"));
        assert_eq!(expect, format!("{:?}", config.looper), "{plugins}");
    }
    let config = parse(&format!(
        "{ANSIBLE}routing_keys: [a]\nloglevel: loud\ninventory: x\nplugin: fedmsg"
    ));
    assert_snapshot!(config.remarks.join("\n"), @r"
    `loglevel: loud` is no level of Loopabull, which then logs at `info`; so does this project.
    `plugin: fedmsg` is what Loopabull's README shows; its code only reads `plugins`. It was read as `plugins: {looper: {name: fedmsg}}`.
    `inventory` was left out: it has no meaning here.
    ");
}

#[test]
fn what_is_wrong_is_found_at_once_and_where_it_stands() {
    assert_snapshot!(refused("{}"), @r"
    1:1 missing-key: Loopabull's configuration needs the key `ansible`
    1:1 missing-key: Loopabull's configuration needs the key `routing_keys`
    1:1 missing-key: Loopabull's configuration needs the key `plugins`
    ");
    assert_snapshot!(refused("- a\n- b"), @"1:1 wrong-type: expected Loopabull's configuration, which is a mapping, found a list");
    assert_snapshot!(refused("ansible: [\n"), @"2:1 yaml-syntax: while parsing a node, did not find expected node content");
    assert_snapshot!(refused(r#"
loglevel: 3
ansible: {playbooks_dir: "", playbook_cmd: x}
routing_keys: []
plugins:
  looper:
    name: fedmsgrabbitmq
    rabbitmq: {host: 1, port: 70000}
    tls: {ca_cert: x}
    exchange: {name: [a]}
    routing_keys: "a.#"
    channel_queue: {name: amq.x, durable: maybe}
  translator: rkname
"#), @r"
2:11 wrong-type: expected a string, found a number (write it in quotes)
3:10 missing-key: `ansible` needs the key `cfg_file_path`
3:26 bad-value: `playbooks_dir` is no path
4:15 bad-value: there is no routing key: Loopabull ends with the first message (name the topics that have playbooks, or `all`)
8:22 wrong-type: expected a string, found a number (write it in quotes)
8:31 bad-value: expected a whole number from 1 to 65535, found 70000
9:10 missing-key: `tls` needs the key `certfile`
9:10 missing-key: `tls` needs the key `keyfile`
10:22 wrong-type: expected a string, found a list
11:19 wrong-type: expected a list, found a string
12:27 bad-value: this is not the name of a queue (1 to 255 bytes; names that begin with `amq.` are the broker's own)
12:43 wrong-type: expected a boolean, found a string
13:15 wrong-type: expected a plugin, which is a mapping, found a string
");
    assert_snapshot!(refused(&format!(
        "{ANSIBLE}routing_keys: all\nplugins: {{looper: {{name: fedmsgrabbitmq, rabbitmq: {{}}}}}}"
    )), @r"
    2:15 wrong-type: expected a list, found a string
    3:19 missing-key: a plugin needs the key `channel_queue`
    ");
}

#[test]
fn what_is_nearly_right_is_asked_about() {
    assert_snapshot!(refused(&format!(
        "{ANSIBLE}routing_keys: [a]\nplugins: {{looper: {{name: fedmsgrabitmq}}}}"
    )), @"3:26 bad-value: Loopabull brings no looper `fedmsgrabitmq` (did you mean `fedmsgrabbitmq`?)");
    assert_snapshot!(refused("ansibel: {}\nrouting_keys: [a]\nplugin: fedmsg"), @r"
    1:1 missing-key: Loopabull's configuration needs the key `ansible`
    1:1 unknown-key: Loopabull's configuration has no key `ansibel` (did you mean `ansible`?)
    ");
}
