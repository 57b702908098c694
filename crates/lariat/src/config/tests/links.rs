//! Sources, sinks and routes.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use bus::amqp::{Declare, HostPort, QueueKind, QueueSettings, Secret};
use model::{diagnostic::Level, link::AckMode};
use testkit::TempProject;
use wire::amqp::{Encoding, Format, HeaderValue};

use crate::config::{
    Loaded,
    connection::{Connection, Login, TlsFiles},
    parse,
    secret::SecretPlace,
    sink::{AmqpSink, Sink},
    source::{AmqpSource, Source},
};

fn loaded(text: &str) -> Loaded {
    parse(text, Path::new("/project"))
}

fn findings(loaded: &Loaded) -> Vec<String> {
    loaded
        .findings
        .iter()
        .map(|finding| format!("{}:{} {}", finding.line, finding.column, finding.code))
        .collect()
}

/// The keys of a source after `url`; the answer is the source.
#[track_caller]
fn source(keys: &str) -> AmqpSource {
    let text = format!("sources: {{s: {{kind: amqp, queue: q, url: {keys}}}}}");
    let loaded = loaded(&text);
    assert!(!loaded.has_errors(), "{:#?}", loaded.findings);
    match loaded.config.sources.into_iter().next() {
        Some(Source::Amqp(source)) => *source,
        None => panic!("there is no source in {text}"),
    }
}

/// The keys of a source, a line each; the findings are counted from there.
#[track_caller]
fn check_source(keys: &str, expected: &[&str]) {
    check("sources", keys, expected);
}

#[track_caller]
fn check_sink(keys: &str, expected: &[&str]) {
    check("sinks", keys, expected);
}

#[track_caller]
fn check(section: &str, keys: &str, expected: &[&str]) {
    let keys = keys.replace('\n', "\n    ");
    let loaded = loaded(&format!("{section}:\n  x:\n    {keys}\n"));
    let found: Vec<String> = loaded
        .findings
        .iter()
        .map(|finding| {
            format!(
                "{}:{} {}",
                finding.line - 2,
                finding.column - 4,
                finding.code
            )
        })
        .collect();
    assert_eq!(expected, found, "{:#?}", loaded.findings);
}

fn make_private(project: &TempProject, path: &str) {
    let mode = std::fs::Permissions::from_mode(0o600);
    fs_err::set_permissions(project.join(path), mode).unwrap();
}

#[test]
fn a_source_has_defaults() {
    let expected = AmqpSource {
        name: "s".parse().unwrap(),
        connection: Connection {
            hosts: vec![HostPort {
                host: "h".to_owned(),
                port: 5672,
            }],
            vhost: "/".to_owned(),
            login: Login::Plain {
                username: "guest".to_owned(),
                password: SecretPlace::Inline(Secret::new("guest")),
            },
            tls: None,
            heartbeat: Duration::from_secs(10),
        },
        exchange: "amq.topic".to_owned(),
        queue: QueueSettings::named("q"),
        bindings: Vec::new(),
        format: Format::FedoraMessaging,
        ack: AckMode::Stored,
        prefetch: 1000,
        consumer_timeout: Duration::from_secs(1800),
        takeover: Duration::ZERO,
    };
    assert_eq!(expected, source("'amqp://h'"));
}

