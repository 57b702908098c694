//! Tokens, roles, the audit, the form to log in, and rates.

use std::{num::NonZeroU32, time::Duration};

use api::Rate;
use serde_json::json;

use crate::harness::{Reply, Served, serve, serve_with};

const ROLES: [&str; 4] = ["viewer", "publisher", "operator", "admin"];

/// Makes a token and gives its secret.
async fn token(served: &Served, admin: Option<&str>, name: &str, role: &str) -> String {
    let body = json!({"name": name, "role": role}).to_string();
    let reply = ask(served, admin, "POST", "/api/v1/tokens", &body).await;
    assert_eq!(201, reply.status, "{}", reply.text());
    reply.json()["secret"].as_str().unwrap().to_owned()
}

async fn ask(served: &Served, secret: Option<&str>, method: &str, path: &str, body: &str) -> Reply {
    let bearer = secret.map(|secret| format!("Bearer {secret}"));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    served
        .request(method, path, &headers, body.as_bytes())
        .await
}

fn code(reply: &Reply) -> String {
    format!(
        "{} {}",
        reply.status,
        reply.json()["code"].as_str().unwrap_or("-")
    )
}

#[tokio::test]
async fn the_first_token_closes_the_service() {
    let served = serve().await;
    assert_eq!(200, served.get("/api/v1/status").await.status);
    let admin = token(&served, None, "root", "admin").await;
    for path in [
        "/api/v1/status",
        "/api/v1/events",
        "/nothing",
        "/api/v1/jobs/x",
    ] {
        let reply = served.get(path).await;
        assert_eq!("401 token_required", code(&reply), "{path}");
        assert_eq!(
            Some("Bearer realm=\"lariat\""),
            reply.header("www-authenticate")
        );
    }
    for path in ["/healthz/live", "/healthz/ready", "/style.css"] {
        assert_eq!(200, served.get(path).await.status, "{path}");
    }
    let reply = ask(&served, Some(&admin), "GET", "/api/v1/status", "").await;
    assert_eq!(200, reply.status);
    // Revoking the last token opens nothing.
    let reply = ask(
        &served,
        Some(&admin),
        "POST",
        "/api/v1/tokens/root/revoke",
        "",
    )
    .await;
    assert_eq!(200, reply.status, "{}", reply.text());
    assert_eq!("revoked", reply.json()["state"]);
    let reply = ask(&served, Some(&admin), "GET", "/api/v1/status", "").await;
    assert_eq!("401 invalid_token", code(&reply));
    assert!(
        reply.json()["detail"]
            .as_str()
            .unwrap()
            .contains("was revoked at")
    );
    assert_eq!(
        "401 token_required",
        code(&served.get("/api/v1/status").await)
    );
    served.end().await;
}

#[tokio::test]
async fn a_role_may_do_what_those_before_it_may() {
    let served = serve().await;
    let admin = token(&served, None, "root", "admin").await;
    let mut secrets = Vec::new();
    for role in ROLES {
        secrets.push(token(&served, Some(&admin), role, role).await);
    }
    let event = r#"{"topic": "a"}"#;
    for (method, path, body, needed) in [
        ("GET", "/api/v1/events", "", 0),
        ("GET", "/api/v1/openapi.json", "", 0),
        ("POST", "/api/v1/events", event, 1),
        ("POST", "/api/v1/jobs/x/cancel", "", 2),
        ("POST", "/api/v1/dead/x/discard", "", 2),
        ("POST", "/api/v1/reload", "", 2),
        ("GET", "/api/v1/tokens", "", 3),
        ("POST", "/api/v1/tokens/x/revoke", "", 3),
        ("GET", "/api/v1/audit", "", 3),
    ] {
        for (rank, secret) in secrets.iter().enumerate() {
            let reply = ask(&served, Some(secret), method, path, body).await;
            let what = format!("{method} {path} as {}", ROLES[rank]);
            if rank >= needed {
                assert!(!matches!(reply.status, 401 | 403), "{what}: {reply:?}");
            } else {
                assert_eq!("403 forbidden_role", code(&reply), "{what}");
                let detail = reply.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(ROLES[needed]), "{what}: {detail}");
            }
        }
    }
    served.end().await;
}

