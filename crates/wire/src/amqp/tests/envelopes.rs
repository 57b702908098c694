use super::*;

use Format::{FedoraMessaging, Serializer};

#[test]
fn an_envelope_of_the_serializer_is_opened() {
    let body = r#"{"topic": "org.example.fmn.update", "body": {
        "topic": "org.example.fmn.update", "msg_id": "2026-ab12", "msg": {"openid": "x", "n": 1.0},
        "timestamp": 1795215747, "i": 3, "username": "apache", "certificate": "LS0t"}}"#;
    check_read(
        Message {
            routing_key: "workers".to_owned(),
            message_id: None,
            ..message(body)
        },
        Serializer,
        json!({
            "id": "2026-ab12",
            "topic": "org.example.fmn.update",
            "time": "2026-11-20T23:02:27.000Z",
            "severity": "info",
            "headers": {"msg_id": "2026-ab12", "timestamp": 1_795_215_747, "i": 3,
                "username": "apache", "certificate": "LS0t"},
            "body": serde_json::from_str::<Value>(r#"{"openid": "x", "n": 1.0}"#).unwrap(),
        }),
    );
    // The other format takes it for a body.
    let whole = read(message(body), FedoraMessaging);
    assert_eq!("org.example.built", whole.topic.as_str());
    assert_eq!(json!("2026-ab12"), whole.body["body"]["msg_id"]);
}

#[test]
fn what_is_no_envelope_is_a_plain_message() {
    for body in [
        r#"{"topic": "a.b", "body": {"no": "msg"}}"#,
        r#"{"topic": "a.b", "body": {"msg": 1}, "more": 1}"#,
        r#"{"topic": 1, "body": {"msg": 1}}"#,
        r#"{"topic": "a.b", "body": [{"msg": 1}]}"#,
        r#"{"msg": 1}"#,
        "[1]",
        "null",
    ] {
        let draft = read(message(body), Serializer);
        assert_eq!("org.example.built", draft.topic.as_str(), "{body}");
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), draft.body);
        assert_eq!("m-1", draft.id.unwrap().as_str());
    }
}

#[test]
fn an_envelope_is_as_strict_as_a_message() {
    #[track_caller]
    fn check(envelope: &str, expect: &str) {
        let body = format!(r#"{{"topic": "a.b", "body": {envelope}}}"#);
        let start = "message `m-1` with routing key `org.example.built`:";
        check_refused(message(&body), Serializer, &format!("{start} {expect}"));
    }
    let number = "`timestamp` of the envelope must be a number of seconds, not";
    check(
        r#"{"msg": 1, "timestamp": "1"}"#,
        &format!("{number} a string"),
    );
    check(
        r#"{"msg": 1, "timestamp": null}"#,
        &format!("{number} null"),
    );
    for no_time in [
        "1e400",
        "-1e400",
        "1e30",
        "99999999999999",
        "9223372036854775807",
    ] {
        check(
            &format!(r#"{{"msg": 1, "timestamp": {no_time}}}"#),
            "`timestamp` of the envelope is no time",
        );
    }
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let too_deep = "arrays and objects may lie 64 deep in each other, these lie deeper";
    check(
        &format!(r#"{{"msg": {deep}}}"#),
        &format!("the body: {too_deep}"),
    );
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    check(
        &format!(r#"{{"msg": 1, "x": {deep}}}"#),
        &format!("headers: {too_deep}"),
    );

    let refused = decode(
        message(r#"{"topic": "lariat.x", "body": {"msg": 1}}"#),
        &decoding(Serializer),
        origin(),
    );
    let cause = refused.unwrap_err().cause;
    assert!(
        cause.contains("`topic` of the envelope is no topic"),
        "{cause}"
    );
}

#[test]
fn an_envelope_without_an_id_of_ours_gets_one() {
    let read = |id: &str, property: Option<&str>| {
        let body = format!(r#"{{"topic": "a.b", "body": {{"msg": {{}}, "msg_id": {id}}}}}"#);
        let draft = read(
            Message {
                message_id: property.map(str::to_owned),
                ..message(&body)
            },
            Serializer,
        );
        let id = draft
            .id
            .unwrap()
            .as_str()
            .chars()
            .take(9)
            .collect::<String>();
        (id, draft.headers["msg_id"].clone())
    };
    assert_eq!(
        ("2026-good".to_owned(), json!("2026-good")),
        read(r#""2026-good""#, Some("p-1"))
    );
    assert_eq!(
        ("p-1".to_owned(), json!("not good")),
        read(r#""not good""#, Some("p-1"))
    );
    let (derived, kept) = read("17", None);
    assert!(derived.starts_with("amqp-"));
    assert_eq!(json!(17), kept);
}

#[test]
fn a_float_is_a_timestamp_of_old_messages() {
    let body = r#"{"topic": "a.b", "body": {"msg": {}, "timestamp": 1398198943.51}}"#;
    let draft = read(message(body), Serializer);
    assert_eq!("2014-04-22T20:35:43.510Z", draft.time.unwrap().to_string());
    assert_eq!("1398198943.51", draft.headers["timestamp"].to_string());
}
