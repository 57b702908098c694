//! `/metrics`, and whether the manual names what a service says.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use api::Rate;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use crate::{
    harness::{Reply, Served, serve_with},
    links::linked,
};

/// A service with a source and a sink that has done a little of everything.
async fn busy() -> Served {
    let served = linked().await;
    let hello = r#"{"id": "e", "topic": "org.example.hello", "body": {"name": "x"}}"#;
    let reply = served.publish(hello).await;
    let job = reply["events"][0]["jobs"][0].as_str().unwrap().to_owned();
    served.job_in(&job, "succeeded").await;
    served.publish(hello).await;
    assert_eq!(400, served.post("/api/v1/events", "{}").await.status);
    served
}

fn number(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("`{series}` is not in {text}"));
    line.parse().unwrap()
}

/// The families of the older text format, with their types.
fn families(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[tokio::test]
async fn the_manual_names_what_a_service_says() {
    let served = busy().await;
    let text = served.get("/metrics").await.text().to_owned();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let manual = fs::read_to_string(path).unwrap();
    let listed: BTreeMap<String, String> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (name, rest) = line.split_once("` | ")?;
            let (kind, _) = rest.split_once(" | ")?;
            Some((name.to_owned(), kind.to_owned()))
        })
        .collect();
    assert_eq!(families(&text), listed);
    served.end().await;
}

#[tokio::test]
async fn what_happened_is_counted() {
    let served = busy().await;
    let text = served.get("/metrics").await.text().to_owned();
    let is = |series: &str, expect: f64| {
        let found = number(&text, series);
        assert!((found - expect).abs() < 1e-9, "{series} is {found}");
    };
    is(r#"lariat_events_accepted_total{source="api"}"#, 1.0);
    is(r#"lariat_events_accepted_total{source="fedora"}"#, 0.0);
    is(r#"lariat_events_duplicate_total{source="api"}"#, 1.0);
    is(
        r#"lariat_intake_refused_total{source="api",reason="invalid_event"}"#,
        1.0,
    );
    is(r#"lariat_verdicts_total{verdict="fired"}"#, 1.0);
    is(r#"lariat_verdicts_total{verdict="duplicate"}"#, 1.0);
    is(
        r#"lariat_attempts_total{rule="greet",outcome="succeeded"}"#,
        1.0,
    );
    is(
        r#"lariat_jobs_ended_total{rule="greet",state="succeeded"}"#,
        1.0,
    );
    is("lariat_job_start_seconds_count", 1.0);
    is(r#"lariat_step_duration_seconds_count{kind="command"}"#, 2.0);
    is(
        r#"lariat_source_link{source="fedora",state="connected"}"#,
        1.0,
    );
    is(r#"lariat_sink_link{sink="bus",state="blocked"}"#, 1.0);
    is(r#"lariat_source_messages_total{source="fedora"}"#, 4711.0);
    is(r#"lariat_outbox_events{sink="bus"}"#, 1.0);
    is("lariat_store_up", 1.0);
    assert!(number(&text, "process_resident_memory_bytes") > 1e6);
    assert!(number(&text, "process_open_fds") > 3.0);
    served.end().await;
}

fn kind(reply: &Reply) -> &str {
    reply.header("content-type").unwrap()
}

#[tokio::test]
async fn the_client_chooses_the_format() {
    let served = busy().await;
    let plain = served.get("/metrics").await;
    assert_eq!("text/plain; version=0.0.4; charset=utf-8", kind(&plain));
    assert!(!plain.text().contains("# EOF"));
    let accept = [(
        "Accept",
        "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
    )];
    let open = served.request("GET", "/metrics", &accept, b"").await;
    assert_eq!(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        kind(&open)
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert_eq!(1, open.text().matches("# EOF").count());
    served.end().await;
}

#[tokio::test]
async fn streams_and_requests_beyond_a_limit_are_counted() {
    let served = serve_with(10, |settings| {
        settings.stream_alive = Duration::from_millis(50);
        settings.requests_per_address = Some(Rate {
            count: 4.try_into().unwrap(),
            per: Duration::from_secs(3_600),
        });
    })
    .await;
    let open = "lariat_streams_open";
    let behind = r#"lariat_streams_dropped_total{reason="behind"}"#;
    let limited = r#"lariat_requests_limited_total{limit="requests_per_address"}"#;
    let mut stream = served.connect().await;
    let request = b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(b"HTTP/1.1 200", &status);
    let text = served.get("/metrics").await.text().to_owned();
    for (series, expect) in [(open, 1.0), (behind, 0.0), (limited, 0.0)] {
        let found = number(&text, series);
        assert!((found - expect).abs() < 1e-9, "{series} is {found}");
    }
    // The first token closes the service, for streams as well.
    let root = r#"{"name": "root", "role": "admin"}"#;
    let made = served.post("/api/v1/tokens", root).await.json();
    for expect in [401, 429, 429] {
        assert_eq!(expect, served.get("/api/v1/status").await.status);
    }
    let bearer = format!("Bearer {}", made["secret"].as_str().unwrap());
    let headers = [("Authorization", bearer.as_str())];
    let revoked = r#"lariat_streams_dropped_total{reason="token"}"#;
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let reply = served.request("GET", "/metrics", &headers, b"").await;
        let text = reply.text();
        assert!((number(text, limited) - 2.0).abs() < 1e-9, "{text}");
        if number(text, open) < 0.5 && number(text, revoked) > 0.5 {
            break;
        }
        assert!(Instant::now() < until, "the stream stays open: {text}");
        tokio::task::yield_now().await;
    }
    served.end().await;
}

#[tokio::test]
async fn events_of_those_who_may_not_send_them_are_counted() {
    let served = serve_with(10, |_| {}).await;
    let event = r#"{"topic": "a.b"}"#.as_bytes();
    let foreign = [("Origin", "https://elsewhere.example")];
    let path = "/api/v1/events";
    let reply = served.request("POST", path, &foreign, event).await;
    assert_eq!(403, reply.status);
    let mut bearers = Vec::new();
    for role in ["admin", "viewer"] {
        let headers: Vec<(&str, &str)> = bearers
            .iter()
            .map(|it: &String| ("Authorization", it.as_str()))
            .collect();
        let wanted = format!(r#"{{"name": "{role}", "role": "{role}"}}"#);
        let headers = [&headers[..], &[("Content-Type", "application/json")]].concat();
        let made = served
            .request("POST", "/api/v1/tokens", &headers, wanted.as_bytes())
            .await;
        bearers.push(format!(
            "Bearer {}",
            made.json()["secret"].as_str().unwrap()
        ));
    }
    let viewer = [("Authorization", bearers[1].as_str())];
    let unknown = [("Authorization", "Bearer lariat_nonsense")];
    for (headers, status) in [(&viewer[..], 403), (&unknown, 401), (&[], 401)] {
        let reply = served.request("POST", path, headers, event).await;
        assert_eq!(status, reply.status);
    }
    // What is no event is none that was refused.
    served.get("/api/v1/status").await;
    let text = served
        .request("GET", "/metrics", &viewer, b"")
        .await
        .text()
        .to_owned();
    for reason in [
        "forbidden_origin",
        "forbidden_role",
        "invalid_token",
        "token_required",
    ] {
        let series = format!(r#"lariat_intake_refused_total{{source="api",reason="{reason}"}}"#);
        let found = number(&text, &series);
        assert!((found - 1.0).abs() < 1e-9, "{series} is {found}");
    }
    served.end().await;
}
