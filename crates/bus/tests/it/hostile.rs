//! Messages that are made to stop whoever reads them.

use model::{
    link::{LinkState, Settle},
    ports::transport::Source,
};

use crate::{
    SOON, deliveries,
    raw::{self, RawMessage, entry, table},
    shared, source, source_is, source_settings, tags,
};

/// Sends a message, then a good one, and expects both to be handed over on one
/// connection.
async fn check(test: &str, message: RawMessage) {
    let Some((broker, vhost)) = shared(test).await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.bindings = vec!["#".to_owned()];
    let source = source(settings);
    source_is(&source, LinkState::Connected, SOON).await;
    let message = RawMessage {
        exchange: b"amq.topic".to_vec(),
        ..message
    };
    raw::publish(broker.port(), vhost.name(), &message).await;
    let good = RawMessage {
        exchange: b"amq.topic".to_vec(),
        routing_key: b"org.example.good".to_vec(),
        body: b"{}".to_vec(),
        ..RawMessage::default()
    };
    raw::publish(broker.port(), vhost.name(), &good).await;
    let both = deliveries(&source, 2).await;
    assert!(both[1].content.is_ok());
    source.settle(&tags(&both), Settle::Ack).await;
    vhost
        .wait_queue("work", "both are acknowledged", SOON, |queue| {
            queue.ready + queue.unacknowledged == 0
        })
        .await;
    assert_eq!(0, source.status().losses);
}

#[tokio::test]
async fn a_routing_key_that_is_not_utf_8_stops_nothing() {
    let message = RawMessage {
        routing_key: b"org.example.caf\xe9".to_vec(),
        body: b"{}".to_vec(),
        ..RawMessage::default()
    };
    check("latin-key", message).await;
}

#[tokio::test]
async fn a_header_name_that_is_not_utf_8_stops_nothing() {
    let message = RawMessage {
        routing_key: b"org.example.header".to_vec(),
        headers: entry(b"na\xefve", b't', &[1]),
        message_id: b"\xff\xfe".to_vec(),
        body: b"{}".to_vec(),
        ..RawMessage::default()
    };
    check("latin-header", message).await;
}

#[tokio::test]
async fn headers_that_are_nested_deeply_stop_nothing() {
    let mut headers = entry(b"", b't', &[1]);
    // As deep as one frame allows.
    while headers.len() < 130_000 {
        headers = entry(b"", b'F', &table(&headers));
    }
    let message = RawMessage {
        routing_key: b"org.example.deep".to_vec(),
        headers,
        body: b"{}".to_vec(),
        ..RawMessage::default()
    };
    check("deep", message).await;
}
