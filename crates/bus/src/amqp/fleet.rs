//! What the instances on one queue tell each other, through the broker itself.
//!
//! Notes go to `amq.direct` under a key of the queue's name, and each instance
//! hears them by a private queue. They are sent by a connection of their own,
//! since a broker that is short of disk stops reading from whoever publishes,
//! and acknowledgements must go on. A note that is lost is no harm: who asks
//! hears the question too, or waits on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::{FieldTable, ShortString},
};
use model::{
    clock::Clock,
    link::{FleetNote, FleetWord, Talk},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::debug;

use super::{
    connect::{self, ACCESS_REFUSED, Line},
    pulse,
    queue::{self, QueueError},
    settings::{AmqpConnection, AmqpSourceSettings, QueueSettings},
    table::short,
    tasks::{self, Task},
};

const EXCHANGE: &str = "amq.direct";

/// Events in one message, at most.
const EVENTS: usize = 100;

/// Bytes of a note that is read: a hundred ids of the greatest length fit.
const NOTE_BYTES: usize = 64 * 1024;

/// Notes that wait to be sent, at most.
const OUTBOX: usize = 1000;

/// How long sending may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

fn key(queue: &str) -> Result<ShortString, QueueError> {
    Ok(short("queue name", &format!("lariat.fleet.{queue}"))?)
}

/// Whether notes pass.
#[derive(Debug, Default)]
pub(super) struct Talking {
    state: Mutex<Passing>,
}

#[derive(Debug, Default)]
struct Passing {
    /// By the connection that stands.
    is_heard: bool,
    may_not_hear: bool,
    may_not_speak: bool,
}

impl Talking {
    pub(super) fn get(&self) -> Talk {
        let state = self.lock();
        if state.may_not_hear || state.may_not_speak {
            Talk::Refused
        } else if state.is_heard {
            Talk::Heard
        } else {
            Talk::Silent
        }
    }

    pub(super) fn heard(&self) {
        let mut state = self.lock();
        state.is_heard = true;
        state.may_not_hear = false;
    }

    /// Nothing is heard any more; the broker may have forbidden it.
    pub(super) fn silent(&self) {
        self.lock().is_heard = false;
    }

    pub(super) fn may_not_hear(&self) {
        let mut state = self.lock();
        state.is_heard = false;
        state.may_not_hear = true;
    }

    fn may_speak(&self, may: bool) {
        self.lock().may_not_speak = !may;
    }

    fn lock(&self) -> MutexGuard<'_, Passing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Letter {
    Note(FleetNote),
    Close(oneshot::Sender<()>),
}

/// Sends notes.
pub(super) struct Fleet {
    letters: mpsc::Sender<Letter>,
    _sender: Task,
}

impl Fleet {
    pub(super) fn start(
        settings: &AmqpSourceSettings,
        clock: Arc<dyn Clock>,
        talking: Arc<Talking>,
    ) -> Self {
        let (letters, inlet) = mpsc::channel(OUTBOX);
        let connection = AmqpConnection {
            name: format!("{} (fleet)", settings.connection.name),
            ..settings.connection.clone()
        };
        let sender = Sender {
            connection,
            queue: settings.queue.name.clone(),
            clock,
            talking,
            letters: inlet,
        };
        let fleet = Self {
            letters,
            _sender: tasks::start("amqp fleet sender", sender.run()),
        };
        // It says nothing, and shows whether we are allowed to.
        fleet.put(FleetNote {
            from: settings.worker.clone(),
            about: FleetWord::Ask,
            events: Vec::new(),
        });
        fleet
    }

    pub(super) fn tell(&self, note: FleetNote) {
        for events in note.events.chunks(EVENTS) {
            let part = FleetNote {
                from: note.from.clone(),
                about: note.about,
                events: events.to_vec(),
            };
            self.put(part);
        }
    }

    fn put(&self, note: FleetNote) {
        if self.letters.try_send(Letter::Note(note)).is_err() {
            debug!("too many notes wait to be sent, one is dropped");
        }
    }

    pub(super) async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.letters.send(Letter::Close(done)).await.is_ok() {
            answer.await.unwrap_or_default();
        }
    }
}

struct Sender {
    connection: AmqpConnection,
    queue: String,
    clock: Arc<dyn Clock>,
    talking: Arc<Talking>,
    letters: mpsc::Receiver<Letter>,
}

/// A connection that notes are sent by.
struct Voice {
    line: Arc<Line>,
    channel: Channel,
    key: ShortString,
    _pulse: Task,
}

