//! Deliveries in: received, judged, accepted, settled.
//!
//! Each stage is a task of its own and keeps the order, so a batch is judged
//! while the one before it is committed. Nothing is settled before the store
//! has it: this is the only place, with `custody.rs`, that answers a source.
//! What the store refuses for now holds the line, and the broker holds the
//! rest; one event that cannot be judged or kept holds nothing, it becomes a
//! dead letter.

mod accept;
mod inbox;
mod judge;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{
    link::{AckMode, Delivery, DeliveryTag, Received, Settle},
    ports::transport::Source,
};
use tokio::sync::mpsc;

use self::{accept::Batch, inbox::Inbox};
use crate::{
    custody::{self, Custody, Duties},
    shared::{Phase, Shared},
    tasks::{Policy, Task},
    telemetry::links::ConnectionLost,
};

/// Batches that are judged before the one before them is committed.
const AHEAD: usize = 1;

/// One source, as the engine sees it.
pub(crate) struct Feed {
    pub(crate) source: Arc<dyn Source>,
    inbox: Inbox,
    /// With `ack: done`.
    pub(crate) custody: Option<Arc<Custody>>,
    /// Deliveries that are not settled, by connection.
    unsettled: Mutex<BTreeMap<u64, usize>>,
}

impl Feed {
    fn unsettled<T>(&self, change: impl FnOnce(&mut BTreeMap<u64, usize>) -> T) -> T {
        let mut unsettled = self
            .unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut unsettled)
    }

    /// Deliveries that the broker waits to hear about.
    pub(crate) fn held(&self) -> usize {
        self.unsettled(|unsettled| unsettled.values().sum())
    }

    pub(crate) async fn settle(&self, tags: Vec<DeliveryTag>, how: Settle) {
        if tags.is_empty() {
            return;
        }
        self.source.settle(&tags, how).await;
        self.unsettled(|unsettled| {
            for tag in &tags {
                // Absent: its connection is gone.
                if let Some(count) = unsettled.get_mut(&tag.connection) {
                    *count = count.saturating_sub(1);
                }
            }
        });
    }

    fn arrived(&self, deliveries: Vec<Delivery>) {
        self.unsettled(|unsettled| {
            for delivery in &deliveries {
                *unsettled.entry(delivery.tag.connection).or_default() += 1;
            }
        });
        self.inbox.push(deliveries);
    }

    fn lost(&self, connection: u64) {
        self.unsettled(|unsettled| unsettled.retain(|number, _| *number > connection));
        self.inbox.lost(connection);
        if let Some(custody) = &self.custody {
            custody.lost(connection);
        }
    }
}

/// What the tasks of a feed begin with.
pub(crate) struct Start {
    feed: Arc<Feed>,
    duties: Option<Duties>,
}

/// A feed for each source, not started yet.
pub(crate) fn feeds(
    sources: &[Arc<dyn Source>],
    worker: &model::id::WorkerId,
) -> (Vec<Arc<Feed>>, Vec<Start>) {
    let mut feeds = Vec::new();
    let mut starts = Vec::new();
    for source in sources {
        let (custody, duties) = match source.terms().ack {
            AckMode::Stored => (None, None),
            AckMode::Done => {
                let (custody, duties) = Custody::new(Arc::clone(source), worker.clone());
                (Some(custody), Some(duties))
            }
        };
        let feed = Arc::new(Feed {
            source: Arc::clone(source),
            inbox: Inbox::default(),
            custody,
            unsettled: Mutex::default(),
        });
        feeds.push(Arc::clone(&feed));
        starts.push(Start { feed, duties });
    }
    (feeds, starts)
}

/// Starts the tasks of every source.
pub(crate) fn start(shared: &Arc<Shared>, starts: Vec<Start>) {
    for Start { feed, duties } in starts {
        if let Some(duties) = duties {
            custody::start(shared, duties);
        }
        let (sender, receiver) = mpsc::channel::<Batch>(AHEAD);
        accept::start(shared, &feed, receiver);
        judge::start(shared, &feed, sender);
        receive(shared, &feed);
    }
}

/// Takes what the source hands over and never waits for anything else, so
/// that a loss or a note is heard while the line is held.
fn receive(shared: &Arc<Shared>, feed: &Arc<Feed>) {
    let task = Task {
        name: "receive",
        owner: "source",
        policy: Policy::CutAfterDrain,
    };
    let feed = Arc::clone(feed);
    shared.tasks.rounds(task, move || {
        let feed = Arc::clone(&feed);
        async move {
            match feed.source.receive().await {
                Received::Deliveries(deliveries) => feed.arrived(deliveries),
                Received::Note(note) => {
                    if let Some(custody) = &feed.custody {
                        custody.hear(note);
                    }
                }
                Received::Lost { connection } => {
                    ConnectionLost {
                        source: feed.source.name(),
                        connection,
                        unsettled: feed.held(),
                    }
                    .emit();
                    feed.lost(connection);
                }
                Received::Closed => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        }
    });
}

/// How long to wait before the store is asked again.
struct Backoff {
    pause: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    fn new() -> Self {
        Self { pause: Self::FIRST }
    }

    /// Waits; `false` when the engine does not serve any more.
    async fn wait(&mut self, shared: &Shared) -> bool {
        let mut phase = shared.phase.subscribe();
        let pause = self.pause;
        self.pause = (pause * 2).min(Self::LONGEST);
        tokio::select! {
            biased;
            Ok(_) = phase.wait_for(|phase| *phase > Phase::Serving) => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}