#[tokio::test]
async fn a_token_is_asked_for_with_an_object() {
    let served = serve().await;
    for body in [r#"["seqtok", "viewer", null]"#, " []", "null", "\"a\""] {
        let reply = ask(&served, None, "POST", "/api/v1/tokens", body).await;
        assert_eq!("400 invalid_request", code(&reply), "{body}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("is not an object"), "{body}: {detail}");
    }
    for body in ["", "[", "nul"] {
        let reply = ask(&served, None, "POST", "/api/v1/tokens", body).await;
        assert_eq!("400 invalid_json", code(&reply), "{body}");
    }
    let body = " {\"name\": \"ann\", \"role\": \"viewer\"}";
    let reply = ask(&served, None, "POST", "/api/v1/tokens", body).await;
    assert_eq!(201, reply.status, "{}", reply.text());
    served.end().await;
}

#[tokio::test]
async fn what_is_no_token_lets_nobody_in() {
    let served = serve().await;
    let forged = format!("lariat_{}_{}", "0".repeat(12), "0".repeat(72));
    // Also while the service is open: whoever sends a token means it.
    let reply = ask(&served, Some(&forged), "GET", "/api/v1/status", "").await;
    assert_eq!("401 invalid_token", code(&reply));
    let admin = token(&served, None, "root", "admin").await;
    let last = if admin.ends_with('0') { "1" } else { "0" };
    let slip = format!("{}{last}", admin.get(..admin.len() - 1).unwrap());
    let longer = format!("{admin}0");
    for secret in ["", "x", " ", &forged, &slip, &longer, &admin.to_uppercase()] {
        let reply = ask(&served, Some(secret), "GET", "/api/v1/status", "").await;
        assert_eq!("401 invalid_token", code(&reply), "{secret}");
        assert!(
            !reply.text().contains(admin.get(20..80).unwrap()),
            "{}",
            reply.text()
        );
    }
    let bearer = format!("Bearer {admin}");
    for headers in [
        vec![("Authorization", format!("Basic {admin}"))],
        vec![("Authorization", admin.clone())],
        vec![
            ("Authorization", bearer.clone()),
            ("Authorization", bearer.clone()),
        ],
        vec![("Cookie", format!("lariat_token={forged}"))],
    ] {
        let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let reply = served.request("GET", "/api/v1/status", &headers, b"").await;
        assert_eq!("401 invalid_token", code(&reply), "{headers:?}");
    }
    let headers = [("Authorization", format!("bearer  {admin}"))];
    let headers = headers.each_ref().map(|(k, v)| (*k, v.as_str()));
    let reply = served.request("GET", "/api/v1/status", &headers, b"").await;
    assert_eq!(200, reply.status, "the scheme has no case");
    // Refusals are in the audit, coarsely.
    let path = "/api/v1/audit?action=login_failed";
    let entries = ask(&served, Some(&admin), "GET", path, "").await.json();
    let entries = entries["items"].as_array().unwrap();
    assert_eq!(1, entries.len(), "{entries:?}");
    assert_eq!("127.0.0.1", entries[0]["target"]);
    served.end().await;
}

#[tokio::test]
async fn an_expired_token_lets_nobody_in() {
    let served = serve().await;
    let admin = token(&served, None, "root", "admin").await;
    let expires = model::clock::Clock::now(served.clock.as_ref()).plus(Duration::from_secs(60));
    let body = json!({"name": "short", "role": "viewer", "expires": expires}).to_string();
    let reply = ask(&served, Some(&admin), "POST", "/api/v1/tokens", &body).await;
    let short = reply.json()["secret"].as_str().unwrap().to_owned();
    let reply = ask(&served, Some(&short), "GET", "/api/v1/status", "").await;
    assert_eq!(200, reply.status);
    served.clock.advance(Duration::from_secs(60));
    let reply = ask(&served, Some(&short), "GET", "/api/v1/status", "").await;
    assert_eq!("401 invalid_token", code(&reply));
    assert!(
        reply.json()["detail"]
            .as_str()
            .unwrap()
            .contains("expired at")
    );
    let tokens = ask(&served, Some(&admin), "GET", "/api/v1/tokens", "")
        .await
        .json();
    assert_eq!("expired", tokens["items"][0]["state"]);
    assert!(
        !tokens.to_string().contains(short.get(20..80).unwrap()),
        "no secret is shown"
    );
    served.end().await;
}

#[tokio::test]
async fn requests_for_tokens_are_checked() {
    let served = serve().await;
    for (body, expect) in [
        ("{", "400 invalid_json"),
        ("{}", "400 invalid_request"),
        (
            r#"{"name": "a b", "role": "viewer"}"#,
            "400 invalid_request",
        ),
        (r#"{"name": "a", "role": "root"}"#, "400 invalid_request"),
        (
            r#"{"name": "api", "role": "viewer"}"#,
            "400 invalid_request",
        ),
        (
            r#"{"name": "a", "role": "viewer", "secret": "x"}"#,
            "400 invalid_request",
        ),
        (
            r#"{"name": "a", "name": "b", "role": "viewer"}"#,
            "400 invalid_request",
        ),
        (
            r#"{"name": "a", "role": "viewer", "expires": "2001-01-01T00:00:00Z"}"#,
            "400 invalid_request",
        ),
    ] {
        let reply = served.post("/api/v1/tokens", body).await;
        assert_eq!(expect, code(&reply), "{body}");
    }
    let admin = token(&served, None, "root", "admin").await;
    let body = r#"{"name": "root", "role": "viewer"}"#;
    let reply = ask(&served, Some(&admin), "POST", "/api/v1/tokens", body).await;
    assert_eq!("409 name_taken", code(&reply));
    let reply = ask(
        &served,
        Some(&admin),
        "POST",
        "/api/v1/tokens/nobody/revoke",
        "",
    )
    .await;
    assert_eq!("404 not_found", code(&reply));
    served.end().await;
}

#[tokio::test]
async fn what_is_done_carries_the_name_of_the_token() {
    let served = serve().await;
    let admin = token(&served, None, "root", "admin").await;
    let operator = token(&served, Some(&admin), "ann@example.org", "operator").await;
    let event = r#"{"topic": "org.example.wait", "id": "w1"}"#;
    let reply = ask(&served, Some(&operator), "POST", "/api/v1/events", event).await;
    assert_eq!(202, reply.status, "{}", reply.text());
    let job = reply.json()["events"][0]["jobs"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let event = ask(&served, Some(&admin), "GET", "/api/v1/events/w1", "")
        .await
        .json();
    assert_eq!(event["origin"]["by"], "token:ann@example.org");
    assert_eq!(event["origin"]["verified"], true);
    let cancel = format!("/api/v1/jobs/{job}/cancel");
    let reply = ask(&served, Some(&operator), "POST", &cancel, "").await;
    assert_eq!(202, reply.status, "{}", reply.text());
    ask(&served, Some(&operator), "POST", "/api/v1/reload", "{}").await;
    let audit = ask(&served, Some(&admin), "GET", "/api/v1/audit?limit=3", "")
        .await
        .json();
    let lines: Vec<String> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", entry["by"], entry["action"]))
        .collect();
    assert_eq!(
        lines,
        [
            r#""ann@example.org" "reload""#,
            r#""ann@example.org" "job_cancel""#,
            r#""root" "token_create""#,
        ]
    );
    let next = audit["next"].as_str().unwrap();
    let path = format!("/api/v1/audit?cursor={next}&by=api");
    let rest = ask(&served, Some(&admin), "GET", &path, "").await.json();
    assert_eq!(rest["items"][0]["target"], "root");
    served.end().await;
}

#[tokio::test]
async fn people_log_in_with_a_form() {
    let served = serve().await;
    let admin = token(&served, None, "root", "admin").await;
    let viewer = token(&served, Some(&admin), "eve", "viewer").await;
    let page = served.get("/?topic=a").await;
    assert_eq!(401, page.status);
    assert!(
        page.text().contains(r#"name="next" value="/?topic=a""#),
        "{}",
        page.text()
    );

    let form = |token: &str, next: &str| format!("token={token}&next={next}");
    let origin = format!("http://{}", served.address);
    let post = async |body: String, more: &[(&str, &str)]| {
        let mut headers = vec![("Content-Type", "application/x-www-form-urlencoded")];
        headers.extend(more);
        served
            .request("POST", "/login", &headers, body.as_bytes())
            .await
    };
    let wrong = post(form("wrong", "/"), &[("Origin", &origin)]).await;
    assert_eq!(401, wrong.status);
    assert!(wrong.header("set-cookie").is_none());
    let foreign = post(form(&viewer, "/"), &[("Origin", "http://example.org")]).await;
    assert_eq!(403, foreign.status);
    for (next, goes_to) in [
        ("%2F%3Ftopic%3Da", "/?topic=a"),
        ("https%3A%2F%2Fexample.org", "/"),
        ("%2F%2Fexample.org", "/"),
        ("%2F%5Cexample.org", "/"),
        ("%2Fa%0D%0ASet-Cookie%3A%20x", "/"),
    ] {
        let reply = post(form(&viewer, next), &[("Origin", &origin)]).await;
        assert_eq!(303, reply.status, "{next}");
        assert_eq!(Some(goes_to), reply.header("location"), "{next}");
    }
    let reply = post(form(&viewer, "/"), &[("Origin", &origin)]).await;
    let cookie = reply.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let page = served.request("GET", "/", &[("Cookie", cookie)], b"").await;
    assert_eq!(200, page.status);
    assert!(page.text().contains(r#"action="/logout""#));
    // A cookie comes by itself: what changes something says where it is from.
    let operator = token(&served, Some(&admin), "ann", "operator").await;
    let cookie = format!("lariat_token={operator}");
    for (more, expect) in [
        (vec![], 403),
        (vec![("Origin", "http://example.org")], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Origin", origin.as_str())], 200),
        (vec![("Sec-Fetch-Site", "same-origin")], 200),
    ] {
        let mut headers = vec![("Cookie", cookie.as_str())];
        headers.extend(more);
        let reply = served
            .request("POST", "/api/v1/reload", &headers, b"")
            .await;
        assert_eq!(expect, reply.status, "{headers:?}");
    }
    let out = served
        .request("POST", "/logout", &[("Origin", origin.as_str())], b"")
        .await;
    assert_eq!(303, out.status);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    served.end().await;
}

fn rate(count: u32) -> Option<Rate> {
    Some(Rate {
        count: NonZeroU32::new(count).unwrap(),
        per: Duration::from_secs(3600),
    })
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let served = serve_with(10, |settings| {
        settings.requests_per_token = rate(3);
        settings.requests_per_address = rate(4);
    })
    .await;
    let admin = token(&served, None, "root", "admin").await;
    for _ in 0..3 {
        let reply = ask(&served, Some(&admin), "GET", "/api/v1/status", "").await;
        assert_eq!(200, reply.status);
    }
    let reply = ask(&served, Some(&admin), "GET", "/api/v1/status", "").await;
    assert_eq!("429 too_many_requests", code(&reply));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1190..=1200).contains(&wait), "{wait}");
    // Without a token the address is counted, tries with bad ones included.
    for expect in ["401", "401", "401", "429"] {
        let reply = ask(&served, Some("guess"), "GET", "/api/v1/status", "").await;
        assert!(
            code(&reply).starts_with(expect),
            "{expect}: {}",
            code(&reply)
        );
    }
    assert_eq!(
        200,
        served.get("/healthz/live").await.status,
        "never counted"
    );
    served.end().await;
}
