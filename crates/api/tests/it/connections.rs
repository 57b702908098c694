//! Clients that are slow, greedy or broken, and how the server ends.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::harness::{serve, serve_with};

#[tokio::test]
async fn a_slow_body_is_408() {
    let served = serve_with(10, |settings| {
        settings.body_timeout = Duration::from_millis(100)
    })
    .await;
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        served.address
    );
    let replies = served.raw(head.as_bytes()).await;
    assert_eq!(408, replies[0].status);
    assert_eq!(replies[0].json()["code"], "request_timeout");
    served.end().await;
}

#[tokio::test]
async fn slow_headers_and_idle_connections_are_closed() {
    let served = serve_with(10, |settings| {
        settings.header_timeout = Duration::from_millis(100)
    })
    .await;
    for sent in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let mut stream = served.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {sent:?}");
    }
    served.end().await;
}

#[tokio::test]
async fn giant_headers_are_431() {
    let served = serve().await;
    let long = "x".repeat(60_000);
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n");
    assert_eq!(431, served.raw(request.as_bytes()).await[0].status);
    let many = "X-Many: 1\r\n".repeat(200);
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert_eq!(431, served.raw(request.as_bytes()).await[0].status);
    served.end().await;
}

#[tokio::test]
async fn bytes_that_are_not_http_end_the_connection_only() {
    let served = serve().await;
    for bytes in [
        b"\0\0\0\0\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n",
    ] {
        for reply in served.raw(bytes).await {
            assert!((400..600).contains(&reply.status), "{bytes:?}: {reply:?}");
        }
    }
    assert_eq!(200, served.get("/healthz/live").await.status);
    served.end().await;
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_order() {
    let served = serve().await;
    let one =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let event = r#"{"topic": "a", "id": "piped"}"#;
    let post = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{event}",
        event.len()
    );
    let packet = [
        one("/healthz/live", ""),
        one("/nothing", ""),
        post,
        one("/api/v1/events/piped", "Connection: close\r\n"),
    ]
    .concat();
    let statuses: Vec<u16> = served
        .raw(packet.as_bytes())
        .await
        .iter()
        .map(|reply| reply.status)
        .collect();
    assert_eq!(vec![200, 404, 202, 200], statuses);
    served.end().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_nothing() {
    let served = serve().await;
    let mut stream = served.connect().await;
    let head = "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"topic\": \"a\"}";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(10), stream.read_to_end(&mut rest))
        .await
        .expect("the server closes")
        .unwrap();
    let events = served.get("/api/v1/events").await.json();
    assert!(events["items"].as_array().unwrap().is_empty());
    served.end().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let served = serve_with(10_000, |settings| {
        settings.write_timeout = Duration::from_millis(200);
        settings.max_connections = 1;
    })
    .await;
    let body = "x".repeat(1024 * 1000);
    for _ in 0..8 {
        served
            .publish(&format!(r#"{{"topic": "a", "body": "{body}"}}"#))
            .await;
    }
    let mut greedy = served.connect().await;
    let request = "GET /api/v1/events?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    greedy.write_all(request.as_bytes()).await.unwrap();
    // There is one place, and it becomes free without the client's help.
    assert_eq!(200, served.get("/healthz/live").await.status);
    drop(greedy);
    served.end().await;
}

/// Far less than a silent connection is kept otherwise.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn silent_connections_make_room_for_those_who_ask() {
    let served = serve_with(10, |settings| {
        settings.header_timeout = Duration::from_secs(600);
        settings.max_connections = 3;
        settings.max_streams = 1;
    })
    .await;
    // A stream and a request in flight keep their places, whoever comes.
    let stream = b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut listening = served.connect().await;
    listening.write_all(stream).await.unwrap();
    until_read(&mut listening, "retry: ").await;
    let event = r#"{"topic": "org.example.crowd", "id": "crowd"}"#;
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        event.len()
    );
    let mut asking = served.connect().await;
    asking.write_all(head.as_bytes()).await.unwrap();
    until_read(&mut asking, "100 Continue").await;

    // Many more than there are places, of three kinds.
    let mut crowd = Vec::new();
    for _ in 0..20 {
        for sent in ["", "GET / HTTP/1.1\r\nHost: loc", ASKED] {
            let mut silent = served.connect().await;
            silent.write_all(sent.as_bytes()).await.unwrap();
            crowd.push(silent);
        }
        let answer = timeout(SOON, served.get("/healthz/live")).await;
        assert_eq!(200, answer.expect("health answers in time").status);
    }
    for silent in crowd.drain(..50) {
        until_closed(silent).await;
    }

    asking.write_all(event.as_bytes()).await.unwrap();
    until_read(&mut asking, "202 Accepted").await;
    until_read(&mut listening, "org.example.crowd").await;
    served.end().await;
}

#[tokio::test]
async fn requests_whose_bodies_do_not_come_make_room_for_those_that_do() {
    let served = serve_with(10, |settings| {
        settings.body_timeout = Duration::from_secs(600);
        settings.max_connections = 3;
        settings.max_streams = 0;
    })
    .await;
    let head = "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
    let mut crowd = Vec::new();
    for _ in 0..6 {
        let mut stuck = served.connect().await;
        stuck.write_all(head.as_bytes()).await.unwrap();
        until_read(&mut stuck, "100 Continue").await;
        stuck.write_all(b"{").await.unwrap();
        crowd.push(stuck);
        let event = r#"{"topic": "org.example.crowd"}"#;
        let answer = timeout(SOON, served.post("/api/v1/events", event)).await;
        assert_eq!(202, answer.expect("an answer in time").status);
    }
    for stuck in crowd.drain(..3) {
        until_closed(stuck).await;
    }
    served.end().await;
}

/// An answer, and then nothing more.
const ASKED: &str = "GET /healthz/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET";

async fn until_read(stream: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    let found = timeout(SOON, async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert_ne!(0, stream.read_buf(&mut read).await.unwrap(), "no `{text}`");
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("no `{text}` in time"));
}

async fn until_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // Closed or reset, it is over.
    let ended = timeout(SOON, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a silent connection stays");
}

#[tokio::test]
async fn ending_lets_a_request_in_flight_end_and_takes_no_other() {
    let mut served = serve().await;
    let event = r#"{"topic": "a", "id": "late"}"#;
    let mut stream = served.connect().await;
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        event.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 25];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(b"HTTP/1.1 100 Continue\r\n\r\n", &buffer);

    served.ask_to_end();
    let address = served.address;
    let until = Instant::now() + Duration::from_secs(10);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < until, "the listener is still open");
        tokio::task::yield_now().await;
    }
    stream.write_all(event.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let reply = String::from_utf8(rest).unwrap();
    assert!(reply.starts_with("HTTP/1.1 202 "), "{reply}");
    assert!(reply.contains("connection: close"), "{reply}");
    served.ended().await;
}

#[tokio::test]
async fn ending_does_not_wait_for_a_stuck_client() {
    let mut served = serve_with(10, |settings| {
        settings.shutdown_timeout = Duration::from_millis(100)
    })
    .await;
    let mut stream = served.connect().await;
    let head = "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 25];
    stream.read_exact(&mut buffer).await.unwrap();
    served.ask_to_end();
    served.ended().await;
}
