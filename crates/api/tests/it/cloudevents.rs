//! CloudEvents over HTTP: how a request says that it is one, and what is
//! wrong with it.

use serde_json::{Value, json};

use crate::harness::{Reply, Served, serve};

const EVENTS: &str = "/api/v1/events";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "org.example.order"})
}

async fn send(served: &Served, kind: &str, body: &Value) -> Reply {
    let headers = [("Content-Type", kind)];
    let body = body.to_string();
    served
        .request("POST", EVENTS, &headers, body.as_bytes())
        .await
}

/// One event in binary mode, with headers besides those that it must have.
async fn binary(served: &Served, others: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut headers = vec![
        ("ce-specversion", "1.0"),
        ("CE-Id", "1"),
        ("ce-source", "/shop"),
        ("ce-type", "org.example.order"),
    ];
    headers.extend_from_slice(others);
    served.request("POST", EVENTS, &headers, body).await
}

/// The only event of an answer, as the history has it.
async fn accepted(served: &Served, reply: Reply) -> Value {
    assert_eq!(202, reply.status, "{}", reply.text());
    let id = reply.json()["events"][0]["id"].as_str().unwrap().to_owned();
    served.get(&format!("{EVENTS}/{id}")).await.json()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) -> Value {
    assert_eq!(status, reply.status, "{}", reply.text());
    let problem = reply.json();
    assert_eq!(code, problem["code"], "{problem:#}");
    problem
}

#[tokio::test]
async fn each_mode_becomes_events() {
    let served = serve().await;
    let mut one = event("a 1");
    one["data"] = json!({"n": 1});
    let kept = accepted(&served, send(&served, STRUCTURED, &one).await).await;
    assert_eq!("org.example.order", kept["topic"]);
    assert_eq!(json!({"n": 1}), kept["body"]);
    assert_eq!("a 1", kept["headers"]["ce-id"]);
    assert_eq!("http", kept["origin"]["via"]);

    let kind = "Application/CloudEvents-Batch+JSON; charset=UTF-8";
    let two = send(&served, kind, &json!([event("2"), event("3")])).await;
    assert_eq!(2, two.json()["events"].as_array().unwrap().len());
    let none = send(&served, BATCH, &json!([])).await;
    assert_eq!((202, json!({"events": []})), (none.status, none.json()));

    let png = [("Content-Type", "image/png"), ("ce-subject", "a%20b")];
    let kept = accepted(&served, binary(&served, &png, b"\x00\xff").await).await;
    assert_eq!(json!({"data_base64": "AP8="}), kept["body"]);
    assert_eq!("a b", kept["headers"]["ce-subject"]);
    served.end().await;
}

#[tokio::test]
async fn an_event_sent_again_in_another_mode_is_the_same() {
    let served = serve().await;
    let kind = [("Content-Type", "application/json")];
    accepted(&served, binary(&served, &kind, b"[1]").await).await;
    let mut same = event("1");
    same["data"] = json!([1]);
    let again = send(&served, STRUCTURED, &same).await.json();
    assert_eq!(true, again["events"][0]["duplicate"], "{again:#}");
    same["source"] = json!("/elsewhere");
    let other = send(&served, STRUCTURED, &same).await.json();
    assert_eq!(false, other["events"][0]["duplicate"], "{other:#}");
    served.end().await;
}

#[tokio::test]
async fn our_own_json_is_read_as_ever() {
    let served = serve().await;
    let headers = [
        ("Content-Type", "application/json"),
        // Not what makes a request a CloudEvent.
        ("ce-subject", "x"),
        ("ce-foo-bar", "%"),
    ];
    let body = br#"{"id": "own", "topic": "org.example.a", "body": {"specversion": "1.0"}}"#;
    let reply = served.request("POST", EVENTS, &headers, body).await;
    let kept = accepted(&served, reply).await;
    assert_eq!(
        ("own", &json!({})),
        (kept["id"].as_str().unwrap(), &kept["headers"])
    );
    // A CloudEvent that does not say so is none.
    let reply = send(&served, "application/json", &event("1")).await;
    refused(&reply, 400, "invalid_event");
    served.end().await;
}

#[tokio::test]
async fn one_bad_event_refuses_the_batch() {
    let served = serve().await;
    let mut bad = event("2");
    bad["source"] = json!("not a uri");
    let reply = send(&served, BATCH, &json!([event("1"), bad])).await;
    let problem = refused(&reply, 400, "invalid_event");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(1, errors.len(), "{problem:#}");
    assert_eq!(
        (json!(1), json!("source")),
        (errors[0]["index"].clone(), errors[0]["field"].clone())
    );
    assert_eq!(json!([]), served.get(EVENTS).await.json()["items"]);
    served.end().await;
}

#[tokio::test]
async fn what_is_no_cloudevent_is_refused_in_words() {
    let served = serve().await;
    let reply = send(&served, "application/cloudevents+avro", &json!({})).await;
    let problem = refused(&reply, 415, "unsupported_media_type");
    assert!(
        problem["detail"].as_str().unwrap().contains(STRUCTURED),
        "{problem:#}"
    );
    let reply = send(
        &served,
        "application/cloudevents+json; charset=latin1",
        &event("1"),
    )
    .await;
    refused(&reply, 415, "unsupported_media_type");
    let reply = served
        .request("POST", EVENTS, &[("ce-id", "1")], b"{}")
        .await;
    let problem = refused(&reply, 400, "invalid_event");
    let missing: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(["ce-specversion", "ce-source", "ce-type"], *missing);

    let twice = binary(&served, &[("Ce-Id", "2")], b"").await;
    assert_eq!(
        "ce-id",
        refused(&twice, 400, "invalid_event")["errors"][0]["field"]
    );
    let name = binary(&served, &[("ce-two-words", "2")], b"").await;
    refused(&name, 400, "invalid_event");
    let percent = binary(&served, &[("ce-subject", "%C0%A0")], b"").await;
    refused(&percent, 400, "invalid_event");
    let kinds = [
        ("Content-Type", "text/plain"),
        ("Content-Type", "text/html"),
    ];
    refused(
        &binary(&served, &kinds, b"").await,
        415,
        "unsupported_media_type",
    );
    let packed = [("Content-Encoding", "gzip")];
    refused(
        &binary(&served, &packed, b"").await,
        415,
        "unsupported_media_type",
    );
    let json = [("Content-Type", "application/json")];
    refused(&binary(&served, &json, b"{").await, 400, "invalid_json");
    served.end().await;
}

#[tokio::test]
async fn another_site_cannot_send_one() {
    let served = serve().await;
    let foreign = [
        ("Origin", "http://evil.example.org"),
        ("Content-Type", "text/plain"),
    ];
    refused(
        &binary(&served, &foreign, b"").await,
        403,
        "forbidden_origin",
    );
    served.end().await;
}
