//! The embedded store: one SQLite file, one process, one writer.
//!
//! Changes go through the writer (`writer.rs`), reads through a small pool of
//! connections that see the last commit and wait for nobody. This file opens
//! and closes; what each port does is in the file of its noun.

mod accept;
mod audit;
mod chain;
mod claim;
mod control;
mod custody;
mod dead;
mod events;
mod failure;
mod finish;
mod firing;
mod jobs;
mod keys;
mod lifecycle;
mod lock;
mod outbox;
mod output;
mod ports;
mod resume;
mod retention;
mod revisions;
mod rows;
mod scan;
mod schema;
mod state;
mod status;
mod storms;
mod tasks;
mod tokens;
mod writer;

use std::{
    fmt,
    fs::{File, OpenOptions},
    future::Future,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{clock::Clock, fault::Faults, ports::StoreError};
use sqlx::{
    ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use self::{
    failure::Failure,
    lock::{Home, OwnerLock},
    schema::Found,
    status::Counters,
    writer::{Item, Settings, Write, Writer},
};

/// Changes that wait for the writer before a caller has to wait to hand in
/// another.
const PENDING: usize = 1_024;

/// Connections that read.
const READERS: u32 = 3;

/// How long SQLite waits for a lock of its own; only a reader of another
/// program can hold one.
const BUSY: Duration = Duration::from_secs(5);

/// Longest wait for the guards of an earlier owner.
const MOST_PATIENCE: Duration = Duration::from_secs(120);

/// How a store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    pub clock: Arc<dyn Clock>,
    pub faults: Arc<dyn Faults>,
    /// Jobs that may be there without having ended.
    pub queue_limit: usize,
    /// Written into the owner lock: who a second opener is told about.
    pub owner: String,
    /// How long a caller waits for an answer.
    pub deadline: Duration,
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("queue_limit", &self.queue_limit)
            .field("owner", &self.owner)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store `{}` is in use by {by}; stop that first, or use another `store`", .path.display())]
    Owned { path: PathBuf, by: String },
    #[error("there is no directory for the store `{}`; create it, or use another `store`", .path.display())]
    NoDirectory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the store needs to write to `{}`, which is read-only for this user; change its owner or mode", .path.display())]
    ReadOnly {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the disk that holds the store `{}` is full; make room", .path.display())]
    Full {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{}` is not a SQLite database; move it away, or use another `store`", .path.display())]
    NotADatabase { path: PathBuf },
    #[error("`{}` is a database of another program; use another `store`", .path.display())]
    Foreign { path: PathBuf },
    #[error("the store `{}` has schema {found}, this version knows {known}; use the newer version of Lariat that wrote it", .path.display())]
    LaterSchema {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("the store `{}` is damaged ({what}); restore it from a backup, or move it away to begin anew", .path.display())]
    Corrupt { path: PathBuf, what: String },
    #[error("the store `{}` cannot be opened", .path.display())]
    Failed {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    /// From what the operating system said of `path`.
    fn of_file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoDirectory { path, source },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full {
                path,
                source: source.into(),
            },
            _ => Self::Failed {
                path,
                source: source.into(),
            },
        }
    }

    fn of_failure(path: &Path, failure: Failure) -> Self {
        let path = path.to_owned();
        match failure {
            Failure::Full(text) => Self::Full {
                path,
                source: text.into(),
            },
            Failure::ReadOnly(text) => Self::ReadOnly {
                path,
                source: io::Error::other(text),
            },
            Failure::Corrupt(what) => Self::Corrupt { path, what },
            Failure::Broken(text) | Failure::Statement(text) => Self::Failed {
                path,
                source: text.into(),
            },
            Failure::Closed => Self::Failed {
                path,
                source: "it was closed".into(),
            },
        }
    }
}

/// A store in one SQLite file. Clones are handles to the same store; when the
/// last one goes without [`close`](model::ports::Upkeep::close) the file is
/// left as after a crash, which loses nothing that was answered.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    deadline: Duration,
    clock: HiddenClock,
    writer: mpsc::Sender<Item>,
    readers: SqlitePool,
    /// Told when a job may have become ready.
    wake: Arc<Notify>,
    /// Told when an outbox was given something.
    outgoing: Arc<Notify>,
    /// Something was committed.
    changed: Arc<Notify>,
    counters: Arc<Counters>,
    /// The writer, which ends with the store.
    _tasks: JoinSet<()>,
    /// Given back on close.
    lock: Mutex<Option<OwnerLock>>,
}

struct HiddenClock(Arc<dyn Clock>);

impl fmt::Debug for HiddenClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl SqliteStore {
    /// Opens the store at `path`, which is made when it is not there, as the
    /// only process that does. Leases of an earlier process have run out then,
    /// as soon as nothing of it is running any more.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        Self::open_bounded(path, options, None).await
    }

    /// As [`SqliteStore::open`], with room for `max_pages` pages only: what a
    /// disk that is full looks like from inside.
    pub async fn open_bounded(
        path: &Path,
        options: SqliteOptions,
        max_pages: Option<u32>,
    ) -> Result<Self, OpenError> {
        let database = make_file(path)?;
        // A link to a store is that store, with all that stands beside it.
        let real = fs_err::canonicalize(path).map_err(|source| OpenError::of_file(path, source))?;
        let path = real.as_path();
        let home = Home::of(path, &database).map_err(|source| OpenError::of_file(path, source))?;
        let lock = OwnerLock::take(path, database, &options.owner).await?;
        let connect = connect_options(path, max_pages);
        let mut conn = prepare(path, &connect).await?;
        expire_earlier_leases(path, &mut conn, options.clock.as_ref()).await?;
        let wake = Arc::new(Notify::new());
        let outgoing = Arc::new(Notify::new());
        let changed = Arc::new(Notify::new());
        let counters = Arc::new(Counters::default());
        let (sender, items) = mpsc::channel(PENDING);
        let settings = Settings {
            connect,
            home,
            clock: Arc::clone(&options.clock),
            faults: options.faults,
            queue_limit: options.queue_limit,
            wake: Arc::clone(&wake),
            outgoing: Arc::clone(&outgoing),
            changed: Arc::clone(&changed),
            counters: Arc::clone(&counters),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(Writer::new(settings, conn).run(items));
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                deadline: options.deadline,
                clock: HiddenClock(options.clock),
                writer: sender,
                readers: readers(path, options.deadline),
                wake,
                outgoing,
                changed,
                counters,
                _tasks: tasks,
                lock: Mutex::new(Some(lock)),
            }),
        })
    }

    /// Where its file is, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Hands a change to the writer and waits for its commit.
    async fn write<W: Write>(&self, write: W) -> Result<W::Answer, StoreError> {
        let (pending, answer) = writer::pending(write);
        self.within_deadline(async {
            self.hand_in(Item::Write(pending)).await?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
        .await
    }

    async fn hand_in(&self, item: Item) -> Result<(), StoreError> {
        self.inner
            .writer
            .send(item)
            .await
            .map_err(|_| StoreError::Closed)
    }

    async fn within_deadline<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let after = self.inner.deadline;
        match timeout(after, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Deadline { after }.into()),
        }
    }

    /// A connection that reads.
    async fn reader(&self) -> Result<PoolConnection<Sqlite>, Failure> {
        Ok(self.inner.readers.acquire().await?)
    }

    /// Reads within the deadline.
    async fn read<T>(
        &self,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        self.within_deadline(async { answer.await.map_err(StoreError::from) })
            .await
    }

    async fn shut(&self) {
        // The writer goes last: the last connection to a file is the one that
        // moves the log into it, and readers cannot.
        self.inner.readers.close().await;
        let (done, closed) = oneshot::channel();
        if self.hand_in(Item::Close(done)).await.is_ok() {
            // An error means that the writer is gone already.
            closed.await.ok();
        }
        self.inner.wake.notify_waiters();
        self.inner.outgoing.notify_waiters();
        self.inner.changed.notify_waiters();
        drop(
            self.inner
                .lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    fn is_closed(&self) -> bool {
        self.inner.writer.is_closed()
    }
}

/// Makes the file, for its owner only; SQLite gives those beside it the same
/// mode. A file that is something else is refused before SQLite sees it.
fn make_file(path: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::IsADirectory => OpenError::NotADatabase {
                path: path.to_owned(),
            },
            _ => OpenError::of_file(path, source),
        })?;
    match begins_like_a_database(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(OpenError::NotADatabase {
            path: path.to_owned(),
        }),
        Err(source) => Err(OpenError::of_file(path, source)),
    }
}

fn begins_like_a_database(file: &File) -> io::Result<bool> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut start = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == MAGIC)
}

fn connect_options(path: &Path, max_pages: Option<u32>) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(100)
        // KiB. The working set of intake is the end of each index.
        .pragma("cache_size", "-4096")
        // What a statement may have to undo would be a temporary file each.
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", "2000")
        .pragma("journal_size_limit", "67108864")
        .thread_name(|_| "store-writer".to_owned())
        .disable_statement_logging();
    match max_pages {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    }
}

fn readers(path: &Path, deadline: Duration) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(30)
        .pragma("cache_size", "-1024")
        .thread_name(|number| format!("store-reader-{number}"))
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .acquire_timeout(deadline)
        .idle_timeout(Duration::from_secs(60))
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Opens the writer's connection on a file of the newest schema.
async fn prepare(
    path: &Path,
    connect: &SqliteConnectOptions,
) -> Result<SqliteConnection, OpenError> {
    let refuse = |failure| OpenError::of_failure(path, failure);
    // The header is read before anything is set: a file of another program
    // or of a later version is left as it is.
    let looking = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let mut conn = looking
        .connect()
        .await
        .map_err(|error| refuse(error.into()))?;
    let found = schema::found(&mut conn).await.map_err(refuse)?;
    // What could not be closed is closed by the end of the connection.
    conn.close().await.ok();
    let known = schema::newest();
    let from = match found {
        Found::Empty => 0,
        Found::Schema(found) if found > known => {
            return Err(OpenError::LaterSchema {
                path: path.to_owned(),
                found,
                known,
            });
        }
        Found::Schema(found) => found,
        Found::Foreign => {
            return Err(OpenError::Foreign {
                path: path.to_owned(),
            });
        }
    };
    let mut conn = connect
        .connect()
        .await
        .map_err(|error| refuse(error.into()))?;
    schema::migrate(&mut conn, from).await.map_err(refuse)?;
    Ok(conn)
}

/// This process is the only one that serves the store, so every lease in it
/// is of a process that ended. Its guards may still be killing what it ran:
/// as long as one of them lives, the leases stand.
async fn expire_earlier_leases(
    path: &Path,
    conn: &mut SqliteConnection,
    clock: &dyn Clock,
) -> Result<(), OpenError> {
    let refuse = |error: sqlx::Error| OpenError::of_failure(path, error.into());
    let now = clock.boot();
    let (running, longest): (i64, Option<i64>) = sqlx::query_as(
        "SELECT count(*), max(CASE lease_boot WHEN ? THEN lease_until END) FROM jobs
         WHERE state = 'running'",
    )
    .bind(now.boot.clone())
    .fetch_one(&mut *conn)
    .await
    .map_err(refuse)?;
    let left = longest.map_or(0, |until| until.saturating_sub(now.millis));
    let patience = Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(MOST_PATIENCE);
    let is_alone = lock::earlier_guards_are_gone(path, patience).await?;
    if running > 0 && is_alone {
        sqlx::query("UPDATE jobs SET lease_until = ?, lease_boot = ? WHERE state = 'running'")
            .bind(now.millis)
            .bind(now.boot)
            .execute(&mut *conn)
            .await
            .map_err(refuse)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
