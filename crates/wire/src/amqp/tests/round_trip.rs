use super::*;

/// Numbers as sent, text of any kind, and everything around them.
fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number.prop_map(|text| model::json::parse(&text).unwrap()),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Header values that AMQP has a type for.
fn any_header() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e9..1e9).prop_map(|n: f64| Value::from(n)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zé]{0,9}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn any_event()(
        id in "[A-Za-z0-9._:@-]{1,200}",
        topic in "[a-zä-ü0-9-]{1,9}(\\.[a-zA-Z0-9_]{1,9}){0,6}",
        millis in 0_i64..4_000_000_000_000,
        severity in prop::sample::select(Severity::ALL.to_vec()),
        headers in prop::collection::btree_map("x-[a-z]{0,20}", any_header(), 0..6),
        users in prop::collection::btree_set("[a-z ]{1,9}", 0..3),
        priority in any::<Option<u8>>(),
        body in any_json(),
    ) -> Event {
        let mut headers: Object = headers.into_iter().collect();
        for user in users {
            headers.insert(format!("fedora_messaging_user_{user}"), Value::Bool(true));
        }
        if let Some(priority) = priority {
            headers.insert("priority".to_owned(), Value::from(priority));
        }
        Event {
            id: id.parse().unwrap(),
            topic: topic.parse().unwrap(),
            time: Timestamp::from_millis(millis),
            severity,
            headers,
            body,
            ..event(json!({}), json!({}))
        }
    }
}

fn any_value() -> impl Strategy<Value = HeaderValue> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i64>().prop_map(HeaderValue::Integer),
        any::<i32>().prop_map(HeaderValue::Int32),
        any::<f64>().prop_map(HeaderValue::Float),
        any::<(u8, i32)>().prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        bytes().prop_map(HeaderValue::Text),
        bytes().prop_map(HeaderValue::Bytes),
        any::<u64>().prop_map(HeaderValue::Timestamp),
        Just(HeaderValue::Void),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(HeaderValue::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(HeaderValue::Table),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("sent-at".to_owned()),
        Just("priority".to_owned()),
        Just("fedora_messaging_severity".to_owned()),
        Just("fedora_messaging_schema".to_owned()),
        Just("fedora_messaging_rpm_x".to_owned()),
    ]
}

prop_compose! {
    fn any_message()(
        routing_key in prop_oneof![any::<String>(), Just("a.b".to_owned())],
        message_id in any::<Option<String>>(),
        content_encoding in prop_oneof![Just(None), any::<Option<String>>()],
        timestamp in any::<Option<u64>>(),
        priority in any::<Option<u8>>(),
        headers in prop::collection::btree_map(any_name(), any_value(), 0..5),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[\\[\\]{}:,\"\\\\0-9a-z. -]{0,40}".prop_map(String::into_bytes),
            any_json().prop_map(|body| body.to_string().into_bytes()),
            any_json().prop_map(|msg| {
                let timestamp = msg.clone();
                json!({"topic": "a.b", "body": {"msg": msg, "timestamp": timestamp}})
                    .to_string()
                    .into_bytes()
            }),
        ],
    ) -> Message {
        Message {
            exchange: "x".to_owned(),
            routing_key,
            message_id,
            content_type: None,
            content_encoding,
            timestamp,
            priority,
            user_id: None,
            headers,
            body,
        }
    }
}

/// What a reader gets is what was written, to the second and with what the
/// form adds.
fn check_round_trip(event: &Event, format: Format) {
    let message = encode(event, &encoding(format)).unwrap();
    let draft = read(message, format);
    assert_eq!(Some(&event.id), draft.id.as_ref());
    assert_eq!(event.topic, draft.topic);
    assert_eq!(event.severity, draft.severity);
    assert_eq!(event.body.to_string(), draft.body.to_string());
    let seconds = event.time.as_millis().div_euclid(1000) * 1000;
    assert_eq!(Some(seconds), draft.time.map(Timestamp::as_millis));
    for (name, value) in &event.headers {
        assert_eq!(Some(value), draft.headers.get(name), "{name}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(event in any_event()) {
        check_round_trip(&event, Format::FedoraMessaging);
        check_round_trip(&event, Format::Serializer);
    }

    #[test]
    fn any_message_is_read_or_refused(message in any_message()) {
        for format in [Format::FedoraMessaging, Format::Serializer] {
            let read = decode(message.clone(), &decoding(format), origin());
            if let Ok(draft) = read {
                assert!(draft.id.is_some());
                // It comes back out of text as it went in.
                let text = Value::Object(draft.headers.clone()).to_string();
                assert_eq!(Value::Object(draft.headers), model::json::parse(&text).unwrap());
                let text = draft.body.to_string();
                assert_eq!(text, model::json::parse(&text).unwrap().to_string());
            }
        }
    }
}

#[test]
fn hostile_values_pass_through_every_place() {
    for (name, text) in testkit::corpus::VALUES {
        let value = model::json::parse(text).unwrap();
        let headers = json!({"username": value.clone()});
        for format in [Format::FedoraMessaging, Format::Serializer] {
            let event = event(value.clone(), headers.clone());
            let message = match encode(&event, &encoding(format)) {
                Ok(message) => message,
                // The one value with a key that no header may have.
                Err(EncodeError::HeaderName { .. }) if *name == "key_long" => continue,
                Err(error) => panic!("`{name}` is not written: {error}"),
            };
            let draft = read(message, format);
            assert_eq!(value.to_string(), draft.body.to_string(), "{name}");
            assert_eq!("org.example.built", draft.topic.as_str(), "{name}");
            assert_eq!("2026-4f1c", draft.id.unwrap().as_str(), "{name}");
        }
    }
}

#[test]
fn hostile_texts_are_read_or_refused_wherever_they_stand() {
    for (name, text) in testkit::corpus::VALUES {
        let hostile = match model::json::parse(text).unwrap() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        for place in 0..5 {
            let mut message = message("{}");
            match place {
                0 => message.routing_key.clone_from(&hostile),
                1 => message.message_id = Some(hostile.clone()),
                2 => message.content_encoding = Some(hostile.clone()),
                3 => message.headers = table([("sent-at", super::text(&hostile))]),
                _ => message.headers = table([(hostile.as_str(), super::text(&hostile))]),
            }
            match decode(message, &decoding(Format::FedoraMessaging), origin()) {
                Ok(draft) => assert!(draft.id.is_some(), "{name}"),
                Err(Undecodable { cause, .. }) => {
                    assert!(cause.chars().all(|c| !c.is_control()), "{name}: {cause}");
                    assert!(cause.len() < 4_000, "{name}");
                }
            }
        }
    }
}
