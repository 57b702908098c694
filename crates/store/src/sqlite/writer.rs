//! The one writer: takes what is pending and commits it in one transaction.
//!
//! Every change of the store is a [`Write`] that arrives here over a bounded
//! channel. Each is answered after the commit that holds it, and never
//! before. When the disk fails, everything in the transaction is undone and
//! every caller is told; the next transaction tries again, with a new
//! connection if this one is of no more use.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    clock::{BootTime, Clock, Timestamp},
    fault::{FaultPoint, Faults},
    ports::StoreError,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{accept, failure::Failure, lock::Home, state::State, status::Counters};

/// Commands in one transaction at most: bounds how long a caller waits for
/// others and how much one failure undoes.
const MOST_COMMANDS: usize = 512;

/// Events in one transaction at most.
const MOST_EVENTS: usize = 4_000;

/// How long a transaction waits for as many callers as the last one had.
const GATHER: Duration = Duration::from_millis(2);

/// A change of the store. It may run more than once: what an earlier run did
/// was rolled back then.
#[async_trait]
pub(crate) trait Write: Send + Sync + 'static {
    type Answer: Send + 'static;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Self::Answer, Failure>;

    /// Told when the change is durable, before the caller is.
    fn committed(&self, _answer: &mut Self::Answer) {}
}

/// One moment, on both clocks.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    pub(crate) boot: BootTime,
}

/// An open transaction and what goes with it.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a mut SqliteConnection,
    pub(crate) state: &'a mut State,
    pub(crate) now: Now,
    pub(crate) effects: Effects,
}

/// What happens around the commit, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    before: Vec<FaultPoint>,
    after: Vec<FaultPoint>,
    /// Whether a job may have become ready.
    pub(crate) wake: bool,
    /// Whether an outbox was given something.
    pub(crate) outgoing: bool,
}

impl Tx<'_> {
    /// A fault point that stands between this change and its commit.
    pub(crate) fn before_commit(&mut self, point: FaultPoint) {
        self.effects.before.push(point);
    }

    /// A fault point that stands between the commit and the answer.
    pub(crate) fn after_commit(&mut self, point: FaultPoint) {
        self.effects.after.push(point);
    }
}

/// What the channel carries.
pub(crate) enum Item {
    Accept(accept::Request),
    Write(Box<dyn Pending>),
    /// As `Write`, though nobody waits for the answer.
    WriteAnyway(Box<dyn Pending>),
    /// Commit what came before, close the file, and say so.
    Close(oneshot::Sender<()>),
}

/// A [`Write`] with its caller, its types forgotten.
#[async_trait]
pub(crate) trait Pending: Send {
    async fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure>;
    fn is_abandoned(&self) -> bool;
    fn committed(self: Box<Self>);
    fn failed(self: Box<Self>, failure: Failure);
}

struct Waiting<W: Write> {
    write: W,
    answer: Option<W::Answer>,
    reply: oneshot::Sender<Result<W::Answer, StoreError>>,
}

/// What the caller gets, once it is durable.
pub(crate) type Reply<T> = oneshot::Receiver<Result<T, StoreError>>;

/// A change with the place where its answer will be.
pub(crate) fn pending<W: Write>(write: W) -> (Box<dyn Pending>, Reply<W::Answer>) {
    let (reply, answer) = oneshot::channel();
    let waiting = Waiting {
        write,
        answer: None,
        reply,
    };
    (Box::new(waiting), answer)
}

#[async_trait]
impl<W: Write> Pending for Waiting<W> {
    async fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        self.answer = Some(self.write.write(tx).await?);
        Ok(())
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn committed(self: Box<Self>) {
        let mut answer = self.answer.expect("what was committed has run");
        self.write.committed(&mut answer);
        // A caller that has gone needs no answer.
        self.reply.send(Ok(answer)).ok();
    }

    fn failed(self: Box<Self>, failure: Failure) {
        self.reply.send(Err(failure.into())).ok();
    }
}

/// What the writer needs to know.
pub(crate) struct Settings {
    pub(crate) connect: SqliteConnectOptions,
    pub(crate) home: Home,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) queue_limit: usize,
    pub(crate) wake: Arc<Notify>,
    pub(crate) outgoing: Arc<Notify>,
    pub(crate) changed: Arc<Notify>,
    pub(crate) counters: Arc<Counters>,
}

