//! CloudEvents: what was read is written and read again as the same event,
//! under the same id.

use model::event::{Event, EventDraft, Origin};
use wire::{
    cloudevents::{encode, read_batch, read_structured},
    event_json::Limits,
};

/// Structured mode, and batches.
pub const SEEDS: &[&str] = &[
    r#"{"specversion": "1.0", "id": "1", "source": "/s", "type": "org.example.a", "data": {"n": 1.0}}"#,
    r#"{"specversion": "1.0", "id": "1", "source": "urn:x", "type": "a.b", "data_base64": "AAECAw==",
        "datacontenttype": "image/png", "time": "2026-01-02T03:04:05.678+02:00", "subject": "s",
        "ext1": 5, "ext2": true}"#,
    r#"[{"specversion": "1.0", "id": "1", "source": "s", "type": "a", "datacontenttype": "text/plain",
        "data": "text"}, {"specversion": "1.0", "id": "2", "source": "s", "type": "a"}]"#,
];

pub fn check(data: &[u8]) {
    let limits = Limits {
        event_bytes: 64 * 1024,
        events: 10,
        nesting: 16,
    };
    let origin = Origin::open_http();
    let structured = read_structured(data, &limits, &origin);
    let batch = read_batch(data, &limits, &origin);
    assert!(
        structured.is_err() || batch.is_err(),
        "it is one or the other"
    );
    for draft in structured.or(batch).into_iter().flatten() {
        let written = encode(&event(&draft)).to_string();
        let again = read_structured(written.as_bytes(), &Limits::default(), &origin);
        let again = again.unwrap_or_else(|refusal| panic!("{written}: {refusal:?}"));
        let [again] = again.as_slice() else {
            panic!("{written}: {again:?}");
        };
        assert_eq!(draft.id, again.id, "{written}");
        assert_eq!(draft.topic, again.topic, "{written}");
        assert_eq!(draft.body, again.body, "{written}");
        assert_eq!(draft.body.to_string(), again.body.to_string(), "{written}");
        // The time of acceptance may have come in addition.
        for (name, value) in &draft.headers {
            assert_eq!(Some(value), again.headers.get(name), "{name}: {written}");
        }
    }
}

/// As it would be accepted.
fn event(draft: &EventDraft) -> Event {
    let accepted = "2026-01-02T03:04:05Z".parse().expect("this is a time");
    Event {
        id: draft.id.clone().expect("a CloudEvent has an id"),
        topic: draft.topic.clone(),
        time: draft.time.unwrap_or(accepted),
        accepted,
        source: "api".to_owned(),
        severity: draft.severity,
        headers: draft.headers.clone(),
        body: draft.body.clone(),
        origin: draft.origin.clone(),
        cause: draft.cause.clone(),
    }
}
