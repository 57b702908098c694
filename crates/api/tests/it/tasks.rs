//! What playbooks did to hosts: the list, the stream and the pages.

use serde_json::{Value, json};

use crate::{
    harness::{self, Served},
    streams::reader::Reader,
};

const RULES: &str = r#"
rules:
  - name: greet
    on: org.example.hello
    run: {command: [ok]}
  - name: play
    on: org.example.play
    retry: {attempts: 1}
    run: {command: [play]}
"#;

async fn serve() -> Served {
    let served = harness::serve().await;
    served.set_rules(RULES);
    let reloaded = served.post("/api/v1/reload", "").await;
    assert_eq!(200, reloaded.status, "{}", reloaded.text());
    served
}

/// A job whose playbook has told what `harness::told` says.
async fn played(served: &Served) -> String {
    let accepted = served.publish(r#"{"topic": "org.example.play"}"#).await;
    let id = accepted["events"][0]["jobs"][0].as_str().unwrap();
    served.job_in(id, "failed").await;
    id.to_owned()
}

async fn list(served: &Served, id: &str, query: &str) -> Value {
    let path = format!("/api/v1/jobs/{id}/tasks{query}");
    let reply = served.get(&path).await;
    assert_eq!(200, reply.status, "{path}: {}", reply.text());
    reply.json()
}

fn kinds(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn each_thing_told_has_its_shape() {
    let served = serve().await;
    let id = played(&served).await;
    let list = list(&served, &id, "").await;
    assert_eq!(
        kinds(&list),
        [
            "play", "task", "result", "result", "result", "recap", "recap", "left_out"
        ]
    );
    assert_eq!(list["next"], "1.8");
    let item = |index: usize, fields: Value| {
        let mut expected = fields;
        expected["place"] = json!(format!("1.{}", index + 1));
        expected["attempt"] = json!(1);
        expected["step"] = json!(0);
        expected["at"] = json!("2026-09-21T14:13:20.000Z");
        assert_eq!(list["items"][index], expected);
    };
    let (play, task) = ("web <servers>", "copy <b>it</b>");
    item(0, json!({"kind": "play", "play": play}));
    item(
        1,
        json!({"kind": "task", "play": play, "task": task, "action": "copy", "role": "web",
                   "handler": false}),
    );
    item(
        2,
        json!({"kind": "result", "play": play, "task": task, "handler": false, "host": "web1",
                   "status": "changed", "duration_ms": 1234, "censored": false,
                   "diff": "--- before\n+++ after\n-<one>\n+<two>\n", "delegated_to": "localhost",
                   "tries": 2}),
    );
    item(
        3,
        json!({"kind": "result", "play": play, "task": task, "handler": false, "host": "db<1>",
                   "status": "failed", "duration_ms": 1234, "censored": false,
                   "message": "<script>no</script> room\n\u{fffd}[31m",
                   "items": {"ok": 1, "changed": 0, "failed": 2, "skipped": 0, "failures": [
                       {"item": "x", "message": "full", "censored": false},
                       {"item": null, "message": null, "censored": true}]}}),
    );
    item(
        4,
        json!({"kind": "result", "play": play, "task": task, "handler": true, "host": "web1",
                   "status": "ok", "censored": true}),
    );
    item(
        5,
        json!({"kind": "recap", "host": "db<1>", "counts": {"ok": 2, "changed": 0,
                   "unreachable": 0, "failed": 1, "skipped": 0, "rescued": 0, "ignored": 0}}),
    );
    item(7, json!({"kind": "left_out", "count": 3}));
    let job = served.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert_eq!(job["state"], "failed");
}

#[tokio::test]
async fn results_are_filtered_and_paged() {
    let served = serve().await;
    let id = played(&served).await;
    for (query, expect) in [
        ("?status=changed", vec!["result"]),
        ("?host=web1", vec!["result", "result", "recap"]),
        ("?host=db%3C1%3E&kind=result", vec!["result"]),
        ("?kind=recap&attempt=1", vec!["recap", "recap"]),
        ("?host=", vec![]),
        ("?after=1.7", vec!["left_out"]),
        ("?after=1.8", vec![]),
        ("?after=1.8&attempt=1", vec![]),
    ] {
        assert_eq!(kinds(&list(&served, &id, query).await), expect, "{query}");
    }
    let mut after = String::new();
    let mut seen = 0;
    loop {
        let page = list(&served, &id, &format!("?limit=3{after}")).await;
        let count = page["items"].as_array().unwrap().len();
        if count == 0 {
            break;
        }
        seen += count;
        after = format!("&after={}", page["next"].as_str().unwrap());
    }
    assert_eq!(seen, 8);

    for (query, status) in [
        ("?attempt=2", 404),
        ("?attempt=0", 404),
        ("?after=2.0", 404),
        ("?after=1.9", 400),
        ("?after=1.99999999999999999999", 400),
        ("?after=1.18446744073709551615", 400),
        ("?after=c1", 400),
        ("?after=1.1&attempt=2", 404),
        ("?status=bad", 400),
        ("?kind=bad", 400),
        ("?limit=0", 400),
        ("?cursor=c1", 400),
        ("?host=%FF", 400),
    ] {
        let reply = served.get(&format!("/api/v1/jobs/{id}/tasks{query}")).await;
        assert_eq!(status, reply.status, "{query}: {}", reply.text());
    }
    assert_eq!(404, served.get("/api/v1/jobs/none/tasks").await.status);
    assert_eq!(
        404,
        served.get("/api/v1/jobs/none/tasks/stream").await.status
    );
}

#[tokio::test]
async fn a_job_that_plays_nothing_has_an_empty_list() {
    let served = serve().await;
    let accepted = served.publish(r#"{"topic": "org.example.hello", "body": {"name": "x"}}"#);
    let id = accepted.await["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    served.job_in(&id, "succeeded").await;
    assert_eq!(
        list(&served, &id, "").await,
        json!({"items": [], "next": "1.0"})
    );
    let html = served.get(&format!("/jobs/{id}")).await;
    assert!(!html.text().contains("<h2>Hosts"), "{}", html.text());
}

#[tokio::test]
async fn what_is_told_is_streamed_to_its_end_from_any_place() {
    let served = serve().await;
    let id = played(&served).await;
    let path = format!("/api/v1/jobs/{id}/tasks/stream");
    let all = list(&served, &id, "").await;
    let all = all["items"].as_array().unwrap();
    for from in 0..=all.len() {
        let last = (from > 0).then(|| format!("1.{from}"));
        let mut reader = Reader::open(&served, &path, last.as_deref()).await;
        for item in all.iter().skip(from) {
            assert_eq!(*item, reader.data("task").await);
            assert_eq!(item["place"].as_str(), reader.last_id.as_deref());
        }
        assert_eq!("failed", reader.data("end").await["state"]);
        assert_eq!(None, reader.next().await);
    }
    let again = Reader::open(&served, &path, Some("end")).await;
    assert_eq!(204, again.status);
    let mut recaps = Reader::open(&served, &format!("{path}?kind=recap"), None).await;
    assert_eq!("db<1>", recaps.data("task").await["host"]);
    assert_eq!("web1", recaps.data("task").await["host"]);
    assert_eq!("end", recaps.next().await.unwrap().event);
    for last in ["1.9", "2.0.0", "9.5", "c1", "-1.0"] {
        let reader = Reader::open(&served, &path, Some(last)).await;
        assert_eq!(400, reader.status, "{last}");
    }
    let reply = served.get(&format!("{path}?attempt=2")).await;
    assert_eq!(404, reply.status);

    // Another attempt tells it all again.
    let retried = served.post(&format!("/api/v1/jobs/{id}/retry"), "").await;
    assert_eq!(202, retried.status);
    let mut reader = Reader::open(&served, &path, Some("1.8")).await;
    assert_eq!("2.1", reader.data("task").await["place"]);
}

#[tokio::test]
async fn pages_show_which_hosts_changed_and_what_failed() {
    let served = serve().await;
    let id = played(&served).await;
    let event = served.get(&format!("/api/v1/jobs/{id}")).await.json()["event_id"].clone();
    let event = format!("/events/{}", event.as_str().unwrap());
    for path in ["/", event.as_str()] {
        let html = served.get(path).await.text().to_owned();
        for text in ["2 hosts", "changed web1", "failed db&lt;1&gt;"] {
            assert!(html.contains(text), "`{text}` is not on {path}: {html}");
        }
    }
    let html = served.get(&format!("/jobs/{id}")).await.text().to_owned();
    for text in [
        "What failed",
        "&lt;script&gt;no&lt;/script&gt; room",
        "copy &lt;b&gt;it&lt;/b&gt;",
        "db&lt;1&gt;",
        "items: 1 ok, 2 failed",
        "x: full",
        "hidden by no_log",
        "on localhost",
        "tried 2 times",
        "-&lt;one&gt;",
        "1.23 s",
    ] {
        assert!(html.contains(text), "`{text}` is not on the page: {html}");
    }
    assert!(!html.contains("<script"), "{html}");
}
