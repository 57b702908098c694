//! What came in goes out again as the same.

use super::*;

/// Members in any order.
#[track_caller]
fn same(others: Value) {
    let event = with(others);
    let out = encode(&accepted(one(structured(&event.to_string()))));
    assert_eq!(event, out);
}

/// As [`same`], for what is written otherwise than it came.
#[track_caller]
fn becomes(others: Value, expect: Value) {
    let out = encode(&accepted(one(structured(&with(others).to_string()))));
    assert_eq!(with(expect), out);
}

const TIME: &str = "2026-11-20T22:43:00.123456789+01:00";

#[test]
fn a_cloudevent_comes_out_as_it_went_in() {
    same(json!({"time": TIME}));
    same(json!({"time": TIME, "id": "ü 1", "source": "urn:x:y?z#a", "subject": "a b"}));
    same(
        json!({"time": TIME, "level": -3, "urgent": false, "text": "", "datacontenttype": "text/csv", "data": "a,b"}),
    );
    same(json!({"time": TIME, "datacontenttype": "application/json", "data": null}));
    same(
        json!({"time": TIME, "datacontenttype": "application/json", "data": {"data_base64": "YQ=="}}),
    );
    same(json!({"time": TIME, "dataschema": "https://example.org/a", "data_base64": "YQ=="}));
    same(json!({"time": TIME, "datacontenttype": "image/png", "data_base64": "AP8="}));
    same(json!({"time": TIME, "datacontenttype": "text/plain"}));
}

#[test]
fn what_was_implied_is_said() {
    becomes(
        json!({"time": TIME, "data": {"data_base64": "YQ=="}}),
        json!({"time": TIME, "datacontenttype": "application/json", "data": {"data_base64": "YQ=="}}),
    );
    becomes(json!({}), json!({"time": "2026-11-20T22:43:00.123Z"}));
    becomes(
        json!({"time": TIME, "datacontenttype": "application/json", "data_base64": "eyJhIjoxfQ=="}),
        json!({"time": TIME, "datacontenttype": "application/json", "data": {"a": 1}}),
    );
}

#[test]
fn a_binary_event_comes_out_structured() {
    let draft = one(binary(
        &[("ce-subject", b"a%20b"), ("ce-time", TIME.as_bytes())],
        Some("application/octet-stream"),
        b"\x00",
    ));
    assert_eq!(
        with(
            json!({"subject": "a b", "time": TIME, "datacontenttype": "application/octet-stream", "data_base64": "AA=="})
        ),
        encode(&accepted(draft))
    );
}

#[test]
fn an_event_of_our_own_says_where_it_is_from() {
    let mut event = accepted(one(structured(&with(json!({})).to_string())));
    event.id = "mine".parse().unwrap();
    event.headers = serde_json::from_value(json!({
        // Copied from another event: they are not this one's.
        "ce-id": "1", "ce-source": "/s", "ce-specversion": "9", "ce-datacontenttype": "image/png",
        "ce-subject": "kept", "ce-bad-name": 1, "ce-list": [], "ce-dataschema": "no uri", "other": true, "ce-data": 1,
    }))
    .unwrap();
    event.body = json!({"data_base64": "YQ=="});
    assert_eq!(
        json!({
            "specversion": "1.0", "id": "mine", "source": "urn:lariat:api", "type": "org.example.a",
            "time": "2026-11-20T22:43:00.123Z", "subject": "kept", "datacontenttype": "application/json",
            "data": {"data_base64": "YQ=="},
        }),
        encode(&event)
    );
}

#[test]
fn what_a_rule_says_about_an_event_is_another_event() {
    let event = accepted(one(structured(&with(json!({"subject": "a"})).to_string())));
    assert_eq!(
        json!({
            "specversion": "1.0", "id": "job-2", "source": "urn:lariat:rule:tell.them", "type": "org.example.a",
            "datacontenttype": "application/json", "data": {"ok": true},
        }),
        encode_about(
            &event,
            "job-2",
            &"tell.them".parse().unwrap(),
            &json!({"ok": true})
        )
    );
}
