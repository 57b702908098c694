use model::event::{Event, Origin};
use serde_json::json;

use super::add;

fn event(body: serde_json::Value) -> Event {
    let (id, time) = crate::cases::usual();
    Event {
        id,
        topic: "org.example".parse().unwrap(),
        time,
        accepted: time,
        source: "api".to_owned(),
        severity: model::event::Severity::Info,
        headers: serde_json::Map::from_iter([("user".to_owned(), json!("x"))]),
        body,
        origin: Origin::open_http(),
        cause: None,
    }
}

#[track_caller]
fn check(path: &str, expected: Option<&str>) {
    let event = event(json!({"status": 1, "build": {"state": 2, "a-b": 3}, "list": [1], "id": 4}));
    for before in ["", "`key`: ", "step 0 (playbook): `vars`: `x`: "] {
        let text = format!("{before}`{path}` is undefined");
        let mut hinted = text.clone();
        add(&mut hinted, &event);
        match expected {
            Some(meant) => assert_eq!(format!("{text}; did you mean `{meant}`?"), hinted),
            None => assert_eq!(text, hinted),
        }
    }
}

#[test]
fn the_nearest_field_of_the_event_is_named() {
    check("event.body.stauts", Some("event.body.status"));
    check("msg.stauts", Some("msg.status"));
    check("msg.build.sate", Some("msg.build.state"));
    check("msg.biuld.state", Some("msg.build"));
    check("event.headers.usr", Some("event.headers.user"));
    check("msg.ID", Some("msg.id"));
}

#[test]
fn nothing_is_made_up() {
    for path in [
        "msg.zzzzzz",
        "msg.ib",
        "msg",
        "event",
        "event.body",
        "event.cause",
        "event.cause.hops",
        "rule",
        "job",
        "result.x",
        "msg.list.x",
        "msg.status.x",
        "msg[\"a\"]",
        "",
        ".",
    ] {
        check(path, None);
    }
    for text in ["", "` is undefined", "is undefined", "`msg.stauts` is odd"] {
        let mut hinted = text.to_owned();
        add(&mut hinted, &event(json!({"status": 1})));
        assert_eq!(text, hinted);
    }
}

#[test]
fn what_no_rule_could_write_is_not_suggested() {
    for name in [
        "sta\u{1b}tus",
        "sta tus",
        "status`",
        "sta\u{202e}tus",
        "sta.tus",
    ] {
        let mut text = "`msg.status` is undefined".to_owned();
        let fields = serde_json::Map::from_iter([(name.to_owned(), json!(1))]);
        add(&mut text, &event(serde_json::Value::Object(fields)));
        assert_eq!("`msg.status` is undefined", text, "{name:?}");
    }
    let long = "x".repeat(100);
    let mut text = format!("`msg.{long}` is undefined");
    let fields = serde_json::Map::from_iter([(format!("{long}{}", "y".repeat(10_000)), json!(1))]);
    add(&mut text, &event(serde_json::Value::Object(fields)));
    assert!(text.ends_with("is undefined"));
}

#[test]
fn a_body_with_very_many_fields_costs_little() {
    let fields = (0..100_000).map(|n| (format!("field{n}"), json!(n)));
    let body = serde_json::Value::Object(fields.collect());
    let mut text = "`msg.feild0` is undefined".to_owned();
    add(&mut text, &event(body));
    assert!(text.ends_with("did you mean `msg.field0`?"), "{text}");
}
