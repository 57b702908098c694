//! The pages: what stands on them, and with what headers.

use crate::harness::{Served, serve};

async fn check(served: &Served, path: &str, status: u16, expect: &[&str]) -> String {
    let reply = served.get(path).await;
    assert_eq!(status, reply.status, "{path}");
    assert_eq!(
        Some("text/html; charset=utf-8"),
        reply.header("content-type")
    );
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(Some("nosniff"), reply.header("x-content-type-options"));
    assert_eq!(Some("no-referrer"), reply.header("referrer-policy"));
    assert_eq!(None, reply.header("set-cookie"));
    let html = reply.text();
    assert!(
        !html.contains("<script") && !html.contains("style=\""),
        "{path}"
    );
    for text in expect {
        assert!(html.contains(text), "`{text}` is not on {path}: {html}");
    }
    html.to_owned()
}

#[tokio::test]
async fn an_empty_history_says_how_to_begin() {
    let served = serve().await;
    let expect = [
        "No event yet",
        "lariat publish org.example.hello",
        "5 rules",
    ];
    check(&served, "/", 200, &expect).await;
    check(
        &served,
        "/?topic=a.%23",
        200,
        &["No event has a topic like this"],
    )
    .await;
    check(
        &served,
        "/?topic=a..b",
        400,
        &["word 2 of the topic is empty"],
    )
    .await;
    check(
        &served,
        "/?refresh=5",
        200,
        &[r#"http-equiv="refresh" content="5""#],
    )
    .await;
    check(&served, "/?refresh=0", 400, &["must be 1 to 3600 seconds"]).await;
    check(&served, "/events/nope", 404, &["there is no event"]).await;
    check(&served, "/jobs/nope", 404, &["there is no job"]).await;
    let style = served.get("/style.css").await;
    assert_eq!(
        Some("text/css; charset=utf-8"),
        style.header("content-type")
    );
    assert_eq!(
        Some("image/svg+xml"),
        served.get("/icon.svg").await.header("content-type")
    );
    served.end().await;
}

#[tokio::test]
async fn an_event_its_verdicts_and_its_job_are_shown() {
    let served = serve().await;
    let accepted = served
        .publish(
            r#"[{"topic": "org.example.hello", "id": "one", "body": {"name": "a<b>\u001b[31m"}},
                {"topic": "org.example.silent", "id": "two", "severity": "error"}]"#,
        )
        .await;
    let job = accepted["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    served.job_in(&job, "succeeded").await;
    let html = check(
        &served,
        "/",
        200,
        &[
            r#"href="/events/one""#,
            &format!(r#"<a href="/jobs/{job}">greet</a>"#),
            "succeeded",
            "no rule fired",
            r#"<span class="badge bad">error</span>"#,
        ],
    )
    .await;
    assert!(html.find("org.example.silent") < html.find("org.example.hello"));
    check(
        &served,
        "/events/one",
        200,
        &[
            "a&lt;b&gt;\\u001b[31m",
            "fired",
            "no_match",
            "4 rules did not match",
            "event.body.name is defined",
            &format!("/jobs/{job}"),
            "lariat explain one",
        ],
    )
    .await;
    check(
        &served,
        &format!("/jobs/{job}"),
        200,
        &[
            "ok -- a&lt;b&gt;␛[31m\nresult\n",
            "Attempt 1",
            "exit code 0",
            "&quot;greeted&quot;: true",
            &format!("/api/v1/jobs/{job}/output"),
        ],
    )
    .await;
    served.end().await;
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let served = serve().await;
    let events: Vec<String> = (0..40)
        .map(|n| format!(r#"{{"topic": "org.example.n{n}", "id": "n{n}"}}"#))
        .collect();
    served.publish(&format!("[{}]", events.join(","))).await;
    let html = check(&served, "/", 200, &["/events/n39", "older"]).await;
    assert!(!html.contains("/events/n9\""));
    let older: String = {
        let (_, link) = html.split_once("/?cursor=").unwrap();
        let (cursor, _) = link.split_once('"').unwrap();
        format!("/?cursor={cursor}")
    };
    let html = check(
        &served,
        &older,
        200,
        &["Older events", "/events/n9\"", "← newest"],
    )
    .await;
    assert!(!html.contains("/events/n39"));
    let html = check(
        &served,
        "/?topic=org.*.n7",
        200,
        &["/events/n7\"", r#"value="org.*.n7""#],
    )
    .await;
    assert!(!html.contains("/events/n8"));
    // A place of another store, of which this one knows nothing.
    let (foreign, others) = (serve().await, &events[..5]);
    foreign.publish(&format!("[{}]", others.join(","))).await;
    let refused = foreign.get(&older).await;
    assert_eq!(400, refused.status);
    assert!(
        refused.text().contains("another store"),
        "{}",
        refused.text()
    );
    foreign.end().await;
    served.end().await;
}
