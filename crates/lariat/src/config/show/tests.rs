//! What is shown is what is in force, where it is said, and what the manual
//! says.

use std::{collections::BTreeMap, path::Path};

use rules::yaml::parse_duration;
use serde_json::{Value, json};

use super::{Origin, Over, Setting, written};
use crate::config::parse;

const MANUAL: &str = include_str!("../../../../../docs/configuration.md");

fn show(text: &str, over: Over<'_>) -> BTreeMap<String, Setting> {
    let loaded = parse(text, Path::new("/project"));
    assert!(!loaded.has_errors(), "{:#?}", loaded.findings);
    let settings = written(&loaded.config, text, over);
    let named = settings.into_iter().map(|one| (one.key.clone(), one));
    named.collect()
}

#[track_caller]
fn check(text: &str, key: &str, value: Value, origin: Origin) {
    let found = show(text, Over::default());
    let setting = found.get(key).unwrap_or_else(|| panic!("no `{key}`"));
    assert_eq!((&value, origin), (&setting.value, setting.origin), "{key}");
}

const LINKS: &str = "
sources:
  fedora:
    kind: amqp
    url: amqps://lariat@rabbit.example.org/%2Fpubsub
    password: {command: [pass, show, hunter2]}
    queue: q
  local: {kind: amqp, url: amqp://u:hunter2@localhost, queue: {name: r, type: classic}}
sinks:
  bus: {kind: amqp, url: amqp://localhost, exchange: events}
routes:
  - {from: api, to: bus}
  - from: fedora
    to: bus
    topics: 'a.#'
";

#[test]
fn a_value_comes_from_its_line_or_is_the_default() {
    check(
        "workers:\n  lease: 60s\n",
        "workers.lease",
        json!("1m"),
        Origin::File(2),
    );
    check(
        "workers:\n  lease: 60s\n",
        "workers.concurrency",
        json!(4),
        Origin::Default,
    );
    check("", "limits.event", json!("1MiB"), Origin::Default);
    check(
        "limits: {event: 1500B}",
        "limits.event",
        json!("1500B"),
        Origin::File(1),
    );
}

#[test]
fn a_link_is_shown_key_by_key() {
    let fedora = |key: &str| format!("sources.fedora.{key}");
    let url = json!("amqps://rabbit.example.org:5671/%2Fpubsub");
    check(LINKS, &fedora("url"), url, Origin::File(5));
    check(LINKS, &fedora("username"), json!("lariat"), Origin::File(5));
    check(LINKS, &fedora("queue.name"), json!("q"), Origin::File(7));
    check(
        LINKS,
        &fedora("queue.type"),
        json!("quorum"),
        Origin::Default,
    );
    check(LINKS, &fedora("heartbeat"), json!("10s"), Origin::Default);
    check(
        LINKS,
        "sources.local.queue.type",
        json!("classic"),
        Origin::File(8),
    );
    check(LINKS, "sinks.bus.username", json!("guest"), Origin::Default);
    check(
        LINKS,
        "sinks.bus.exchange",
        json!("events"),
        Origin::File(10),
    );
    check(LINKS, "routes.0.topics", json!(["#"]), Origin::Default);
    check(LINKS, "routes.1.topics", json!(["a.#"]), Origin::File(15));
}

#[test]
fn no_secret_is_shown() {
    let found = show(LINKS, Over::default());
    let text = format!("{found:?}");
    assert!(!text.contains("hunter2"), "{text}");
    let password = &found["sources.local.password"];
    assert_eq!(
        (&json!("[secret]"), Origin::File(8)),
        (&password.value, password.origin)
    );
}

#[test]
fn flags_and_variables_go_before_the_file() {
    let store = "sqlite:/tmp/x.db".parse().unwrap();
    let over = Over {
        listen: Some("127.0.0.1:1".parse().unwrap()),
        store: Some(&store),
        log: Some("engine=debug"),
    };
    let found = show("listen: 127.0.0.1:2\nlog: {level: warn}\n", over);
    for (key, value, origin) in [
        ("listen", "127.0.0.1:1", Origin::CommandLine),
        ("store", "sqlite:/tmp/x.db", Origin::CommandLine),
        ("log.level", "engine=debug", Origin::Environment),
    ] {
        let setting = &found[key];
        assert_eq!((&json!(value), origin), (&setting.value, setting.origin));
    }
}

/// Keys and defaults of the table below this line of the manual.
fn documented(below: &str) -> Vec<(String, String)> {
    let lines = MANUAL.lines().skip_while(|line| !line.starts_with(below));
    let table = lines
        .skip_while(|line| !line.starts_with("| key |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    table
        .flat_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            // Keys that belong together share a row.
            let keys = cells[1].split(", ").map(|key| key.trim_matches('`'));
            keys.map(|key| (key.to_owned(), cells[2].to_owned()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The manual's way of saying that there is nothing, or the value itself.
fn is_said(cell: &str, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => return cell == "none" || cell == "the topic" || cell == "the system's",
        Value::Array(items) if items.is_empty() => return cell == "none",
        Value::Object(entries) if entries.is_empty() => return cell == "none",
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    let word = cell.split('`').nth(1).unwrap_or_default();
    let is_same_time = match (parse_duration(word), parse_duration(&text)) {
        (Ok(said), Ok(shown)) => said == shown,
        (_, _) => false,
    };
    word == text || is_same_time
}

#[test]
fn the_manual_has_every_key_with_its_default() {
    let shown = show("", Over::default());
    let documented = documented("# Configuration");
    let keys: Vec<&String> = documented.iter().map(|(key, _)| key).collect();
    for (key, setting) in &shown {
        assert!(keys.contains(&key), "`{key}` is missing in the manual");
        let (_, cell) = documented.iter().find(|(said, _)| said == key).unwrap();
        assert!(
            is_said(cell, &setting.value),
            "`{key}`: {cell}, {setting:?}"
        );
    }
    for key in keys {
        assert!(shown.contains_key(key), "`{key}` is no key");
    }
}

#[test]
fn the_manual_has_every_key_of_sources_and_sinks() {
    let text = "
sources: {one: {kind: amqp, url: amqps://localhost, queue: q}}
sinks: {one: {kind: amqp, url: amqps://localhost}, two: {kind: amqp, url: amqp://x, queue: q}}
";
    let shown = show(text, Over::default());
    let sources = documented("## Sources");
    let mut sinks = documented("## Sinks");
    sinks.extend(sources.clone());
    for (key, setting) in &shown {
        let (documented, inner) = match key.split('.').collect::<Vec<_>>().as_slice() {
            ["sources", _, rest @ ..] => (&sources, rest.join(".")),
            ["sinks", _, rest @ ..] => (&sinks, rest.join(".")),
            _ => continue,
        };
        let found = documented.iter().find(|(said, _)| *said == inner);
        let (_, cell) = found.unwrap_or_else(|| panic!("`{key}` is missing in the manual"));
        // What is shown as a secret, or depends on other keys, is told in words.
        let is_literal = setting.origin == Origin::Default && inner != "password";
        if is_literal && !["takeover", "auth"].contains(&inner.as_str()) {
            assert!(
                is_said(cell, &setting.value),
                "`{key}`: {cell}, {setting:?}"
            );
        }
    }
    for (key, _) in &sources {
        let is_shown = shown.contains_key(&format!("sources.one.{key}"));
        assert!(is_shown || key == "queue", "`{key}` is not shown");
    }
}
