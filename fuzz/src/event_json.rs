//! Event JSON: a body that is read and written again is the same, down to the
//! text of its numbers, and what is written is read again.

use model::event::Origin;
use serde_json::value::RawValue;
use wire::event_json::{Limits, read};

/// A request to the API.
pub const SEEDS: &[&str] = &[
    r#"{"topic": "org.example.a", "body": {"n": 1.0, "big": 12345678901234567890123, "e": 1E400}}"#,
    r#"[{"topic": "a", "body": [null, true, -0, "\u00e9\ud83d\ude00"]}, {"topic": "b"}]"#,
    r#"{"id": "x-1", "topic": "a.b", "time": "2026-01-02T03:04:05.678Z", "severity": "error",
        "headers": {"k": "v"}, "body": {"$x": {"": [[[0.10]]]}}}"#,
    r#"{"topic": "lariat.x", "body": {"a": 1, "a": 2}}"#,
];

pub fn check(data: &[u8]) {
    let limits = Limits {
        event_bytes: 64 * 1024,
        events: 10,
        nesting: 16,
    };
    let origin = Origin::open_http();
    let drafts = match read(data, &limits, &origin) {
        Ok(drafts) => drafts,
        Err(refusal) => {
            assert!(!refusal.problems.is_empty());
            return;
        }
    };
    let sent: Vec<&RawValue> = match serde_json::from_slice(data) {
        Ok(events) => events,
        Err(_) => vec![serde_json::from_slice(data).expect("what was read is JSON")],
    };
    assert_eq!(sent.len(), drafts.len());
    for (sent, draft) in sent.iter().zip(&drafts) {
        let written = draft.body.to_string();
        if let Some(body) = body(sent.get()) {
            assert_eq!(numbers(body), numbers(&written), "{body}");
        }
        // Not by `json!`, which reads numbers anew and writes `1E5` as `1e+5`.
        let topic = serde_json::Value::from(draft.topic.as_str());
        let event = format!(r#"{{"topic": {topic}, "body": {written}}}"#);
        let again = read(event.as_bytes(), &roomy(), &origin);
        let again = again.unwrap_or_else(|refusal| panic!("{event}: {refusal:?}"));
        assert_eq!(draft.body, again[0].body);
        assert_eq!(written, again[0].body.to_string());
    }
}

/// What was escaped on arrival may be longer as it is written.
fn roomy() -> Limits {
    Limits {
        nesting: 16,
        ..Limits::default()
    }
}

/// The text of the body of an event, as it was sent.
fn body(event: &str) -> Option<&str> {
    let fields: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(event).ok()?;
    fields.get("body").map(|body| body.get())
}

/// The texts of all numbers, in order.
fn numbers(json: &str) -> Vec<&str> {
    let bytes = json.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let is_part = |byte: &&u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let length = rest.iter().take_while(is_part).count();
                found.push(&json[at..at + length]);
                at += length;
            }
            _ => at += 1,
        }
    }
    found
}
