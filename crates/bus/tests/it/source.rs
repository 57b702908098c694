//! Receiving and settling on a healthy broker.

use bus::amqp::AmqpSink;
use model::{
    link::{Contact, LinkState, Received, Settle},
    ports::transport::{Sink, Source},
};
use serde_json::json;
use testkit::broker::Outgoing;

use crate::{
    SOON, clock, connection, deliveries, numbers, publish, receive, shared, sink, sink_settings,
    source, source_is, source_settings, tags,
};

#[tokio::test]
async fn what_a_sink_publishes_a_source_receives() {
    let Some((broker, vhost)) = shared("round-trip").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let sink = sink(sink_settings(&vhost, broker.port()));
    publish(&sink, 0..1200).await;
    let arrived = deliveries(&source, 1000).await;
    assert_eq!((0..1000).collect::<Vec<_>>(), numbers(&arrived));
    let draft = arrived[0].content.as_ref().unwrap();
    assert_eq!("2026-000000", draft.id.as_ref().unwrap().as_str());
    assert_eq!("org.example.build.done", draft.topic.to_string());
    assert_eq!("amqp", draft.origin.via);
    assert!(!draft.origin.verified);
    assert!(!arrived[0].redelivered);
    source.settle(&tags(&arrived), Settle::Ack).await;
    let rest = deliveries(&source, 200).await;
    source.settle(&tags(&rest), Settle::Ack).await;
    vhost
        .wait_queue("work", "all is acknowledged", SOON, |queue| {
            queue.ready + queue.unacknowledged == 0
        })
        .await;
    assert_eq!(1200, source.status().messages);
    assert_eq!(1200, sink.status().messages);
    source.close().await;
    sink.close().await;
    assert_eq!(Received::Closed, receive(&source).await);
    assert_eq!(LinkState::Closed, source.status().state);
}

#[tokio::test]
async fn what_is_not_settled_stays_with_the_broker() {
    let Some((broker, vhost)) = shared("unsettled").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    publish(&sink(sink_settings(&vhost, broker.port())), 0..10).await;
    let arrived = deliveries(&source, 10).await;
    let mut some = tags(&arrived);
    // All but the fifth and the last.
    some.remove(9);
    some.remove(4);
    source.settle(&some, Settle::Ack).await;
    vhost
        .wait_queue("work", "two are left", SOON, |queue| {
            queue.unacknowledged == 2
        })
        .await;
    source.close().await;
    vhost
        .wait_queue("work", "two are back", SOON, |queue| queue.ready == 2)
        .await;
}

#[tokio::test]
async fn what_is_requeued_comes_again() {
    let Some((broker, vhost)) = shared("requeue").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    publish(&sink(sink_settings(&vhost, broker.port())), 0..3).await;
    let arrived = deliveries(&source, 3).await;
    source.settle(&tags(&arrived)[1..2], Settle::Requeue).await;
    source.settle(&tags(&arrived), Settle::Ack).await;
    let again = deliveries(&source, 1).await;
    assert_eq!(vec![1], numbers(&again));
    assert!(again[0].redelivered);
    source.settle(&tags(&again), Settle::Ack).await;
    // Settling twice would close the channel.
    source.settle(&tags(&arrived), Settle::Ack).await;
    source.close().await;
    assert_eq!(0, source.status().losses);
}

#[tokio::test]
async fn a_pause_gives_back_what_nobody_has_taken() {
    let Some((broker, vhost)) = shared("pause").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let sink = sink(sink_settings(&vhost, broker.port()));
    publish(&sink, 0..1).await;
    let taken = deliveries(&source, 1).await;
    publish(&sink, 1..20).await;
    vhost
        .wait_queue("work", "all are delivered", SOON, |queue| {
            queue.unacknowledged == 20
        })
        .await;
    source.pause().await;
    vhost
        .wait_queue("work", "19 are back", SOON, |queue| queue.ready == 19)
        .await;
    source.settle(&tags(&taken), Settle::Ack).await;
    source.close().await;
    vhost
        .wait_queue("work", "19 are left", SOON, |queue| {
            queue.ready == 19 && queue.unacknowledged == 0
        })
        .await;
}

#[tokio::test]
async fn what_cannot_be_decoded_is_handed_over_as_it_came() {
    let Some((broker, vhost)) = shared("undecodable").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let message = Outgoing {
        exchange: "amq.topic",
        routing_key: "org.example.broken",
        body: b"{not json",
        properties: json!({"message_id": "x-1"}),
    };
    assert!(vhost.publish(&message).await);
    let arrived = deliveries(&source, 1).await;
    let undecodable = arrived[0].content.as_ref().unwrap_err();
    assert_eq!(b"{not json".as_slice(), undecodable.raw);
    assert!(
        undecodable.cause.contains("org.example.broken"),
        "{}",
        undecodable.cause
    );
}

#[tokio::test]
async fn a_user_that_the_broker_has_checked_is_believed() {
    let Some((broker, vhost)) = shared("user-id").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let message = Outgoing {
        exchange: "amq.topic",
        routing_key: "org.example.signed",
        body: b"{}",
        properties: json!({"user_id": "guest"}),
    };
    assert!(vhost.publish(&message).await);
    let arrived = deliveries(&source, 1).await;
    let origin = &arrived[0].content.as_ref().unwrap().origin;
    assert!(origin.verified);
    assert_eq!(Some("guest"), origin.by.as_deref());
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_delivered_ahead() {
    let Some((broker, vhost)) = shared("prefetch").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.prefetch = 5;
    let source = source(settings);
    assert_eq!(5, source.terms().batch);
    source_is(&source, LinkState::Connected, SOON).await;
    publish(&sink(sink_settings(&vhost, broker.port())), 0..12).await;
    vhost
        .wait_queue("work", "five are delivered", SOON, |queue| {
            queue.unacknowledged == 5 && queue.ready == 7
        })
        .await;
}

#[tokio::test]
async fn the_broker_shows_who_is_connected() {
    let Some((broker, vhost)) = shared("names").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let expect = connection(&vhost, broker.port()).name;
    testkit::process::wait_until("the connection has our name", SOON, async || {
        let connections = broker.admin().connections().await;
        connections.iter().any(|one| one.name == expect)
    })
    .await;
    assert!(matches!(
        source.contact(),
        Contact::Live { connection: 1, .. }
    ));
    let peer = source.status().peer;
    assert_eq!(Some(format!("127.0.0.1:{}", broker.port())), peer);
}

#[tokio::test]
async fn a_sink_can_be_closed_while_it_connects() {
    let Some((_, vhost)) = shared("closing").await else {
        return;
    };
    // Nothing listens on port 1.
    let sink = AmqpSink::new(sink_settings(&vhost, 1), clock());
    sink.close().await;
    assert_eq!(LinkState::Closed, sink.status().state);
    let source = source(source_settings(&vhost, 1));
    source.close().await;
    assert_eq!(Received::Closed, receive(&source).await);
}
