//! Sources and sinks against a real RabbitMQ: what passes, what is refused,
//! and what becomes of either when the broker or the way to it fails.

#![expect(
    clippy::unwrap_used,
    reason = "tests panic to say what is wrong, and start tasks as they need"
)]

mod access;
mod custody;
mod faults;
mod fleet;
mod hostile;
mod queues;
mod raw;
mod sink;
mod source;
mod trial;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bus::amqp::{
    AmqpConnection, AmqpSink, AmqpSinkSettings, AmqpSource, AmqpSourceSettings, Auth, HostPort,
    QueueSettings, Secret,
};
use model::{
    clock::Clock,
    event::{Event, Origin, Severity},
    link::{AckMode, Delivery, LinkState, Received},
    ports::transport::{Sink, Source},
};
use testkit::{Broker, TestClock, Vhost, process::wait_until};
use wire::amqp::{Decoding, Encoding, Format};

/// For what a healthy broker does on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// A half-open connection is replaced within this.
const REPLACED: Duration = Duration::from_secs(30);

fn clock() -> Arc<dyn Clock> {
    Arc::new(TestClock::following())
}

fn at(port: u16) -> HostPort {
    HostPort {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

fn connection(vhost: &Vhost, port: u16) -> AmqpConnection {
    AmqpConnection {
        hosts: vec![at(port)],
        vhost: vhost.name().to_owned(),
        auth: Auth::Plain {
            username: "guest".to_owned(),
            password: Secret::new("guest"),
        },
        tls: None,
        heartbeat: Duration::from_secs(10),
        name: format!("lariat test {}", vhost.name()),
    }
}

/// A source that consumes `work`.
fn source_settings(vhost: &Vhost, port: u16) -> AmqpSourceSettings {
    AmqpSourceSettings {
        name: "bus".parse().unwrap(),
        worker: "here-1-1".parse().unwrap(),
        connection: connection(vhost, port),
        exchange: "amq.topic".to_owned(),
        queue: QueueSettings::named("work"),
        bindings: vec!["org.example.#".to_owned()],
        decoding: Decoding {
            format: Format::FedoraMessaging,
            event_bytes: 1 << 20,
            nesting: 64,
        },
        ack: AckMode::Stored,
        prefetch: 1000,
        consumer_timeout: Duration::from_secs(30 * 60),
        takeover: Duration::ZERO,
    }
}

/// A sink that publishes to `amq.topic`.
fn sink_settings(vhost: &Vhost, port: u16) -> AmqpSinkSettings {
    AmqpSinkSettings {
        name: "out".parse().unwrap(),
        connection: connection(vhost, port),
        encoding: Encoding {
            format: Format::FedoraMessaging,
            exchange: "amq.topic".to_owned(),
            routing_key: None,
            topic_prefix: None,
            priority: None,
        },
        declare_queue: None,
        mandatory: false,
    }
}

fn source(settings: AmqpSourceSettings) -> AmqpSource {
    AmqpSource::new(settings, clock())
}

fn sink(settings: AmqpSinkSettings) -> AmqpSink {
    AmqpSink::new(settings, clock())
}

fn event(number: usize) -> Arc<Event> {
    let clock = clock();
    Arc::new(Event {
        id: format!("2026-{number:06}").parse().unwrap(),
        topic: "org.example.build.done".parse().unwrap(),
        time: clock.now(),
        accepted: clock.now(),
        source: "api".to_owned(),
        severity: Severity::Info,
        headers: BTreeMap::new().into_iter().collect(),
        body: serde_json::json!({"number": number}),
        origin: Origin::open_http(),
        cause: None,
    })
}

fn events(numbers: std::ops::Range<usize>) -> Vec<Arc<Event>> {
    numbers.map(event).collect()
}

/// Publishes and expects that all are taken.
async fn publish(sink: &AmqpSink, numbers: std::ops::Range<usize>) {
    for (number, result) in numbers
        .clone()
        .zip(sink.publish(&events(numbers), SOON).await)
    {
        assert_eq!(Ok(()), result, "of event {number}");
    }
}

async fn receive(source: &AmqpSource) -> Received {
    tokio::time::timeout(SOON, source.receive())
        .await
        .expect("something arrives")
}

/// The next `count` deliveries, and nothing else between them.
async fn deliveries(source: &AmqpSource, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        match receive(source).await {
            Received::Deliveries(some) => all.extend(some),
            other => panic!("{other:?} instead of deliveries"),
        }
    }
    assert_eq!(count, all.len());
    all
}

/// What comes after the connection was lost: which one it was.
async fn lost(source: &AmqpSource) -> u64 {
    let wait = async {
        loop {
            match source.receive().await {
                Received::Lost { connection } => return connection,
                Received::Deliveries(_) | Received::Note(_) => {}
                Received::Closed => panic!("the source is closed"),
            }
        }
    };
    tokio::time::timeout(REPLACED, wait)
        .await
        .expect("the loss is noticed")
}

fn numbers(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries
        .iter()
        .map(|delivery| {
            let draft = delivery.content.as_ref().unwrap();
            draft.body["number"].as_u64().unwrap()
        })
        .collect()
}

fn tags(deliveries: &[Delivery]) -> Vec<model::link::DeliveryTag> {
    deliveries.iter().map(|delivery| delivery.tag).collect()
}

async fn source_is(source: &AmqpSource, state: LinkState, deadline: Duration) {
    let name = format!("the source is {state}");
    wait_until(&name, deadline, async || source.status().state == state).await;
}

async fn sink_is(sink: &AmqpSink, state: LinkState, deadline: Duration) {
    let name = format!("the sink is {state}");
    wait_until(&name, deadline, async || sink.status().state == state).await;
}

/// Waits until the status of a source says why it is not connected.
async fn source_says(source: &AmqpSource, words: &str) {
    let detail = || source.status().detail.unwrap_or_default();
    let said = tokio::time::timeout(SOON, async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while !detail().contains(words) {
            tick.tick().await;
        }
    });
    assert!(
        said.await.is_ok(),
        "{words:?} is not in {:?}",
        source.status()
    );
}

/// The shared broker and a virtual host of the test's own.
async fn shared(test: &str) -> Option<(&'static Broker, Vhost)> {
    let broker = Broker::shared().await?;
    let vhost = broker.vhost(test).await;
    Some((broker, vhost))
}
