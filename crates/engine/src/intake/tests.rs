//! Which events are judged beside the other work.

use model::event::Event;
use serde_json::{Value, json};
use testkit::contract::build;

use super::{BYTES_IN_PLACE, are_large};

fn events(bodies: &[Value]) -> Vec<Event> {
    let event = |body: &Value| Event {
        body: body.clone(),
        ..build::event("2026-1", model::clock::Timestamp::from_millis(0))
    };
    bodies.iter().map(event).collect()
}

#[test]
fn what_is_large_counts_in_all() {
    let text = |bytes: usize| Value::from("a".repeat(bytes));
    for (bodies, expect) in [
        (
            vec![json!({"status": "success", "count": 12, "tags": [true, null]})],
            false,
        ),
        (vec![text(BYTES_IN_PLACE - 100)], false),
        (vec![text(BYTES_IN_PLACE + 1)], true),
        (
            vec![text(BYTES_IN_PLACE / 2), text(BYTES_IN_PLACE / 2)],
            true,
        ),
        (
            vec![json!({"log": {"lines": [text(10_000), text(10_000)]}})],
            true,
        ),
        (vec![Value::Array(vec![Value::Null; BYTES_IN_PLACE])], true),
        (vec![json!({"a".repeat(BYTES_IN_PLACE): 1})], true),
    ] {
        assert_eq!(expect, are_large(&events(&bodies)), "{}", bodies.len());
    }
    let mut headed = events(&[Value::Null]);
    headed[0]
        .headers
        .insert("x".to_owned(), text(BYTES_IN_PLACE));
    assert!(are_large(&headed));
}
