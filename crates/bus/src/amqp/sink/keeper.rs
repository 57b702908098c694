//! Keeps a sink connected, and says whether the road is open.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lapin::{Channel, PublisherConfirm, options::ConfirmSelectOptions};
use model::id::EventId;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};

use super::Shared;
use crate::amqp::{
    backoff::Backoff,
    connect::{self, Line},
    pulse::{self, Beat},
    queue::{self, QueueError},
    tasks,
};

/// A connection that held this long was a good one.
const STEADY: Duration = Duration::from_secs(10);

/// Whether something can be published now.
#[derive(Debug, Clone)]
pub(super) enum Road {
    Away,
    Blocked,
    Open(Arc<Lane>),
    Closed,
}

/// A message that is handed to lapin and not yet written.
pub(super) type Publishing =
    Pin<Box<dyn Future<Output = Result<PublisherConfirm, lapin::Error>> + Send>>;

/// How far a message came before the broker was blocked.
pub(super) enum Late {
    Sending(Publishing),
    Sent(PublisherConfirm),
}

/// A channel with confirmations.
pub(super) struct Lane {
    pub(super) line: Arc<Line>,
    pub(super) channel: Channel,
    /// What was on its way when the broker was blocked. At most a window.
    late: Mutex<HashMap<EventId, Late>>,
    retired: Notify,
}

impl Lane {
    /// The broker has closed the channel.
    pub(super) fn retire(&self) {
        self.retired.notify_one();
    }

    /// Whether it is not known to be closed. When it is, the keeper is about
    /// to replace it.
    pub(super) fn is_usable(&self) -> bool {
        self.channel.status().connected() && self.line.is_connected()
    }

    pub(super) fn keep_late(&self, id: EventId, late: Late) {
        self.lock().insert(id, late);
    }

    pub(super) fn take_late(&self, id: &EventId) -> Option<Late> {
        self.lock().remove(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EventId, Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

pub(super) struct Keeper {
    shared: Arc<Shared>,
    road: watch::Sender<Road>,
    closing: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    backoff: Backoff,
}

/// Who asked to close; nobody when the sink was dropped.
type Closing = Option<oneshot::Sender<()>>;

impl Keeper {
    pub(super) fn new(
        shared: Arc<Shared>,
        road: watch::Sender<Road>,
        closing: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    ) -> Self {
        Self {
            shared,
            road,
            closing,
            backoff: Backoff::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let closing = loop {
            let line = match self.connect().await {
                Ok(line) => line,
                Err(closing) => break closing,
            };
            let began = Instant::now();
            let outcome = self.serve(&line).await;
            self.road.send_replace(Road::Away);
            match outcome {
                Ok(closing) => {
                    line.close().await;
                    break closing;
                }
                Err(cause) => {
                    line.cut();
                    self.shared.standing.lost(&cause);
                }
            }
            if began.elapsed() >= STEADY {
                self.backoff.reset();
            }
            if let Err(closing) = self.rest().await {
                break closing;
            }
        };
        self.road.send_replace(Road::Closed);
        self.shared.standing.closed();
        if let Some(done) = closing {
            done.send(()).unwrap_or_default();
        }
    }

    async fn connect(&mut self) -> Result<Arc<Line>, Closing> {
        loop {
            self.shared.standing.connecting();
            let attempt = connect::connect(&self.shared.settings.connection);
            let answer = tokio::select! {
                answer = attempt => answer,
                closing = self.closing.recv() => return Err(closing),
            };
            match answer {
                Ok(line) => return Ok(Arc::new(line)),
                Err(error) => self.shared.standing.waiting(&error.detail),
            }
            self.rest().await?;
        }
    }

    async fn rest(&mut self) -> Result<(), Closing> {
        tokio::select! {
            () = sleep(self.backoff.next()) => Ok(()),
            closing = self.closing.recv() => Err(closing),
        }
    }

    /// Lets publish by this connection until it ends, with the cause, or the
    /// sink is closed.
    async fn serve(&mut self, line: &Arc<Line>) -> Result<Closing, String> {
        let (to, mut blocked) = watch::channel(None);
        let watch = pulse::watch(
            Arc::clone(line),
            self.shared.settings.connection.heartbeat,
            Arc::clone(&self.shared.clock),
            move |beat| match beat {
                Beat::Answered { .. } => {}
                Beat::Blocked { reason } => {
                    to.send_replace(Some(reason));
                }
                Beat::Unblocked => {
                    to.send_replace(None);
                }
            },
        );
        let mut pulse = tasks::start("amqp pulse", watch);
        loop {
            let lane = self.open(line).await.map_err(|error| error.to_string())?;
            let lane = Arc::new(lane);
            loop {
                let reason = blocked.borrow_and_update().clone();
                match reason {
                    Some(reason) => {
                        self.shared.standing.blocked(&reason);
                        self.road.send_replace(Road::Blocked);
                    }
                    None => {
                        self.shared.standing.connected(&line.peer);
                        self.road.send_replace(Road::Open(Arc::clone(&lane)));
                    }
                }
                tokio::select! {
                    closing = self.closing.recv() => return Ok(closing),
                    () = pulse.ended() => {
                        return Err(line.cause());
                    }
                    () = lane.retired.notified() => break,
                    Ok(()) = blocked.changed() => {}
                }
            }
            self.road.send_replace(Road::Away);
        }
    }

    async fn open(&self, line: &Arc<Line>) -> Result<Lane, QueueError> {
        if let Some(queue) = &self.shared.settings.declare_queue {
            queue::ensure(line, queue, None).await?;
        }
        let channel = queue::channel(line).await?;
        let confirm = channel.confirm_select(ConfirmSelectOptions::default());
        match timeout(queue::PATIENCE, confirm).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(queue::refused("ask for confirmations", &error)),
            Err(_) => return Err(QueueError::Silent),
        }
        Ok(Lane {
            line: Arc::clone(line),
            channel,
            late: Mutex::default(),
            retired: Notify::new(),
        })
    }
}
