use model::event::{Event, EventDraft, Origin};
use serde_json::{Value, json};

use super::{
    Binary, encode, encode_about, event_id, is_binary, read_batch, read_binary, read_structured,
};
use crate::event_json::{Limits, Refusal, RefusalKind};

mod reading;
mod round_trip;

fn limits() -> Limits {
    Limits {
        event_bytes: 1_000,
        events: 5,
        nesting: 4,
    }
}

fn structured(text: &str) -> Result<Vec<EventDraft>, Refusal> {
    read_structured(text.as_bytes(), &limits(), &Origin::open_http())
}

/// The required attributes of a CloudEvent with others in their place or
/// beside them; `null` takes one away.
fn with(others: Value) -> Value {
    let mut event =
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "org.example.a"});
    for (name, value) in others.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

/// What is sent in binary mode with the required attributes.
fn binary(
    headers: &[(&str, &[u8])],
    content_type: Option<&str>,
    data: &[u8],
) -> Result<Vec<EventDraft>, Refusal> {
    let required: [(&str, &[u8]); 4] = [
        ("ce-specversion", b"1.0"),
        ("ce-id", b"1"),
        ("ce-source", b"/s"),
        ("ce-type", b"org.example.a"),
    ];
    let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
    let headers: Vec<(String, Vec<u8>)> = required
        .iter()
        .filter(|(name, _)| !is_given(name))
        .chain(headers)
        .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
        .collect();
    let request = Binary {
        content_type: content_type.map(str::as_bytes),
        headers: &headers,
        data,
    };
    read_binary(request, &limits(), &Origin::open_http())
}

fn one(drafts: Result<Vec<EventDraft>, Refusal>) -> EventDraft {
    let drafts = drafts.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert_eq!(1, drafts.len());
    drafts.into_iter().next().unwrap()
}

/// Problems as `index field: message`, with `-` for what is absent.
#[track_caller]
fn refused(read: Result<Vec<EventDraft>, Refusal>, kind: RefusalKind, expect: &[&str]) {
    let refusal = read.expect_err("it is refused");
    let shown: Vec<String> = refusal
        .problems
        .iter()
        .map(|problem| {
            let index = problem
                .index
                .map_or("-".to_owned(), |index| index.to_string());
            let field = problem.field.as_deref().unwrap_or("-");
            format!("{index} {field}: {}", problem.message)
        })
        .collect();
    assert_eq!(expect, shown);
    assert_eq!(kind, refusal.kind);
}

/// The event that a draft becomes.
fn accepted(draft: EventDraft) -> Event {
    let now = "2026-11-20T22:43:00.123Z".parse().unwrap();
    Event {
        id: draft.id.unwrap(),
        topic: draft.topic,
        time: draft.time.unwrap_or(now),
        accepted: now,
        source: "api".to_owned(),
        severity: draft.severity,
        headers: draft.headers,
        body: draft.body,
        origin: draft.origin,
        cause: draft.cause,
    }
}
