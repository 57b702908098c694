use std::{path::Path, time::Duration};

use model::diagnostic::Level;

use super::{Config, LogFormat, StoreUrl, StoreUrlError, ansible::Ansible, parse};

#[track_caller]
fn check(text: &str, change: impl FnOnce(&mut Config)) {
    let loaded = parse(text, Path::new("/project"));
    assert!(loaded.findings.is_empty(), "{:#?}", loaded.findings);
    let mut expected = Config::default();
    change(&mut expected);
    assert_eq!(expected, loaded.config);
}

#[track_caller]
fn check_refused(text: &str, expected: &[&str]) {
    let loaded = parse(text, Path::new("/project"));
    assert!(loaded.has_errors());
    let found: Vec<String> = loaded
        .findings
        .iter()
        .inspect(|finding| assert_eq!(Level::Error, finding.level))
        .map(|finding| format!("{}:{} {}", finding.line, finding.column, finding.code))
        .collect();
    assert_eq!(expected, found, "{:#?}", loaded.findings);
}

#[test]
fn an_empty_file_is_the_defaults() {
    check("", |_| {});
    check("# nothing\n", |_| {});
    check("workers:\n", |_| {});
}

#[test]
fn every_key_is_read() {
    let text = "
listen: '[::1]:0'
store: sqlite:/var/lib/lariat/x.db
workers: {concurrency: 2, lease: 9s}
retention: {events: 30d, output: 24h, dead: 365d, every: 5m}
limits: {event: 2MiB, request: 4MiB, nesting: 10, queue: 5, streams: 7}
ansible: {playbook_command: /opt/ansible/bin/ansible-playbook, warm: false, warm_max: 2, warm_idle: 1h}
log: {format: json, level: debug}
";
    check(text, |config| {
        config.listen = "[::1]:0".parse().unwrap();
        config.store = "sqlite:/var/lib/lariat/x.db".parse().unwrap();
        config.workers.concurrency = 2;
        config.workers.lease = Duration::from_secs(9);
        config.workers.renew = Duration::from_secs(3);
        config.retention.events = Duration::from_secs(30 * 86_400);
        config.retention.output = Duration::from_secs(86_400);
        config.retention.dead = Duration::from_secs(365 * 86_400);
        config.prune_every = Duration::from_secs(300);
        config.limits.event = 2 << 20;
        config.limits.request = 4 << 20;
        config.limits.nesting = 10;
        config.limits.queue = 5;
        config.limits.streams = 7;
        config.ansible = Ansible {
            playbook_command: "/opt/ansible/bin/ansible-playbook".to_owned(),
            warm: false,
            warm_max: 2,
            warm_idle: Duration::from_secs(3600),
        };
        config.log.format = LogFormat::Json;
        config.log.level = "debug";
    });
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    check_refused(
        "listn: 127.0.0.1:1\nstore: 5\nworkers: {concurrency: 0, lease: 1ms}\naccounts: {}\n",
        &[
            "1:1 unknown-key",
            "2:8 wrong-type",
            "3:24 bad-value",
            "3:34 bad-value",
            "4:1 unknown-key",
        ],
    );
}

#[test]
fn bad_values_are_refused() {
    check_refused("listen: nowhere", &["1:9 bad-value"]);
    check_refused("listen: 127.0.0.1", &["1:9 bad-value"]);
    check_refused("store: postgres://db/x", &["1:8 later-version"]);
    check_refused("store: lariat.db", &["1:8 bad-value"]);
    check_refused("workers: 4", &["1:10 wrong-type"]);
    check_refused("workers: {concurrency: '4'}", &["1:24 wrong-type"]);
    check_refused("retention: {events: 1s}", &["1:21 bad-value"]);
    check_refused("retention: {events: soon}", &["1:21 bad-value"]);
    check_refused("limits: {event: 1B}", &["1:17 bad-value"]);
    check_refused("limits: {event: 2MiB, request: 1MiB}", &["1:9 bad-value"]);
    check_refused("ansible: {playbook_command: ''}", &["1:29 bad-value"]);
    check_refused("ansible: {warm: 'yes'}", &["1:17 wrong-type"]);
    check_refused("ansible: {warm_max: 0}", &["1:21 bad-value"]);
    check_refused("ansible: {warm_idle: 1s}", &["1:22 bad-value"]);
    check_refused("log: {format: xml}", &["1:15 bad-value"]);
    check_refused("rules: []", &["1:1 unknown-key"]);
    check_refused("[]", &["1:1 wrong-type"]);
}

#[track_caller]
fn check_store(url: &str, expected: Result<&str, StoreUrlError>) {
    let found = url
        .parse::<StoreUrl>()
        .map(|store| store.path(Path::new("/project")).display().to_string());
    assert_eq!(expected.map(str::to_owned), found, "{url}");
}

#[test]
fn a_store_is_a_file() {
    check_store("sqlite:lariat.db", Ok("/project/lariat.db"));
    check_store("sqlite:data/x.db", Ok("/project/data/x.db"));
    check_store("sqlite:/var/x.db", Ok("/var/x.db"));
    check_store("sqlite:///var/x.db", Ok("/var/x.db"));
    check_store("sqlite::memory:", Err(StoreUrlError::NotAFile));
    check_store("sqlite:", Err(StoreUrlError::NotAFile));
    check_store("sqlite:dir/", Err(StoreUrlError::NotAFile));
    check_store("sqlite:x.db?mode=ro", Err(StoreUrlError::NotAFile));
    check_store("postgresql://x", Err(StoreUrlError::Later));
    check_store("mysql://x", Err(StoreUrlError::Form));
    check_store("", Err(StoreUrlError::Form));
}

#[test]
fn the_manual_names_every_key() {
    let manual = include_str!("../../../../docs/configuration.md");
    for key in [
        "listen",
        "store",
        "workers.concurrency",
        "workers.lease",
        "retention.events",
        "retention.output",
        "retention.dead",
        "retention.every",
        "limits.event",
        "limits.request",
        "limits.nesting",
        "limits.queue",
        "limits.streams",
        "ansible.playbook_command",
        "ansible.warm",
        "ansible.warm_max",
        "ansible.warm_idle",
        "log.format",
        "log.level",
        "kind",
        "url",
        "hosts",
        "username",
        "password",
        "auth",
        "tls.ca",
        "tls.cert",
        "tls.key",
        "heartbeat",
        "exchange",
        "queue",
        "queue.name",
        "queue.type",
        "queue.declare",
        "queue.durable",
        "queue.exclusive",
        "queue.auto_delete",
        "queue.arguments",
        "bindings",
        "format",
        "ack",
        "prefetch",
        "consumer_timeout",
        "takeover",
        "routing_key",
        "topic_prefix",
        "priority",
        "mandatory",
        "from",
        "to",
        "topics",
    ] {
        assert!(
            manual.contains(&format!("| `{key}` |")),
            "`{key}` is missing"
        );
    }
}

mod links;
