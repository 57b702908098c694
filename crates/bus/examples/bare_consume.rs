//! The least that a consumer can do: takes deliveries and acknowledges them,
//! each by itself, or what is there at once with one message. What Lariat is
//! measured beside. It stays connected until its input ends: of what a broker
//! was told and has not yet done, it forgets a part with the connection.
//!
//! `bare_consume URL QUEUE COUNT PREFETCH each|many`

use std::{
    io::{self, Write},
    time::Instant,
};

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let mut next = |what| args.next().ok_or(format!("{what} is missing"));
    let (url, queue) = (next("the url")?, next("the queue")?);
    let count: u64 = next("the count")?.parse()?;
    let prefetch: u16 = next("the prefetch")?.parse()?;
    let multiple = match next("how to acknowledge")?.as_str() {
        "each" => false,
        "many" => true,
        other => return Err(format!("`{other}` is neither `each` nor `many`").into()),
    };

    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume(queue.into(), "bare".into(), options, FieldTable::default())
        .await?;

    let (mut taken, mut bytes) = (0, 0);
    let mut began = None;
    while taken < count {
        let Some(mut delivery) = consumer.next().await.transpose()? else {
            return Err("the broker ended the consumer".into());
        };
        began.get_or_insert_with(Instant::now);
        loop {
            taken += 1;
            bytes += delivery.data.len();
            if taken == count || !multiple {
                break;
            }
            match consumer.next().now_or_never() {
                Some(Some(more)) => delivery = more?,
                Some(None) | None => break,
            }
        }
        channel
            .basic_ack(delivery.delivery_tag, BasicAckOptions { multiple })
            .await?;
    }
    // An answer to this says that the acknowledgements were processed.
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let seconds = began.map_or(0.0, |began| began.elapsed().as_secs_f64());
    writeln!(io::stdout(), "{taken} messages, {bytes} bytes, {seconds} s")?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    connection.close(200, "done".into()).await?;
    Ok(())
}