#[test]
fn every_key_of_a_source_is_read() {
    let project = TempProject::new(&[("ca", ""), ("cert", ""), ("key", ""), ("secret", "")]);
    make_private(&project, "key");
    make_private(&project, "secret");
    let text = "
workers: {concurrency: 7, lease: 60s}
sources:
  s:
    kind: amqp
    url: amqps://h/%2Fpubsub
    hosts: [i, 'j:1', '[::1]:2']
    username: me
    password: {file: secret}
    auth: plain
    tls: {ca: ca, cert: cert, key: key}
    exchange: events
    queue:
      name: work
      type: classic
      durable: false
      exclusive: false
      auto_delete: true
      arguments: {x-max-length: 5, x-overflow: reject-publish, x-single-active-consumer: true}
    bindings: ['a.#', b]
    format: serializer
    ack: done
    heartbeat: 5s
    consumer_timeout: 1h
";
    let loaded = parse(text, project.path());
    assert!(loaded.findings.is_empty(), "{:#?}", loaded.findings);
    let host = |host: &str, port| HostPort {
        host: host.to_owned(),
        port,
    };
    let expected = AmqpSource {
        name: "s".parse().unwrap(),
        connection: Connection {
            hosts: vec![
                host("h", 5671),
                host("i", 5671),
                host("j", 1),
                host("::1", 2),
            ],
            vhost: "/pubsub".to_owned(),
            login: Login::Plain {
                username: "me".to_owned(),
                password: SecretPlace::File("secret".into()),
            },
            tls: Some(TlsFiles {
                ca: Some("ca".into()),
                identity: Some(("cert".into(), "key".into())),
            }),
            heartbeat: Duration::from_secs(5),
        },
        exchange: "events".to_owned(),
        queue: QueueSettings {
            name: "work".to_owned(),
            kind: QueueKind::Classic,
            declare: Declare::Auto,
            durable: false,
            exclusive: false,
            auto_delete: true,
            arguments: [
                ("x-max-length", HeaderValue::Integer(5)),
                ("x-overflow", HeaderValue::Text(b"reject-publish".to_vec())),
                ("x-single-active-consumer", HeaderValue::Bool(true)),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        },
        bindings: vec!["a.#".to_owned(), "b".to_owned()],
        format: Format::Serializer,
        ack: AckMode::Done,
        prefetch: 7,
        consumer_timeout: Duration::from_secs(3600),
        takeover: Duration::from_secs(40),
    };
    assert_eq!(
        vec![Source::Amqp(Box::new(expected))],
        loaded.config.sources
    );
}

#[test]
fn who_we_are_is_told_in_several_ways() {
    let login = |keys: &str| source(keys).connection.login;
    let plain = |username: &str, password: SecretPlace| Login::Plain {
        username: username.to_owned(),
        password,
    };
    let inline = |text: &str| SecretPlace::Inline(Secret::new(text));
    assert_eq!(plain("a", inline("b")), login("'amqp://a:b@h'"));
    assert_eq!(plain("a", inline("")), login("'amqp://a:@h'"));
    assert_eq!(plain("a", inline("")), login("'amqp://a@h', password: ''"));
    let variable = SecretPlace::Variable("P".to_owned());
    assert_eq!(
        plain("a", variable),
        login("'amqp://h', username: a, password: {env: P}")
    );
    let credential = SecretPlace::Credential("c".to_owned());
    assert_eq!(
        plain("a", credential),
        login("'amqp://a@h', password: {credential: c}")
    );
    let command = SecretPlace::Command(vec!["x".to_owned(), "y".to_owned()]);
    assert_eq!(
        plain("a", command),
        login("'amqp://a@h', password: {command: [x, y]}")
    );
    let tls = "tls: {cert: c, key: k}";
    assert_eq!(Login::External, login(&format!("'amqps://a@h', {tls}")));
    assert_eq!(
        Login::External,
        login(&format!("'amqps://fedora:@h', {tls}"))
    );
    let both = format!("'amqps://a@h', {tls}, auth: plain, password: ''");
    assert_eq!(plain("a", inline("")), login(&both));
}

#[test]
fn takeover_is_zero_or_longer_than_a_lease_outlives_its_renewal() {
    let takeover = |keys: &str| source(&format!("'amqp://h', ack: done{keys}")).takeover;
    assert_eq!(Duration::from_secs(20), takeover(""));
    assert_eq!(Duration::from_secs(60), takeover(", heartbeat: 30s"));
    assert_eq!(Duration::ZERO, takeover(", takeover: 0s"));
    assert_eq!(Duration::from_secs(25), takeover(", takeover: 25s"));
    let keys = "kind: amqp\nurl: amqp://h\nqueue: q\nack: done\ntakeover: 19s";
    check_source(keys, &["5:11 bad-value"]);
    let keys = "kind: amqp\nurl: amqp://h\nqueue: q\ntakeover: 30s";
    check_source(keys, &["4:11 bad-value"]);
}

#[test]
fn everything_that_is_wrong_with_a_source_is_reported_at_once() {
    let keys = "kind: amqp
url: amqp://h?heartbeat=5
hosts: ['a b', 'amqp://x']
username: 5
password: {fil: x}
auth: digest
tls: {cert: c}
exchange: 7
queue: {type: stream, arguments: {x: []}}
bindings: [1]
format: fedmsg
ack: early
prefetch: 0
heartbeat: 1ms
consumer_timeout: 1s
takeovr: 1s";
    check_source(
        keys,
        &[
            "2:6 bad-value",
            "4:11 wrong-type",
            "5:12 unknown-key",
            "6:7 bad-value",
            "7:6 missing-key",
            "7:13 missing-file",
            "8:11 wrong-type",
            "9:8 missing-key",
            "9:15 bad-value",
            "9:35 bad-value",
            "10:12 wrong-type",
            "11:9 bad-value",
            "12:6 bad-value",
            "13:11 bad-value",
            "14:12 bad-value",
            "15:19 bad-value",
            "16:1 unknown-key",
        ],
    );
}

#[test]
fn what_does_not_go_together_is_refused() {
    let with = |keys: &str| format!("kind: amqp\nqueue: q\nurl: {keys}");
    check_source(
        &with("amqp://h\nhosts: ['a b', 'amqp://x']"),
        &["4:9 bad-value", "4:16 bad-value"],
    );
    check_source(&with("amqp://h\ntls: {}"), &["4:6 bad-value"]);
    check_source(&with("amqps://h\nauth: external"), &["4:7 bad-value"]);
    check_source(&with("amqp://a@h"), &["3:6 missing-key"]);
    check_source(&with("amqp://h\npassword: {env: P}"), &["3:6 missing-key"]);
    check_source(
        &with("amqp://a:b@h\nusername: a\npassword: {env: P}"),
        &["4:11 bad-value", "5:11 bad-value"],
    );
    check_source(
        &with("amqp://a@h\npassword: {env: P, file: f}"),
        &["4:11 bad-value", "4:26 missing-file"],
    );
    check_source(
        &with("amqp://h\nexchange: ''\nbindings: [a]"),
        &["4:11 bad-value"],
    );
    check_source(&with("amqp://h\nbindings: [a, a]"), &["4:15 bad-value"]);
    let queue = |keys: &str| format!("kind: amqp\nurl: amqp://h\nack: done\nqueue: {keys}");
    check_source(
        &queue("{name: q, declare: passive, type: quorum}"),
        &["4:42 bad-value"],
    );
    check_source(
        &queue("{name: q, type: quorum, durable: false}"),
        &["4:24 bad-value"],
    );
    check_source(&queue("''"), &["4:8 bad-value"]);
    check_source(&queue("{name: q, exclusive: true}"), &["4:8 bad-value"]);
    check_source(&queue("amq.gen-x"), &["4:8 bad-value"]);
}

#[test]
fn names_are_checked() {
    let text = "sources:\n  api: {kind: amqp, url: amqp://h, queue: a}\n  a.b: {kind: amqp, url: amqp://h, queue: b}\nsinks: {'': {kind: amqp, url: amqp://h}}\n";
    let expected = ["2:3 bad-value", "3:3 bad-value", "4:9 bad-value"];
    assert_eq!(expected, *findings(&loaded(text)));
}

#[test]
fn two_sources_do_not_share_a_queue() {
    let text = "sources:\n  a: {kind: amqp, url: amqp://h, queue: q}\n  b: {kind: amqp, url: 'amqp://i', hosts: h, queue: q}\n  c: {kind: amqp, url: amqp://h/v, queue: q}\n";
    assert_eq!(["3:53 bad-value"], *findings(&loaded(text)));
}

#[test]
fn kinds_of_a_later_version_say_so() {
    for kind in ["fedmsg", "webhook", "schedule", "celery"] {
        // Its keys are not known here.
        check_source(&format!("kind: {kind}\ncron: x"), &["1:7 later-version"]);
        check_sink(&format!("kind: {kind}"), &["1:7 later-version"]);
    }
    check_source("kind: ampq", &["1:7 bad-value"]);
    check_source("url: amqp://h", &["1:1 missing-key"]);
}

#[test]
fn a_sink_publishes_to_an_exchange_or_to_a_queue() {
    let sink = |keys: &str| {
        let loaded = loaded(&format!(
            "sinks: {{s: {{kind: amqp, url: 'amqp://h'{keys}}}}}"
        ));
        assert!(loaded.findings.is_empty(), "{:#?}", loaded.findings);
        match loaded.config.sinks.into_iter().next() {
            Some(Sink::Amqp(sink)) => *sink,
            None => panic!("there is no sink"),
        }
    };
    let AmqpSink {
        name,
        connection: _,
        encoding,
        queue,
        mandatory,
    } = sink("");
    let plain = Encoding {
        format: Format::FedoraMessaging,
        exchange: "amq.topic".to_owned(),
        routing_key: None,
        topic_prefix: None,
        priority: None,
    };
    assert_eq!(("s", &plain), (name.as_str(), &encoding));
    assert_eq!((None, false), (queue, mandatory));

    let exchange = sink(", exchange: e, topic_prefix: a.b, priority: 0, mandatory: true");
    let expected = Encoding {
        exchange: "e".to_owned(),
        topic_prefix: Some("a.b".to_owned()),
        priority: Some(0),
        ..plain.clone()
    };
    assert_eq!((&expected, true), (&exchange.encoding, exchange.mandatory));

    let queue = sink(", queue: work, format: serializer");
    let expected = Encoding {
        format: Format::Serializer,
        exchange: String::new(),
        routing_key: Some("work".to_owned()),
        ..plain
    };
    assert_eq!(expected, queue.encoding);
    assert_eq!(Some(QueueSettings::named("work")), queue.queue);
}

#[test]
fn what_a_sink_cannot_be_is_refused() {
    let with = |keys: &str| format!("kind: amqp\nurl: amqp://h\n{keys}");
    check_sink(&with("queue: q\nexchange: e"), &["4:11 bad-value"]);
    check_sink(&with("queue: ''"), &["3:8 bad-value"]);
    check_sink(
        &with("routing_key: k\ntopic_prefix: p"),
        &["4:15 bad-value"],
    );
    check_sink(&with("topic_prefix: a..b"), &["3:15 bad-value"]);
    check_sink(&with("priority: 256"), &["3:11 bad-value"]);
    check_sink(&with("bindings: [a]"), &["3:1 unknown-key"]);
}

#[test]
fn a_route_names_what_is_there() {
    let links = "sources: {fedora: {kind: amqp, url: amqp://h, queue: q}}\nsinks: {bus: {kind: amqp, url: amqp://h}}\n";
    let good = loaded(&format!(
        "{links}routes: [{{from: fedora, to: bus, topics: 'a.#'}}, {{from: api, to: bus}}]"
    ));
    assert!(good.findings.is_empty(), "{:#?}", good.findings);
    let shown: Vec<String> = good
        .config
        .routes
        .iter()
        .map(|route| format!("{} {} {:?}", route.from, route.to, route.topics.len()))
        .collect();
    assert_eq!(["fedora bus 1", "api bus 1"], *shown);
    assert_eq!("#", good.config.routes[1].topics[0].to_string());

    let bad = loaded(&format!(
        "{links}routes:\n- {{from: fedra, to: buss, topics: [a..b]}}\n- {{to: x}}\n- {{from: api, to: bus, topics: []}}\n- {{from: api, to: bus, when: x}}\n"
    ));
    let expected = [
        "4:10 unknown-source",
        "4:21 unknown-sink",
        "4:36 bad-pattern",
        "5:3 missing-key",
        "5:8 unknown-sink",
        "6:32 bad-value",
        "7:24 unknown-key",
    ];
    assert_eq!(expected, *findings(&bad));
    assert_eq!(
        Some("did you mean `fedora`?"),
        bad.findings[0].hint.as_deref()
    );
    assert_eq!(Some("did you mean `bus`?"), bad.findings[1].hint.as_deref());
}

#[test]
fn only_names_that_can_be_used_are_suggested() {
    let text = "sources: {api: 1, 'bad name!': 2, fedora: 3}\nroutes: [{from: elsewhere, to: x}]\n";
    let bad = loaded(text);
    let unknown = bad.findings.iter().find(|it| it.code == "unknown-source");
    let hint = unknown.and_then(|it| it.hint.as_deref());
    assert_eq!(Some("there are: `fedora`, `api`"), hint);
}

#[test]
fn a_link_that_is_wrong_still_has_its_name() {
    let text = "sources: {a: {kind: amqp}}\nsinks: {b: 5}\nroutes: [{from: a, to: b}]\n";
    let expected = ["1:14 missing-key", "1:14 missing-key", "2:12 wrong-type"];
    assert_eq!(expected, *findings(&loaded(text)));
}

#[test]
fn a_password_in_the_project_is_worth_a_warning_and_not_shown() {
    let loaded = loaded("sources: {s: {kind: amqp, queue: q, url: 'amqp://u:hunter2@h'}}");
    let finding = &loaded.findings[0];
    assert_eq!(1, loaded.findings.len());
    assert_eq!(Level::Warning, finding.level);
    assert_eq!("exposed-secret", finding.code);
    assert!(finding.source.contains("u:*******@h"), "{}", finding.source);
    let all = format!("{loaded:?}");
    assert!(!all.contains("hunter2"), "{all}");
}

#[test]
fn a_secret_that_all_can_read_is_worth_a_warning() {
    let project = TempProject::new(&[("open", "x"), ("closed", "x")]);
    make_private(&project, "closed");
    let check = |file: &str, expected: &[&str]| {
        let text = format!(
            "sources: {{s: {{kind: amqp, queue: q, url: 'amqp://u@h', password: {{file: {file}}}}}}}"
        );
        let loaded = parse(&text, project.path());
        assert!(!loaded.has_errors(), "{:#?}", loaded.findings);
        let codes: Vec<&str> = loaded
            .findings
            .iter()
            .map(|finding| &*finding.code)
            .collect();
        assert_eq!(expected, codes);
    };
    check("open", &["exposed-secret"]);
    check("closed", &[]);
    check("none", &["missing-file"]);
}
