use model::event::{EventDraft, Origin};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Limits, Refusal, RefusalKind, read};

fn limits() -> Limits {
    Limits {
        event_bytes: 400,
        events: 5,
        nesting: 4,
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<EventDraft>, Refusal> {
    read(bytes, &limits(), &Origin::open_http())
}

#[track_caller]
fn check(text: &str, kind: RefusalKind, expect: &[&str]) {
    check_bytes(text.as_bytes(), kind, expect);
}

/// Problems are written `index field: message`, with `-` for what is absent.
#[track_caller]
fn check_bytes(bytes: &[u8], kind: RefusalKind, expect: &[&str]) {
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let refusal = parse(bytes).expect_err(&shown);
    let problems: Vec<String> = refusal
        .problems
        .iter()
        .map(|problem| {
            format!(
                "{} {}: {}",
                problem
                    .index
                    .map_or("-".to_owned(), |index| index.to_string()),
                problem.field.as_deref().unwrap_or("-"),
                problem.message
            )
        })
        .collect();
    assert_eq!(expect, problems, "{shown}");
    assert_eq!(kind, refusal.kind, "{shown}");
}

#[track_caller]
fn check_accepted(text: &str, expect: Value) {
    let drafts = parse(text.as_bytes()).expect(text);
    let shown: Vec<Value> = drafts.iter().map(show).collect();
    assert_eq!(expect, Value::Array(shown), "{text}");
}

fn show(draft: &EventDraft) -> Value {
    json!({
        "id": draft.id,
        "topic": draft.topic,
        "time": draft.time,
        "severity": draft.severity,
        "headers": draft.headers,
        "body": draft.body,
    })
}

#[test]
fn one_event_or_an_array_is_read() {
    let plain = json!({"id": null, "topic": "a.b", "time": null, "severity": "info", "headers": {}, "body": {}});
    check_accepted(r#"{"topic": "a.b"}"#, json!([plain]));
    check_accepted(
        "\r\n\t [{\"topic\": \"a.b\"}, {\"topic\":\"a.b\"}] \n",
        json!([plain, plain]),
    );
    check_accepted(
        r#"{"topic": "a", "id": "2026-1:x@y_z", "time": "2026-11-20T23:43:00.1239+01:00",
            "severity": "error", "headers": {"h": [1]}, "body": null}"#,
        json!([{"id": "2026-1:x@y_z", "topic": "a", "time": "2026-11-20T22:43:00.123Z",
            "severity": "error", "headers": {"h": [1]}, "body": null}]),
    );
    check_accepted(
        r#"{"topic": "a", "body": [[["4 deep"], {}], "[[[[[[[[["]}"#,
        json!([{"id": null, "topic": "a", "time": null, "severity": "info", "headers": {},
            "body": [[["4 deep"], {}], "[[[[[[[[["]}]),
    );
}

#[test]
fn numbers_keep_their_text() {
    let text = r#"{"topic":"a","body":[1.0,1e2,1E+2,-0,0.10,123456789012345678901234567890.123456789,1e400]}"#;
    let drafts = parse(text.as_bytes()).unwrap();
    assert_eq!(
        "[1.0,1e2,1E+2,-0,0.10,123456789012345678901234567890.123456789,1e400]",
        drafts[0].body.to_string()
    );
}

#[test]
fn what_is_not_json_is_refused() {
    use RefusalKind::NotJson;
    check("", NotJson, &["- -: there is no event in the request"]);
    check(" \n ", NotJson, &["- -: there is no event in the request"]);
    check(
        "{",
        NotJson,
        &["- -: not JSON: EOF while parsing an object at line 1 column 1"],
    );
    check(
        r#"{"topic": "a"} x"#,
        NotJson,
        &["- -: not JSON: trailing characters at line 1 column 16"],
    );
    check(
        r#"{"topic": "a"}{"topic": "b"}"#,
        NotJson,
        &["- -: not JSON: trailing characters at line 1 column 15"],
    );
    check(
        r#"{"topic": "a", "body": NaN}"#,
        NotJson,
        &["- -: not JSON: expected value at line 1 column 24"],
    );
    check(
        r#"{"topic": "a", "body": 01}"#,
        NotJson,
        &["- -: not JSON: invalid number at line 1 column 25"],
    );
    check(
        r#"{"topic": "a",}"#,
        NotJson,
        &["- -: not JSON: key must be a string at line 1 column 15"],
    );
    check_bytes(
        b"\xef\xbb\xbf{\"topic\": \"a\"}",
        NotJson,
        &["- -: the text begins with a byte order mark; JSON is sent without one"],
    );
    check_bytes(
        b"{\"topic\": \"\xff\"}",
        NotJson,
        &["- -: byte 11 is not UTF-8"],
    );
    check_bytes(
        b"{\"topic\": \"\xc0\xaf\"}",
        NotJson,
        &["- -: byte 11 is not UTF-8"],
    );
    check(
        r#"{"topic": "a", "body": "\ud800"}"#,
        NotJson,
        &["0 -: not JSON: unexpected end of hex escape at line 1 column 31"],
    );
}

#[test]
fn all_problems_of_all_events_are_named() {
    use RefusalKind::Invalid;
    check("[]", Invalid, &["- -: the array holds no event"]);
    check("1", Invalid, &["0 -: an event is an object, not a number"]);
    check(
        "[[], null]",
        Invalid,
        &[
            "0 -: an event is an object, not an array",
            "1 -: an event is an object, not null",
        ],
    );
    check(
        "{}",
        Invalid,
        &["0 topic: every event has a topic, and this has none"],
    );
    check(
        r#"[{"topic": 1, "id": "", "headers": []}, {"topic": "ok"}, {"tpoic": "a", "severity": "warn"}]"#,
        Invalid,
        &[
            "0 topic: must be a string, not a number",
            "0 id: an event id must have 1 to 200 characters, this has 0",
            "0 headers: must be an object, not an array",
            "2 tpoic: an event has no field \"tpoic\"; did you mean `topic`?",
            "2 severity: \"warn\" is not one of debug, info, warning, error",
            "2 topic: every event has a topic, and this has none",
        ],
    );
    check(
        r#"{"topic": "lariat.x", "id": "a/b", "time": "yesterday", "severity": "Info", "accepted": 1, "payload": 1}"#,
        Invalid,
        &[
            "0 topic: topics that start with `lariat` are the engine's own",
            "0 id: an event id may not contain '/'; allowed are letters, digits and `._:@-`",
            "0 time: \"yesterday\" is not an RFC 3339 time such as \"2026-11-20T22:43:00Z\"",
            "0 severity: \"Info\" is not a severity; did you mean `info`?",
            "0 accepted: `accepted` is set by Lariat; leave it out",
            "0 payload: an event has no field \"payload\"; what it carries belongs into `body`",
        ],
    );
    check(
        r#"{"topic": null, "id": null, "headers": null}"#,
        Invalid,
        &[
            "0 topic: must be a string, not null; leave it out instead",
            "0 id: must be a string, not null; leave it out instead",
            "0 headers: must be an object, not null; leave it out instead",
        ],
    );
}

#[test]
fn a_topic_is_checked() {
    let topic = |topic: &str, message: &str| {
        let text = json!({ "topic": topic }).to_string();
        check(
            &text,
            RefusalKind::Invalid,
            &[&format!("0 topic: {message}")],
        );
    };
    topic("", "a topic has 1 to 255 bytes, this has 0");
    topic("a..b", "word 2 of the topic is empty");
    topic("a.*", r#"the word "*" may not contain '*'"#);
    topic(
        "a\u{1b}[2J",
        r#"the word "a\u{1b}[2J" may not contain '\u{1b}'"#,
    );
    topic(
        "a\u{202e}b",
        r#"the word "a\u{202e}b" may not contain '\u{202e}'"#,
    );
    topic("../etc", "word 1 of the topic is empty");
    topic(&"x".repeat(256), "a topic has 1 to 255 bytes, this has 256");
}

#[test]
fn a_time_is_rfc_3339_and_nothing_else() {
    for time in [
        "",
        "2026-11-20",
        "2026-11-20 22:43:00Z",
        "2026-11-20T22:43Z",
        "2026-11-20T22:43:00",
        "2026-11-20T22:43:00.Z",
        "2026-11-20T22:43:00+0100",
        "2026-11-20T22:43:00Z[Europe/Prague]",
        "2026-13-20T22:43:00Z",
        "2026-02-30T22:43:00Z",
        "2026-11-20T25:43:00Z",
        "+002026-11-20T22:43:00Z",
        "1795214580",
    ] {
        let text = json!({"topic": "a", "time": time}).to_string();
        let refusal = parse(text.as_bytes()).expect_err(time);
        assert_eq!(Some("time"), refusal.problems[0].field.as_deref(), "{time}");
    }
    for time in [
        "2026-11-20T22:43:00Z",
        "2026-11-20t22:43:00.123456789z",
        "1985-04-12T23:20:50.52-08:00",
        "0000-01-01T00:00:00Z",
    ] {
        let text = json!({"topic": "a", "time": time}).to_string();
        parse(text.as_bytes()).expect(time);
    }
}

#[test]
fn what_two_parsers_read_differently_is_refused() {
    check(
        r#"{"topic": "a", "topic": "b"}"#,
        RefusalKind::Invalid,
        &[r#"0 topic: the key "topic" stands twice in one object"#],
    );
    check(
        r#"{"topic": "a", "body": {"x": [{"k": 1, "\u006b": 2}]}}"#,
        RefusalKind::Invalid,
        &[r#"0 body.x.k: the key "k" stands twice in one object"#],
    );
    check(
        r#"{"topic": "a", "body": {"$serde_json::private::RawValue": "[[[[[[[[[["}}"#,
        RefusalKind::Invalid,
        &[
            r#"0 body.$serde_json::private::RawValue: the key "$serde_json::private::RawValue" is a name that no event may use"#,
        ],
    );
}

#[test]
fn sizes_are_limits() {
    let fat = json!({"topic": "a", "body": "x".repeat(400)}).to_string();
    check(
        &format!(r#"[{{"topic": "a"}}, {fat}, {{}}]"#),
        RefusalKind::EventTooLarge,
        &[
            "1 -: an event may have at most 400 bytes, this has 423",
            "2 topic: every event has a topic, and this has none",
        ],
    );
    check(
        "[1,2,3,4,5,6]",
        RefusalKind::TooManyEvents,
        &["- -: a request may hold at most 5 events, this has 6"],
    );
    check(
        r#"{"topic": "a", "body": [[[[[]]]]]}"#,
        RefusalKind::TooDeep,
        &["0 -: arrays and objects may lie 4 deep in each other, these lie deeper"],
    );
    check(
        &"[".repeat(1_000_000),
        RefusalKind::TooDeep,
        &["- -: arrays and objects may lie 4 deep in each other, these lie deeper"],
    );
    let five = r#"[{"topic":"a"},{"topic":"a"},{"topic":"a"},{"topic":"a"},{"topic":"a"}]"#;
    assert_eq!(5, parse(five.as_bytes()).unwrap().len());
}

#[test]
fn problems_beyond_count_are_counted() {
    let many: Vec<String> = (0..1_500).map(|n| format!("\"k{n}\": 0")).collect();
    let text = format!("{{\"topic\": \"a\", {}}}", many.join(","));
    let refusal = read(text.as_bytes(), &Limits::default(), &Origin::open_http()).unwrap_err();
    assert_eq!(1_001, refusal.problems.len());
    assert_eq!(
        "500 more problems are not listed",
        refusal.problems[1_000].message
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
            .prop_map(|text| serde_json::from_str(&text).unwrap()),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(refusal) = parse(&bytes) {
            prop_assert!(!refusal.problems.is_empty());
        }
    }

    #[test]
    fn any_text_of_json_characters_is_read_or_refused(text in r#"[\[\]{}",:\\0-9a-z"topic: .eE+\-]{0,120}"#) {
        if let Err(refusal) = parse(text.as_bytes()) {
            prop_assert!(!refusal.problems.is_empty());
        }
    }

    #[test]
    fn any_body_comes_out_as_it_went_in(body in any_value()) {
        let text = json!({"topic": "a", "body": body}).to_string();
        let drafts = read(text.as_bytes(), &Limits::default(), &Origin::open_http())
            .map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        prop_assert_eq!(body.to_string(), drafts[0].body.to_string());
        let again = show(&drafts[0]);
        prop_assert_eq!(&again["body"], &drafts[0].body);
    }
}