pub(crate) struct Writer {
    settings: Settings,
    /// Absent after it broke; made again for the next transaction.
    conn: Option<SqliteConnection>,
    /// Absent after a rollback; read again then.
    state: Option<State>,
}

#[derive(Default)]
struct Batch {
    accepts: Vec<accept::Request>,
    writes: Vec<Box<dyn Pending>>,
    events: usize,
    close: Option<oneshot::Sender<()>>,
}

impl Batch {
    fn push(&mut self, item: Item) {
        match item {
            Item::Accept(request) => {
                if !request.is_abandoned() {
                    self.events += request.len();
                    self.accepts.push(request);
                }
            }
            Item::Write(write) => {
                if !write.is_abandoned() {
                    self.writes.push(write);
                }
            }
            Item::WriteAnyway(write) => self.writes.push(write),
            Item::Close(done) => self.close = Some(done),
        }
    }

    fn is_full(&self) -> bool {
        self.close.is_some()
            || self.events >= MOST_EVENTS
            || self.accepts.len() + self.writes.len() >= MOST_COMMANDS
    }

    fn is_empty(&self) -> bool {
        self.accepts.is_empty() && self.writes.is_empty()
    }

    fn fail(self, failure: &Failure) {
        for request in self.accepts {
            request.fail(failure.clone());
        }
        for write in self.writes {
            write.failed(failure.clone());
        }
    }
}

impl Writer {
    pub(crate) fn new(settings: Settings, conn: SqliteConnection) -> Self {
        Self {
            settings,
            conn: Some(conn),
            state: None,
        }
    }

