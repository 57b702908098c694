use super::*;

use Format::{FedoraMessaging, Serializer};

/// What fedora-messaging 3.9 sends: these types, these names.
fn from_fedora() -> Message {
    Message {
        exchange: "amq.topic".to_owned(),
        routing_key: "org.example.koji.build".to_owned(),
        message_id: Some("7d5f2d0c-40c1-4f2a-9a43-1f7a3c1d9e55".to_owned()),
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        timestamp: None,
        priority: Some(2),
        user_id: None,
        headers: table([
            ("fedora_messaging_schema", text("koji.build.v1")),
            ("fedora_messaging_schema_package", text("koji-messages")),
            ("sent-at", text("2026-11-20T23:02:27+00:00")),
            ("fedora_messaging_severity", HeaderValue::Int32(40)),
            ("priority", HeaderValue::Int32(2)),
            ("fedora_messaging_user_ada", HeaderValue::Bool(true)),
            ("fedora_messaging_rpm_kernel", HeaderValue::Bool(true)),
        ]),
        body: br#"{"name": "k\u00e4rnel", "epoch": null, "score": 1.0}"#.to_vec(),
    }
}

#[test]
fn a_message_of_fedora_messaging_is_read() {
    check_read(
        from_fedora(),
        FedoraMessaging,
        json!({
            "id": "7d5f2d0c-40c1-4f2a-9a43-1f7a3c1d9e55",
            "topic": "org.example.koji.build",
            "time": "2026-11-20T23:02:27.000Z",
            "severity": "error",
            "headers": {
                "fedora_messaging_rpm_kernel": true,
                "fedora_messaging_schema": "koji.build.v1",
                "fedora_messaging_schema_package": "koji-messages",
                "fedora_messaging_severity": 40,
                "fedora_messaging_user_ada": true,
                "priority": 2,
                "sent-at": "2026-11-20T23:02:27+00:00",
            },
            "body": serde_json::from_str::<Value>(
                r#"{"name": "kärnel", "epoch": null, "score": 1.0}"#
            ).unwrap(),
        }),
    );
}

#[test]
fn a_message_without_anything_is_read() {
    let bare = Message {
        message_id: None,
        ..message("[1, 1.0, 1E+2]")
    };
    let draft = read(bare.clone(), FedoraMessaging);
    assert_eq!("[1,1.0,1E+2]", draft.body.to_string());
    assert_eq!((None, Severity::Info), (draft.time, draft.severity));
    assert_eq!(Object::new(), draft.headers);
    let id = draft.id.unwrap();
    assert!(
        id.as_str().starts_with("amqp-") && id.as_str().len() == 45,
        "{id}"
    );

    // The same again is the same event; anything else is not.
    let again = Message {
        headers: table([("x", HeaderValue::Void)]),
        ..bare.clone()
    };
    assert_eq!(Some(id.clone()), read(again, FedoraMessaging).id);
    let other = Message {
        routing_key: "org.example.other".to_owned(),
        ..bare.clone()
    };
    assert_ne!(Some(id.clone()), read(other, FedoraMessaging).id);
    let other = Message {
        body: b"[1, 1, 1E+2]".to_vec(),
        ..bare
    };
    assert_ne!(Some(id), read(other, FedoraMessaging).id);
}

#[test]
fn an_id_that_is_none_of_ours_is_kept_as_a_header() {
    for bad in ["", "two words", "ümlaut", &"x".repeat(201)] {
        let draft = read(
            Message {
                message_id: Some(bad.to_owned()),
                ..message("{}")
            },
            FedoraMessaging,
        );
        assert!(draft.id.unwrap().as_str().starts_with("amqp-"));
        assert_eq!(json!({"message-id": bad}), Value::Object(draft.headers));
    }
}