impl Sender {
    /// Connects when there is something to say. What cannot be sent is
    /// dropped.
    async fn run(mut self) {
        let mut voice = None;
        while let Some(letter) = self.letters.recv().await {
            let note = match letter {
                Letter::Note(note) => note,
                Letter::Close(done) => {
                    if let Some(Voice { line, .. }) = voice {
                        line.close().await;
                    }
                    done.send(()).unwrap_or_default();
                    return;
                }
            };
            let current = match voice.take() {
                Some(voice) if voice.line.is_connected() => Ok(voice),
                Some(_) | None => self.connect().await,
            };
            match current {
                Ok(current) => match send(&current, &note).await {
                    Ok(()) => {
                        self.talking.may_speak(true);
                        voice = Some(current);
                    }
                    Err(Unsent::Forbidden { said }) => {
                        self.talking.may_speak(false);
                        debug!(cause = %said, "notes to the other instances are not allowed");
                    }
                    Err(Unsent::Failed { cause }) => {
                        debug!(%cause, "a note to the other instances was not sent");
                    }
                },
                Err(cause) => debug!(%cause, "a note to the other instances was not sent"),
            }
        }
    }

    async fn connect(&self) -> Result<Voice, String> {
        let line = connect::connect(&self.connection)
            .await
            .map_err(|error| error.detail)?;
        let line = Arc::new(line);
        let channel = queue::channel(&line)
            .await
            .map_err(|error| error.to_string())?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(|error| connect::explain(&error))?;
        let watch = pulse::watch(
            Arc::clone(&line),
            self.connection.heartbeat,
            Arc::clone(&self.clock),
            |_| {},
        );
        Ok(Voice {
            key: key(&self.queue).map_err(|error| error.to_string())?,
            line,
            channel,
            _pulse: tasks::start("amqp fleet pulse", watch),
        })
    }
}

/// Why a note was not sent.
#[derive(Debug)]
enum Unsent {
    Forbidden { said: String },
    Failed { cause: String },
}

impl Unsent {
    fn of(error: &lapin::Error) -> Self {
        match connect::said(error) {
            Some((ACCESS_REFUSED, said)) => Self::Forbidden { said },
            Some(_) | None => Self::Failed {
                cause: connect::explain(error),
            },
        }
    }
}

/// Sends a note and waits for the broker's word, which is how a refusal is
/// heard.
async fn send(voice: &Voice, note: &FleetNote) -> Result<(), Unsent> {
    let text = serde_json::to_vec(note).map_err(|error| Unsent::Failed {
        cause: error.to_string(),
    })?;
    let publish = async {
        let confirm = voice.channel.basic_publish(
            EXCHANGE.into(),
            voice.key.clone(),
            BasicPublishOptions::default(),
            &text,
            BasicProperties::default().with_content_type("application/json".into()),
        );
        confirm.await?.await
    };
    match timeout(PATIENCE, publish).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Unsent::of(&error)),
        Err(_) => Err(Unsent::Failed {
            cause: "the broker does not take it".to_owned(),
        }),
    }
}

/// Hears notes until the connection ends; `ready` is called when it begins to.
pub(super) async fn listen(
    line: Arc<Line>,
    queue: String,
    ready: impl FnOnce() + Send,
    hear: impl Fn(FleetNote) + Send,
) -> Result<(), QueueError> {
    let line = &line;
    let private = QueueSettings {
        durable: false,
        exclusive: true,
        auto_delete: true,
        ..QueueSettings::named("")
    };
    let name = queue::ensure(line, &private, None).await?;
    let key = key(&queue)?.to_string();
    queue::bind(line, &name, EXCHANGE, &[key]).await?;
    let channel = queue::channel(line).await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let start = channel.basic_consume(name, ShortString::default(), options, FieldTable::default());
    let mut consumer = match timeout(queue::PATIENCE, start).await {
        Ok(Ok(consumer)) => consumer,
        Ok(Err(error)) => return Err(queue::refused("hear the other instances", &error)),
        Err(_) => return Err(QueueError::Silent),
    };
    ready();
    while let Some(Ok(delivery)) = consumer.next().await {
        match read(&delivery.data) {
            // Somebody has found out that notes pass.
            Ok(note) if note.events.is_empty() => {}
            Ok(note) => hear(note),
            Err(cause) => debug!(%cause, "a note of another instance cannot be read"),
        }
    }
    Ok(())
}

fn read(text: &[u8]) -> Result<FleetNote, String> {
    if text.len() > NOTE_BYTES {
        return Err(format!("it has {} bytes", text.len()));
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
