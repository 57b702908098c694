//! Tries what a source or a sink would do, and changes nothing at the broker:
//! for those who want to know before the service is started.
//!
//! Whether the user may consume or publish is not tried: a message that is
//! taken for a moment and given back is not as it was.

use lapin::{options::ExchangeDeclareOptions, types::FieldTable};
use tokio::time::timeout;

use super::{
    connect::{self, Line, NOT_FOUND, said},
    queue::{self, PATIENCE, QueueError},
    settings::{
        AmqpConnection, AmqpSinkSettings, AmqpSourceSettings, Declare, HostPort, QueueSettings,
    },
    table::short,
};

/// Who answered, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub peer: HostPort,
    /// One line each.
    pub found: Vec<String>,
}

/// Why it would not work as it is.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("no host can be used: {detail}")]
    Unreachable { detail: String },
    #[error("`{peer}` answers, but {why}")]
    Refused { peer: HostPort, why: String },
}

/// Connects as the source would, and looks for its queue and its exchange.
pub async fn try_source(settings: &AmqpSourceSettings) -> Result<Tried, TrialError> {
    let line = open(&settings.connection).await?;
    let look = async {
        let mut found = vec![find_queue(&line, &settings.queue).await?];
        if !settings.bindings.is_empty() {
            found.push(find_exchange(&line, &settings.exchange).await?);
        }
        Ok(found)
    };
    tried(&line, look.await).await
}

/// Connects as the sink would, and looks for its queue or its exchange.
pub async fn try_sink(settings: &AmqpSinkSettings) -> Result<Tried, TrialError> {
    let line = open(&settings.connection).await?;
    let look = async {
        let found = match &settings.declare_queue {
            Some(queue) => find_queue(&line, queue).await?,
            None => find_exchange(&line, &settings.encoding.exchange).await?,
        };
        Ok(vec![found])
    };
    tried(&line, look.await).await
}

async fn open(settings: &AmqpConnection) -> Result<Line, TrialError> {
    let connected = connect::connect(settings).await;
    connected.map_err(|round| TrialError::Unreachable {
        detail: round.detail,
    })
}

async fn tried(line: &Line, look: Result<Vec<String>, QueueError>) -> Result<Tried, TrialError> {
    line.close().await;
    let peer = line.peer.clone();
    match look {
        Ok(found) => Ok(Tried { peer, found }),
        Err(error) => Err(TrialError::Refused {
            peer,
            why: error.to_string(),
        }),
    }
}

async fn find_queue(line: &Line, settings: &QueueSettings) -> Result<String, QueueError> {
    let queue = &settings.name;
    if queue.is_empty() {
        return Ok("the broker will name the queue".to_owned());
    }
    let name = short("queue name", queue)?;
    match (queue::exists(line, &name).await?, settings.declare) {
        (true, Declare::Auto | Declare::Passive) => Ok(format!("queue `{queue}` is there")),
        (false, Declare::Auto) => Ok(format!("queue `{queue}` will be made")),
        (false, Declare::Passive) => Err(QueueError::Missing {
            queue: queue.clone(),
        }),
    }
}

async fn find_exchange(line: &Line, exchange: &str) -> Result<String, QueueError> {
    if exchange.is_empty() {
        return Ok("the default exchange is always there".to_owned());
    }
    let channel = queue::channel(line).await?;
    let options = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let name = short("exchange", exchange)?;
    // The kind is not looked at.
    let kind = lapin::ExchangeKind::Topic;
    let question = channel.exchange_declare(name, kind, options, FieldTable::default());
    match timeout(PATIENCE, question).await {
        Ok(Ok(())) => {
            queue::done(&channel).await;
            Ok(format!("exchange `{exchange}` is there"))
        }
        Ok(Err(error)) if said(&error).is_some_and(|(code, _)| code == NOT_FOUND) => {
            Err(QueueError::Refused {
                what: format!("find exchange `{exchange}`"),
                said: "there is none; it is never declared by Lariat".to_owned(),
            })
        }
        Ok(Err(error)) => Err(queue::refused(
            &format!("look for exchange `{exchange}`"),
            &error,
        )),
        Err(_) => Err(QueueError::Silent),
    }
}
