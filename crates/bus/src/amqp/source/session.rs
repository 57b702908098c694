//! One connection of a source, from the first declaration to its end.
//!
//! Deliveries and settlements pass through one task in turn, so what is
//! outstanding has one owner. A settlement that cannot be written waits here;
//! the pulse runs beside it and cuts a connection that nobody reads.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
};

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicQosOptions},
    types::ShortString,
};
use model::{
    clock::BootTime,
    event::Origin,
    link::{Delivery, DeliveryTag, Settle, Undecodable},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, warn};
use wire::amqp::{HeaderValue, Message, decode};

use super::{BATCH, Command, Shared};
use crate::amqp::{
    backoff::Backoff,
    connect::{Line, explain, said},
    contact::patience_of,
    fleet,
    pulse::{self, Beat},
    queue::{self, QueueError},
    sieve::MARK,
    table::message,
    tags::Outstanding,
    tasks::{self, Task},
};

/// How a session ends.
#[derive(Debug)]
pub(super) enum End {
    Lost(String),
    /// Everything settled was sent; the one to tell when all is closed.
    Closed(oneshot::Sender<()>),
}

pub(super) struct Session {
    shared: Arc<Shared>,
    line: Arc<Line>,
    /// The number of this connection.
    number: u64,
    /// Deliveries come and are settled by this channel, for as long as the
    /// session lasts.
    channel: Channel,
    consumer: Option<Consumer>,
    /// When to try to consume again.
    retry: Option<Instant>,
    outstanding: Outstanding,
    backoff: Backoff,
    pulse: Task,
    _fleet: Option<Task>,
}

impl Session {
    pub(super) async fn start(
        shared: Arc<Shared>,
        line: Arc<Line>,
        number: u64,
        hears_fleet: bool,
    ) -> Result<Self, QueueError> {
        let asked = shared.clock.boot();
        let channel = queue::channel(&line).await?;
        shared.hearing.connected(number, asked);
        let heard = {
            let shared = Arc::clone(&shared);
            move |beat| match beat {
                Beat::Answered { asked } => shared.hearing.answered(number, asked),
                // Nothing is published by this connection.
                Beat::Blocked { .. } | Beat::Unblocked => {}
            }
        };
        let heartbeat = shared.settings.connection.heartbeat;
        let clock = Arc::clone(&shared.clock);
        let watch = pulse::watch(Arc::clone(&line), heartbeat, clock, heard);
        let fleet = hears_fleet.then(|| {
            let hears = hear_fleet(Arc::clone(&shared), Arc::clone(&line));
            tasks::start("amqp fleet notes", hears)
        });
        Ok(Self {
            shared,
            line,
            number,
            channel,
            consumer: None,
            retry: Some(Instant::now()),
            outstanding: Outstanding::default(),
            backoff: Backoff::default(),
            pulse: tasks::start("amqp pulse", watch),
            _fleet: fleet,
        })
    }

