//! Declares a queue, binds it to `amq.topic` and fills it with messages of
//! about 1 KiB, confirmed.
//!
//! `fill_queue URL QUEUE quorum|classic FIRST COUNT`
//!
//! Each is a message as fedora-messaging publishes it, with a number of its
//! own from FIRST on, and an id that follows from the number.

use std::{
    collections::VecDeque,
    io::{self, Write},
    time::Instant,
};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

type Failure = Box<dyn std::error::Error>;

/// Messages without a confirmation at one time.
const WINDOW: usize = 2000;

const EXCHANGE: &str = "amq.topic";
const TOPIC: &str = "org.example.prod.compose.status";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let mut next = |what| args.next().ok_or(format!("{what} is missing"));
    let (url, queue, kind) = (next("the url")?, next("the queue")?, next("the kind")?);
    let first: u64 = next("the first number")?.parse()?;
    let count: u64 = next("the count")?.parse()?;

    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    make_queue(&channel, &queue, &kind).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;

    let padding = "lorem ipsum dolor sit amet ".repeat(28);
    let began = Instant::now();
    let mut unconfirmed = VecDeque::with_capacity(WINDOW);
    for number in first..first + count {
        if unconfirmed.len() == WINDOW
            && let Some(oldest) = unconfirmed.pop_front()
        {
            confirmed(oldest).await?;
        }
        unconfirmed.push_back(publish(&channel, number, &padding).await?);
    }
    for confirm in unconfirmed {
        confirmed(confirm).await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    writeln!(
        io::stdout(),
        "{count} messages in {kind} queue `{queue}`, {seconds:.3} s"
    )?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn make_queue(channel: &Channel, queue: &str, kind: &str) -> Result<(), lapin::Error> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    channel
        .queue_declare(queue.into(), options, arguments)
        .await?;
    let options = QueueBindOptions::default();
    let arguments = FieldTable::default();
    channel
        .queue_bind(
            queue.into(),
            EXCHANGE.into(),
            TOPIC.into(),
            options,
            arguments,
        )
        .await
}

/// `sample` is for rules that are to fire for a part of the events.
async fn publish(
    channel: &Channel,
    number: u64,
    padding: &str,
) -> Result<PublisherConfirm, lapin::Error> {
    let body = format!(
        r#"{{"status": "FINISHED", "number": {}, "sample": {}, "release": "f44", "agent": "bench", "log": "{padding}"}}"#,
        5000 + number,
        number % 1000,
    );
    let mut headers = FieldTable::default();
    headers.insert(
        "fedora_messaging_schema".into(),
        AMQPValue::LongString("base.message".into()),
    );
    headers.insert("fedora_messaging_severity".into(), AMQPValue::LongInt(20));
    headers.insert(
        "sent-at".into(),
        AMQPValue::LongString("2026-11-20T22:43:00+00:00".into()),
    );
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_message_id(format!("00000000-0000-4000-8000-{number:012}").into())
        .with_headers(headers);
    let options = BasicPublishOptions::default();
    channel
        .basic_publish(
            EXCHANGE.into(),
            TOPIC.into(),
            options,
            body.as_bytes(),
            properties,
        )
        .await
}

async fn confirmed(confirm: PublisherConfirm) -> Result<(), Failure> {
    if confirm.await?.is_ack() {
        Ok(())
    } else {
        Err("the broker refused a message".into())
    }
}
