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
    let event = event(json!({"status": 1, "build": {"state": 2, "a-b": 3}, "list": [1]}));
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
    check("event.topc", Some("event.topic"));
    check("event.status", Some("event.body.status"));
}

#[test]
fn nothing_is_made_up() {
    for path in [
        "msg.zzzzzz",
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
fn a_body_with_very_many_fields_costs_little() {
    let fields = (0..100_000).map(|n| (format!("field{n}"), json!(n)));
    let body = serde_json::Value::Object(fields.collect());
    let mut text = "`msg.feild0` is undefined".to_owned();
    add(&mut text, &event(body));
    assert!(text.ends_with("did you mean `msg.field0`?"), "{text}");
}
