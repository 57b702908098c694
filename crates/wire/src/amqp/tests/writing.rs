use super::*;

use Format::{FedoraMessaging, Serializer};

#[test]
fn an_event_is_written_as_fedora_messaging_writes_it() {
    let event = event(
        serde_json::from_str(r#"{"Grüße": "ä", "n": 1.0, "big": 1E+2, "none": null}"#).unwrap(),
        json!({"fedora_messaging_user_ada": true, "priority": 3}),
    );
    let body = event.body.to_string().into_bytes();
    let expect = Message {
        exchange: "amq.topic".to_owned(),
        routing_key: "org.example.built".to_owned(),
        message_id: Some("2026-4f1c".to_owned()),
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        timestamp: None,
        priority: Some(3),
        user_id: None,
        headers: table([
            ("fedora_messaging_schema", text("base.message")),
            ("fedora_messaging_schema_package", text("fedora_messaging")),
            ("sent-at", text("2026-11-20T23:02:27+00:00")),
            ("fedora_messaging_severity", HeaderValue::Int32(30)),
            ("fedora_messaging_user_ada", HeaderValue::Bool(true)),
            ("priority", HeaderValue::Int32(3)),
        ]),
        body,
    };
    assert_eq!(Ok(expect), encode(&event, &encoding(FedoraMessaging)));
}

#[test]
fn headers_have_the_type_that_their_json_has() {
    let headers = model::json::parse(
        r#"{"a": null, "b": true, "c": 7, "d": 2147483648, "e": 0.5, "f": "x", "g": [1, "y"],
            "h": {"k": false}, "i": 18446744073709551615, "j": 1e400, "k": -1e3}"#,
    )
    .unwrap();
    let written = encode(&event(json!({}), headers), &encoding(FedoraMessaging)).unwrap();
    for (name, expect) in [
        ("a", HeaderValue::Void),
        ("b", HeaderValue::Bool(true)),
        ("c", HeaderValue::Int32(7)),
        ("d", HeaderValue::Integer(2_147_483_648)),
        ("e", HeaderValue::Float(0.5)),
        ("f", text("x")),
        (
            "g",
            HeaderValue::Array(vec![HeaderValue::Int32(1), text("y")]),
        ),
        (
            "h",
            HeaderValue::Table(table([("k", HeaderValue::Bool(false))])),
        ),
        // No type holds these.
        ("i", text("18446744073709551615")),
        ("j", text("1e400")),
        ("k", HeaderValue::Float(-1000.0)),
    ] {
        assert_eq!(Some(&expect), written.headers.get(name), "{name}");
    }
}

#[test]
fn the_event_says_its_severity_and_time_whatever_its_headers_say() {
    let forged = json!({"fedora_messaging_severity": "high", "sent-at": 7,
        "fedora_messaging_schema": "bodhi.update.v1"});
    let written = encode(&event(json!({}), forged), &encoding(FedoraMessaging)).unwrap();
    let expect = table([
        ("fedora_messaging_schema", text("bodhi.update.v1")),
        ("fedora_messaging_severity", HeaderValue::Int32(30)),
        ("sent-at", text("2026-11-20T23:02:27+00:00")),
    ]);
    assert_eq!(expect, written.headers);
}

#[test]
fn the_routing_key_is_the_topic_behind_its_prefix() {
    let key = |routing_key: Option<&str>, topic_prefix: Option<&str>| {
        let how = Encoding {
            routing_key: routing_key.map(str::to_owned),
            topic_prefix: topic_prefix.map(str::to_owned),
            ..encoding(FedoraMessaging)
        };
        encode(&event(json!({}), json!({})), &how).map(|message| message.routing_key)
    };
    assert_eq!(Ok("org.example.built".to_owned()), key(None, None));
    assert_eq!(Ok("org.example.built".to_owned()), key(None, Some("")));
    assert_eq!(
        Ok("dev.a.org.example.built".to_owned()),
        key(None, Some("dev.a"))
    );
    assert_eq!(
        Ok("dev.org.example.built".to_owned()),
        key(None, Some("dev."))
    );
    assert_eq!(Ok("workers".to_owned()), key(Some("workers"), Some("dev")));
    assert_eq!(
        Err(EncodeError::RoutingKey { len: 257 }),
        key(None, Some(&"x".repeat(239)))
    );
}

#[test]
fn a_priority_of_the_event_goes_before_the_sinks() {
    let priority = |headers: Value| {
        let how = Encoding {
            priority: Some(5),
            ..encoding(FedoraMessaging)
        };
        let written = encode(&event(json!({}), headers), &how).unwrap();
        (written.priority, written.headers.get("priority").cloned())
    };
    let both = |number: u8| (Some(number), Some(HeaderValue::Int32(number.into())));
    assert_eq!(both(5), priority(json!({})));
    assert_eq!(both(0), priority(json!({"priority": 0})));
    assert_eq!(both(5), priority(json!({"priority": 256})));
    assert_eq!(both(5), priority(json!({"priority": "high"})));
}

#[test]
fn what_no_reader_would_take_is_not_written() {
    #[track_caller]
    fn check(headers: Value, expect: &str) {
        let error = encode(&event(json!({}), headers), &encoding(FedoraMessaging)).unwrap_err();
        assert_eq!(expect, error.to_string());
    }
    check(
        json!({"fedora_messaging_rpm_kernel": "yes"}),
        "the header `fedora_messaging_rpm_kernel` must be true: readers of fedora-messaging \
         insist on it",
    );
    check(
        json!({"fedora_messaging_schema": null}),
        "the header `fedora_messaging_schema` must be text: readers of fedora-messaging insist \
         on it",
    );
    check(
        json!({"x".repeat(256): 1}),
        "the name of a header has 256 bytes, 255 is the most",
    );
    check(
        json!({"x": [{"y".repeat(300): 1}]}),
        "the name of a header has 300 bytes, 255 is the most",
    );
    let error = encode(
        &event(json!({}), json!({"x": "y".repeat(MAX_HEADERS)})),
        &encoding(FedoraMessaging),
    );
    assert!(matches!(error, Err(EncodeError::Headers { bytes }) if bytes > MAX_HEADERS));
}

#[test]
fn the_serializers_message_holds_a_whole_envelope() {
    let written = |headers: Value| {
        let message = encode(&event(json!({"n": 1}), headers), &encoding(Serializer)).unwrap();
        String::from_utf8(message.body).unwrap()
    };
    assert_eq!(
        r#"{"topic":"org.example.built","body":{"topic":"org.example.built","msg_id":"2026-4f1c","msg":{"n":1},"timestamp":1795215747,"i":0,"username":"lariat"}}"#,
        written(json!({}))
    );
    // What came in an envelope goes into one again; a header that would be a
    // variable of its own at the reader's does not.
    assert_eq!(
        r#"{"topic":"org.example.built","body":{"topic":"org.example.built","msg_id":"2026-4f1c","msg":{"n":1},"timestamp":17,"i":9,"username":"apache","certificate":"LS0t"}}"#,
        written(
            json!({"timestamp": 17, "i": 9, "username": "apache", "certificate": "LS0t",
            "ansible_connection": "local", "msg": "forged", "msg_id": "forged"})
        )
    );
    assert!(
        written(json!({"timestamp": 17.5, "i": "x", "username": 3}))
            .ends_with(r#""timestamp":1795215747,"i":0,"username":"lariat"}}"#)
    );
}
