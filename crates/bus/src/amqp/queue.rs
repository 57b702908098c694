//! Finds or makes a queue, and binds it.
//!
//! A queue that exists is used as it is: whoever made it knows why. A refusal
//! closes the channel that it came by, so each step has one of its own.

use std::{collections::BTreeMap, time::Duration};

use lapin::{
    Channel, Consumer,
    options::{BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::timeout;
use tracing::debug;

use super::{
    connect::{ACCESS_REFUSED, ConnectError, Line, NOT_FOUND, explain, said},
    settings::{Declare, QueueKind, QueueSettings},
    table::{TooLong, short, table},
    version::Version,
};

/// For one question to the broker.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

const DELIVERY_LIMIT: &str = "x-delivery-limit";
const CONSUMER_TIMEOUT: &str = "x-consumer-timeout";
const QUEUE_TYPE: &str = "x-queue-type";

/// Why there is no queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    #[error("queue `{queue}` does not exist; declare it, or set `queue.declare: auto`")]
    Missing { queue: String },
    #[error(
        "the broker does not allow to {what}: {said}; the user needs the `{permission}` permission"
    )]
    Denied {
        what: String,
        permission: &'static str,
        said: String,
    },
    #[error("cannot {what}: {said}")]
    Refused { what: String, said: String },
    #[error("the broker did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("cannot learn the version of the broker: {}", .0.explain())]
    Version(#[from] ConnectError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// What an answer of the broker means for a step.
fn failed(what: String, permission: &'static str, error: &lapin::Error) -> QueueError {
    match said(error) {
        Some((ACCESS_REFUSED, said)) => QueueError::Denied {
            what,
            permission,
            said,
        },
        Some((_, said)) => QueueError::Refused { what, said },
        None => QueueError::Refused {
            what,
            said: explain(error),
        },
    }
}

pub(super) async fn channel(line: &Line) -> Result<Channel, QueueError> {
    match timeout(PATIENCE, line.connection.create_channel()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(failed("open a channel".to_owned(), "", &error)),
        Err(_) => Err(QueueError::Silent),
    }
}

/// The name of the queue, which is there now.
pub(super) async fn ensure(
    line: &Line,
    settings: &QueueSettings,
    consumer_timeout: Option<Duration>,
) -> Result<ShortString, QueueError> {
    let name = short("queue name", &settings.name)?;
    if !settings.name.is_empty() && exists(line, &name).await? {
        return Ok(name);
    }
    match settings.declare {
        Declare::Passive => Err(QueueError::Missing {
            queue: settings.name.clone(),
        }),
        Declare::Auto => make(line, settings, consumer_timeout).await,
    }
}

pub(super) async fn exists(line: &Line, name: &ShortString) -> Result<bool, QueueError> {
    let channel = channel(line).await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let question = channel.queue_declare(name.clone(), options, FieldTable::default());
    match timeout(PATIENCE, question).await {
        Ok(Ok(_)) => {
            done(&channel).await;
            Ok(true)
        }
        Ok(Err(error)) if said(&error).is_some_and(|(code, _)| code == NOT_FOUND) => Ok(false),
        Ok(Err(error)) => {
            let what = format!("look for queue `{name}`");
            Err(failed(what, "configure", &error))
        }
        Err(_) => Err(QueueError::Silent),
    }
}

/// Closes a channel that has done its work. lapin would do so in the background
/// when it is dropped, and a connection that is closed at that moment fails.
pub(super) async fn done(channel: &Channel) {
    let closed = timeout(PATIENCE, channel.close(200, "OK".into())).await;
    debug!(?closed, "a channel has done its work");
}

async fn make(
    line: &Line,
    settings: &QueueSettings,
    consumer_timeout: Option<Duration>,
) -> Result<ShortString, QueueError> {
    let version = line.version().await?;
    let arguments = arguments(settings, consumer_timeout, version)?;
    let channel = channel(line).await?;
    let name = short("queue name", &settings.name)?;
    let options = QueueDeclareOptions {
        passive: false,
        durable: settings.durable,
        exclusive: settings.exclusive,
        auto_delete: settings.auto_delete,
        nowait: false,
    };
    let question = channel.queue_declare(name.clone(), options, arguments.into());
    match timeout(PATIENCE, question).await {
        Ok(Ok(queue)) => Ok(queue.name().clone()),
        // Another instance may have been quicker, with other arguments.
        Ok(Err(_)) if !settings.name.is_empty() && exists(line, &name).await? => Ok(name),
        Ok(Err(error)) => {
            let what = format!("declare queue `{name}`");
            Err(failed(what, "configure", &error))
        }
        Err(_) => Err(QueueError::Silent),
    }
}

/// What the server and the type of queue know, and the user's over it.
///
/// A delivery limit of -1 means none to RabbitMQ 4, whose default is 20. An
/// older one takes the number as it is and drops what is delivered again.
fn arguments(
    settings: &QueueSettings,
    consumer_timeout: Option<Duration>,
    version: Version,
) -> Result<BTreeMap<ShortString, AMQPValue>, QueueError> {
    let is_private = settings.name.is_empty() || settings.exclusive || settings.auto_delete;
    let kind = if is_private || !settings.durable {
        QueueKind::Classic
    } else {
        settings.kind
    };
    let mut all = BTreeMap::new();
    match kind {
        QueueKind::Quorum => {
            all.insert(QUEUE_TYPE.into(), AMQPValue::LongString("quorum".into()));
            if version >= Version::new(4, 0) {
                all.insert(DELIVERY_LIMIT.into(), AMQPValue::LongLongInt(-1));
            }
        }
        QueueKind::Classic => {}
    }
    if let Some(limit) = consumer_timeout
        && version >= Version::new(3, 12)
    {
        let millis = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        all.insert(CONSUMER_TIMEOUT.into(), AMQPValue::LongLongInt(millis));
    }
    all.extend(table(&settings.arguments)?.inner().clone());
    Ok(all)
}

pub(super) async fn bind(
    line: &Line,
    queue: &ShortString,
    exchange: &str,
    keys: &[String],
) -> Result<(), QueueError> {
    if keys.is_empty() {
        return Ok(());
    }
    let channel = channel(line).await?;
    for key in keys {
        let question = channel.queue_bind(
            queue.clone(),
            short("exchange", exchange)?,
            short("routing key", key)?,
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        match timeout(PATIENCE, question).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let what = format!("bind queue `{queue}` to `{key}` of exchange `{exchange}`");
                let is_about_exchange =
                    said(&error).is_some_and(|(_, said)| said.contains("access to exchange"));
                let permission = if is_about_exchange { "read" } else { "write" };
                return Err(failed(what, permission, &error));
            }
            Err(_) => return Err(QueueError::Silent),
        }
    }
    Ok(())
}

/// A step that was refused, whatever permission it takes.
pub(super) fn refused(what: &str, error: &lapin::Error) -> QueueError {
    failed(what.to_owned(), "read", error)
}

/// Starts a consumer that gets at most `prefetch` deliveries ahead.
pub(super) async fn consume(
    channel: &Channel,
    queue: ShortString,
    tag: ShortString,
    prefetch: u16,
) -> Result<Consumer, QueueError> {
    let what = format!("consume queue `{queue}`");
    let start = async {
        channel
            .basic_qos(prefetch, BasicQosOptions { global: false })
            .await?;
        let options = BasicConsumeOptions::default();
        channel
            .basic_consume(queue, tag, options, FieldTable::default())
            .await
    };
    match timeout(PATIENCE, start).await {
        Ok(Ok(consumer)) => Ok(consumer),
        Ok(Err(error)) => Err(failed(what, "read", &error)),
        Err(_) => Err(QueueError::Silent),
    }
}

#[cfg(test)]
mod tests;
