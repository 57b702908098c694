//! Publishing, and what the broker answers to it.

use std::{cell::Cell, time::Duration};

use bus::amqp::QueueSettings;
use model::{
    link::LinkState,
    ports::transport::{PublishError, Sink},
};
use testkit::{Broker, BrokerOptions, process::wait_until};
use wire::amqp::HeaderValue;

use crate::{SOON, events, publish, shared, sink, sink_is, sink_settings};

#[tokio::test]
async fn a_message_that_no_queue_takes_is_returned_when_it_is_mandatory() {
    let Some((broker, vhost)) = shared("mandatory").await else {
        return;
    };
    vhost.declare("some", "quorum").await;
    let topic = "org.example.build.done";
    vhost.bind("some", "amq.topic", topic).await;
    let mut settings = sink_settings(&vhost, broker.port());
    settings.mandatory = true;
    let sink = sink(settings);
    let mut mixed = events(0..40);
    for (number, event) in mixed.iter_mut().enumerate() {
        if number % 7 == 3 {
            std::sync::Arc::make_mut(event).topic = "org.example.unheard".parse().unwrap();
        }
    }
    let results = sink.publish(&mixed, SOON).await;
    for (number, result) in results.into_iter().enumerate() {
        if number % 7 == 3 {
            let unroutable = matches!(result, Err(PublishError::Unroutable { .. }));
            assert!(unroutable, "{number}: {result:?}");
        } else {
            assert_eq!(Ok(()), result, "of event {number}");
        }
    }
}

#[tokio::test]
async fn without_mandatory_a_message_may_go_nowhere() {
    let Some((broker, vhost)) = shared("nowhere").await else {
        return;
    };
    publish(&sink(sink_settings(&vhost, broker.port())), 0..3).await;
}

#[tokio::test]
async fn a_queue_that_is_full_refuses() {
    let Some((broker, vhost)) = shared("full").await else {
        return;
    };
    let mut queue = QueueSettings::named("small");
    queue.arguments = [
        ("x-max-length", HeaderValue::Integer(3)),
        ("x-overflow", HeaderValue::Text(b"reject-publish".to_vec())),
        ("x-queue-type", HeaderValue::Text(b"classic".to_vec())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let mut settings = sink_settings(&vhost, broker.port());
    settings.encoding.exchange = String::new();
    settings.encoding.routing_key = Some("small".to_owned());
    settings.declare_queue = Some(queue);
    let sink = sink(settings);
    publish(&sink, 0..3).await;
    let results = sink.publish(&events(3..5), SOON).await;
    for result in results {
        assert!(
            matches!(result, Err(PublishError::Refused { .. })),
            "{result:?}"
        );
    }
    assert_eq!(3, vhost.take("small", 3).await.len());
    publish(&sink, 3..5).await;
}

#[tokio::test]
async fn an_exchange_that_is_missing_may_be_made_later() {
    let Some((broker, vhost)) = shared("no-exchange").await else {
        return;
    };
    let mut settings = sink_settings(&vhost, broker.port());
    settings.encoding.exchange = "later".to_owned();
    let sink = sink(settings);
    let results = sink.publish(&events(0..2), SOON).await;
    assert!(
        matches!(&results[0], Err(PublishError::Refused { why }) if why.contains("no exchange 'later'")),
        "{results:?}"
    );
    let detail = sink.status().detail.unwrap_or_default();
    assert!(detail.contains("no exchange 'later'"), "{detail}");
    broker
        .admin()
        .put_exchange(vhost.name(), "later", "topic")
        .await;
    wait_until("it is taken", SOON, async || {
        let results = sink.publish(&events(0..2), SOON).await;
        results.iter().all(Result::is_ok)
    })
    .await;
    assert_eq!(None, sink.status().detail);
    assert_eq!(0, sink.status().losses);
}

#[tokio::test]
async fn a_broker_short_of_disk_is_waited_for() {
    let Some(broker) = Broker::start(&BrokerOptions::default()).await else {
        return;
    };
    let vhost = broker.vhost("blocked").await;
    vhost.declare("work", "classic").await;
    vhost.bind("work", "amq.topic", "#").await;
    let mut settings = sink_settings(&vhost, broker.port());
    settings.connection.heartbeat = Duration::from_secs(2);
    let sink = sink(settings);
    publish(&sink, 0..3).await;
    broker.ctl(&["set_disk_free_limit", "1000GB"]).await;
    let waiting = sink.publish(&events(3..6), Duration::from_secs(12)).await;
    for result in waiting {
        assert!(
            matches!(result, Err(PublishError::Unconfirmed { .. })),
            "{result:?}"
        );
    }
    // For longer than the heartbeat: nobody takes the other for dead.
    let status = sink.status();
    assert_eq!(LinkState::Blocked, status.state, "{status:?}");
    assert_eq!(0, status.losses);
    let asked = std::time::Instant::now();
    let again = events(3..6);
    let (results, _) = tokio::join!(sink.publish(&again, SOON), async {
        broker.ctl(&["set_disk_free_limit", "50MB"]).await
    });
    for result in results {
        assert_eq!(Ok(()), result, "after {:?}", asked.elapsed());
    }
    sink_is(&sink, LinkState::Connected, SOON).await;
    assert_eq!(0, sink.status().losses);
    // What was sent while it was blocked was not sent again.
    let patience = Duration::from_secs(60);
    let ready = Cell::new(0);
    vhost
        .wait_queue("work", "each is there", patience, |queue| {
            ready.set(queue.ready);
            ready.get() >= 6
        })
        .await;
    assert_eq!(6, ready.get(), "none is there twice");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_given_up_alone() {
    let options = BrokerOptions {
        config: "max_message_size = 65536\n".to_owned(),
        ..BrokerOptions::default()
    };
    let Some(broker) = Broker::start(&options).await else {
        return;
    };
    let vhost = broker.vhost("large").await;
    let sink = sink(sink_settings(&vhost, broker.port()));
    let mut large = events(0..1);
    std::sync::Arc::make_mut(&mut large[0]).body = serde_json::json!({"text": "x".repeat(100_000)});
    let results = sink.publish(&large, SOON).await;
    assert!(
        matches!(&results[0], Err(PublishError::Impossible { why }) if why.contains("larger than")),
        "{results:?}"
    );
    publish(&sink, 1..3).await;
    // Beside others it is not known which one it was.
    let mixed = [large, events(3..5)].concat();
    let results = sink.publish(&mixed, SOON).await;
    assert!(
        matches!(&results[0], Err(PublishError::Refused { .. })),
        "{results:?}"
    );
}
