//! Queues that exist, that are made, and that go away.

use bus::amqp::{Declare, QueueKind, QueueSettings};
use model::{
    link::{LinkState, Settle},
    ports::transport::Source,
};
use testkit::broker::Outgoing;
use wire::amqp::HeaderValue;

use crate::{
    SOON, deliveries, publish, shared, sink, sink_settings, source, source_is, source_says,
    source_settings, tags,
};

#[tokio::test]
async fn a_queue_that_is_missing_is_made_as_a_quorum_queue() {
    let Some((broker, vhost)) = shared("make").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let queue = vhost.queue("work").await.unwrap();
    assert_eq!("quorum", queue.kind);
    assert!(queue.durable);
    // A server of this age would drop what is delivered a second time.
    assert!(queue.arguments.get("x-delivery-limit").is_none());
}

#[tokio::test]
async fn a_classic_queue_is_made_on_request_with_its_arguments() {
    let Some((broker, vhost)) = shared("classic").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.queue.kind = QueueKind::Classic;
    settings
        .queue
        .arguments
        .insert("x-max-priority".to_owned(), HeaderValue::Integer(10));
    let source = source(settings);
    source_is(&source, LinkState::Connected, SOON).await;
    let queue = vhost.queue("work").await.unwrap();
    assert_eq!("classic", queue.kind);
    assert_eq!(10, queue.arguments["x-max-priority"]);
}

#[tokio::test]
async fn a_queue_that_exists_is_used_as_it_is() {
    let Some((broker, vhost)) = shared("existing").await else {
        return;
    };
    vhost.declare("work", "classic").await;
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    assert_eq!("classic", vhost.queue("work").await.unwrap().kind);
    publish(&sink(sink_settings(&vhost, broker.port())), 0..1).await;
    deliveries(&source, 1).await;
}

#[tokio::test]
async fn a_passive_queue_has_to_exist() {
    let Some((broker, vhost)) = shared("passive").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.queue.declare = Declare::Passive;
    let source = source(settings);
    source_says(&source, "queue `work` does not exist").await;
    assert_eq!(0, source.status().losses);
    vhost.declare("work", "quorum").await;
    source_is(&source, LinkState::Connected, SOON).await;
}

#[tokio::test]
async fn a_private_queue_is_named_by_the_broker() {
    let Some((broker, vhost)) = shared("private").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.queue = QueueSettings {
        durable: false,
        exclusive: true,
        auto_delete: true,
        ..QueueSettings::named("")
    };
    let source = source(settings);
    source_is(&source, LinkState::Connected, SOON).await;
    publish(&sink(sink_settings(&vhost, broker.port())), 0..3).await;
    deliveries(&source, 3).await;
}

#[tokio::test]
async fn an_exclusive_queue_of_another_is_waited_for() {
    let Some((broker, vhost)) = shared("exclusive").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.queue.exclusive = true;
    settings.queue.durable = false;
    let first = source(settings.clone());
    source_is(&first, LinkState::Connected, SOON).await;
    let second = source(settings);
    source_says(&second, "RESOURCE_LOCKED").await;
    first.close().await;
    source_is(&second, LinkState::Connected, SOON).await;
}

#[tokio::test]
async fn only_what_is_bound_arrives() {
    let Some((broker, vhost)) = shared("bindings").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.bindings = vec!["a.#".to_owned(), "*.b".to_owned()];
    let source = source(settings);
    source_is(&source, LinkState::Connected, SOON).await;
    for (key, is_routed) in [("a.c", true), ("x.b", true), ("x.c", false)] {
        let message = Outgoing {
            exchange: "amq.topic",
            routing_key: key,
            body: b"{}",
            ..Outgoing::default()
        };
        assert_eq!(is_routed, vhost.publish(&message).await, "{key}");
    }
    deliveries(&source, 2).await;
}

#[tokio::test]
async fn an_exchange_that_is_missing_is_named() {
    let Some((broker, vhost)) = shared("exchange").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.exchange = "nowhere".to_owned();
    let source = source(settings);
    source_says(&source, "exchange `nowhere`").await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_us_is_made_again() {
    let Some((broker, vhost)) = shared("deleted").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let sink = sink(sink_settings(&vhost, broker.port()));
    publish(&sink, 0..1).await;
    let before = deliveries(&source, 1).await;
    broker.admin().delete_queue(vhost.name(), "work").await;
    vhost
        .wait_queue("work", "the queue is consumed again", SOON, |queue| {
            queue.consumers == 1
        })
        .await;
    // The broker has forgotten it, and does not mind.
    source.settle(&tags(&before), Settle::Ack).await;
    publish(&sink, 1..2).await;
    deliveries(&source, 1).await;
    assert_eq!(0, source.status().losses);
}

#[tokio::test]
async fn a_passive_queue_that_is_deleted_under_us_is_waited_for() {
    let Some((broker, vhost)) = shared("deleted-passive").await else {
        return;
    };
    vhost.declare("work", "quorum").await;
    let mut settings = source_settings(&vhost, broker.port());
    settings.queue.declare = Declare::Passive;
    let source = source(settings);
    source_is(&source, LinkState::Connected, SOON).await;
    broker.admin().delete_queue(vhost.name(), "work").await;
    source_says(&source, "queue `work` does not exist").await;
    vhost.declare("work", "quorum").await;
    source_is(&source, LinkState::Connected, SOON).await;
}