#[test]
fn the_time_is_read_as_python_writes_it() {
    let times = [
        ("2026-11-20T23:02:27+00:00", "2026-11-20T23:02:27.000Z"),
        (
            "2026-11-20T23:02:27.123456+00:00",
            "2026-11-20T23:02:27.123Z",
        ),
        ("2026-11-20T23:02:27", "2026-11-20T23:02:27.000Z"),
        ("2026-11-20T23:02:27.5", "2026-11-20T23:02:27.500Z"),
        ("2026-11-20 23:02:27-05:30", "2026-11-21T04:32:27.000Z"),
        ("2026-11-20T23:02:27Z", "2026-11-20T23:02:27.000Z"),
    ];
    for (sent_at, expect) in times {
        let draft = read(
            Message {
                headers: table([("sent-at", text(sent_at))]),
                timestamp: Some(1),
                ..message("{}")
            },
            FedoraMessaging,
        );
        assert_eq!(expect, draft.time.unwrap().to_string(), "{sent_at}");
    }
    for bad in [
        "",
        "yesterday",
        "2026-11-20",
        "2026-13-20T00:00:00",
        "1\u{1b}[31m",
    ] {
        let shown = bad.escape_debug();
        check_refused(
            Message {
                headers: table([("sent-at", text(bad))]),
                ..message("{}")
            },
            FedoraMessaging,
            &format!(
                "message `m-1` with routing key `org.example.built`: headers of the wrong type: \
                 `sent-at` must be a time such as `2026-11-20T22:43:00+00:00`, not `{shown}`"
            ),
        );
    }
}

#[test]
fn the_timestamp_property_is_the_time_when_no_header_is() {
    for (seconds, expect) in [
        (0, Some("1970-01-01T00:00:00.000Z")),
        (1_795_215_747, Some("2026-11-20T23:02:27.000Z")),
        // Milliseconds by mistake, and more than any calendar.
        (1_795_215_747_000, None),
        (u64::MAX, None),
    ] {
        let draft = read(
            Message {
                timestamp: Some(seconds),
                ..message("{}")
            },
            FedoraMessaging,
        );
        let time = draft.time.map(|time| time.to_string());
        assert_eq!(expect, time.as_deref(), "{seconds}");
    }
}

#[test]
fn headers_of_the_wrong_type_are_refused() {
    #[track_caller]
    fn check(name: &str, value: HeaderValue, expect: &str) {
        let message = Message {
            headers: table([(name, value)]),
            ..message("{}")
        };
        let start =
            "message `m-1` with routing key `org.example.built`: headers of the wrong type:";
        check_refused(
            message,
            FedoraMessaging,
            &format!("{start} `{name}` {expect}"),
        );
    }
    let form = "must be one of the integers 10, 20, 30, 40, not";
    let severity = "fedora_messaging_severity";
    check(severity, HeaderValue::Integer(25), &format!("{form} 25"));
    check(severity, HeaderValue::Int32(-1), &format!("{form} -1"));
    check(severity, text("20"), &format!("{form} text"));
    check(
        severity,
        HeaderValue::Float(20.0),
        &format!("{form} a float"),
    );
    check(severity, HeaderValue::Bool(true), &format!("{form} true"));
    check(severity, HeaderValue::Void, &format!("{form} nothing"));
    check(
        "sent-at",
        HeaderValue::Timestamp(1),
        "must be text, not a timestamp",
    );
    check(
        "fedora_messaging_schema",
        HeaderValue::Integer(1),
        "must be text, not an integer",
    );
    check(
        "fedora_messaging_user_x",
        text("true"),
        "must be true, not text",
    );
    check(
        "fedora_messaging_rpm_",
        HeaderValue::Bool(false),
        "must be true, not false",
    );

    let all = Message {
        headers: (0..9)
            .map(|n| (format!("fedora_messaging_rpm_{n}"), HeaderValue::Void))
            .collect(),
        ..message("{}")
    };
    let refused = decode(all, &decoding(FedoraMessaging), origin()).unwrap_err();
    assert!(refused.cause.ends_with("; and 4 more"), "{}", refused.cause);
}

