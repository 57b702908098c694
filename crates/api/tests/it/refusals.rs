//! Requests that are refused: each with its status, its code and its fields.

use std::fmt::Write as _;

use crate::harness::{Reply, Served, serve, serve_with};

/// `expect` is `status code`, then `index/field` of each error.
#[track_caller]
fn check_problem(reply: &Reply, expect: &str, what: &str) {
    assert_eq!(
        Some("application/problem+json"),
        reply.header("content-type"),
        "{what}: {reply:?}"
    );
    let problem = reply.json();
    let mut shown = format!("{} {}", reply.status, problem["code"].as_str().unwrap());
    for error in problem["errors"].as_array().unwrap() {
        let index = match &error["index"] {
            serde_json::Value::Null => "-".to_owned(),
            index => index.to_string(),
        };
        let field = error["field"].as_str().unwrap_or("-");
        write!(shown, " {index}/{field}").unwrap();
        assert!(!error["message"].as_str().unwrap().is_empty(), "{what}");
    }
    assert_eq!(expect, shown, "{what}: {problem}");
    assert_eq!(problem["status"], reply.status, "{what}");
    let code = problem["code"].as_str().unwrap();
    assert_eq!(problem["type"], format!("urn:lariat:problem:{code}"));
    assert!(!problem["title"].as_str().unwrap().is_empty());
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    assert_eq!(
        matches!(reply.status, 429 | 503),
        reply.header("retry-after").is_some(),
        "{what}"
    );
}

async fn check_get(served: &Served, path: &str, expect: &str) {
    check_problem(&served.get(path).await, expect, path);
}

async fn check_post(served: &Served, body: &str, expect: &str) {
    let reply = served.post("/api/v1/events", body).await;
    let what: String = body.chars().take(100).collect();
    check_problem(&reply, expect, &what);
}

