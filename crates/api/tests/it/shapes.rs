//! The exact shapes of answers: what other programs build on.

use serde_json::{Value, json};

use crate::harness::{BYTES, serve};

/// What differs from run to run is replaced by its kind, if it has the form
/// that it should have.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), masked(value)))
            .collect(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::String(text) => Value::String(mask_text(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn mask_text(text: &str) -> String {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_uuid = |text: &str| text.len() == 36 && is_hex(&text.replace('-', ""));
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    if shape == "0000-00-00T00:00:00.000Z" {
        return "TIME".to_owned();
    }
    if is_uuid(text) {
        return "UUID".to_owned();
    }
    if text.strip_prefix("2026-").is_some_and(is_uuid) {
        return "YEAR-UUID".to_owned();
    }
    if text.len() == 64 && is_hex(text) {
        return "REVISION".to_owned();
    }
    text.to_owned()
}

#[track_caller]
fn check(expect: Value, actual: &Value) {
    let actual = masked(actual);
    assert_eq!(
        serde_json::to_string_pretty(&expect).unwrap(),
        serde_json::to_string_pretty(&actual).unwrap()
    );
}

#[tokio::test]
async fn events_and_verdicts() {
    let served = serve().await;
    let accepted = served
        .publish(
            r#"[{"topic": "org.example.other", "id": "mine-1", "time": "2026-01-02T03:04:05Z",
                 "severity": "warning", "headers": {"x": 1.50}, "body": [1E2, "a"]},
                {"topic": "org.example.hello", "body": {"name": "nobody"}}]"#,
        )
        .await;
    check(
        json!({"events": [
            {"id": "mine-1", "duplicate": false, "conflict": false, "jobs": []},
            {"id": "YEAR-UUID", "duplicate": false, "conflict": false, "jobs": []},
        ]}),
        &accepted,
    );

    let event = json!({
        "id": "mine-1", "topic": "org.example.other", "time": "TIME", "accepted": "TIME",
        "source": "api", "severity": "warning", "headers": {"x": 1.5}, "body": [100, "a"],
        "origin": {"verified": false, "by": null, "via": "http"}, "revision": "REVISION",
    });
    let reply = served.get("/api/v1/events/mine-1").await;
    assert_eq!(Some("application/json"), reply.header("content-type"));
    assert!(
        reply
            .text()
            .contains(r#""headers":{"x":1.50},"body":[1E2,"a"]"#)
    );
    let mut expect = event.clone();
    expect["headers"]["x"] = serde_json::from_str("1.50").unwrap();
    expect["body"][0] = serde_json::from_str("1E2").unwrap();
    check(expect, &reply.json());

    let list = served.get("/api/v1/events?limit=1").await.json();
    assert_eq!(list["items"][0]["topic"], "org.example.hello");
    let next = list["next"].as_str().unwrap();
    let rest = served
        .get(&format!("/api/v1/events?cursor={next}"))
        .await
        .json();
    assert_eq!(rest["items"][0]["id"], "mine-1");
    assert_eq!(rest["next"], Value::Null);

    let id = accepted["events"][1]["id"].as_str().unwrap();
    let verdicts = served
        .get(&format!("/api/v1/events/{id}/verdicts?rule=greet"))
        .await
        .json();
    let item = &verdicts["items"][0];
    let keys: Vec<&String> = item.as_object().unwrap().keys().collect();
    assert_eq!(
        [
            "rule",
            "revision",
            "verdict",
            "reason",
            "job_id",
            "conditions"
        ]
        .as_slice(),
        keys
    );
    assert_eq!(item["verdict"], "no_match");
    let condition = item["conditions"].as_array().unwrap().last().unwrap();
    let keys: Vec<&String> = condition.as_object().unwrap().keys().collect();
    assert_eq!(
        ["expr", "value", "result", "note", "depth"].as_slice(),
        keys
    );
    assert_eq!(condition["value"], "nobody");
    assert_eq!(condition["result"], "false");
    let all = served
        .get(&format!("/api/v1/events/{id}/verdicts"))
        .await
        .json();
    assert_eq!(5, all["items"].as_array().unwrap().len());
    served.end().await;
}

#[tokio::test]
async fn duplicates_and_conflicts() {
    let served = serve().await;
    let event = r#"{"topic": "org.example.hello", "id": "once", "body": {"name": "x"}}"#;
    let first = served.publish(event).await;
    let again = served.publish(event).await;
    assert_eq!(again["events"][0]["duplicate"], true);
    assert_eq!(again["events"][0]["conflict"], false);
    assert_eq!(first["events"][0]["jobs"], again["events"][0]["jobs"]);
    let other = served
        .publish(r#"{"topic": "org.example.hello", "id": "once", "body": {"name": "y"}}"#)
        .await;
    check(
        json!({"events": [{"id": "once", "duplicate": true, "conflict": true, "jobs": []}]}),
        &other,
    );

    let dead = served.get("/api/v1/dead").await.json();
    let letter = &dead["items"][0];
    let expect = |raw: Value| {
        json!({
            "id": "UUID", "kind": "id_conflict", "state": "open", "cause": letter["cause"],
            "event_id": "once", "rule": null, "job_id": null, "source": "api",
            "created": "TIME", "closed": null, "closed_by": null,
            "raw_bytes": letter["raw_bytes"], "raw": raw,
        })
    };
    check(expect(Value::Null), letter);
    let path = format!("/api/v1/dead/{}", letter["id"].as_str().unwrap());
    let whole = served.get(&path).await.json();
    assert!(
        whole["raw"].as_str().unwrap().contains(r#""name":"y""#),
        "{whole}"
    );

    let discarded = served.post(&format!("{path}/discard"), "").await;
    assert_eq!(200, discarded.status);
    assert_eq!(discarded.json()["state"], "discarded");
    assert_eq!(discarded.json()["closed_by"], "api");
    let again = served.post(&format!("{path}/discard"), "").await;
    assert_eq!(
        (409, "wrong_state"),
        (again.status, again.json()["code"].as_str().unwrap())
    );
    let again = served.post(&format!("{path}/retry"), "").await;
    assert_eq!(409, again.status, "{}", again.text());
    assert_eq!(served.get("/api/v1/dead").await.json()["items"], json!([]));
    let closed = served.get("/api/v1/dead?state=discarded").await.json();
    assert_eq!(1, closed["items"].as_array().unwrap().len());
    served.end().await;
}

#[tokio::test]
async fn jobs_and_their_output() {
    let served = serve().await;
    let accepted = served
        .publish(r#"{"topic": "org.example.hello", "id": "e", "body": {"name": "wörld"}}"#)
        .await;
    let id = accepted["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let job = served.job_in(&id, "succeeded").await;
    let step = |index: usize| {
        json!({
            "index": index, "kind": "command", "state": "succeeded", "started": "TIME",
            "finished": "TIME", "exit": {"code": 0}, "summary": "exit code 0",
        })
    };
    check(
        json!({
            "id": "UUID", "rule": "greet", "revision": "REVISION", "event_id": "e", "key": null, "account": null,
            "state": "succeeded", "reason": job["reason"], "result": {"greeted": true},
            "attempts": [{
                "number": 1, "worker": "test-worker", "started": "TIME", "finished": "TIME",
                "outcome": "succeeded", "summary": job["attempts"][0]["summary"],
                "exit": {"code": 0}, "steps": [step(0), step(1)],
            }],
            "next_step": job["next_step"], "due": null, "waits_for": null,
            "created": "TIME", "started": "TIME", "finished": "TIME",
        }),
        &job,
    );
    let list = served
        .get("/api/v1/jobs?event=e&rule=greet&state=succeeded&since=1h")
        .await;
    assert_eq!(list.json()["items"][0], job);

    let output = served.get(&format!("/api/v1/jobs/{id}/output")).await;
    assert_eq!("ok -- wörld\nresult\n", output.text());
    assert_eq!(
        Some("text/plain; charset=utf-8"),
        output.header("content-type")
    );
    assert_eq!(Some("nosniff"), output.header("x-content-type-options"));
    assert_eq!(Some("20"), output.header(api::NEXT_OFFSET));
    assert_eq!(Some("false"), output.header(api::OUTPUT_OPEN));
    assert_eq!(Some("1"), output.header(api::OUTPUT_ATTEMPT));
    let path = format!("/api/v1/jobs/{id}/output?attempt=1&step=1&offset=3");
    assert_eq!("ult\n", served.get(&path).await.text());
    let missing = served
        .get(&format!("/api/v1/jobs/{id}/output?step=9"))
        .await;
    assert_eq!(404, missing.status);
    assert_eq!(
        json!(format!("there is no step `{id}/1/9`")),
        missing.json()["detail"]
    );
    served.end().await;
}

#[tokio::test]
async fn output_is_the_bytes_that_were_written() {
    let served = serve().await;
    let accepted = served.publish(r#"{"topic": "org.example.bytes"}"#).await;
    let id = accepted["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    served.job_in(&id, "succeeded").await;
    assert_eq!(
        BYTES,
        served.get(&format!("/api/v1/jobs/{id}/output")).await.body
    );
    served.end().await;
}

#[tokio::test]
async fn a_job_is_cancelled_and_tried_again() {
    let served = serve().await;
    let accepted = served.publish(r#"{"topic": "org.example.wait"}"#).await;
    let id = accepted["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    served.job_in(&id, "running").await;
    let open = served.get(&format!("/api/v1/jobs/{id}/output")).await;
    assert_eq!(Some("true"), open.header(api::OUTPUT_OPEN));
    // It may come to further steps.
    let later = served
        .get(&format!("/api/v1/jobs/{id}/output?step=1"))
        .await;
    assert_eq!((200, ""), (later.status, later.text()));
    let asked = served.post(&format!("/api/v1/jobs/{id}/cancel"), "").await;
    assert_eq!(202, asked.status);
    assert_eq!(asked.json()["id"], id.as_str());
    let job = served.job_in(&id, "cancelled").await;
    assert_eq!(job["attempts"][0]["outcome"], "cancelled");
    assert_eq!(job["attempts"][0]["exit"], json!({"signal": 15}));
    let again = served.post(&format!("/api/v1/jobs/{id}/retry"), "{}").await;
    assert_eq!(202, again.status);
    let job = served.job_in(&id, "running").await;
    assert_eq!(2, job["attempts"].as_array().unwrap().len());
    served.end().await;
}

#[tokio::test]
async fn a_failed_job_is_a_dead_letter_that_can_be_retried() {
    let served = serve().await;
    let accepted = served.publish(r#"{"topic": "org.example.broken"}"#).await;
    let id = accepted["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    served.job_in(&id, "failed").await;
    let dead = served
        .get("/api/v1/dead?kind=job_failed&rule=break")
        .await
        .json();
    assert_eq!(dead["items"][0]["job_id"], id.as_str());
    let letter = dead["items"][0]["id"].as_str().unwrap();
    let retried = served
        .post(&format!("/api/v1/dead/{letter}/retry"), "")
        .await;
    assert_eq!(202, retried.status);
    check(
        json!({"id": "UUID", "job_id": "UUID", "event": null, "sink": null,
            "summary": format!("job {id} runs")}),
        &retried.json(),
    );
    served.end().await;
}

#[tokio::test]
async fn reload_rules_status_and_health() {
    let served = serve().await;
    let same = served.post("/api/v1/reload", "").await;
    assert_eq!(200, same.status);
    check(
        json!({"revision": "REVISION", "rules": 5, "changed": false, "warnings": []}),
        &same.json(),
    );

    served.set_rules("rules:\n  - name: x\n    on: a..b\n    runs: {command: [ok]}\n");
    let bad = served.post("/api/v1/reload", "").await;
    assert_eq!(422, bad.status);
    let problem = bad.json();
    assert_eq!(problem["code"], "invalid_rules");
    let diagnostics = problem["diagnostics"].as_array().unwrap();
    assert!(diagnostics.len() >= 2, "{problem}");
    assert_eq!(diagnostics[0]["file"], "rules/test.yml");
    assert_eq!(diagnostics[0]["level"], "error");

    let rules = served.get("/api/v1/rules").await.json();
    let names: Vec<&str> = rules["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    assert_eq!(vec!["greet", "break", "bytes", "wait", "one-by-one"], names);
    check(
        json!({
            "name": "break", "file": "rules/test.yml", "line": rules["items"][1]["line"],
            "on": ["org.example.broken"], "when": null, "mode": "live",
            "steps": [{"kind": "command", "what": "fail", "timeout_ms": 3_600_000, "on_lost": "hold"}],
            "retry": {"attempts": 1, "delay_ms": 30_000, "backoff": "exponential", "max_delay_ms": 600_000},
        }),
        &rules["items"][1],
    );

    let status = served.get("/api/v1/status").await.json();
    check(
        json!({
            "version": env!("CARGO_PKG_VERSION"), "started": "TIME", "revision": "REVISION",
            "commit": "0123456789abcdef0123456789abcdef01234567", "rules": 5,
            "worker": {"id": "test-worker", "concurrency": 4, "running": 0},
            "store": {
                "kind": "memory", "schema": status["store"]["schema"],
                "size_bytes": status["store"]["size_bytes"], "events": 0, "jobs": {},
                "open_dead_letters": 0, "oldest_queued": null, "accept_commits": 0, "accepted_events": 0,
            },
            "sources": [], "sinks": [],
            "playbooks": {"warm": false, "started_warm": 0, "started_cold": 0, "servers": []},
            "notices": [],
        }),
        &status,
    );
    check(
        json!({"status": "live"}),
        &served.get("/healthz/live").await.json(),
    );
    check(
        json!({"status": "ready"}),
        &served.get("/healthz/ready").await.json(),
    );
    served.end().await;
}

#[tokio::test]
async fn a_list_can_be_followed() {
    let served = serve().await;
    let now = served.get("/api/v1/events?after=now").await.json();
    assert_eq!(now["items"], json!([]));
    served
        .publish(
            r#"[{"topic": "a", "id": "1"}, {"topic": "b", "id": "2"}, {"topic": "a", "id": "3"}]"#,
        )
        .await;
    let from = now["next"].as_str().unwrap();
    let page = served
        .get(&format!("/api/v1/events?after={from}&limit=2"))
        .await
        .json();
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(vec!["1", "2"], ids(&page));
    let from = page["next"].as_str().unwrap();
    let page = served
        .get(&format!("/api/v1/events?after={from}"))
        .await
        .json();
    assert_eq!(vec!["3"], ids(&page));
    let from = page["next"].as_str().unwrap();
    let page = served
        .get(&format!("/api/v1/events?after={from}"))
        .await
        .json();
    assert_eq!(json!({"items": [], "next": from}), page);
    let now = served.get("/api/v1/events?after=now").await.json();
    assert_eq!(now["next"], page["next"]);
    served.end().await;
}

#[tokio::test]
async fn events_go_back_a_day_unless_asked_for_more() {
    let served = serve().await;
    served.publish(r#"{"topic": "a", "id": "old"}"#).await;
    served
        .clock
        .advance(std::time::Duration::from_secs(25 * 3_600));
    served.publish(r#"{"topic": "a", "id": "new"}"#).await;
    let count = async |query: &str| {
        let list = served.get(&format!("/api/v1/events{query}")).await.json();
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(1, count("").await);
    assert_eq!(2, count("?since=26h").await);
    assert_eq!(1, count("?until=1h").await);
    assert_eq!(2, count("?since=30d&topic=%23").await);
    assert_eq!(2, count("?after=c0").await);
    assert_eq!(0, count("?since=30d&severity=error").await);
    assert_eq!(
        2,
        count("?since=2026-11-01T00:00:00%2B01:00&source=api").await
    );
    served.end().await;
}

#[tokio::test]
async fn a_long_page_is_cut_by_its_size_and_goes_on() {
    let served = serve().await;
    let body = "x".repeat(900 * 1024);
    for _ in 0..4 {
        let three = format!(r#"{{"topic": "a", "body": "{body}"}}"#);
        served
            .publish(&format!("[{three}, {three}, {three}]"))
            .await;
    }
    let mut path = "/api/v1/events?limit=500".to_owned();
    let mut seen = 0;
    loop {
        let reply = served.get(&path).await;
        assert!(reply.body.len() < 64 * 1024 * 1024);
        let page = reply.json();
        seen += page["items"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/events?limit=500&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(12, seen);
    served.end().await;
}
