//! What a queue is declared with.

use wire::amqp::HeaderValue;

use super::*;

#[track_caller]
fn check(settings: QueueSettings, version: Version, expect: &str) {
    let arguments = arguments(&settings, Some(Duration::from_secs(60)), version).unwrap();
    let shown: Vec<String> = arguments
        .iter()
        .map(|(name, value)| match value {
            AMQPValue::LongString(text) => format!("{name}={text}"),
            AMQPValue::LongLongInt(number) => format!("{name}={number}"),
            other => format!("{name}={other:?}"),
        })
        .collect();
    assert_eq!(expect, shown.join(" "));
}

#[test]
fn a_durable_queue_is_a_quorum_queue_without_a_limit() {
    let queue = || QueueSettings::named("lariat");
    check(queue(), Version::new(3, 8), "x-queue-type=quorum");
    check(
        queue(),
        Version::new(3, 12),
        "x-consumer-timeout=60000 x-queue-type=quorum",
    );
    check(
        queue(),
        Version::new(4, 1),
        "x-consumer-timeout=60000 x-delivery-limit=-1 x-queue-type=quorum",
    );
}

#[test]
fn private_queues_are_classic() {
    let exclusive = QueueSettings {
        exclusive: true,
        ..QueueSettings::named("lariat")
    };
    check(exclusive, Version::new(3, 10), "");
    let named_by_the_broker = QueueSettings::named("");
    check(
        named_by_the_broker,
        Version::new(4, 0),
        "x-consumer-timeout=60000",
    );
}

#[test]
fn the_users_arguments_win() {
    let mut settings = QueueSettings::named("lariat");
    settings
        .arguments
        .insert(DELIVERY_LIMIT.to_owned(), HeaderValue::Integer(20));
    check(
        settings,
        Version::new(4, 0),
        "x-consumer-timeout=60000 x-delivery-limit=20 x-queue-type=quorum",
    );
}
