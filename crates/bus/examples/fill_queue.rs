//! Declares a queue and fills it with messages of about 1 KiB, confirmed.
//!
//! `fill_queue URL QUEUE COUNT [quorum|classic]`
//!
//! Each is a message as fedora-messaging publishes it, with an id and a number
//! of its own.

use std::{
    collections::VecDeque,
    io::{self, Write},
    time::Instant,
};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

type Failure = Box<dyn std::error::Error>;

/// Messages without a confirmation at one time.
const WINDOW: usize = 2000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let mut next = |what| args.next().ok_or(format!("{what} is missing"));
    let (url, queue) = (next("the url")?, next("the queue")?);
    let count: u64 = next("the count")?.parse()?;
    let kind = next("the kind").unwrap_or_else(|_| "quorum".to_owned());

    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString(kind.as_str().into()),
    );
    channel
        .queue_declare(queue.as_str().into(), options, arguments)
        .await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;

    let padding = "lorem ipsum dolor sit amet ".repeat(28);
    let began = Instant::now();
    let mut unconfirmed = VecDeque::with_capacity(WINDOW);
    for number in 0..count {
        if unconfirmed.len() == WINDOW
            && let Some(oldest) = unconfirmed.pop_front()
        {
            confirmed(oldest).await?;
        }
        let confirm = publish(&channel, &queue, number, &padding).await?;
        unconfirmed.push_back(confirm);
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

async fn publish(
    channel: &Channel,
    queue: &str,
    number: u64,
    padding: &str,
) -> Result<PublisherConfirm, lapin::Error> {
    let body = format!(
        r#"{{"build": {{"id": {number}, "package": "package-{}", "state": "{}", "release": "f44"}}, "agent": "bench", "log": "{padding}"}}"#,
        number % 1000,
        if number.is_multiple_of(20) {
            "failed"
        } else {
            "done"
        },
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
            "".into(),
            queue.into(),
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
