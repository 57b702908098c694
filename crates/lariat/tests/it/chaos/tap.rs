//! Reads what the routes send on, over a connection that is not Lariat's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::task::JoinHandle;

use super::fleet::OUT;

/// What has come, and how often.
#[derive(Debug, Default)]
struct Received {
    events: BTreeMap<String, u64>,
    last: Option<Instant>,
}

/// Consumes in the background until it is dropped.
#[derive(Debug)]
pub(crate) struct Tap {
    received: Arc<Mutex<Received>>,
    task: JoinHandle<()>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tap {
    pub(crate) fn start(url: String) -> Self {
        let received = Arc::new(Mutex::new(Received::default()));
        let task = tokio::spawn(consume_for_ever(url, Arc::clone(&received)));
        Self { received, task }
    }

    /// How often each event has come.
    pub(crate) fn events(&self) -> BTreeMap<String, u64> {
        self.received.lock().unwrap().events.clone()
    }

    pub(crate) fn has_received_since(&self, then: Instant) -> bool {
        let last = self.received.lock().unwrap().last;
        last.is_some_and(|last| last > then)
    }
}

async fn consume_for_ever(url: String, received: Arc<Mutex<Received>>) {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Whatever goes wrong is the fault's doing: another connection then.
        consume(&url, &received).await.ok();
    }
}

async fn consume(url: &str, received: &Mutex<Received>) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(100, BasicQosOptions::default()).await?;
    let mut deliveries = channel
        .basic_consume(
            OUT.into(),
            "tap".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let id = delivery.properties.message_id().as_ref();
        let id = id.expect("what Lariat publishes has an id").to_string();
        {
            let mut received = received.lock().unwrap();
            *received.events.entry(id).or_default() += 1;
            received.last = Some(Instant::now());
        }
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
