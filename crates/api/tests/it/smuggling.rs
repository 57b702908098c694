//! Requests that two programs could read differently, and crowds.
//!
//! What stands before the service may see one request where it sees two. So
//! whatever has two readings is refused, or the connection ends behind it.

use std::time::Duration;

use tokio::time::timeout;

use crate::harness::{Served, serve, serve_with};

/// A request that must never be seen: it would publish an event.
const SMUGGLED: &str = "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n{\"topic\": \"a.b\", \"id\": \"smuggled\"}";

/// Sends `head` with the smuggled request behind it.
async fn check(served: &Served, what: &str, head: &str) {
    let replies = served.raw(format!("{head}{SMUGGLED}").as_bytes()).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert!(
        statuses.iter().all(|status| (400..500).contains(status)),
        "{what}: {statuses:?}"
    );
    let found = served.get("/api/v1/events/smuggled").await;
    assert_eq!(404, found.status, "{what}");
}

#[tokio::test]
async fn a_body_of_two_lengths_is_refused() {
    let served = serve().await;
    let post = "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n";
    for (what, lengths) in [
        (
            "two lengths",
            "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
        ),
        ("a list of lengths", "Content-Length: 0, 5\r\n\r\n"),
        ("a length with a sign", "Content-Length: +0\r\n\r\n"),
        ("a length in hexadecimal", "Content-Length: 0x0\r\n\r\n"),
        (
            "a length too large",
            "Content-Length: 99999999999999999999\r\n\r\n",
        ),
        (
            "another encoding",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        ),
        (
            "an encoding unheard of",
            "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a folded encoding",
            "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "an encoding with a space before the colon",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a chunk without a size",
            "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n",
        ),
        (
            "a chunk whose size overflows",
            "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
        ),
    ] {
        check(&served, what, &format!("{post}{lengths}")).await;
    }
    served.end().await;
}

#[tokio::test]
async fn a_length_beside_an_encoding_ends_the_connection() {
    let served = serve().await;
    for order in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let head =
            format!("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n{order}\r\n0\r\n\r\n");
        let replies = served.raw(format!("{head}{SMUGGLED}").as_bytes()).await;
        assert_eq!(1, replies.len(), "{order}: {replies:?}");
        let found = served.get("/api/v1/events/smuggled").await;
        assert_eq!(404, found.status, "{order}");
    }
    served.end().await;
}

#[tokio::test]
async fn headers_with_two_readings_are_refused() {
    let served = serve().await;
    for (what, head) in [
        (
            "a folded header",
            "GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\nConnection: close\r\n\r\n",
        ),
        (
            "two hosts",
            "GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\nConnection: close\r\n\r\n",
        ),
        (
            "the same host twice",
            "GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
        (
            "no host",
            "GET /healthz/live HTTP/1.1\r\nConnection: close\r\n\r\n",
        ),
        (
            "a carriage return in a value",
            "GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nX-A: a\rb\r\nConnection: close\r\n\r\n",
        ),
        (
            "a null in a value",
            "GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\nConnection: close\r\n\r\n",
        ),
        (
            "a space before the colon",
            "GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nX-A : b\r\nConnection: close\r\n\r\n",
        ),
    ] {
        check(&served, what, head).await;
    }
    served.end().await;
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let served = serve_with(10, |settings| {
        settings.header_timeout = Duration::from_millis(100);
        settings.max_connections = 20;
        settings.max_streams = 0;
    })
    .await;
    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(served.connect().await);
    }
    let answered = timeout(Duration::from_secs(20), served.get("/healthz/live")).await;
    assert_eq!(200, answered.expect("its turn comes").status);
    drop(crowd);
    served.end().await;
}
