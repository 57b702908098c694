use model::event::{Cause, MAX_HOPS};

use super::*;

fn cause(hops: u8) -> Cause {
    Cause {
        event: "2026-root".parse().unwrap(),
        job: "0192-ab".parse().unwrap(),
        hops,
    }
}

#[test]
fn a_cause_goes_through_a_broker() {
    for format in [Format::FedoraMessaging, Format::Serializer] {
        let sent = Event {
            cause: Some(cause(3)),
            ..event(json!({"n": 1.50}), json!({"x": 1}))
        };
        let message = encode(&sent, &encoding(format)).unwrap();
        assert_eq!(HeaderValue::Int32(3), message.headers["lariat-hops"]);
        let read = read(message, format);
        assert_eq!(Some(cause(3)), read.cause);
        let names: Vec<&String> = read.headers.keys().collect();
        assert!(
            !names.iter().any(|name| name.starts_with("lariat-")),
            "{names:?}"
        );
    }
}

#[test]
fn what_a_header_of_an_event_says_of_a_cause_is_not_sent() {
    let sent = event(json!({}), json!({"lariat-hops": 1, "x": 1}));
    let message = encode(&sent, &encoding(Format::FedoraMessaging)).unwrap();
    assert!(!message.headers.contains_key("lariat-hops"));
    assert!(message.headers.contains_key("x"));
}

/// The three headers, one of them as given.
#[track_caller]
fn check_claim(name: &str, value: HeaderValue, expect: Option<Cause>) {
    let mut headers = table([
        ("lariat-cause-event", text("2026-root")),
        ("lariat-cause-job", text("0192-ab")),
        ("lariat-hops", HeaderValue::Int32(2)),
    ]);
    headers.insert(name.to_owned(), value);
    let read = read(
        Message {
            headers,
            ..message("{}")
        },
        Format::FedoraMessaging,
    );
    assert_eq!(expect, read.cause);
    // What is no cause stays what it was.
    assert_eq!(expect.is_none(), read.headers.contains_key("lariat-hops"));
}

#[test]
fn a_claim_is_read_or_left_alone() {
    check_claim("lariat-hops", HeaderValue::Integer(16), Some(cause(16)));
    for much in [17, 255, 256, i64::MAX] {
        let value = HeaderValue::Integer(much);
        check_claim("lariat-hops", value, Some(cause(MAX_HOPS)));
    }
    for wrong in [
        HeaderValue::Integer(0),
        HeaderValue::Int32(-1),
        HeaderValue::Integer(i64::MIN),
        text("2"),
        HeaderValue::Void,
    ] {
        check_claim("lariat-hops", wrong, None);
    }
    check_claim("lariat-cause-event", text("no id\n"), None);
    check_claim("lariat-cause-job", HeaderValue::Text(vec![0xff]), None);
    check_claim("lariat-cause-job", HeaderValue::Bool(true), None);
}
