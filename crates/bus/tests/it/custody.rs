//! How long the broker lets a delivery be held.

use std::time::Duration;

use model::{
    link::{LinkState, Settle},
    ports::transport::Source,
};
use testkit::{Broker, BrokerOptions};

use crate::{
    SOON, deliveries, lost, numbers, publish, sink, sink_settings, source, source_is,
    source_settings, tags,
};

#[tokio::test]
async fn a_broker_that_allows_less_is_believed() {
    let options = BrokerOptions {
        consumer_timeout: Some(Duration::from_secs(4)),
        ..BrokerOptions::default()
    };
    let Some(broker) = Broker::start(&options).await else {
        return;
    };
    let vhost = broker.vhost("timeout").await;
    let source = source(source_settings(&vhost, broker.port()));
    assert_eq!(Duration::from_secs(15 * 60), source.patience());
    source_is(&source, LinkState::Connected, SOON).await;
    publish(&sink(sink_settings(&vhost, broker.port())), 0..1).await;
    let held = deliveries(&source, 1).await;
    assert_eq!(1, lost(&source).await);
    assert_eq!(Duration::from_secs(2), source.patience());
    let again = deliveries(&source, 1).await;
    assert_eq!(numbers(&held), numbers(&again));
    assert!(again[0].redelivered);
    assert_eq!(2, again[0].tag.connection);
    // The old tag is of a connection that is gone.
    source.settle(&tags(&held), Settle::Ack).await;
    source.settle(&tags(&again), Settle::Ack).await;
    source.close().await;
    assert_eq!(1, source.status().losses);
}
