//! What the fleet is given to do: events drawn by a seed, published with
//! confirms over a connection that is not Lariat's.
//!
//! An event counts as accepted once the broker has confirmed it. One without
//! an answer is not published again: the fleet would rightly take the same id
//! from two messages for two deliveries. Another is drawn in its place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use super::journal::boot_seconds;
use crate::dice::Dice;

/// One event in so many is no event at all.
const UNDECODABLE_EVERY: u64 = 1000;

/// Where the first of them comes, so that a short run has one as well.
const UNDECODABLE_FIRST: u64 = 170;

/// How long the broker may owe an answer: longer than any fault.
const ANSWER: Duration = Duration::from_secs(180);

/// What becomes of an event when all goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Plain,
    /// Shares one of three keys with others.
    Keyed,
    Slow,
    /// Fails in its first attempt.
    Flaky,
    /// Fails in all attempts.
    Failing,
    /// No rule is about it.
    Unmatched,
    /// Bytes that are not an event.
    Undecodable,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Keyed => "keyed",
            Self::Slow => "slow",
            Self::Flaky => "flaky",
            Self::Failing => "failing",
            Self::Unmatched => "unmatched",
            Self::Undecodable => "undecodable",
        }
    }

    /// Of a hundred: 5 fail, 3 fail once, 10 share keys, 10 are slow, 10 match
    /// nothing.
    fn draw(number: u64, dice: &mut Dice) -> Self {
        if number % UNDECODABLE_EVERY == UNDECODABLE_FIRST {
            return Self::Undecodable;
        }
        match dice.roll(100) {
            0..5 => Self::Failing,
            5..8 => Self::Flaky,
            8..18 => Self::Keyed,
            18..28 => Self::Slow,
            28..38 => Self::Unmatched,
            _ => Self::Plain,
        }
    }
}

/// What was published, and what the broker said to it.
#[derive(Debug)]
pub(crate) struct Ledger {
    dice: Dice,
    drawn: u64,
    accepted: BTreeMap<String, Kind>,
    unanswered: BTreeMap<String, Kind>,
    /// When each was published, on the clock of the jobs.
    published: BTreeMap<String, f64>,
    last_answer: Option<Instant>,
}

impl Ledger {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            drawn: 0,
            accepted: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            published: BTreeMap::new(),
            last_answer: None,
        }
    }

    pub(crate) fn accepted(&self) -> &BTreeMap<String, Kind> {
        &self.accepted
    }

    /// May have been taken, and may not.
    pub(crate) fn unanswered(&self) -> &BTreeMap<String, Kind> {
        &self.unanswered
    }

    pub(crate) fn published(&self) -> &BTreeMap<String, f64> {
        &self.published
    }

    fn draw(&mut self) -> Message {
        self.drawn += 1;
        let kind = Kind::draw(self.drawn, &mut self.dice);
        let message = Message {
            id: format!("chaos-{:06}", self.drawn),
            number: self.drawn,
            kind,
            key: self.dice.roll(3),
        };
        self.unanswered.insert(message.id.clone(), kind);
        self.published.insert(message.id.clone(), boot_seconds());
        message
    }

    fn answered(&mut self, id: &str, is_accepted: bool) {
        self.last_answer = Some(Instant::now());
        if let Some(kind) = self.unanswered.remove(id)
            && is_accepted
        {
            self.accepted.insert(id.to_owned(), kind);
        }
    }
}

/// One message, before it is bytes.
#[derive(Debug)]
struct Message {
    id: String,
    number: u64,
    kind: Kind,
    key: u64,
}

impl Message {
    fn topic(&self) -> String {
        format!("chaos.{}", self.kind.as_str())
    }

    fn properties(&self) -> BasicProperties {
        let mut headers = FieldTable::default();
        let schema = AMQPValue::LongString("base.message".into());
        headers.insert("fedora_messaging_schema".into(), schema);
        headers.insert("fedora_messaging_severity".into(), AMQPValue::LongInt(20));
        BasicProperties::default()
            .with_message_id(self.id.as_str().into())
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_headers(headers)
    }

