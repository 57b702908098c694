use std::sync::Arc;

use model::task::{HostRecap, TaskEvent, TaskStatus};
use serde_json::{Value, json};
use testkit::{TestClock, told::Told};
use tokio::sync::oneshot;

use super::{Keeper, Lines, Telling, limit, listen};

/// What is kept of what was written, with its end.
async fn heard(written: &[u8]) -> Vec<TaskEvent> {
    let told = Told::default();
    let clock = Arc::new(TestClock::by_hand());
    let (_running, is_over) = oneshot::channel();
    let telling = Telling::new(&told, clock.as_ref());
    listen(written, telling, is_over).await;
    told.events()
}

fn result(host: &str, status: &str) -> Value {
    json!({"event": "result", "play": "p", "task": "t", "host": host, "status": status})
}

/// The results of a line.
fn kept(line: &Value) -> Option<TaskEvent> {
    Keeper::default().take(line.to_string().as_bytes())
}

fn text(lines: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let lines = lines.into_iter().map(|line| format!("{line}\n"));
    lines.collect::<String>().into_bytes()
}

#[tokio::test]
async fn what_is_told_is_kept_in_order() {
    let recap = json!({"event": "recap", "host": "web1", "ok": 1, "changed": 1, "unreachable": 0,
                       "failed": 0, "skipped": 0, "rescued": 0, "ignored": 0});
    let events = heard(&text([
        json!({"event": "play", "play": "p"}),
        json!({"event": "task", "play": "p", "task": "t", "action": "command", "role": "web"}),
        result("web1", "changed"),
        recap.clone(),
        // A host has one recap.
        recap,
        json!({"event": "left_out", "count": 3}),
    ]))
    .await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind().as_str()).collect();
    assert_eq!(kinds, ["play", "task", "result", "recap", "left_out"]);
    assert_eq!(events[2].status(), Some(TaskStatus::Changed));
    assert_eq!(events[4], TaskEvent::LeftOut { count: 3 });
}

#[tokio::test]
async fn a_run_that_does_not_come_to_its_recap_gets_one() {
    let events = heard(&text([
        result("b", "changed"),
        result("a", "failed"),
        result("b", "ok"),
    ]))
    .await;
    let recaps: Vec<&TaskEvent> = events.iter().skip(3).collect();
    let a = HostRecap {
        failed: 1,
        ..HostRecap::of("a")
    };
    let b = HostRecap {
        ok: 2,
        changed: 1,
        ..HostRecap::of("b")
    };
    assert_eq!(recaps, [&TaskEvent::Recap(a), &TaskEvent::Recap(b)]);
}

#[test]
fn lines_that_are_not_ours_are_nothing() {
    let with = |name: &str, value: Value| {
        let mut line = result("web1", "ok");
        line[name] = value;
        line
    };
    assert!(kept(&result("web1", "ok")).is_some());
    for line in [
        json!(null),
        json!([]),
        json!("result"),
        json!({}),
        json!({"event": "result"}),
        json!({"event": "reboot"}),
        json!({"event": "play", "play": "p", "more": 1}),
        json!({"event": "play", "play": {"__ansible_vault": "x"}}),
        json!({"event": "left_out", "count": -1}),
        result("web1", "OK"),
        result("", "ok"),
        with("duration_ms", json!(-1)),
        with("duration_ms", json!(1e300)),
        with("censored", json!("yes")),
        with("items", json!([])),
        with("at", json!(0)),
    ] {
        assert_eq!(kept(&line), None, "{line}");
    }
    let twice = br#"{"event":"play","play":"a","play":"b"}"#;
    assert_eq!(Keeper::default().take(twice), None);
    let deep = format!(r#"{{"event":"play","play":{}"#, "[".repeat(60_000));
    assert_eq!(Keeper::default().take(deep.as_bytes()), None);
    assert_eq!(
        Keeper::default().take(b"{\"event\":\"play\",\"play\":\"\xff\"}"),
        None
    );
}

#[test]
fn texts_are_cut_and_have_no_control_characters() {
    let mut line = result("web\u{1b}[31m1\n\u{9b}", "failed");
    line["message"] = json!(format!("a\tb\nc\u{7}\r{}", "ü".repeat(5_000)));
    line["diff"] = json!("x".repeat(50_000));
    let Some(TaskEvent::Result(result)) = kept(&line) else {
        panic!("it is kept");
    };
    assert_eq!(result.host, "web\u{fffd}[31m1\u{fffd}\u{fffd}");
    let message = result.message.unwrap();
    assert!(message.starts_with("a\tb\nc\u{fffd}\u{fffd}ü"), "{message}");
    assert!((2_040..=2_048).contains(&message.len()));
    assert_eq!(result.diff.unwrap().len(), 16 * 1024);
}

#[test]
fn what_is_censored_says_nothing() {
    let mut line = result("web1", "failed");
    line["censored"] = json!(true);
    line["message"] = json!("secret");
    line["diff"] = json!("secret");
    line["items"] = json!({"ok": 0, "changed": 0, "failed": 1, "skipped": 0,
                           "failures": [{"item": "secret", "message": "secret", "censored": true}]});
    let kept = kept(&line).unwrap();
    assert!(!format!("{kept:?}").contains("secret"), "{kept:?}");
}

#[test]
fn lines_are_cut_out_of_any_pieces() {
    let mut lines = Lines::default();
    let mut seen = Vec::new();
    let long = vec![b'x'; limit::LINE + 1];
    for piece in [
        b"a\nb".as_slice(),
        b"",
        b"c\n\n\nd",
        &long,
        b"e\nf\n",
        b"rest",
    ] {
        lines.take(piece, |line| {
            seen.push(String::from_utf8_lossy(line).into_owned())
        });
    }
    assert_eq!(seen, ["a", "bc", "f"]);
}

#[tokio::test]
async fn so_much_is_kept_and_no_more() {
    let flood = (0..limit::EVENTS + 10).map(|n| result(&format!("web{}", n % 3), "ok"));
    let failures = (0..limit::FATAL + 5).map(|_| result("web9", "unreachable"));
    let events = heard(&text(flood.chain(failures))).await;
    let results = events.iter().filter(|event| event.status().is_some());
    assert_eq!(results.count(), limit::EVENTS + limit::FATAL);
    assert_eq!(events.last(), Some(&TaskEvent::LeftOut { count: 15 }));
    let recaps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            TaskEvent::Recap(recap) => Some((recap.host.as_str(), recap.ok, recap.unreachable)),
            TaskEvent::Play(_)
            | TaskEvent::Task(_)
            | TaskEvent::Result(_)
            | TaskEvent::LeftOut { .. } => None,
        })
        .collect();
    // What is left out is counted all the same.
    assert_eq!(recaps.len(), 4);
    assert_eq!(recaps[3], ("web9", 0, 1_005));
}

#[tokio::test]
async fn nobody_listens_to_a_flood_for_ever() {
    let mut flood = text([json!({"event": "play", "play": "p"})]);
    flood.resize(limit::READ + limit::LINE * 4, b'\n');
    flood.extend(text([json!({"event": "play", "play": "late"})]));
    let events = heard(&flood).await;
    assert_eq!(events.len(), 1);
}