#[test]
fn headers_of_any_type_are_json() {
    let headers = table([
        ("bytes", HeaderValue::Bytes(vec![0, 255, 7])),
        (
            "decimal",
            HeaderValue::Decimal {
                scale: 2,
                value: -5,
            },
        ),
        ("float", HeaderValue::Float(0.5)),
        ("long", HeaderValue::Integer(i64::MIN)),
        ("mended", HeaderValue::Text(vec![b'a', 0xff])),
        ("never", HeaderValue::Timestamp(u64::MAX)),
        ("nan", HeaderValue::Float(f64::NAN)),
        ("none", HeaderValue::Void),
        ("plain", HeaderValue::Decimal { scale: 0, value: 7 }),
        ("then", HeaderValue::Timestamp(1_795_215_747)),
        (
            "table",
            HeaderValue::Table(table([(
                "array",
                HeaderValue::Array(vec![HeaderValue::Bool(false), text("x")]),
            )])),
        ),
    ]);
    let draft = read(
        Message {
            headers,
            ..message("{}")
        },
        FedoraMessaging,
    );
    assert_eq!(
        r#"{"bytes":"AP8H","decimal":-0.05,"float":0.5,"long":-9223372036854775808,"mended":"a�","nan":"NaN","never":18446744073709551615,"none":null,"plain":7,"table":{"array":[false,"x"]},"then":"2026-11-20T23:02:27.000Z"}"#,
        Value::Object(draft.headers).to_string()
    );
}

#[test]
fn the_property_says_the_priority() {
    let draft = read(
        Message {
            priority: Some(9),
            headers: table([("priority", HeaderValue::Int32(1))]),
            ..message("{}")
        },
        FedoraMessaging,
    );
    assert_eq!(json!({"priority": 9}), Value::Object(draft.headers));
}

