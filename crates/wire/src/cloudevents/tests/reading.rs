//! What comes in.

use super::*;

#[track_caller]
fn bad(others: Value, expect: &[&str]) {
    let text = with(others).to_string();
    refused(structured(&text), RefusalKind::Invalid, expect);
}

#[track_caller]
fn body(others: Value, expect: Value) {
    let text = with(others).to_string();
    assert_eq!(expect, one(structured(&text)).body, "{text}");
}

#[track_caller]
fn binary_body(content_type: Option<&str>, data: &[u8], expect: Value) {
    assert_eq!(expect, one(binary(&[], content_type, data)).body);
}

#[test]
fn attributes_become_id_topic_time_and_headers() {
    let event = with(json!({
        "time": "2026-11-20T23:43:00.123456+01:00", "subject": "ü/1", "dataschema": "https://example.org/s#a",
        "datacontenttype": "application/json", "level": 3, "urgent": true, "traceparent": "00-ab",
        "nothing": null, "data": {"a": 1.10},
    }));
    let draft = one(structured(&event.to_string().replace("1.1}", "1.10}")));
    assert_eq!(
        "1@8e295f312d7e62d4db0ad6d62af01876",
        draft.id.unwrap().as_str()
    );
    assert_eq!("org.example.a", draft.topic.as_str());
    assert_eq!("2026-11-20T22:43:00.123Z", draft.time.unwrap().to_string());
    assert_eq!(
        json!({
            "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-time": "2026-11-20T23:43:00.123456+01:00",
            "ce-subject": "ü/1", "ce-dataschema": "https://example.org/s#a", "ce-datacontenttype": "application/json",
            "ce-level": 3, "ce-urgent": true, "ce-traceparent": "00-ab",
        }),
        Value::Object(draft.headers)
    );
    assert_eq!(r#"{"a":1.10}"#, draft.body.to_string());
}

#[test]
fn ids_of_two_sources_are_two_and_say_what_they_were() {
    // printf %s "$source" | sha256sum | cut -c -32
    assert_eq!(
        "order:7@b0880f5395fc806949a54d3f0f43e91f",
        event_id("https://shop.example.org/orders", "order:7").as_str()
    );
    // printf '%s\0%s' "$source" "$id" | sha256sum | cut -c -40
    assert_eq!(
        "ce:8fb9d5856d2cf6c3b2fef5f662d741e644f14860",
        event_id("/a", "order 7/ü").as_str()
    );
    assert_ne!(event_id("/a", "1"), event_id("/b", "1"));
    assert_ne!(event_id("/a", "order 7"), event_id("/b", "order 7"));
    let is_readable = |len: usize| event_id("/a", &"x".repeat(len)).as_str().starts_with("xxx");
    assert!(is_readable(167));
    assert!(!is_readable(168));
}

#[test]
fn everything_that_is_wrong_is_named() {
    bad(
        json!({"id": null}),
        &["0 id: every CloudEvent has `id`, and this has none"],
    );
    for name in ["specversion", "id", "source", "type"] {
        let expect = format!("0 {name}: is required and must not be empty");
        bad(json!({name: ""}), &[&expect]);
    }
    for name in ["subject", "time", "dataschema", "datacontenttype"] {
        let expect = format!("0 {name}: must not be empty; leave it out instead");
        bad(json!({name: ""}), &[&expect]);
    }
    bad(json!({"id": 7}), &["0 id: must be a string, not a number"]);
    bad(json!({"id": "a\nb"}), &[r"0 id: may not contain '\n'"]);
    bad(
        json!({"subject": "\u{ffff}"}),
        &[r"0 subject: may not contain '\u{ffff}'"],
    );
    bad(
        json!({"specversion": "0.3"}),
        &[r#"0 specversion: only version "1.0" of CloudEvents is read, not "0.3""#],
    );
    bad(
        json!({"source": "a b"}),
        &[r#"0 source: "a b" is no URI: ' ' has to be percent-encoded in one"#],
    );
    bad(
        json!({"source": "/100%"}),
        &[r#"0 source: "/100%" is no URI: `%` must be followed by two digits in one"#],
    );
    bad(
        json!({"type": "org/example"}),
        &[r#"0 type: the type becomes the topic: the word "org/example" may not contain '/'"#],
    );
    bad(
        json!({"type": "lariat.job.failed"}),
        &[
            "0 type: the type becomes the topic: topics that start with `lariat` are the engine's own",
        ],
    );
    bad(
        json!({"time": "yesterday"}),
        &[r#"0 time: "yesterday" is not an RFC 3339 time such as "2026-11-20T22:43:00Z""#],
    );
    bad(
        json!({"dataschema": "a"}),
        &[r#"0 dataschema: "a" is no absolute URI"#],
    );
    bad(
        json!({"datacontenttype": "json"}),
        &[r#"0 datacontenttype: "json" is no media type such as "application/json""#],
    );
    bad(
        json!({"Subject": "a", "a_b": 1, "deep": {}, "half": 1.5, "big": 2_147_483_648_u32}),
        &[
            r#"0 Subject: "Subject" is no name of an attribute, which are lower-case letters and digits"#,
            r#"0 a_b: "a_b" is no name of an attribute, which are lower-case letters and digits"#,
            "0 deep: must be a string, a boolean or an integer of 32 bits, not an object",
            r#"0 half: must be a string, a boolean or an integer of 32 bits, not "1.5""#,
            r#"0 big: must be a string, a boolean or an integer of 32 bits, not "2147483648""#,
        ],
    );
}

#[test]
fn data_becomes_the_body() {
    body(json!({}), Value::Null);
    body(json!({"data": null}), Value::Null);
    body(json!({"data": "text"}), json!("text"));
    body(json!({"data": [1]}), json!([1]));
    body(
        json!({"datacontenttype": "application/vnd.a+json; a=b", "data": 1.5}),
        json!(1.5),
    );
    body(
        json!({"datacontenttype": "TEXT/Plain", "data": "{}"}),
        json!("{}"),
    );
    body(
        json!({"data_base64": "AP8="}),
        json!({"data_base64": "AP8="}),
    );
    body(
        json!({"datacontenttype": "image/png", "data_base64": "YQ=="}),
        json!({"data_base64": "YQ=="}),
    );
    body(
        json!({"datacontenttype": "text/xml", "data_base64": "PGEvPg=="}),
        json!("<a/>"),
    );
    body(
        json!({"datacontenttype": "text/plain; charset=\"iso-8859-1\"", "data_base64": "YQ=="}),
        json!({"data_base64": "YQ=="}),
    );
    body(
        json!({"datacontenttype": "application/json", "data_base64": "eyJhIjoxfQ=="}),
        json!({"a": 1}),
    );
    bad(
        json!({"datacontenttype": "text/plain", "data": {}}),
        &[r#"0 data: must be a string where `datacontenttype` is "text/plain", not an object"#],
    );
    bad(
        json!({"data": 1, "data_base64": "YQ=="}),
        &["0 data_base64: an event has `data` or `data_base64`, not both"],
    );
    bad(
        json!({"data_base64": 1}),
        &["0 data_base64: must be a string, not a number"],
    );
    bad(
        json!({"data_base64": "a*"}),
        &["0 data_base64: is not base64: Invalid symbol 42, offset 1."],
    );
}

#[test]
fn json_inside_base64_has_the_same_limits() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let encoded = |text: &str| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        with(json!({"datacontenttype": "application/json", "data_base64": text})).to_string()
    };
    one(structured(&encoded(&nested(4))));
    refused(
        structured(&encoded(&nested(5))),
        RefusalKind::TooDeep,
        &["0 -: arrays and objects may lie 4 deep in each other, these lie deeper"],
    );
    refused(
        structured(&encoded(r#"{"a": 1, "a": 2}"#)),
        RefusalKind::Invalid,
        &[r#"0 a: the key "a" stands twice in one object"#],
    );
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let read = |value: Value| {
        let text = value.to_string();
        read_batch(text.as_bytes(), &limits(), &Origin::open_http())
    };
    assert_eq!(
        2,
        read(json!([with(json!({})), with(json!({"id": "2"}))]))
            .unwrap()
            .len()
    );
    assert!(read(json!([])).unwrap().is_empty());
    refused(
        read(json!([with(json!({})), with(json!({"source": null})), 7])),
        RefusalKind::Invalid,
        &[
            "1 source: every CloudEvent has `source`, and this has none",
            "2 -: a CloudEvent is an object, not a number",
        ],
    );
    refused(
        read(with(json!({}))),
        RefusalKind::Invalid,
        &["- -: a batch is an array of events"],
    );
    refused(
        structured("[]"),
        RefusalKind::Invalid,
        &["- -: this is an array; send it with `Content-Type: application/cloudevents-batch+json`"],
    );
    let many = vec![with(json!({})); 6];
    refused(
        read(json!(many)),
        RefusalKind::TooManyEvents,
        &["- -: a request may hold at most 5 events, this has 6"],
    );
}

#[test]
fn binary_mode_reads_headers() {
    let draft = one(binary(
        &[
            ("ce-subject", b"Euro%20%E2%82%AC%20%f0%9f%98%80"),
            ("ce-quoted", br#""say \"100%25\" \\ ""#),
            ("ce-raw", "ü".as_bytes()),
            ("ce-time", b"2026-11-20T22:43:00Z"),
            ("ce-level", b"3"),
        ],
        Some("application/json; charset=utf-8"),
        br#"{"a": [1]}"#,
    ));
    assert_eq!(json!({"a": [1]}), draft.body);
    assert_eq!("2026-11-20T22:43:00.000Z", draft.time.unwrap().to_string());
    let headers = Value::Object(draft.headers);
    assert_eq!("Euro € 😀", headers["ce-subject"]);
    assert_eq!(r#"say "100%" \ "#, headers["ce-quoted"]);
    assert_eq!("ü", headers["ce-raw"]);
    assert_eq!("3", headers["ce-level"]);
    assert_eq!(
        "application/json; charset=utf-8",
        headers["ce-datacontenttype"]
    );
}

#[test]
fn binary_mode_takes_any_data() {
    binary_body(None, b"", Value::Null);
    binary_body(Some("application/json"), b"", Value::Null);
    binary_body(None, b"{}", json!({"data_base64": "e30="}));
    binary_body(Some("text/plain"), "ü".as_bytes(), json!("ü"));
    binary_body(Some("text/plain"), b"\xff", json!({"data_base64": "/w=="}));
    binary_body(
        Some("application/atom+xml;charset=UTF-8"),
        b"<a/>",
        json!("<a/>"),
    );
    binary_body(
        Some("application/octet-stream"),
        b"a",
        json!({"data_base64": "YQ=="}),
    );
    binary_body(
        Some("application/json"),
        b" 1.50 ",
        serde_json::from_str("1.50").unwrap(),
    );
}

#[test]
fn bad_headers_are_named() {
    let bad = |headers: &[(&str, &[u8])], expect: &[&str]| {
        refused(binary(headers, None, b""), RefusalKind::Invalid, expect);
    };
    bad(
        &[("ce-id", b"1"), ("ce-id", b"2")],
        &["0 ce-id: the header stands twice"],
    );
    bad(
        &[("ce-subject", b"100%")],
        &["0 ce-subject: `%` must be followed by two digits; a `%` itself is sent as `%25`"],
    );
    bad(
        &[("ce-subject", b"%C0%A0")],
        &["0 ce-subject: byte 0 is not UTF-8"],
    );
    bad(
        &[("ce-subject", b"a\xe9")],
        &["0 ce-subject: byte 1 is not UTF-8"],
    );
    bad(
        &[("ce-subject", b"%0A")],
        &[r"0 ce-subject: may not contain '\n'"],
    );
    bad(
        &[("ce-subject", b"\"a")],
        &["0 ce-subject: a double quote is not closed"],
    );
    bad(
        &[("ce-a-b", b"1"), ("ce-", b"1")],
        &[
            r#"0 ce-a-b: "a-b" is no name of an attribute, which are lower-case letters and digits"#,
            r#"0 ce-: "" is no name of an attribute, which are lower-case letters and digits"#,
        ],
    );
    bad(
        &[("ce-datacontenttype", b"text/plain")],
        &["0 ce-datacontenttype: this attribute is the header `Content-Type`; leave `ce-` out"],
    );
    bad(
        &[("ce-data", b"1")],
        &["0 ce-data: the data is the body of the request"],
    );
    bad(
        &[("ce-source", b"")],
        &["0 ce-source: is required and must not be empty"],
    );
    refused(
        binary(&[], Some("nonsense"), b""),
        RefusalKind::Invalid,
        &[r#"0 Content-Type: "nonsense" is no media type such as "application/json""#],
    );
    refused(
        binary(&[], Some("application/json"), b"{"),
        RefusalKind::NotJson,
        &[
            "0 -: the data is JSON by its content type, and is not JSON: EOF while parsing an object at line 1 column 1",
        ],
    );
    refused(
        binary(&[], None, &[b'a'; 1_001]),
        RefusalKind::EventTooLarge,
        &["0 -: an event may have at most 1000 bytes, this has 1001"],
    );
}

#[test]
fn a_request_is_in_binary_mode_when_it_has_what_every_event_has() {
    assert!(is_binary(["accept", "ce-id"]));
    assert!(is_binary(["ce-specversion"]));
    assert!(!is_binary(["ce-subject", "ce-foo", "id", "x-ce-id"]));
}

proptest::proptest! {
    #[test]
    fn nothing_that_arrives_panics(text in ".{0,200}", bytes in proptest::collection::vec(0_u8..=255, 0..60)) {
        structured(&text).ok();
        binary(&[("ce-subject", &bytes)], Some(&text), &bytes).ok();
        binary(&[("ce-source", &bytes)], None, &bytes).ok();
    }
}
