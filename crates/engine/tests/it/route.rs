//! Routes: what goes on to a sink, in which order, and what holds it up.

use std::time::Duration;

use engine::DeadRetry;
use model::{
    fault::FaultPoint,
    ports::{DeadKind, transport::PublishError},
    route::Route,
};
use testkit::FaultPlan;

use crate::{
    fleet::{Fleet, Options, ann},
    harness::draft,
};

fn routed() -> Options {
    let route = |from: &str| Route {
        from: from.to_owned(),
        to: "out".parse().unwrap(),
        topics: vec!["a.#".parse().unwrap()],
    };
    Options {
        routes: vec![route("bus"), route("api")],
        ..Options::stored()
    }
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("e{n}")).collect()
}

fn publish(fleet: &Fleet, count: usize) {
    for id in ids(count) {
        fleet.publish(&id, "a.plain", 0);
    }
}

async fn until_taken(fleet: &Fleet, expect: &[String]) {
    let sink = &fleet.instances[0].sink;
    fleet
        .wait("the sink has taken it all", async || {
            sink.taken().len() >= expect.len()
        })
        .await;
    assert_eq!(expect, sink.taken());
}

fn refused() -> PublishError {
    PublishError::Refused {
        why: "full".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn events_go_on_in_order_from_sources_and_from_http() {
    let fleet = Fleet::start(1, routed()).await;
    publish(&fleet, 500);
    until_taken(&fleet, &ids(500)).await;
    let sink = &fleet.instances[0].sink;
    assert!(sink.batches().iter().all(|size| *size <= 200));
    let drafts = vec![
        draft("h1", "a.http", serde_json::json!({})),
        draft("h2", "b.http", serde_json::json!({})),
    ];
    let engine = &fleet.instances[0].engine;
    engine.publish(drafts, "api").await.unwrap();
    fleet
        .wait("it went on", async || sink.taken().len() == 501)
        .await;
    assert_eq!(Some("h1".to_owned()), sink.taken().last().cloned());
    let reports = engine.sinks().await.unwrap();
    assert_eq!(0, reports[0].backlog.events);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_sink_keeps_its_events_in_the_store() {
    let mut fleet = Fleet::start(1, routed()).await;
    fleet.instances[0].sink.block(true);
    publish(&fleet, 300);
    fleet.until_acked(300).await;
    fleet
        .wait("it is seen", async || {
            let reports = fleet.instances[0].engine.sinks().await.unwrap();
            reports[0].trouble.is_some()
        })
        .await;
    let reports = fleet.instances[0].engine.sinks().await.unwrap();
    assert_eq!(300, reports[0].backlog.events);
    assert!(reports[0].trouble.as_deref().unwrap().contains("blocked"));
    fleet.restart(0).await;
    testkit::clock::let_pass(Duration::from_secs(120)).await;
    fleet.instances[0].sink.block(false);
    until_taken(&fleet, &ids(300)).await;
    fleet
        .wait("nothing is left", async || {
            let reports = fleet.instances[0].engine.sinks().await.unwrap();
            reports[0].backlog.events == 0 && reports[0].trouble.is_none()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_one_is_tried_at_a_time() {
    let fleet = Fleet::start(1, routed()).await;
    let sink = &fleet.instances[0].sink;
    for _ in 0..3 {
        sink.answer_next(refused());
    }
    publish(&fleet, 1);
    fleet
        .wait("it was refused", async || sink.batches().len() == 1)
        .await;
    for n in 1..50 {
        fleet.publish(&format!("e{n}"), "a.plain", 0);
    }
    until_taken(&fleet, &ids(50)).await;
    assert_eq!([1, 1, 1, 1, 49], sink.batches().as_slice());
}

#[tokio::test(start_paused = true)]
async fn what_no_queue_takes_is_a_dead_letter_that_can_be_sent_again() {
    let fleet = Fleet::start(1, routed()).await;
    let instance = &fleet.instances[0];
    instance.sink.answer_next(PublishError::Unroutable {
        why: "no binding".to_owned(),
    });
    publish(&fleet, 3);
    until_taken(&fleet, &ids(3)[1..]).await;
    fleet
        .wait("it is a letter", async || fleet.letters(0).await.len() == 1)
        .await;
    let letter = fleet.letters(0).await.remove(0);
    assert_eq!(DeadKind::Unsendable, letter.content.kind);
    assert_eq!("out", letter.content.source);
    let retried = instance.engine.retry_dead(&letter.id, &ann()).await;
    assert_eq!(DeadRetry::Sink("out".parse().unwrap()), retried.unwrap());
    fleet
        .wait("it is sent", async || instance.sink.taken().len() == 3)
        .await;
    let again = instance.engine.retry_dead(&letter.id, &ann()).await;
    assert!(matches!(again.unwrap(), DeadRetry::WrongState(_)));
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_it_is_noted_sends_the_same_id_twice() {
    let plan = FaultPlan::once(FaultPoint::AfterPublishBeforeRecord);
    let mut fleet = Fleet::with_plan(1, routed(), plan).await;
    publish(&fleet, 2);
    fleet.instances[0].faults.wait_tripped().await;
    let before = fleet.instances[0].sink.taken();
    fleet.restart(0).await;
    let sink = &fleet.instances[0].sink;
    fleet
        .wait("all are sent again", async || {
            sink.taken().len() == before.len() + 2
        })
        .await;
    assert_eq!(ids(2), sink.taken()[before.len()..]);
}
