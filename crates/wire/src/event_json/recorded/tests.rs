use serde_json::json;

use super::{Limits, Usual, read_recorded};

fn usual() -> Usual {
    Usual {
        id: "usual".parse().unwrap(),
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

#[track_caller]
fn refused(text: &str) -> String {
    let limits = Limits {
        event_bytes: 10_000,
        events: 1,
        nesting: 10,
    };
    let refusal = read_recorded(text.as_bytes(), &limits, usual()).unwrap_err();
    let told = refusal.problems.into_iter().map(|problem| {
        let field = problem.field.unwrap_or_default();
        format!("{field}: {}", problem.message)
    });
    told.collect::<Vec<_>>().join("; ")
}

#[test]
fn what_the_api_takes_has_the_usual_rest() {
    let text = r#"{"topic": "org.example.x", "body": 1.50}"#;
    let event = read_recorded(text.as_bytes(), &Limits::default(), usual()).unwrap();
    assert_eq!("usual", event.id.as_str());
    assert_eq!(usual().time, event.time);
    assert_eq!(usual().time, event.accepted);
    assert_eq!("api", event.source);
    assert_eq!("1.50", event.body.to_string());
}

#[test]
fn what_the_api_prints_is_read_back() {
    let text = r#"{"id": "2026-1", "topic": "lariat.job.failed", "time": "2026-11-20T22:43:00.123Z",
        "accepted": "2026-11-20T22:43:01Z", "source": "lariat", "severity": "error", "headers": {"a": 1},
        "body": {"n": 12345678901234567890123}, "origin": {"verified": true, "by": null, "via": "engine"},
        "cause": {"event": "2026-0", "job": "01890a5d-ac96-774b-bcce-b302099a8057", "hops": 3},
        "about": {"summary": "x"}, "revision": "00"}"#;
    let event = read_recorded(text.as_bytes(), &Limits::default(), usual()).unwrap();
    let printed = serde_json::to_value(&event).unwrap();
    assert_eq!(json!("lariat.job.failed"), printed["topic"]);
    assert_eq!(json!("lariat"), printed["source"]);
    assert_eq!(json!(true), printed["origin"]["verified"]);
    assert_eq!(json!(3), printed["cause"]["hops"]);
    assert_eq!("12345678901234567890123", printed["body"]["n"].to_string());
    assert_ne!(event.time, event.accepted);
}

#[test]
fn everything_that_is_wrong_is_named() {
    let text =
        r#"{"topic": "a b", "bdy": 1, "accepted": "now", "origin": 7, "cause": {"hops": 999}}"#;
    let told = refused(text);
    for field in ["topic", "bdy", "accepted", "origin", "cause"] {
        assert!(told.contains(&format!("{field}: ")), "{field}: {told}");
    }
}

#[test]
fn hostile_texts_are_refused() {
    for (text, expected) in [
        (String::new(), "no event"),
        ("[]".to_owned(), "this is a list"),
        ("7".to_owned(), "an event is an object"),
        ("{".to_owned(), "not JSON"),
        (r#"{"topic": "a", "topic": "b"}"#.to_owned(), "stands twice"),
        (
            r#"{"topic": "a", "source": "x", "source": "y"}"#.to_owned(),
            "stands twice",
        ),
        (
            format!(
                r#"{{"topic": "a", "body": {}{}}}"#,
                "[".repeat(500),
                "]".repeat(500)
            ),
            "deep",
        ),
        (
            format!(r#"{{"topic": "a", "body": "{}"}}"#, "x".repeat(20_000)),
            "at most 10000 bytes",
        ),
        (r#"{"topic": "a"} x"#.to_owned(), "not JSON"),
        ("\u{feff}{}".to_owned(), "byte order mark"),
    ] {
        let told = refused(&text);
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(read_recorded(b"\xff", &Limits::default(), usual()).is_err());
}