#[test]
fn a_body_is_read_in_the_codec_that_is_named() {
    for codec in ["UTF-8", "utf8", "Utf_8"] {
        let draft = read(
            Message {
                content_encoding: Some(codec.to_owned()),
                ..message("\"ä\"")
            },
            FedoraMessaging,
        );
        assert_eq!(json!("ä"), draft.body);
    }
    for codec in ["latin-1", "ISO-8859-1", "iso_8859_1"] {
        let draft = read(
            Message {
                content_encoding: Some(codec.to_owned()),
                body: b"\"\xe4\"".to_vec(),
                ..message("")
            },
            FedoraMessaging,
        );
        assert_eq!(json!("ä"), draft.body);
    }
    let ascii = Message {
        content_encoding: Some("us-ascii".to_owned()),
        ..message(r#""\u00e4""#)
    };
    assert_eq!(json!("ä"), read(ascii, FedoraMessaging).body);

    let start = "message `m-1` with routing key `org.example.built`:";
    for (codec, shown) in [
        ("gzip", "`gzip`"),
        ("", "``"),
        ("x\u{1b}]0;", "`x\\u{1b}]0;`"),
    ] {
        check_refused(
            Message {
                content_encoding: Some(codec.to_owned()),
                ..message("{}")
            },
            FedoraMessaging,
            &format!(
                "{start} content encoding {shown} is not supported; bodies are utf-8, us-ascii \
                 or iso-8859-1"
            ),
        );
    }
    check_refused(
        Message {
            body: b"{\"a\": \"\xff\"}".to_vec(),
            ..message("")
        },
        FedoraMessaging,
        &format!("{start} byte 7 of the body is not UTF-8"),
    );
    check_refused(
        Message {
            content_encoding: Some("ascii".to_owned()),
            ..message("\"ä\"")
        },
        FedoraMessaging,
        &format!("{start} byte 1 of the body is not ASCII"),
    );
}

#[test]
fn a_body_that_is_no_json_is_kept_with_its_cause() {
    #[track_caller]
    fn check(body: &str, expect: &str) {
        let start = "message `m-1` with routing key `org.example.built`:";
        check_refused(message(body), FedoraMessaging, &format!("{start} {expect}"));
    }
    check("", "the body is empty");
    check(" \n", "the body is empty");
    check(
        "{\"a\": NaN}",
        "not JSON: expected value at line 1 column 7",
    );
    check(
        "\u{feff}{}",
        "the text begins with a byte order mark; JSON is sent without one",
    );
    check(
        r#"{"a": 1, "\u0061": 2}"#,
        r#"the key "a" stands twice in one object"#,
    );
    check(
        r#"{"$serde_json::private::Number": 2}"#,
        r#"the key "$serde_json::private::Number" is a name that no event may use"#,
    );
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    check(
        &deep,
        "the body: arrays and objects may lie 64 deep in each other, these lie deeper",
    );
    check(
        &"[".repeat(100_000),
        "not JSON: EOF while parsing a list at line 1 column 100000",
    );
    for (name, body) in testkit::corpus::UNDECODABLE {
        decode(message(body), &decoding(FedoraMessaging), origin()).expect_err(name);
    }
}

#[test]
fn a_body_that_is_too_large_is_not_looked_at() {
    let how = Decoding {
        event_bytes: 4,
        ..decoding(FedoraMessaging)
    };
    let refused = decode(message("12345"), &how, origin()).unwrap_err();
    assert_eq!(
        "message `m-1` with routing key `org.example.built`: the body has 5 bytes, 4 is the most",
        refused.cause
    );
    assert_eq!(
        json!(1234),
        decode(message("1234"), &how, origin()).unwrap().body
    );
}

#[test]
fn a_routing_key_that_is_no_topic_is_refused() {
    #[track_caller]
    fn check(key: &str, expect: &str) {
        let message = Message {
            routing_key: key.to_owned(),
            message_id: None,
            ..message("{}")
        };
        check_refused(
            message,
            FedoraMessaging,
            &format!("message without an id {expect}"),
        );
    }
    check(
        "",
        "with routing key ``: the routing key is no topic: a topic has 1 to 255 bytes, this has 0",
    );
    check(
        "lariat.job.failed",
        "with routing key `lariat.job.failed`: the routing key is no topic: topics that start \
         with `lariat` are the engine's own",
    );
    check(
        "a.\u{1b}[2J\u{202e}",
        "with routing key `a.\\u{1b}[2J\\u{202e}`: the routing key is no topic: the word \
         \"\\u{1b}[2J\\u{202e}\" may not contain '\\u{1b}'",
    );
    check(
        "../../etc",
        "with routing key `../../etc`: the routing key is no topic: word 1 of the topic is empty",
    );
}

#[test]
fn headers_lie_no_deeper_than_bodies() {
    let mut deep = HeaderValue::Void;
    for _ in 0..64 {
        deep = HeaderValue::Array(vec![deep]);
    }
    for _ in 0..2 {
        let message = Message {
            headers: table([("x", deep.clone())]),
            ..message("{}")
        };
        let refused = decode(message, &decoding(FedoraMessaging), origin()).unwrap_err();
        assert!(
            refused.cause.contains("headers: arrays and objects"),
            "{}",
            refused.cause
        );
        for _ in 0..200 {
            deep = HeaderValue::Table(table([("y", deep)]));
        }
    }
}

#[test]
fn a_header_may_not_be_a_mark_of_the_json_library() {
    let mark = "$serde_json::private::RawValue";
    let inner = HeaderValue::Table(table([(mark, text("{"))]));
    for headers in [
        table([(mark, text("1"))]),
        table([("x", HeaderValue::Array(vec![inner]))]),
    ] {
        check_refused(
            Message {
                headers,
                ..message("{}")
            },
            FedoraMessaging,
            "message `m-1` with routing key `org.example.built`: headers of the wrong type: \
             `$serde_json::private::RawValue` is a name that no event may use",
        );
    }
}

#[test]
fn a_cause_is_short_and_steers_no_terminal() {
    let long = "\u{1b}[2J\u{202e}`'\"\\ä".repeat(1000);
    let hostile = Message {
        routing_key: long.clone(),
        message_id: Some(long.clone()),
        content_encoding: Some(long.clone()),
        headers: (0..100)
            .map(|n| (format!("fedora_messaging_user_{n}{long}"), text(&long)))
            .chain([("sent-at".to_owned(), text(&long))])
            .collect(),
        body: long.clone().into_bytes(),
        ..Message::default()
    };
    let without_headers = Message {
        headers: BTreeMap::new(),
        ..hostile.clone()
    };
    let keys = Message {
        content_encoding: None,
        body: format!("{{{0}:1,{0}:2}}", json!(long)).into_bytes(),
        ..without_headers.clone()
    };
    for message in [hostile, without_headers, keys] {
        for format in [FedoraMessaging, Serializer] {
            let Undecodable { cause, .. } =
                decode(message.clone(), &decoding(format), origin()).unwrap_err();
            assert!(cause.len() < 8_000, "{}", cause.len());
            assert!(!cause.contains(['\u{1b}', '\u{202e}', '\n']), "{cause}");
        }
    }
}
