//! Consumes a queue.
//!
//! One task, the [`keeper`], owns the connection; the port's methods leave it
//! commands or read what it wrote down. What a delivery's fate is comes from
//! outside: nothing here settles by itself except what a pause gives back.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{
    clock::Clock,
    id::SourceName,
    link::{AckMode, Contact, DeliveryTag, FleetNote, LinkStatus, Received, Settle, Talk, Terms},
    ports::transport::Source,
};
use tokio::sync::{mpsc, oneshot};

use self::keeper::Keeper;
use super::{
    contact::Hearing,
    fleet::{Fleet, Talking},
    inbox::Inbox,
    settings::AmqpSourceSettings,
    standing::Standing,
    tasks::{self, Task},
};

mod keeper;
mod session;

/// Deliveries that are handed over at once, at most.
const BATCH: usize = 500;

/// What the port asks of the keeper.
#[derive(Debug)]
enum Command {
    Settle {
        tags: Vec<DeliveryTag>,
        how: Settle,
        done: oneshot::Sender<()>,
    },
    Pause {
        done: oneshot::Sender<()>,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

/// What the port and the keeper share.
struct Shared {
    settings: AmqpSourceSettings,
    clock: Arc<dyn Clock>,
    standing: Standing,
    hearing: Hearing,
    talking: Arc<Talking>,
    inbox: Inbox,
    patience: Mutex<Duration>,
    is_paused: AtomicBool,
    /// It was said once that notes of other instances cannot be heard.
    is_fleet_deaf: AtomicBool,
}

impl Shared {
    fn lower_patience(&self, to: Duration) {
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        *patience = (*patience).min(to);
    }

    fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }
}

/// A source over AMQP.
pub struct AmqpSource {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    fleet: Option<Fleet>,
    _keeper: Task,
}

impl AmqpSource {
    /// Returns at once; connecting goes on by itself. Has to be called within
    /// a runtime.
    pub fn new(settings: AmqpSourceSettings, clock: Arc<dyn Clock>) -> Self {
        let has_fleet = settings.ack == AckMode::Done && !settings.takeover.is_zero();
        let talking = Arc::<Talking>::default();
        let fleet =
            has_fleet.then(|| Fleet::start(&settings, Arc::clone(&clock), Arc::clone(&talking)));
        let shared = Arc::new(Shared {
            standing: Standing::new("source", settings.name.to_string(), Arc::clone(&clock)),
            hearing: Hearing::new(clock.boot()),
            talking,
            inbox: Inbox::default(),
            patience: Mutex::new(settings.consumer_timeout / 2),
            is_paused: AtomicBool::new(false),
            is_fleet_deaf: AtomicBool::new(false),
            settings,
            clock,
        });
        let (commands, inlet) = mpsc::unbounded_channel();
        let keeper = Keeper::new(Arc::clone(&shared), inlet, has_fleet);
        Self {
            shared,
            commands,
            fleet,
            _keeper: tasks::start("amqp source", keeper.run()),
        }
    }

    /// Leaves a command and waits until it is done, or the keeper has ended.
    async fn ask(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, answer) = oneshot::channel();
        if self.commands.send(command(done)).is_ok() {
            // An error says that the keeper has ended: there is nothing left
            // to wait for.
            answer.await.unwrap_or_default();
        }
    }
}

impl fmt::Debug for AmqpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpSource")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for AmqpSource {
    fn name(&self) -> &SourceName {
        &self.shared.settings.name
    }

    fn kind(&self) -> &'static str {
        "amqp"
    }

    fn terms(&self) -> Terms {
        let settings = &self.shared.settings;
        Terms {
            ack: settings.ack,
            batch: BATCH.min(usize::from(settings.prefetch)),
            takeover: settings.takeover,
        }
    }

    fn patience(&self) -> Duration {
        let patience = self.shared.patience.lock();
        *patience.unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(&self) -> Received {
        self.shared.inbox.next(BATCH).await
    }

    async fn settle(&self, tags: &[DeliveryTag], how: Settle) {
        if tags.is_empty() {
            return;
        }
        let tags = tags.to_vec();
        self.ask(|done| Command::Settle { tags, how, done }).await;
    }

    async fn tell(&self, note: FleetNote) {
        if let Some(fleet) = &self.fleet {
            fleet.tell(note);
        }
    }

    fn contact(&self) -> Contact {
        self.shared.hearing.get()
    }

    fn talk(&self) -> Talk {
        self.shared.talking.get()
    }

    fn status(&self) -> LinkStatus {
        self.shared.standing.get()
    }

    async fn pause(&self) {
        self.shared.is_paused.store(true, Ordering::Release);
        self.ask(|done| Command::Pause { done }).await;
    }

    async fn close(&self) {
        self.ask(|done| Command::Close { done }).await;
        if let Some(fleet) = &self.fleet {
            fleet.close().await;
        }
    }
}