    /// Serves until it is told to close or every handle is gone.
    pub(crate) async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut expected = 1;
        while let Some(first) = items.recv().await {
            let mut batch = Batch::default();
            batch.push(first);
            fill(&mut batch, &mut items, expected).await;
            expected = batch.accepts.len().max(1);
            let close = batch.close.take();
            if !batch.is_empty() {
                self.commit(batch).await;
            }
            if let Some(done) = close {
                items.close();
                self.commit_rest(&mut items).await;
                self.close().await;
                // Whoever asked may have gone.
                done.send(()).ok();
                return;
            }
        }
        self.close().await;
    }

    /// What came behind the end and nobody waits for, such as leases that go
    /// back because their worker had stopped.
    async fn commit_rest(&mut self, items: &mut mpsc::Receiver<Item>) {
        let mut rest = Batch::default();
        while let Ok(item) = items.try_recv() {
            if let Item::WriteAnyway(_) = item {
                rest.push(item);
            }
        }
        if !rest.is_empty() {
            self.commit(rest).await;
        }
    }

    async fn close(&mut self) {
        if let Some(conn) = self.conn.take()
            && let Err(error) = conn.close().await
        {
            tracing::warn!(%error, "the store's file could not be closed cleanly");
        }
    }

    /// Commits a batch. A write that fails by itself is answered and left
    /// out, and the others are tried again without it.
    async fn commit(&mut self, mut batch: Batch) {
        loop {
            let culprit = match self.attempt(&mut batch).await {
                Ok(()) => {
                    for request in batch.accepts {
                        request.commit();
                    }
                    for write in batch.writes {
                        write.committed();
                    }
                    return;
                }
                Err(culprit) => culprit,
            };
            self.roll_back().await;
            match culprit {
                Culprit::Everything(failure) => {
                    let failure = failure.named_by_the_disk(self.settings.connect.get_filename());
                    tracing::warn!(error = ?failure, "a transaction of the store was undone");
                    batch.fail(&failure);
                    return;
                }
                Culprit::Accepts(failure) => {
                    if batch.accepts.len() > 1 {
                        for request in std::mem::take(&mut batch.accepts) {
                            let alone = Batch {
                                accepts: vec![request],
                                ..Batch::default()
                            };
                            Box::pin(self.commit(alone)).await;
                        }
                    } else if let Some(request) = batch.accepts.pop() {
                        request.fail(failure);
                    }
                }
                Culprit::Write(index, failure) => batch.writes.remove(index).failed(failure),
            }
            if batch.is_empty() {
                return;
            }
        }
    }

    async fn attempt(&mut self, batch: &mut Batch) -> Result<(), Culprit> {
        let home = &self.settings.home;
        home.has_database().map_err(Culprit::Everything)?;
        if self.conn.is_none() {
            let conn = self.settings.connect.connect().await;
            self.conn = Some(conn.map_err(Culprit::everything)?);
        }
        let conn = self.conn.as_mut().expect("it was made above");
        execute(conn, "BEGIN IMMEDIATE").await?;
        let state = match self.state.take() {
            Some(state) => state,
            None => State::load(conn).await.map_err(Culprit::Everything)?,
        };
        let state = self.state.insert(state);
        let mut tx = Tx {
            conn,
            state,
            now: Now {
                wall: self.settings.clock.now(),
                boot: self.settings.clock.boot(),
            },
            effects: Effects::default(),
        };
        let mut accepted = 0;
        if !batch.accepts.is_empty() {
            accepted = accept::run(&mut tx, &mut batch.accepts, self.settings.queue_limit)
                .await
                .map_err(|failure| Culprit::of(failure, Culprit::Accepts))?;
        }
        for (index, write) in batch.writes.iter_mut().enumerate() {
            write
                .run(&mut tx)
                .await
                .map_err(|failure| Culprit::of(failure, |it| Culprit::Write(index, it)))?;
        }
        let effects = std::mem::take(&mut tx.effects);
        for point in effects.before {
            self.settings.faults.reach(point);
        }
        execute(tx.conn, "COMMIT").await?;
        home.has_everything().map_err(Culprit::Everything)?;
        if accepted > 0 {
            self.settings.counters.count_commit(accepted);
        }
        for point in effects.after {
            self.settings.faults.reach(point);
        }
        if effects.wake {
            self.settings.wake.notify_waiters();
        }
        if effects.outgoing {
            self.settings.outgoing.notify_waiters();
        }
        // Whether a trigger has noted something is not known here.
        self.settings.changed.notify_waiters();
        Ok(())
    }

    /// Undoes what is open. What was remembered of it is read again.
    async fn roll_back(&mut self) {
        self.state = None;
        let Some(mut conn) = self.conn.take() else {
            return;
        };
        // SQLite has rolled back by itself after some failures: then there is
        // no transaction, and a ping tells whether the connection lives.
        sqlx::query("ROLLBACK").execute(&mut conn).await.ok();
        let is_idle = sqlx::query("BEGIN").execute(&mut conn).await.is_ok()
            && sqlx::query("ROLLBACK").execute(&mut conn).await.is_ok();
        if is_idle {
            self.conn = Some(conn);
        }
    }
}

/// Takes what is pending. When the last transaction had several callers that
/// accept events, waits a moment for as many: while one transaction is being
/// committed they prepare the next, and a commit costs the same for all.
async fn fill(batch: &mut Batch, items: &mut mpsc::Receiver<Item>, expected: usize) {
    let gathered = Instant::now() + GATHER;
    while !batch.is_full() {
        if let Ok(item) = items.try_recv() {
            batch.push(item);
            continue;
        }
        if batch.accepts.is_empty() || batch.accepts.len() >= expected {
            return;
        }
        match timeout_at(gathered, items.recv()).await {
            Ok(Some(item)) => batch.push(item),
            Ok(None) | Err(_) => return,
        }
    }
}

/// What in a batch made its transaction fail.
enum Culprit {
    Everything(Failure),
    Accepts(Failure),
    Write(usize, Failure),
}

impl Culprit {
    fn of(failure: Failure, alone: impl FnOnce(Failure) -> Self) -> Self {
        if failure.is_shared() {
            Self::Everything(failure)
        } else {
            alone(failure)
        }
    }

    fn everything(error: sqlx::Error) -> Self {
        Self::Everything(error.into())
    }
}

async fn execute(conn: &mut SqliteConnection, sql: &'static str) -> Result<(), Culprit> {
    sqlx::query(sql)
        .execute(conn)
        .await
        .map(drop)
        .map_err(Culprit::everything)
}
