//! Streams: nothing is missing, nothing comes twice, and nobody waits for a
//! reader.

pub(crate) mod reader;

use std::{sync::Arc, time::Duration};

use model::{
    clock::Clock,
    ports::{Cutoffs, Upkeep},
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use self::reader::Reader;
use crate::harness::{BYTES, Served, serve, serve_with};

const EVENTS: &str = "/api/v1/events/stream";

/// All ids of the history, in commit order.
async fn history(served: &Served) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = "c0".to_owned();
    loop {
        let path = format!("/api/v1/events?after={after}&limit=500");
        let page = served.get(&path).await.json();
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            return ids;
        }
        ids.extend(items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        page["next"].as_str().unwrap().clone_into(&mut after);
    }
}

fn event(id: &str) -> String {
    json!({"topic": "org.example.thing", "id": id, "body": {"n": id.len()}}).to_string()
}

async fn publish_all(served: Arc<Served>, writer: usize, events: usize) {
    for n in 0..events {
        served.publish(&event(&format!("w{writer}-{n}"))).await;
    }
}

/// Reads until `count` events came, going away and coming back.
async fn read_all(served: Arc<Served>, patience: usize, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut reader = Reader::open(&served, &format!("{EVENTS}?after=c0"), None).await;
    while seen.len() < count {
        let event = reader.data("event").await;
        seen.push(event["id"].as_str().unwrap().to_owned());
        if seen.len() % patience == 0 {
            let last = reader.last_id.clone();
            reader = Reader::open(&served, EVENTS, last.as_deref()).await;
            assert_eq!(200, reader.status, "{}", reader.head);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_back_get_everything_once_and_in_commit_order() {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let served = Arc::new(serve().await);
    let mut writers = JoinSet::new();
    let mut readers = JoinSet::new();
    for patience in [1, 3, 7, 50, 10_000] {
        readers.spawn(read_all(Arc::clone(&served), patience, WRITERS * EACH));
    }
    for writer in 0..WRITERS {
        writers.spawn(publish_all(Arc::clone(&served), writer, EACH));
    }
    writers.join_all().await;
    let expect = history(&served).await;
    assert_eq!(WRITERS * EACH, expect.len());
    for seen in readers.join_all().await {
        assert_eq!(expect, seen);
    }
}

#[tokio::test]
async fn a_stream_begins_now_or_where_it_is_told_to() {
    let served = serve().await;
    served.publish(&event("before")).await;
    let mut now = Reader::open(&served, EVENTS, None).await;
    assert_eq!(200, now.status, "{}", now.head);
    assert!(now.head.contains("content-type: text/event-stream"));
    assert!(now.head.contains("cache-control: no-store"));
    // Before anything happens a client knows how to come back, and to where.
    let first = now.block().await.unwrap();
    let place = first.strip_prefix("retry: 2000\nid: ").unwrap().trim_end();
    let place = place.to_owned();

    served.publish(&event("after")).await;
    let data = now.data("event").await;
    assert_eq!("after", data["id"]);
    let shown = served.get("/api/v1/events/after").await.json();
    assert_eq!(shown, data, "the same JSON as anywhere");

    // Whoever went away before the first event misses nothing.
    let mut again = Reader::open(&served, EVENTS, Some(&place)).await;
    assert_eq!("after", again.data("event").await["id"]);
    for path in ["?after=c0", "?since=1h"] {
        let mut all = Reader::open(&served, &format!("{EVENTS}{path}"), None).await;
        assert_eq!("before", all.data("event").await["id"], "{path}");
        assert_eq!("after", all.data("event").await["id"], "{path}");
    }
    // A browser asks for the same address again: what it has seen counts more.
    let path = format!("{EVENTS}?after=c0");
    let mut back = Reader::open(&served, &path, Some(&place)).await;
    assert_eq!("after", back.data("event").await["id"]);
    let path = format!("{EVENTS}?after=now");
    let mut end = Reader::open(&served, &path, None).await;
    served.publish(&event("last")).await;
    assert_eq!("last", end.data("event").await["id"]);
}

#[tokio::test]
async fn a_stream_has_what_was_asked_for() {
    let served = serve().await;
    let events = [
        json!({"topic": "org.a.one", "id": "a1", "severity": "error", "body": {"n": 1}}),
        json!({"topic": "org.b.two", "id": "b2", "body": {"n": 2}}),
        json!({"topic": "org.c.three", "id": "c3", "body": {}}),
        json!({"topic": "org.a.four", "id": "a4", "body": {"n": 4}}),
        json!({"topic": "end", "id": "end", "severity": "error", "body": {"n": 9}}),
    ];
    let paths = [
        ("", "a1 b2 c3 a4 end"),
        ("topic=%23", "a1 b2 c3 a4 end"),
        ("topic=org.a.%23&topic=end", "a1 a4 end"),
        ("severity=error", "a1 end"),
        ("source=api", "a1 b2 c3 a4 end"),
        ("where=event.body.n%20%3E%201", "b2 a4 end"),
        (
            "where=event.body.n%20is%20undefined%20or%20event.topic%20==%20'end'",
            "c3 end",
        ),
        (
            "topic=org.a.*&topic=end&where=event.body.n%20!=%201",
            "a4 end",
        ),
    ];
    let mut live = Vec::new();
    for (query, _) in paths {
        live.push(Reader::open(&served, &format!("{EVENTS}?{query}"), None).await);
    }
    for event in &events {
        served.publish(&event.to_string()).await;
    }
    for ((query, expect), mut live) in paths.into_iter().zip(live) {
        let mut past = Reader::open(&served, &format!("{EVENTS}?after=c0&{query}"), None).await;
        for (what, reader) in [("live", &mut live), ("past", &mut past)] {
            let mut seen = Vec::new();
            while seen.last().is_none_or(|last| last != "end") {
                let event = reader.data("event").await;
                seen.push(event["id"].as_str().unwrap().to_owned());
            }
            assert_eq!(expect, seen.join(" "), "{what} {query}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_with_its_place() {
    let served = serve().await;
    served.publish(&event("one")).await;
    let long = format!("where={}", "a".repeat(2_001));
    let many = vec!["topic=a"; 101].join("&");
    for (query, field, part) in [
        ("topic=a..b", "topic", "word 2"),
        ("topic=", "topic", ""),
        ("severity=loud", "severity", "debug, info"),
        ("where=event.body.n%20%3D", "where", "at character"),
        ("where=nothing.here", "where", "at character 1"),
        ("where=", "where", "at character 1"),
        (long.as_str(), "where", "more than 2000 bytes"),
        (many.as_str(), "topic", "more than 100 times"),
        ("after=c0&since=1h", "after", "one of them"),
        ("after=12", "after", "not a cursor"),
        ("after=c", "after", "not a cursor"),
        ("after=c-1", "after", "not a cursor"),
        ("after=cffffffffffffffff", "after", "not a cursor"),
        ("after=c7fffffffffffffff", "after", "beyond the newest"),
        ("after=c3", "after", "beyond the newest"),
        ("since=yesterday", "since", "RFC 3339"),
        ("limit=5", "limit", "not known here"),
        ("source=a&source=b", "source", "more than once"),
    ] {
        let reply = served.get(&format!("{EVENTS}?{query}")).await;
        assert_eq!(400, reply.status, "{query}");
        let problem = reply.json();
        assert_eq!("invalid_parameter", problem["code"], "{query}");
        let error = &problem["errors"][0];
        assert_eq!(field, error["field"], "{query}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{query}: {message}");
    }
    for id in ["x", "c5", "c1; drop", "\u{e9}", "1.0", "c 1"] {
        let reader = Reader::open(&served, EVENTS, Some(id)).await;
        assert_eq!(400, reader.status, "{id}");
    }
    // Said twice, nobody knows which is meant. Said empty, it says nothing.
    let twice = [("Last-Event-ID", "c0"), ("Last-Event-ID", "c1")];
    assert_eq!(400, served.request("GET", EVENTS, &twice, b"").await.status);
    let empty = Reader::open(&served, EVENTS, Some("")).await;
    assert_eq!(200, empty.status);
}

#[tokio::test]
async fn a_reader_is_told_what_retention_has_removed() {
    let served = serve().await;
    for id in ["old1", "old2"] {
        served.publish(&event(id)).await;
    }
    let mut early = Reader::open(&served, &format!("{EVENTS}?after=c0"), None).await;
    assert_eq!("old1", early.data("event").await["id"]);
    let place = early.last_id.clone().unwrap();
    served.clock.advance(Duration::from_secs(3_600));
    served.publish(&event("new")).await;
    let now = served.clock.now();
    let cutoffs = Cutoffs {
        events: now.minus(Duration::from_secs(60)),
        output: now,
        dead: now,
    };
    served.store.prune(&cutoffs, 100).await.unwrap();

    let mut late = Reader::open(&served, EVENTS, Some(&place)).await;
    let gap = late.data("gap").await;
    assert_eq!(place, gap["after"].as_str().unwrap());
    assert!(gap["oldest"].as_str().unwrap().starts_with('c'));
    assert_eq!("new", late.data("event").await["id"]);
    // From its newest event on, nothing is missing.
    let place = late.last_id.clone().unwrap();
    served.publish(&event("newer")).await;
    let mut fresh = Reader::open(&served, EVENTS, Some(&place)).await;
    assert_eq!("newer", fresh.data("event").await["id"]);
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_is_there_and_how_far_it_is() {
    let served = serve_with(100, |settings| {
        settings.stream_alive = Duration::from_millis(20)
    })
    .await;
    let path = format!("{EVENTS}?topic=org.nothing");
    let mut reader = Reader::open(&served, &path, None).await;
    let first = reader.block().await.unwrap();
    served.publish(&event("other")).await;
    // Nothing for this client; but it need not come back to where it began.
    let sign = reader.block().await.unwrap();
    assert!(sign.starts_with(": alive\n"), "{sign:?}");
    let place = sign.lines().find_map(|line| line.strip_prefix("id: "));
    let place = place.unwrap();
    assert!(!first.contains(place), "{first:?} {sign:?}");
    let mut rest = Reader::open(&served, EVENTS, Some(place)).await;
    served.publish(&event("next")).await;
    assert_eq!("next", rest.data("event").await["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_told_and_dropped_and_intake_goes_on() {
    let patience = Duration::from_secs(1);
    let served = serve_with(100, |settings| settings.stream_patience = patience).await;
    let mut slow = Reader::open(&served, EVENTS, None).await;
    let mut quick = Reader::open(&served, EVENTS, None).await;
    let large = "x".repeat(500_000);
    // More than sockets and buffers hold, for longer than anybody waits.
    let begun = Instant::now();
    let mut published = 0;
    while published < 60 || begun.elapsed() < patience * 3 {
        let id = format!("l{published}");
        let event = json!({"topic": "org.example.large", "id": id, "body": large});
        served.publish(&event.to_string()).await;
        assert_eq!(id, quick.data("event").await["id"]);
        published += 1;
    }
    let mut seen = 0;
    let dropped = loop {
        let message = slow.next().await.expect("why it ends comes before the end");
        match message.event.as_str() {
            "event" => assert_eq!(format!("l{seen}"), message.data["id"]),
            _ => break message,
        }
        seen += 1;
    };
    assert_eq!("dropped", dropped.event);
    assert_eq!("slow", dropped.data["reason"]);
    assert_eq!(None, slow.next().await);
    assert!(seen < published);
    // It comes back, and goes on where it was.
    let mut back = Reader::open(&served, EVENTS, slow.last_id.as_deref()).await;
    for n in seen..published {
        assert_eq!(format!("l{n}"), back.data("event").await["id"]);
    }
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let served = serve_with(100, |settings| {
        settings.max_streams = 300;
        settings.max_connections = 10;
    })
    .await;
    let mut readers = Vec::new();
    for _ in 0..300 {
        let reader = Reader::open(&served, EVENTS, None).await;
        assert_eq!(200, reader.status);
        readers.push(reader);
    }
    let refused = served.get(EVENTS).await;
    assert_eq!(503, refused.status);
    assert_eq!("overloaded", refused.json()["code"]);
    assert!(refused.text().contains("`limits.streams`"));
    assert!(refused.header("retry-after").is_some());
    // The rest of the API does not notice.
    served.publish(&event("one")).await;
    for reader in &mut readers {
        assert_eq!("one", reader.data("event").await["id"]);
    }
    // One that goes makes room for another, as soon as it is noticed.
    drop(readers);
    served.publish(&event("two")).await;
    served.until("/api/v1/status", |_| true).await;
    let path = format!("{EVENTS}?after=c0");
    let mut reader = loop {
        let reader = Reader::open(&served, &path, None).await;
        if reader.status == 200 {
            break reader;
        }
    };
    assert_eq!("one", reader.data("event").await["id"]);
}

#[tokio::test]
async fn streams_end_with_the_server_and_say_why() {
    let mut served = serve().await;
    let job =
        served.publish(r#"{"topic": "org.example.wait"}"#).await["events"][0]["jobs"][0].clone();
    let job = job.as_str().unwrap();
    served.job_in(job, "running").await;
    let mut events = Reader::open(&served, EVENTS, None).await;
    let path = format!("/api/v1/jobs/{job}/output/stream");
    let mut output = Reader::open(&served, &path, None).await;
    served.ask_to_end();
    for reader in [&mut events, &mut output] {
        assert_eq!("draining", reader.data("dropped").await["reason"]);
        assert_eq!(None, reader.next().await);
    }
    served.ended().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let alive = Duration::from_millis(50);
    let served = serve_with(100, |settings| settings.stream_alive = alive).await;
    let mut open = Reader::open(&served, EVENTS, None).await;
    let path = "/api/v1/tokens";
    let admin = served.post(path, r#"{"name": "root", "role": "admin"}"#);
    let admin = admin.await.json()["secret"].as_str().unwrap().to_owned();
    // Whoever came without a token came while none was asked for.
    assert_eq!("token", open.data("dropped").await["reason"]);
    assert_eq!(None, open.next().await);
    assert_eq!(401, Reader::open(&served, EVENTS, None).await.status);

    let bearer = format!("Bearer {admin}");
    let headers = [("Authorization", bearer.as_str())];
    let mut known = Reader::open_with(&served, EVENTS, &headers).await;
    assert_eq!(200, known.status, "{}", known.head);
    let path = "/api/v1/tokens/root/revoke";
    let revoked = served.request("POST", path, &headers, b"").await;
    assert_eq!(200, revoked.status, "{}", revoked.text());
    assert_eq!("token", known.data("dropped").await["reason"]);
    assert_eq!(None, known.next().await);
}

/// The job of the only firing of an event.
async fn job(served: &Served, topic: &str, body: Value) -> String {
    let event = json!({"topic": topic, "body": body}).to_string();
    let accepted = served.publish(&event).await;
    accepted["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn what_a_job_prints_is_streamed_to_its_end_from_any_byte() {
    let served = serve().await;
    let id = job(&served, "org.example.hello", json!({"name": "wörld"})).await;
    let path = format!("/api/v1/jobs/{id}/output/stream");
    let all = "ok -- wörld\nresult\n";
    let mut reader = Reader::open(&served, &path, None).await;
    let mut text = String::new();
    let end = loop {
        let message = reader.next().await.unwrap();
        if message.event == "end" {
            break message.data;
        }
        assert_eq!("output", message.event);
        assert_eq!(1, message.data["attempt"]);
        assert_eq!(text.len(), message.data["offset"]);
        text.push_str(message.data["text"].as_str().unwrap());
        assert_eq!(format!("1.{}", text.len()), reader.last_id.clone().unwrap());
    };
    assert_eq!(all, text);
    assert_eq!(
        json!({"state": "succeeded", "reason": end["reason"], "attempt": 1}),
        end
    );
    assert_eq!(None, reader.next().await);
    // A browser that comes back is told not to.
    assert_eq!(Some("end"), reader.last_id.as_deref());
    let again = Reader::open(&served, &path, Some("end")).await;
    assert_eq!(204, again.status);

    for from in 0..=all.len() {
        let mut rest = Reader::open(&served, &path, Some(&format!("1.{from}"))).await;
        let mut bytes = Vec::new();
        loop {
            let message = rest.next().await.unwrap();
            if message.event == "end" {
                break;
            }
            match message.data["text"].as_str() {
                Some(text) => bytes.extend_from_slice(text.as_bytes()),
                // In the middle of a character.
                None => bytes.extend(decoded(&message.data)),
            }
        }
        assert_eq!(&all.as_bytes()[from..], bytes, "from {from}");
    }
    let mut step = Reader::open(&served, &format!("{path}?step=1"), None).await;
    assert_eq!("result\n", step.data("output").await["text"]);
    assert_eq!("end", step.next().await.unwrap().event);
}

fn decoded(data: &Value) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(data["base64"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn bytes_that_are_no_text_travel_unharmed() {
    let served = serve().await;
    let id = job(&served, "org.example.bytes", json!({})).await;
    let path = format!("/api/v1/jobs/{id}/output/stream");
    let mut reader = Reader::open(&served, &path, None).await;
    assert_eq!(BYTES, decoded(&reader.data("output").await));
    assert_eq!("end", reader.next().await.unwrap().event);
}

#[tokio::test]
async fn an_output_goes_on_through_attempts_and_ends_with_the_job() {
    let served = serve().await;
    let id = job(&served, "org.example.broken", json!({})).await;
    let path = format!("/api/v1/jobs/{id}/output/stream");
    let mut reader = Reader::open(&served, &path, None).await;
    let end = reader.data("end").await;
    assert_eq!("failed", end["state"]);
    let retried = served.post(&format!("/api/v1/jobs/{id}/retry"), "").await;
    assert_eq!(202, retried.status);
    let mut reader = Reader::open(&served, &path, Some("1.0")).await;
    assert_eq!(2, reader.data("end").await["attempt"]);

    // One that waits for ever ends when it is cancelled.
    let id = job(&served, "org.example.wait", json!({})).await;
    let path = format!("/api/v1/jobs/{id}/output/stream");
    let mut reader = Reader::open(&served, &path, None).await;
    served.job_in(&id, "running").await;
    served.post(&format!("/api/v1/jobs/{id}/cancel"), "").await;
    assert_eq!("cancelled", reader.data("end").await["state"]);
}

#[tokio::test]
async fn an_output_that_is_not_there_is_refused() {
    let served = serve().await;
    let id = job(&served, "org.example.hello", json!({"name": "x"})).await;
    served.job_in(&id, "succeeded").await;
    let path = format!("/api/v1/jobs/{id}/output/stream");
    for (query, status) in [
        ("?attempt=2", 404),
        ("?step=7", 404),
        ("?offset=999", 400),
        ("?offset=-1", 400),
        ("?after=c0", 400),
    ] {
        let reply = served.get(&format!("{path}{query}")).await;
        assert_eq!(status, reply.status, "{query}: {}", reply.text());
    }
    for last in ["c5", "1", "1.999", "2.0.0", "9.5", "99.0", "-1.0"] {
        let reader = Reader::open(&served, &path, Some(last)).await;
        assert_eq!(400, reader.status, "{last}");
    }
    assert_eq!(
        404,
        served.get("/api/v1/jobs/none/output/stream").await.status
    );
}