#[tokio::test]
async fn events_that_are_none_are_refused() {
    let served = serve().await;
    for (body, expect) in [
        ("{", "400 invalid_json -/-"),
        ("nope", "400 invalid_json -/-"),
        (r#"{"topic": "a"} {"#, "400 invalid_json -/-"),
        (r#"{"topic": "a", "body": NaN}"#, "400 invalid_json -/-"),
        ("\u{feff}{\"topic\": \"a\"}", "400 invalid_json -/-"),
        ("[]", "400 invalid_event -/-"),
        ("7", "400 invalid_event 0/-"),
        ("{}", "400 invalid_event 0/topic"),
        (r#"{"topic": 5}"#, "400 invalid_event 0/topic"),
        (r#"{"topic": "a/b"}"#, "400 invalid_event 0/topic"),
        (r#"{"topic": "lariat.job"}"#, "400 invalid_event 0/topic"),
        (r#"{"topic": "a", "id": "ä"}"#, "400 invalid_event 0/id"),
        (
            r#"{"topic": "a", "id": 1, "x": 2}"#,
            "400 invalid_event 0/id 0/x",
        ),
        (
            r#"{"topic": "a", "topic": "b"}"#,
            "400 invalid_event 0/topic",
        ),
        (
            r#"[{"topic": "a"}, {"topic": ""}, {"time": "x", "topic": "b"}]"#,
            "400 invalid_event 1/topic 2/time",
        ),
    ] {
        check_post(&served, body, expect).await;
    }
    let events = served.get("/api/v1/events").await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 0);
    served.end().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let served = serve_with(1_000, |settings| {
        settings.max_request_bytes = 3 * 1024 * 1024
    })
    .await;
    let many = |count: usize| format!("[{}]", vec![r#"{"topic":"a"}"#; count].join(","));
    check_post(&served, &many(1_001), "400 too_many_events -/-").await;
    let deep = |depth: usize| {
        format!(
            r#"{{"topic": "a", "body": {}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    check_post(&served, &deep(65), "413 too_deep 0/-").await;
    check_post(&served, &deep(10_000), "413 too_deep -/-").await;
    check_post(&served, &"[".repeat(100_000), "413 too_deep -/-").await;
    let fat = format!(r#"{{"topic": "a", "body": "{}"}}"#, "x".repeat(1024 * 1024));
    check_post(&served, &fat, "413 event_too_large 0/-").await;
    check_post(
        &served,
        &format!("[{{\"topic\": \"a\"}}, {fat}]"),
        "413 event_too_large 1/-",
    )
    .await;
    check_post(
        &served,
        &" ".repeat(3 * 1024 * 1024 + 1),
        "413 request_too_large",
    )
    .await;

    served.publish(&many(1_000)).await;
    served.publish(&deep(64)).await;
    served.end().await;
}

#[tokio::test]
async fn seventeen_mebibytes_are_refused_and_the_client_sees_why() {
    let served = serve().await;
    let body = " ".repeat(17 * 1024 * 1024);
    check_post(&served, &body, "413 request_too_large").await;

    let mut chunked = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        served.address
    )
    .into_bytes();
    for _ in 0..17 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 0x10_0000));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let replies = served.raw(&chunked).await;
    check_problem(&replies[0], "413 request_too_large", "chunked");
    served.end().await;
}

#[tokio::test]
async fn query_parameters_are_checked() {
    let served = serve().await;
    for (path, expect) in [
        ("/api/v1/events?limit=0", "400 invalid_parameter -/limit"),
        ("/api/v1/events?limit=501", "400 invalid_parameter -/limit"),
        ("/api/v1/events?limit=-1", "400 invalid_parameter -/limit"),
        ("/api/v1/events?limit=x", "400 invalid_parameter -/limit"),
        ("/api/v1/events?topics=a", "400 invalid_parameter -/topics"),
        (
            "/api/v1/events?topic=a&topic=b",
            "400 invalid_parameter -/topic",
        ),
        ("/api/v1/events?topic=a..b", "400 invalid_parameter -/topic"),
        ("/api/v1/events?topic=", "400 invalid_parameter -/topic"),
        ("/api/v1/events?since=soon", "400 invalid_parameter -/since"),
        ("/api/v1/events?until=1w", "400 invalid_parameter -/until"),
        (
            "/api/v1/events?cursor=xyz",
            "400 invalid_parameter -/cursor",
        ),
        (
            "/api/v1/events?cursor=c99999999999999999999",
            "400 invalid_parameter -/cursor",
        ),
        ("/api/v1/events?after=", "400 invalid_parameter -/after"),
        (
            "/api/v1/events?severity=warn",
            "400 invalid_parameter -/severity",
        ),
        (
            "/api/v1/events?after=c999999999",
            "400 invalid_parameter -/after",
        ),
        (
            "/api/v1/events?cursor=c999999999",
            "400 invalid_parameter -/cursor",
        ),
        (
            "/api/v1/jobs?cursor=c999999999",
            "400 invalid_parameter -/cursor",
        ),
        (
            "/api/v1/dead?after=c999999999",
            "400 invalid_parameter -/after",
        ),
        (
            "/api/v1/audit?after=c999999999",
            "400 invalid_parameter -/after",
        ),
        (
            "/api/v1/events?cursor=c1&after=c2",
            "400 invalid_parameter -/after",
        ),
        (
            "/api/v1/events?cursor=c1&after=now",
            "400 invalid_parameter -/after",
        ),
        ("/api/v1/events?topic=%ff", "400 invalid_parameter -/topic"),
        (
            "/api/v1/events?limit=x&severity=y&foo=1",
            "400 invalid_parameter -/foo -/severity -/limit",
        ),
        ("/api/v1/events/x?a=1", "400 invalid_parameter -/a"),
        (
            "/api/v1/events/x/verdicts?rule=a/b",
            "400 invalid_parameter -/rule",
        ),
        ("/api/v1/jobs?state=done", "400 invalid_parameter -/state"),
        ("/api/v1/jobs?event=a%20b", "400 invalid_parameter -/event"),
        (
            "/api/v1/jobs/x/output?offset=-1",
            "400 invalid_parameter -/offset",
        ),
        (
            "/api/v1/jobs/x/output?attempt=1.5",
            "400 invalid_parameter -/attempt",
        ),
        ("/api/v1/dead?kind=failed", "400 invalid_parameter -/kind"),
        ("/api/v1/dead?state=all", "400 invalid_parameter -/state"),
        ("/api/v1/rules?limit=1", "400 invalid_parameter -/limit"),
        ("/api/v1/status?x", "400 invalid_parameter -/x"),
        ("/healthz/live?x=1", "400 invalid_parameter -/x"),
    ] {
        check_get(&served, path, expect).await;
    }
    served.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let served = serve().await;
    for (path, expect) in [
        ("/api/v1/events/2026-1", "404 not_found"),
        ("/api/v1/events/2026-1/verdicts", "404 not_found"),
        ("/api/v1/jobs/0", "404 not_found"),
        ("/api/v1/jobs/0/output", "404 not_found"),
        ("/api/v1/dead/0", "404 not_found"),
        ("/api/v1/events/%2e%2e", "404 not_found"),
        ("/api/v1/events/..", "404 not_found"),
        ("/api/v1/events/a%2Fb", "404 not_found"),
        ("/api/v1/events/a%00b", "404 not_found"),
        ("/api/v1/events/%ff", "404 not_found"),
        ("/api/v1/jobs/%c0%ae", "404 not_found"),
        ("/api/v1/jobs/'%20or%201=1--", "404 not_found"),
        ("/api/v1/events/", "404 unknown_route"),
        ("/api/v1/nothing", "404 unknown_route"),
        ("/api/v1/../../etc/passwd", "404 unknown_route"),
        ("//api/v1/events", "404 unknown_route"),
        ("/API/v1/events", "404 unknown_route"),
        ("/favicon.ico", "404 unknown_route"),
    ] {
        check_get(&served, path, expect).await;
    }
    let long = format!("/api/v1/events/{}", "a".repeat(20_000));
    check_get(&served, &long, "404 not_found").await;
    for path in [
        "jobs/0/retry",
        "jobs/0/cancel",
        "dead/0/retry",
        "dead/0/discard",
    ] {
        let reply = served.post(&format!("/api/v1/{path}"), "").await;
        check_problem(&reply, "404 not_found", path);
    }
    served.end().await;
}

#[tokio::test]
async fn an_address_takes_its_own_methods_only() {
    let served = serve().await;
    for (method, path, allow) in [
        ("PUT", "/api/v1/events", "GET,HEAD,POST"),
        ("OPTIONS", "/api/v1/events", "GET,HEAD,POST"),
        ("DELETE", "/api/v1/events/x", "GET,HEAD"),
        ("POST", "/api/v1/status", "GET,HEAD"),
        ("GET", "/api/v1/reload", "POST"),
        ("GET", "/api/v1/jobs/x/cancel", "POST"),
        ("TRACE", "/", "GET,HEAD"),
        ("BREW", "/", "GET,HEAD"),
    ] {
        let reply = served.request(method, path, &[], b"").await;
        let what = format!("{method} {path}");
        check_problem(&reply, "405 method_not_allowed", &what);
        assert_eq!(Some(allow), reply.header("allow"), "{what}");
    }
    let head = served.request("HEAD", "/api/v1/events", &[], b"").await;
    assert_eq!((200, 0), (head.status, head.body.len()));
    served.end().await;
}

#[tokio::test]
async fn a_body_is_json_by_its_content_type() {
    let served = serve().await;
    let event = br#"{"topic": "a"}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json; charset=latin1",
        "application/json, text/plain",
        "",
    ] {
        let headers = [("Content-Type", kind)];
        let reply = served
            .request("POST", "/api/v1/events", &headers, event)
            .await;
        check_problem(&reply, "415 unsupported_media_type", kind);
    }
    let reply = served.request("POST", "/api/v1/events", &[], event).await;
    check_problem(&reply, "415 unsupported_media_type", "none");
    let zipped = [
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
    ];
    let reply = served
        .request("POST", "/api/v1/events", &zipped, event)
        .await;
    check_problem(&reply, "415 unsupported_media_type", "gzip");
    for kind in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/json;charset=\"utf-8\"",
    ] {
        let headers = [("Content-Type", kind)];
        let reply = served
            .request("POST", "/api/v1/events", &headers, event)
            .await;
        assert_eq!(202, reply.status, "{kind}");
    }
    let reply = served.post("/api/v1/reload", "{}").await;
    assert_eq!(200, reply.status);
    let reply = served.post("/api/v1/reload", r#"{"a": 1}"#).await;
    check_problem(&reply, "400 invalid_request", "a body that is not wanted");
    served.end().await;
}

#[tokio::test]
async fn what_takes_no_body_takes_an_empty_one_or_none() {
    let served = serve().await;
    let json = [("Content-Type", "application/json")];
    for (body, status) in [
        (&b""[..], 404),
        (b"{}", 404),
        (b" {\n} ", 404),
        (b"\x0c", 400),
        (b" ", 400),
        (b"{}{}", 400),
        (b"null", 400),
    ] {
        let path = "/api/v1/jobs/none/retry";
        let reply = served.request("POST", path, &json, body).await;
        assert_eq!(status, reply.status, "{body:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn other_hosts_and_other_sites_are_refused() {
    let served = serve().await;
    let port = served.address.port();
    let own = format!("localhost:{port}");
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0",
        "",
        "[::2]:80",
    ] {
        let reply = served.request("GET", "/", &[("Host", host)], b"").await;
        check_problem(&reply, "403 forbidden_host", host);
    }
    let two =
        format!("GET / HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    check_problem(
        &served.raw(two.as_bytes()).await[0],
        "403 forbidden_host",
        "two",
    );
    let none = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    check_problem(
        &served.raw(none.as_bytes()).await[0],
        "403 forbidden_host",
        "none",
    );
    let absolute =
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n");
    check_problem(
        &served.raw(absolute.as_bytes()).await[0],
        "403 forbidden_host",
        "absolute",
    );
    for host in [own.as_str(), "127.0.0.1", "[::1]:1"] {
        assert_eq!(
            200,
            served
                .request("GET", "/", &[("Host", host)], b"")
                .await
                .status
        );
    }

    let post = async |name: &str, value: &str| {
        let headers = [
            ("Host", own.as_str()),
            ("Content-Type", "application/json"),
            (name, value),
        ];
        served
            .request("POST", "/api/v1/events", &headers, br#"{"topic": "a"}"#)
            .await
    };
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost",
        "http://localhost:1",
        &format!("https://{own}"),
        &format!("http://{own}.evil.example"),
    ] {
        check_problem(
            &post("Origin", origin).await,
            "403 forbidden_origin",
            origin,
        );
    }
    for site in ["cross-site", "same-site", "x"] {
        let reply = post("Sec-Fetch-Site", site).await;
        check_problem(&reply, "403 forbidden_origin", site);
    }
    assert_eq!(202, post("Origin", &format!("http://{own}")).await.status);
    assert_eq!(202, post("Sec-Fetch-Site", "same-origin").await.status);
    served.end().await;
}

#[tokio::test]
async fn other_sites_read_nothing_of_an_open_service() {
    let served = serve().await;
    let own = format!("http://{}", served.address);
    let get = async |path: &str, headers: &[(&str, &str)]| {
        served.request("GET", path, headers, b"").await
    };
    let link = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
    ];
    for path in [
        "/api/v1/status",
        "/api/v1/events",
        "/api/v1/events/stream",
        "/api/v1/nothing",
        "/metrics",
        "/healthz/live",
        "/",
    ] {
        for header in [
            ("Origin", "http://evil.example"),
            ("Origin", "null"),
            ("Origin", "http://127.0.0.1:1"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ] {
            let what = format!("{path} with {header:?}");
            check_problem(&get(path, &[header]).await, "403 forbidden_origin", &what);
        }
        let both = [&link[..], &[("Origin", "http://evil.example")]].concat();
        check_problem(&get(path, &both).await, "403 forbidden_origin", path);
    }
    for path in ["/api/v1/status", "/metrics"] {
        check_problem(&get(path, &link).await, "403 forbidden_origin", path);
        for header in [
            ("Origin", own.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Site", "none"),
        ] {
            assert_eq!(200, get(path, &[header]).await.status, "{path} {header:?}");
        }
    }
    // A link to a page may stand anywhere.
    assert_eq!(200, get("/", &link).await.status);
    let reply = served.request("POST", "/api/v1/reload", &link, b"").await;
    check_problem(&reply, "403 forbidden_origin", "a form of another site");
    served.end().await;
}

#[tokio::test]
async fn a_full_queue_is_429_and_accepts_nothing() {
    let served = serve_with(3, |_| {}).await;
    let event = r#"{"topic": "org.example.keyed", "body": {"key": "k"}}"#;
    let first = served.publish(event).await;
    served
        .job_in(first["events"][0]["jobs"][0].as_str().unwrap(), "running")
        .await;
    served.publish(event).await;
    served.publish(event).await;
    check_post(
        &served,
        &format!("[{event}, {{\"topic\": \"a\"}}]"),
        "429 queue_full",
    )
    .await;
    let events = served.get("/api/v1/events").await.json();
    assert_eq!(3, events["items"].as_array().unwrap().len());
    served.publish(r#"{"topic": "a"}"#).await;
    served.end().await;
}

#[tokio::test]
async fn a_wrong_state_is_409() {
    let served = serve().await;
    let accepted = served
        .publish(r#"{"topic": "org.example.hello", "body": {"name": "x"}}"#)
        .await;
    let id = accepted["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    served.job_in(&id, "succeeded").await;
    for action in ["retry", "cancel"] {
        let reply = served
            .post(&format!("/api/v1/jobs/{id}/{action}"), "")
            .await;
        check_problem(&reply, "409 wrong_state", action);
    }
    let output = format!("/api/v1/jobs/{id}/output?attempt=9");
    check_get(&served, &output, "404 not_found").await;
    served.end().await;
}
