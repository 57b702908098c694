//! Publishes events, and believes only what the broker confirms.
//!
//! The [`keeper`] owns the connection; `publish` borrows the channel that
//! stands. Everything here may send an event twice, never lose one: what has
//! no answer is said to have none.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::{BasicProperties, Confirmation, PublisherConfirm, options::BasicPublishOptions};
use model::{
    clock::Clock,
    event::Event,
    id::SinkName,
    link::LinkStatus,
    ports::transport::{PublishError, Sink},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use wire::amqp::{Message, encode};

use self::keeper::{Keeper, Lane, Late, Publishing, Road};
use super::{
    connect::{explain, said},
    settings::AmqpSinkSettings,
    standing::Standing,
    table::{TooLong, properties, short},
    tasks::{self, Task},
};

mod keeper;

/// Messages without a confirmation at one time, at most.
const WINDOW: usize = 500;

/// What the sink and its keeper share.
struct Shared {
    settings: AmqpSinkSettings,
    clock: Arc<dyn Clock>,
    standing: Standing,
}

/// A sink over AMQP.
pub struct AmqpSink {
    shared: Arc<Shared>,
    road: watch::Receiver<Road>,
    close: mpsc::UnboundedSender<oneshot::Sender<()>>,
    /// Publishing goes one call at a time, as the order demands.
    turn: tokio::sync::Semaphore,
    _keeper: Task,
}

impl AmqpSink {
    /// Returns at once; connecting goes on by itself. Has to be called within
    /// a runtime.
    pub fn new(settings: AmqpSinkSettings, clock: Arc<dyn Clock>) -> Self {
        let standing = Standing::new("sink", settings.name.to_string(), Arc::clone(&clock));
        let shared = Arc::new(Shared {
            settings,
            clock,
            standing,
        });
        let (to, road) = watch::channel(Road::Away);
        let (close, closing) = mpsc::unbounded_channel();
        let keeper = Keeper::new(Arc::clone(&shared), to, closing);
        Self {
            shared,
            road,
            close,
            turn: tokio::sync::Semaphore::new(1),
            _keeper: tasks::start("amqp sink", keeper.run()),
        }
    }

    /// The channel to publish by, once there is one and the broker takes
    /// something.
    async fn lane(&self, deadline: Instant) -> Result<Arc<Lane>, PublishError> {
        let mut road = self.road.clone();
        let open = road.wait_for(|road| match road {
            Road::Open(lane) => lane.is_usable(),
            Road::Closed => true,
            Road::Away | Road::Blocked => false,
        });
        match timeout_at(deadline, open).await {
            Ok(Ok(road)) => match &*road {
                Road::Open(lane) => Ok(Arc::clone(lane)),
                Road::Away | Road::Blocked | Road::Closed => Err(unconfirmed("the sink is closed")),
            },
            Ok(Err(_)) => Err(unconfirmed("the sink is closed")),
            Err(_) => {
                let status = self.shared.standing.get();
                let why = status.detail.unwrap_or_else(|| status.state.to_string());
                Err(unconfirmed(&why))
            }
        }
    }

    /// Publishes at most [`WINDOW`] events.
    async fn publish_window(
        &self,
        events: &[Arc<Event>],
        deadline: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let lane = match self.lane(deadline).await {
            Ok(lane) => lane,
            Err(error) => return events.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut sent = Vec::with_capacity(events.len());
        for event in events {
            sent.push(self.send(&lane, event, deadline).await);
        }
        let mut answers = Vec::with_capacity(events.len());
        for (event, sent) in events.iter().zip(sent) {
            answers.push(match sent {
                Sent::Waiting(confirm) => wait(&lane, event, confirm, deadline).await,
                Sent::Never(error) => Answer::Never(error),
                Sent::Failed(error) => Answer::Failed(error),
                Sent::Late => Answer::Late,
            });
        }
        self.judge(&lane, events, answers)
    }

    async fn send(&self, lane: &Lane, event: &Event, deadline: Instant) -> Sent {
        // It was on its way before, and the broker was blocked before it
        // answered.
        let mut publishing = match lane.take_late(&event.id) {
            Some(Late::Sent(confirm)) => return Sent::Waiting(confirm),
            Some(Late::Sending(publishing)) => publishing,
            None => match encode(event, &self.shared.settings.encoding) {
                Ok(message) => match Letter::new(&message) {
                    Ok(letter) => self.begin(lane, letter, message.body),
                    Err(error) => return Sent::Never(error.to_string()),
                },
                Err(error) => return Sent::Never(error.to_string()),
            },
        };
        match timeout_at(deadline, &mut publishing).await {
            Ok(Ok(confirm)) => Sent::Waiting(confirm),
            Ok(Err(error)) => Sent::Failed(error),
            Err(_) => {
                // lapin has it and sends it when the broker lets it: whoever
                // sent it again would send it twice.
                if lane.line.is_blocked() {
                    lane.keep_late(event.id.clone(), Late::Sending(publishing));
                }
                Sent::Late
            }
        }
    }

    fn begin(&self, lane: &Lane, letter: Letter, body: Vec<u8>) -> Publishing {
        let channel = lane.channel.clone();
        let options = BasicPublishOptions {
            mandatory: self.shared.settings.mandatory,
            immediate: false,
        };
        Box::pin(async move {
            let Letter {
                exchange,
                routing_key,
                properties,
            } = letter;
            channel
                .basic_publish(exchange, routing_key, options, &body, properties)
                .await
        })
    }

    /// Turns the answers to a window into what each event is told.
    fn judge(
        &self,
        lane: &Lane,
        events: &[Arc<Event>],
        answers: Vec<Answer>,
    ) -> Vec<Result<(), PublishError>> {
        // lapin hands a returned message to whichever confirmation comes next,
        // so all of them are looked through by id.
        let returned: HashSet<String> = answers.iter().filter_map(Answer::returned).collect();
        let unanswered = answers.iter().filter(|answer| answer.is_open()).count();
        let failure = answers.iter().find_map(|answer| match answer {
            Answer::Failed(error) => said(error),
            Answer::Taken(_) | Answer::Refused(_) | Answer::Never(_) | Answer::Late => None,
        });
        let is_late = answers.iter().any(|answer| matches!(answer, Answer::Late));
        let results: Vec<_> = events
            .iter()
            .zip(answers)
            .map(|(event, answer)| match answer {
                Answer::Taken(_) if returned.contains(event.id.as_str()) => {
                    Err(PublishError::Unroutable {
                        why: "no binding matches its routing key".to_owned(),
                    })
                }
                Answer::Taken(_) => Ok(()),
                Answer::Refused(_) => Err(PublishError::Refused {
                    why: "a queue is full, or cannot store it now".to_owned(),
                }),
                Answer::Never(why) => Err(PublishError::Impossible { why }),
                Answer::Late => Err(unconfirmed(if lane.line.is_blocked() {
                    "the broker takes nothing for want of disk or memory"
                } else {
                    "no answer in time"
                })),
                Answer::Failed(error) => Err(match &failure {
                    Some((_, text)) if unanswered == 1 && is_too_large(text) => {
                        PublishError::Impossible { why: text.clone() }
                    }
                    Some((_, text)) => PublishError::Refused { why: text.clone() },
                    None => unconfirmed(&explain(&error)),
                }),
            })
            .collect();
        if let Some((_, text)) = &failure {
            self.shared
                .standing
                .said(&format!("the broker says: {text}"));
            lane.retire();
        } else if is_late && !lane.line.is_blocked() {
            lane.line.cut();
        } else if results.iter().all(Result::is_ok) {
            self.shared.standing.clear();
        }
        self.shared
            .standing
            .count(results.iter().filter(|result| result.is_ok()).count());
        results
    }
}

/// RabbitMQ closes the channel when a message exceeds `max_message_size`.
fn is_too_large(said: &str) -> bool {
    said.contains("message size") && said.contains("larger than")
}

fn unconfirmed(why: &str) -> PublishError {
    PublishError::Unconfirmed {
        why: why.to_owned(),
    }
}

/// What has become of handing a message to lapin.
enum Sent {
    Waiting(PublisherConfirm),
    Never(String),
    Failed(lapin::Error),
    Late,
}

/// What the broker said to a message. Taken and refused ones may carry a
/// message that was returned, not necessarily this one.
#[derive(Debug)]
enum Answer {
    Taken(Option<String>),
    Refused(Option<String>),
    Never(String),
    Failed(lapin::Error),
    Late,
}

impl Answer {
    fn returned(&self) -> Option<String> {
        match self {
            Self::Taken(returned) | Self::Refused(returned) => returned.clone(),
            Self::Never(_) | Self::Failed(_) | Self::Late => None,
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Late => true,
            Self::Taken(_) | Self::Refused(_) | Self::Never(_) => false,
        }
    }
}

async fn wait(
    lane: &Lane,
    event: &Event,
    mut confirm: PublisherConfirm,
    deadline: Instant,
) -> Answer {
    match timeout_at(deadline, &mut confirm).await {
        Ok(Ok(Confirmation::Ack(returned))) => Answer::Taken(returned.and_then(id_of)),
        Ok(Ok(Confirmation::Nack(returned))) => Answer::Refused(returned.and_then(id_of)),
        // The channel is in confirm mode.
        Ok(Ok(Confirmation::NotRequested)) => Answer::Late,
        Ok(Err(error)) => Answer::Failed(error),
        Err(_) => {
            if lane.line.is_blocked() {
                lane.keep_late(event.id.clone(), Late::Sent(confirm));
            }
            Answer::Late
        }
    }
}

fn id_of(returned: lapin::message::BasicReturnMessage) -> Option<String> {
    let id = returned.delivery.properties.message_id().as_ref()?;
    Some(id.to_string())
}

/// A message in lapin's types.
struct Letter {
    exchange: lapin::types::ShortString,
    routing_key: lapin::types::ShortString,
    properties: BasicProperties,
}

impl Letter {
    fn new(message: &Message) -> Result<Self, TooLong> {
        Ok(Self {
            exchange: short("exchange", &message.exchange)?,
            routing_key: short("routing key", &message.routing_key)?,
            properties: properties(message)?,
        })
    }
}

impl fmt::Debug for AmqpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpSink")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for AmqpSink {
    fn name(&self) -> &SinkName {
        &self.shared.settings.name
    }

    fn kind(&self) -> &'static str {
        "amqp"
    }

    async fn publish(
        &self,
        events: &[Arc<Event>],
        patience: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let deadline = Instant::now() + patience;
        let turn = timeout_at(deadline, self.turn.acquire()).await;
        let mut results = Vec::with_capacity(events.len());
        for window in events.chunks(WINDOW) {
            let is_clear = turn.is_ok() && results.iter().all(Result::is_ok);
            if is_clear {
                results.extend(self.publish_window(window, deadline).await);
            } else {
                let error = unconfirmed("an event before it was not taken");
                results.extend(window.iter().map(|_| Err(error.clone())));
            }
        }
        results
    }

    fn status(&self) -> LinkStatus {
        self.shared.standing.get()
    }

    async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.close.send(done).is_ok() {
            answer.await.unwrap_or_default();
        }
    }
}