    pub(super) async fn run(mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> End {
        loop {
            let retry = self.retry;
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Settle { tags, how, done }) => {
                        self.settle(&tags, how).await;
                        done.send(()).unwrap_or_default();
                    }
                    Some(Command::Pause { done }) => {
                        self.pause().await;
                        done.send(()).unwrap_or_default();
                    }
                    Some(Command::Close { done }) => {
                        self.flush().await;
                        return End::Closed(done);
                    }
                    // The source was dropped: this task is about to be aborted.
                    None => return End::Lost("the source was dropped".to_owned()),
                },
                arrived = arrivals(&mut self.consumer) => {
                    if let Some(end) = self.arrived(arrived) {
                        return end;
                    }
                }
                () = when(retry) => self.consume().await,
                () = self.pulse.ended() => {
                    return End::Lost(self.line.cause());
                }
            }
        }
    }

    /// Finds the queue and consumes it. What is refused is tried again later:
    /// the connection is good for settling until then.
    async fn consume(&mut self) {
        if self.shared.is_paused() {
            self.retry = None;
            self.shared.standing.connected(&self.line.peer);
            return;
        }
        match self.begin().await {
            Ok(consumer) => {
                self.backoff.reset();
                self.retry = None;
                self.consumer = Some(consumer);
                self.shared.standing.connected(&self.line.peer);
            }
            Err(error) => {
                self.retry = Some(Instant::now() + self.backoff.next());
                self.shared.standing.waiting(&error.to_string());
            }
        }
    }

    async fn begin(&self) -> Result<Consumer, QueueError> {
        let settings = &self.shared.settings;
        let limit = Some(settings.consumer_timeout);
        let queue = queue::ensure(&self.line, &settings.queue, limit).await?;
        queue::bind(&self.line, &queue, &settings.exchange, &settings.bindings).await?;
        queue::consume(&self.channel, queue, self.tag(), settings.prefetch).await
    }

    /// Hands over what came, and says so when nothing more will.
    fn arrived(&mut self, arrived: Arrived) -> Option<End> {
        self.hand_over(arrived.deliveries);
        match arrived.ending {
            None => None,
            Some(Ending::Cancelled) => {
                // What was delivered can still be settled.
                let queue = &self.shared.settings.queue.name;
                self.shared.standing.waiting(&format!(
                    "the broker ended the consumer: queue `{queue}` was deleted or moved"
                ));
                self.consumer = None;
                self.retry = Some(Instant::now());
                None
            }
            Some(Ending::Failed(error)) => {
                if let Some(patience) = said(&error).and_then(|(_, text)| patience_of(&text)) {
                    self.shared.lower_patience(patience);
                }
                Some(End::Lost(explain(&error)))
            }
        }
    }

    fn hand_over(&mut self, arrived: Vec<lapin::message::Delivery>) {
        if arrived.is_empty() {
            return;
        }
        let received = self.shared.clock.boot();
        let deliveries: Vec<Delivery> = arrived
            .into_iter()
            .map(|delivery| {
                self.outstanding.add(delivery.delivery_tag);
                self.read(delivery, &received)
            })
            .collect();
        self.shared.standing.count(deliveries.len());
        self.shared.inbox.deliver(deliveries);
    }

    fn read(&self, delivery: lapin::message::Delivery, received: &BootTime) -> Delivery {
        let number = delivery.delivery_tag;
        let redelivered = delivery.redelivered;
        let message = message(delivery);
        // The broker refuses a message whose `user_id` is not the user that
        // published it.
        let origin = Origin {
            verified: message.user_id.is_some(),
            by: message.user_id.clone(),
            via: "amqp".to_owned(),
        };
        Delivery {
            tag: DeliveryTag {
                connection: self.number,
                number,
            },
            redelivered,
            received: received.clone(),
            content: match unreadable(&message) {
                Some(cause) => Err(Undecodable {
                    cause,
                    raw: message.body,
                }),
                None => decode(message, &self.shared.settings.decoding, origin),
            },
        }
    }

    async fn settle(&mut self, tags: &[DeliveryTag], how: Settle) {
        let numbers: Vec<u64> = tags
            .iter()
            .filter(|tag| tag.connection == self.number)
            .map(|tag| tag.number)
            .collect();
        for one in self.outstanding.settle(&numbers) {
            let multiple = one.multiple;
            let sent = match how {
                Settle::Ack => {
                    let options = BasicAckOptions { multiple };
                    self.channel.basic_ack(one.number, options).await
                }
                Settle::Requeue => {
                    let options = BasicNackOptions {
                        multiple,
                        requeue: true,
                    };
                    self.channel.basic_nack(one.number, options).await
                }
            };
            if let Err(error) = sent {
                // The connection is ending, and the broker takes them back.
                debug!(%error, "deliveries were not settled");
                return;
            }
        }
    }

    /// Ends the consumer and gives back what nobody has taken.
    async fn pause(&mut self) {
        self.retry = None;
        if let Some(mut consumer) = self.consumer.take() {
            let cancel = self
                .channel
                .basic_cancel(consumer.tag(), BasicCancelOptions::default());
            if let Err(error) = timeout(queue::PATIENCE, cancel).await {
                debug!(%error, "the broker did not confirm the end of the consumer");
            }
            while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
                let number = delivery.delivery_tag;
                self.outstanding.add(number);
                let tag = DeliveryTag {
                    connection: self.number,
                    number,
                };
                self.settle(&[tag], Settle::Requeue).await;
            }
        }
        let unread = self.shared.inbox.withdraw();
        self.settle(&unread, Settle::Requeue).await;
    }

    /// What was sent before was processed when this is answered.
    async fn flush(&self) {
        let prefetch = self.shared.settings.prefetch;
        let question = self.channel.basic_qos(prefetch, BasicQosOptions::default());
        if let Err(error) = timeout(queue::PATIENCE, question).await {
            debug!(%error, "the broker did not confirm the last acknowledgements");
        }
    }

    /// How the broker's lists show the consumer.
    fn tag(&self) -> ShortString {
        let settings = &self.shared.settings;
        let tag = format!("lariat.{}.{}", settings.name, settings.worker);
        tag.chars().take(255).collect::<String>().into()
    }
}

/// What is wrong with a message whose headers were not passed on.
fn unreadable(message: &Message) -> Option<String> {
    let HeaderValue::Text(cause) = message.headers.get(MARK)? else {
        return None;
    };
    let (key, cause) = (&message.routing_key, String::from_utf8_lossy(cause));
    // Quoted as a literal: what stands there is anybody's.
    Some(match &message.message_id {
        Some(id) => format!("message {id:?} with routing key {key:?}: {cause}"),
        None => format!("message without an id with routing key {key:?}: {cause}"),
    })
}

/// Hears the other instances. A broker that forbids it is complained of once.
async fn hear_fleet(shared: Arc<Shared>, line: Arc<Line>) {
    let queue = shared.settings.queue.name.clone();
    let ready = || shared.talking.heard();
    let hear = |note| shared.inbox.note(note);
    let heard = fleet::listen(Arc::clone(&line), queue.clone(), ready, hear).await;
    shared.talking.silent();
    if let Err(QueueError::Denied { .. }) = &heard {
        shared.talking.may_not_hear();
    }
    if let Err(error) = heard
        && line.is_connected()
        && !shared.is_fleet_deaf.swap(true, Ordering::Relaxed)
    {
        warn!(
            %queue,
            cause = %error,
            "the instances on queue `{queue}` cannot tell each other what they hold: {error}"
        );
    }
}

/// What a consumer gave, and whether that was all.
#[derive(Debug, Default)]
struct Arrived {
    deliveries: Vec<lapin::message::Delivery>,
    ending: Option<Ending>,
}

#[derive(Debug)]
enum Ending {
    Cancelled,
    Failed(lapin::Error),
}

/// Waits for a delivery and takes what is there with it.
async fn arrivals(consumer: &mut Option<Consumer>) -> Arrived {
    let Some(consumer) = consumer else {
        return pending().await;
    };
    let mut arrived = Arrived::default();
    let mut next = Some(consumer.next().await);
    while let Some(item) = next {
        match item {
            Some(Ok(delivery)) => arrived.deliveries.push(delivery),
            Some(Err(error)) => {
                arrived.ending = Some(Ending::Failed(error));
                break;
            }
            None => {
                arrived.ending = Some(Ending::Cancelled);
                break;
            }
        }
        if arrived.deliveries.len() >= BATCH {
            break;
        }
        next = consumer.next().now_or_never();
    }
    arrived
}

async fn when(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
