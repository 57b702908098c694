//! Sources, sinks, and jobs that went back to a broker: in JSON and on pages.

use std::{sync::Arc, sync::Mutex, time::Duration};

use async_trait::async_trait;
use model::{
    clock::{BootTime, Timestamp},
    custody::Custody,
    event::{Event, Origin, Severity},
    flow::FlowPlan,
    id::{SinkName, SourceName},
    job::{JobPlan, OnLost, RetryPolicy, StepKind, StepPlan},
    json::{ContentHash, Object},
    link::{
        AckMode, Contact, DeliveryTag, FleetNote, LinkState, LinkStatus, Received, Settle, Talk,
        Terms,
    },
    ports::{
        Intake, Judged,
        custody::JobCustody,
        transport::{PublishError, Sink, Source},
    },
    route::Route,
    verdict::{Decision, Firing},
};
use serde_json::json;
use testkit::clock::START;
use tokio::sync::Notify;

use crate::harness::{Links, Served, serve, serve_linked};

const HOSTILE: &str = "access to <b>'/'</b> \u{1b}[31mrefused\u{202e} for user";

fn status(state: LinkState, detail: Option<&str>) -> LinkStatus {
    LinkStatus {
        state,
        since: START.parse().unwrap(),
        peer: Some("rabbit.example.org:5671".to_owned()),
        detail: detail.map(str::to_owned),
        messages: 4_711,
        losses: 2,
    }
}

/// From which nothing comes.
struct QuietSource {
    name: SourceName,
    closed: Notify,
}

#[async_trait]
impl Source for QuietSource {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "amqp"
    }

    fn terms(&self) -> Terms {
        Terms {
            ack: AckMode::Done,
            batch: 10,
            takeover: Duration::ZERO,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(900)
    }

    async fn receive(&self) -> Received {
        self.closed.notified().await;
        Received::Closed
    }

    async fn settle(&self, _tags: &[DeliveryTag], _how: Settle) {}

    async fn tell(&self, _note: FleetNote) {}

    fn talk(&self) -> Talk {
        Talk::Heard
    }

    fn contact(&self) -> Contact {
        Contact::Live {
            connection: 1,
            answered: BootTime {
                boot: "boot-1".to_owned(),
                millis: 0,
            },
        }
    }

    fn status(&self) -> LinkStatus {
        status(LinkState::Connected, None)
    }

    async fn pause(&self) {}

    async fn close(&self) {
        self.closed.notify_one();
    }
}

/// Takes nothing until it is let to.
struct BlockedSink {
    name: SinkName,
    asked: Mutex<u64>,
}

#[async_trait]
impl Sink for BlockedSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "amqp"
    }

    async fn publish(
        &self,
        events: &[Arc<Event>],
        _patience: Duration,
    ) -> Vec<Result<(), PublishError>> {
        *self.asked.lock().unwrap() += 1;
        let refused = PublishError::Refused {
            why: "the queue is full".to_owned(),
        };
        vec![Err(refused); events.len()]
    }

    fn status(&self) -> LinkStatus {
        status(LinkState::Blocked, Some(HOSTILE))
    }

    async fn close(&self) {}
}

pub(crate) async fn linked() -> Served {
    let links = Links {
        sources: vec![Arc::new(QuietSource {
            name: "fedora".parse().unwrap(),
            closed: Notify::new(),
        })],
        sinks: vec![Arc::new(BlockedSink {
            name: "bus".parse().unwrap(),
            asked: Mutex::default(),
        })],
        routes: vec![Route {
            from: "api".to_owned(),
            to: "bus".parse().unwrap(),
            topics: vec!["org.example.#".parse().unwrap()],
        }],
    };
    serve_linked(1_000, links, |_| {}).await
}