    /// What cannot be decoded names its event, so that it can be found again.
    fn body(&self) -> Vec<u8> {
        let body = json!({"number": self.number, "key": format!("k{}", self.key)}).to_string();
        match self.kind {
            Kind::Undecodable => format!("{}: {body}", self.id).into_bytes(),
            Kind::Plain
            | Kind::Keyed
            | Kind::Slow
            | Kind::Flaky
            | Kind::Failing
            | Kind::Unmatched => body.into_bytes(),
        }
    }
}

/// How fast, and until how many are accepted.
#[derive(Debug, Clone, Copy)]
struct Pace {
    per_second: f64,
    until: usize,
}

/// Publishes in the background until it is dropped.
#[derive(Debug)]
pub(crate) struct Publisher {
    ledger: Arc<Mutex<Ledger>>,
    pace: watch::Sender<Pace>,
    task: JoinHandle<()>,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Publisher {
    /// Publishes nothing until it is told how fast.
    pub(crate) fn start(url: String, seed: u64) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(seed)));
        let (pace, told) = watch::channel(Pace {
            per_second: 0.0,
            until: 0,
        });
        let task = tokio::spawn(publish_for_ever(url, Arc::clone(&ledger), told));
        Self { ledger, pace, task }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.ledger().accepted.len()
    }

    /// Goes on until so many are accepted in all.
    pub(crate) fn go_on(&self, per_second: f64, until: usize) {
        self.pace.send_replace(Pace { per_second, until });
    }

    /// Publishes nothing more for now.
    pub(crate) fn hold(&self) {
        self.go_on(0.0, 0);
    }

    /// Whether the broker has answered since then.
    pub(crate) fn has_answered_since(&self, then: Instant) -> bool {
        self.ledger().last_answer.is_some_and(|last| last > then)
    }
}

async fn publish_for_ever(url: String, ledger: Arc<Mutex<Ledger>>, pace: watch::Receiver<Pace>) {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Whatever goes wrong is the fault's doing: another connection then.
        if let Ok((connection, channel)) = open(&url).await {
            publish(&channel, &ledger, &pace).await.ok();
            connection.close(200, "done".into()).await.ok();
        }
    }
}

async fn open(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok((connection, channel))
}

/// Publishes small batches on one connection until it fails.
async fn publish(
    channel: &Channel,
    ledger: &Mutex<Ledger>,
    pace: &watch::Receiver<Pace>,
) -> lapin::Result<()> {
    const TICK: Duration = Duration::from_millis(50);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut credit = 0.0;
    while channel.status().connected() {
        tick.tick().await;
        let pace = *pace.borrow();
        credit = (credit + pace.per_second * TICK.as_secs_f64()).min(100.0);
        let mut batch = Vec::new();
        while credit >= 1.0 {
            credit -= 1.0;
            let mut ledger = ledger.lock().unwrap();
            if ledger.accepted.len() + batch.len() < pace.until {
                batch.push(ledger.draw());
            }
        }
        publish_batch(channel, ledger, &batch).await?;
    }
    Ok(())
}

async fn publish_batch(
    channel: &Channel,
    ledger: &Mutex<Ledger>,
    batch: &[Message],
) -> lapin::Result<()> {
    let mut confirms = Vec::new();
    for message in batch {
        let confirm = channel
            .basic_publish(
                "amq.topic".into(),
                message.topic().as_str().into(),
                // What no queue takes is said, and is not accepted.
                BasicPublishOptions {
                    mandatory: true,
                    ..BasicPublishOptions::default()
                },
                &message.body(),
                message.properties(),
            )
            .await?;
        confirms.push((message, confirm));
    }
    for (message, confirm) in confirms {
        let Ok(answer) = tokio::time::timeout(ANSWER, confirm).await else {
            return Ok(());
        };
        match answer? {
            Confirmation::Ack(returned) => {
                let mut ledger = ledger.lock().unwrap();
                ledger.answered(&message.id, returned.is_none());
            }
            Confirmation::Nack(_) => ledger.lock().unwrap().answered(&message.id, false),
            Confirmation::NotRequested => panic!("confirms were asked for"),
        }
    }
    Ok(())
}
