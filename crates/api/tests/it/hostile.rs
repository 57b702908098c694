//! Every hostile value of the corpus, through the API and onto the pages.

use serde_json::Value;
use testkit::corpus::{UNDECODABLE, VALUES};

use crate::harness::{Served, serve};

const TAGS: &str = "!doctype html head meta title link body a header img ul li code main p span \
    time form label input button ol div h1 h2 h3 dl dt dd section table thead tbody tr th td \
    details summary pre nav footer br strong";

const ATTRIBUTES: &str = "lang charset name content http-equiv rel href type class src alt width \
    height aria-label title id datetime method action role for value placeholder maxlength \
    spellcheck autocapitalize autocomplete scope tabindex open html";

/// A browser obeys nothing of the page but what the templates wrote.
#[track_caller]
fn check_inert(html: &str, what: &str) {
    for c in html.chars() {
        let is_plain = !c.is_control() || matches!(c, '\n' | '\t');
        let is_visible = !matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        assert!(is_plain && is_visible, "{what}: {c:?} on the page");
    }
    let mut rest = html;
    while let Some((_, from)) = rest.split_once('<') {
        rest = check_tag(from.trim_start_matches('/'), what);
    }
}

/// Checks one tag, and returns what stands behind it.
#[track_caller]
fn check_tag<'h>(text: &'h str, what: &str) -> &'h str {
    let end = text.find([' ', '>', '\n']).unwrap();
    let (name, mut rest) = text.split_at(end);
    assert!(
        TAGS.split_whitespace().any(|tag| tag == name),
        "{what}: <{name}"
    );
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('>') {
            return rest;
        }
        let end = rest.find(['=', ' ', '>']).unwrap();
        let (attribute, behind) = rest.split_at(end);
        let is_known = ATTRIBUTES
            .split_whitespace()
            .any(|known| known == attribute);
        assert!(is_known, "{what}: {attribute} in <{name}");
        let Some(quoted) = behind.strip_prefix("=\"") else {
            rest = behind;
            continue;
        };
        let (value, behind) = quoted.split_once('"').unwrap();
        if matches!(attribute, "href" | "src" | "action") {
            let is_ours = value.starts_with('/') && !value.starts_with("//");
            assert!(is_ours || value == "#content", "{what}: a link to {value}");
        }
        rest = behind;
    }
}

async fn page(served: &Served, path: &str) -> String {
    let reply = served.get(path).await;
    assert_eq!(200, reply.status, "{path}");
    assert_eq!(
        Some("text/html; charset=utf-8"),
        reply.header("content-type")
    );
    reply.text().to_owned()
}

#[tokio::test]
async fn hostile_values_are_exact_in_json_and_inert_in_html() {
    let served = serve().await;
    let mut sent = 0;
    for (name, text) in VALUES {
        let event = format!(
            r#"{{"topic": "org.example.hello", "headers": {{"h": {text}}}, "body": {{"name": {text}}}}}"#
        );
        let reply = served.post("/api/v1/events", &event).await;
        assert_eq!(202, reply.status, "{name}: {}", reply.text());
        let accepted = reply.json();
        let id = accepted["events"][0]["id"].as_str().unwrap();
        sent += 1;

        let path = format!("/api/v1/events/{id}");
        let read = served.get(&path).await;
        let canonical = model::json::parse(text).unwrap().to_string();
        assert!(
            read.text()
                .contains(&format!(r#""body":{{"name":{canonical}}}"#)),
            "{name}: {}",
            read.text()
        );
        let verdicts = served.get(&format!("{path}/verdicts")).await;
        assert_eq!(200, verdicts.status, "{name}");
        check_inert(&page(&served, &format!("/events/{id}")).await, name);
        for job in accepted["events"][0]["jobs"].as_array().unwrap() {
            let job = job.as_str().unwrap();
            let state = ended(&served, job).await;
            assert!(
                matches!(state.as_str(), "succeeded" | "failed"),
                "{name}: {state}"
            );
            check_inert(&page(&served, &format!("/jobs/{job}")).await, name);
        }
    }
    assert!(sent >= 60);
    check_inert(&page(&served, "/").await, "the list");
    served.end().await;
}

async fn ended(served: &Served, job: &str) -> String {
    loop {
        let state = served.get(&format!("/api/v1/jobs/{job}")).await.json();
        let state = state["state"].as_str().unwrap().to_owned();
        if !matches!(state.as_str(), "queued" | "waiting" | "running") {
            return state;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn hostile_values_stay_values_in_every_other_field() {
    let served = serve().await;
    for (name, text) in VALUES {
        for field in ["topic", "id", "time", "severity"] {
            let event = if field == "topic" {
                format!(r#"{{"topic": {text}}}"#)
            } else {
                format!(r#"{{"topic": "a.b", "{field}": {text}}}"#)
            };
            let reply = served.post("/api/v1/events", &event).await;
            assert!(matches!(reply.status, 202 | 400 | 413), "{name} as {field}");
        }
        let Ok(Value::String(value)) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        if encoded.len() > 20_000 {
            continue;
        }
        for path in [
            format!("/?topic={encoded}"),
            format!("/?cursor={encoded}"),
            format!("/?{encoded}=1"),
            format!("/events/{encoded}"),
            format!("/jobs/{encoded}"),
        ] {
            let reply = served.get(&path).await;
            assert!(reply.status < 500, "{name}: {path}");
            check_inert_reply(&reply, name);
        }
        for path in [
            format!("/api/v1/events?topic={encoded}"),
            format!("/api/v1/events/{encoded}"),
            format!("/api/v1/jobs?rule={encoded}"),
            format!("/api/v1/{encoded}"),
        ] {
            let reply = served.get(&path).await;
            assert!(reply.status < 500, "{name}: {path}");
            reply.json();
        }
    }
    check_inert(&page(&served, "/").await, "the list");
    served.end().await;
}

#[track_caller]
fn check_inert_reply(reply: &crate::harness::Reply, name: &str) {
    // A slash in a segment leads elsewhere; what is there is a problem.
    if reply.header("content-type") == Some("text/html; charset=utf-8") {
        check_inert(reply.text(), name);
    } else {
        reply.json();
    }
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let served = serve().await;
    for (name, text) in UNDECODABLE {
        let event = format!(r#"{{"topic": "a", "body": {text}}}"#);
        let reply = served.post("/api/v1/events", &event).await;
        assert!(
            matches!(reply.status, 400 | 413),
            "{name}: {}",
            reply.text()
        );
    }
    served.end().await;
}