#[tokio::test]
async fn sources_and_sinks_are_listed_and_in_the_status() {
    let served = linked().await;
    served
        .publish(r#"{"topic": "org.example.other", "id": "one"}"#)
        .await;
    let sinks = served.until("/api/v1/sinks", |sinks| {
        !sinks["items"][0]["trouble"].is_null()
    });
    let sinks = sinks.await;
    let sources = served.get("/api/v1/sources").await.json();
    let source = json!({
        "name": "fedora", "kind": "amqp", "ack": "done", "state": "connected", "since": START,
        "peer": "rabbit.example.org:5671", "detail": null, "messages": 4711, "losses": 2, "held": 0,
    });
    assert_eq!(json!({"items": [source], "next": null}), sources);
    let event = served.get("/api/v1/events/one").await.json();
    let sink = json!({
        "name": "bus", "kind": "amqp", "state": "blocked", "since": START,
        "peer": "rabbit.example.org:5671", "detail": HOSTILE, "messages": 4711, "losses": 2,
        "backlog": {"events": 1, "oldest": event["accepted"]},
        "trouble": sinks["items"][0]["trouble"],
    });
    assert_eq!(json!({"items": [sink], "next": null}), sinks);
    let trouble = sinks["items"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains("the queue is full"), "{trouble}");
    let status = served.get("/api/v1/status").await.json();
    let workers = served.get("/api/v1/workers").await.json();
    assert_eq!(json!({"items": [status["worker"]], "next": null}), workers);
    assert_eq!(
        (&sources["items"], &sinks["items"]),
        (&status["sources"], &status["sinks"])
    );
    let ready = served.get("/healthz/ready").await;
    assert_eq!(200, ready.status, "a broker that is away changes nothing");
    served.end().await;
}

#[tokio::test]
async fn the_first_page_shows_how_they_stand() {
    let served = linked().await;
    served.publish(r#"{"topic": "org.example.other"}"#).await;
    served
        .until("/api/v1/sinks", |sinks| {
            !sinks["items"][0]["trouble"].is_null()
        })
        .await;
    let reply = served.get("/").await;
    for text in [
        "source <strong>fedora</strong>",
        r#"amqp, ack: done · <code>rabbit.example.org:5671</code>"#,
        r#"<span class="badge good">connected</span>"#,
        r#"<span class="badge warn">blocked</span>"#,
        "4711 received",
        "1 to be sent, the oldest",
        "connection lost 2 times",
        "access to &lt;b&gt;&#39;/&#39;&lt;/b&gt; ␛[31mrefused[U+202E] for user",
        "the queue is full",
    ] {
        assert!(reply.text().contains(text), "{text}: {}", reply.text());
    }
    let plain = serve().await;
    assert!(!plain.get("/").await.text().contains("Sources and sinks"));
    plain.end().await;
    served.end().await;
}

fn plan() -> JobPlan {
    JobPlan {
        key: None,
        account: None,
        retry: RetryPolicy::default(),
        steps: vec![StepPlan {
            kind: StepKind::Command,
            on_lost: OnLost::Hold,
        }],
        flow: FlowPlan::default(),
    }
}

/// An event as it comes from a broker, delivered to another process.
fn delivered(body: serde_json::Value) -> Judged {
    let topic = "org.fedoraproject.prod.hello";
    let at: Timestamp = START.parse().unwrap();
    let headers: Object = serde_json::from_str(
        r#"{"fedora_messaging_schema": "base.message", "fedora_messaging_user_jane": true,
            "n": 1.50, "text": "1<i>", "nested": {"a": [1]}}"#,
    )
    .unwrap();
    Judged {
        hash: ContentHash::of(topic, &body),
        event: Arc::new(Event {
            id: "e".parse().unwrap(),
            topic: topic.parse().unwrap(),
            time: at,
            accepted: at,
            source: "fedora".to_owned(),
            severity: Severity::Info,
            headers,
            body,
            origin: Origin {
                verified: true,
                by: Some("bodhi".to_owned()),
                via: "amqp".to_owned(),
            },
            cause: None,
        }),
        revision: "0".repeat(64).parse().unwrap(),
        decisions: vec![Decision {
            rule: "greet".parse().unwrap(),
            firing: Firing::Fire(plan()),
        }],
        custody: Custody::Broker {
            worker: "another".parse().unwrap(),
            taken_over: false,
        },
        routes: Vec::new(),
    }
}

#[tokio::test]
async fn a_job_that_was_returned_says_what_that_means() {
    let served = serve().await;
    let judged = delivered(json!({}));
    let event = judged.event.id.clone();
    let accepted = served.store.accept(vec![judged]).await.unwrap();
    let job = accepted[0].jobs[0].to_string();
    let reason = "the connection was lost";
    served.store.give_back(&[event], reason).await.unwrap();

    let shown = served.get(&format!("/api/v1/jobs/{job}")).await.json();
    assert_eq!(
        (json!("returned"), json!(reason)),
        (shown["state"].clone(), shown["reason"].clone())
    );
    let list = served.get("/api/v1/jobs?state=returned").await.json();
    assert_eq!(json!(job), list["items"][0]["id"]);
    let page = served.get(&format!("/jobs/{job}")).await;
    for text in [
        r#"<span class="badge warn">returned</span>"#,
        reason,
        "gives it to any instance of the fleet",
    ] {
        assert!(page.text().contains(text), "{text}: {}", page.text());
    }
    assert!(
        !page.text().contains("lariat jobs retry"),
        "it is the broker's"
    );
    let retried = served.post(&format!("/api/v1/jobs/{job}/retry"), "").await;
    assert_eq!(409, retried.status);
    served.end().await;
}

#[tokio::test]
async fn the_origin_and_the_headers_of_a_message_are_shown() {
    let served = serve().await;
    served
        .store
        .accept(vec![delivered(json!({}))])
        .await
        .unwrap();
    let page = served.get("/events/e").await;
    for text in [
        r#"fedora <span class="meta">bodhi, verified, via amqp</span>"#,
        r#"<th scope="row">fedora_messaging_schema</th><td><code>&quot;base.message&quot;</code>"#,
        r#"<th scope="row">fedora_messaging_user_jane</th><td><code>true</code>"#,
        r#"<th scope="row">n</th><td><code>1.50</code>"#,
        r#"<code>&quot;1&lt;i&gt;&quot;</code>"#,
        r#"<code>{&quot;a&quot;:[1]}</code>"#,
    ] {
        assert!(page.text().contains(text), "{text}: {}", page.text());
    }
    served.end().await;
}
