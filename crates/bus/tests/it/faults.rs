//! The broker or the way to it fails.

use std::time::Duration;

use model::{
    link::{Contact, LinkState, Settle},
    ports::transport::{PublishError, Sink, Source},
};
use testkit::{Broker, BrokerOptions, Proxy, process::wait_until};

use crate::{
    REPLACED, SOON, deliveries, events, lost, numbers, publish, shared, sink, sink_is,
    sink_settings, source, source_is, source_settings, tags,
};

#[tokio::test]
async fn a_connection_that_the_broker_closes_is_replaced() {
    let Some((broker, vhost)) = shared("closed").await else {
        return;
    };
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let sink = sink(sink_settings(&vhost, broker.port()));
    publish(&sink, 0..2).await;
    let before = deliveries(&source, 2).await;
    wait_until("both connections are listed", SOON, async || {
        ours(broker, vhost.name()).await.len() == 2
    })
    .await;
    for connection in ours(broker, vhost.name()).await {
        broker.admin().close(&connection).await;
    }
    assert_eq!(1, lost(&source).await);
    let again = deliveries(&source, 2).await;
    assert_eq!(numbers(&before), numbers(&again));
    assert!(again.iter().all(|delivery| delivery.redelivered));
    source.settle(&tags(&before), Settle::Ack).await;
    source.settle(&tags(&again), Settle::Ack).await;
    publish(&sink, 2..3).await;
    assert_eq!(vec![2], numbers(&deliveries(&source, 1).await));
    assert_eq!(1, source.status().losses);
    assert_eq!(1, sink.status().losses);
}

async fn ours(broker: &Broker, vhost: &str) -> Vec<testkit::broker::ConnectionInfo> {
    let mut all = broker.admin().connections().await;
    all.retain(|connection| connection.vhost == vhost);
    all
}

#[tokio::test]
async fn a_half_open_connection_is_replaced_within_half_a_minute() {
    let Some((broker, vhost)) = shared("half-open").await else {
        return;
    };
    let proxy = Proxy::start(broker.port()).await;
    let source = source(source_settings(&vhost, proxy.port()));
    let sink = sink(sink_settings(&vhost, proxy.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    publish(&sink, 0..3).await;
    let before = deliveries(&source, 3).await;

    proxy.forget();
    let dark = tokio::time::Instant::now();
    assert_eq!(1, lost(&source).await);
    // A settlement of what is lost does not wait for anything.
    source.settle(&tags(&before), Settle::Ack).await;
    let again = deliveries(&source, 3).await;
    assert_eq!(numbers(&before), numbers(&again));
    sink_is(&sink, LinkState::Connected, REPLACED).await;
    wait_until("the sink has noticed too", REPLACED, async || {
        sink.status().losses == 1
    })
    .await;
    sink_is(&sink, LinkState::Connected, REPLACED).await;
    assert!(dark.elapsed() < REPLACED, "{:?}", dark.elapsed());
    publish(&sink, 3..4).await;
}

#[tokio::test]
async fn a_way_that_is_dark_is_told_from_a_broker_that_is_down() {
    let Some((broker, vhost)) = shared("dark").await else {
        return;
    };
    let proxy = Proxy::start(broker.port()).await;
    let source = source(source_settings(&vhost, proxy.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let Contact::Live { answered, .. } = source.contact() else {
        panic!("{:?}", source.contact());
    };
    wait_until("a question was answered", SOON, async || {
        matches!(source.contact(), Contact::Live { answered: later, .. } if later.millis > answered.millis)
    })
    .await;
    proxy.black_hole();
    lost(&source).await;
    let Contact::Silent { since } = source.contact() else {
        panic!("{:?}", source.contact());
    };
    assert!(since.millis >= answered.millis);
    proxy.restore();
    source_is(&source, LinkState::Connected, REPLACED).await;
}

#[tokio::test]
async fn a_broker_that_is_killed_and_started_again_is_found_again() {
    let Some(broker) = Broker::start(&BrokerOptions::default()).await else {
        return;
    };
    let vhost = broker.vhost("restart").await;
    let source = source(source_settings(&vhost, broker.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    let sink = sink(sink_settings(&vhost, broker.port()));
    publish(&sink, 0..5).await;
    let before = deliveries(&source, 5).await;

    broker.stop_hard().await;
    assert_eq!(1, lost(&source).await);
    wait_until("it is known to be down", SOON, async || {
        source.contact() == Contact::Down
    })
    .await;
    let refused = sink.publish(&events(5..7), Duration::from_secs(1)).await;
    for result in refused {
        assert!(
            matches!(&result, Err(PublishError::Unconfirmed { why }) if why.contains("refuses connections")),
            "{result:?}"
        );
    }
    // Closing something that cannot be reached does not wait.
    broker.start_again().await;
    source_is(&source, LinkState::Connected, REPLACED).await;
    let again = deliveries(&source, 5).await;
    assert_eq!(numbers(&before), numbers(&again));
    source.settle(&tags(&again), Settle::Ack).await;
    publish(&sink, 5..7).await;
    assert_eq!(vec![5, 6], numbers(&deliveries(&source, 2).await));
}

#[tokio::test]
async fn a_dead_peer_does_not_hold_up_a_close() {
    let Some((broker, vhost)) = shared("close").await else {
        return;
    };
    let proxy = Proxy::start(broker.port()).await;
    let source = source(source_settings(&vhost, proxy.port()));
    let sink = sink(sink_settings(&vhost, proxy.port()));
    source_is(&source, LinkState::Connected, SOON).await;
    sink_is(&sink, LinkState::Connected, SOON).await;
    proxy.black_hole();
    tokio::time::timeout(Duration::from_secs(15), async {
        source.close().await;
        sink.close().await;
    })
    .await
    .expect("both are closed");
}
