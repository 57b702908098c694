//! Counts, and whether a write would succeed.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use model::{clock::BootTime, ports::StoreStatus};
use sqlx::SqliteConnection;

use super::{
    claim,
    failure::Failure,
    lock::beside,
    rows::unsigned,
    schema,
    writer::{Tx, Write},
};

/// What was accepted since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    events: AtomicU64,
}

impl Counters {
    pub(crate) fn count_commit(&self, events: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }
}

/// See `Upkeep::status`.
pub(crate) async fn read(
    conn: &mut SqliteConnection,
    (path, counters): (&Path, &Counters),
    now: &BootTime,
) -> Result<StoreStatus, Failure> {
    let events: i64 = sqlx::query_scalar("SELECT coalesce(sum(events), 0) FROM event_minutes")
        .fetch_one(&mut *conn)
        .await?;
    let states: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM jobs GROUP BY state")
            .fetch_all(&mut *conn)
            .await?;
    let mut jobs = BTreeMap::new();
    for (state, count) in states {
        jobs.insert(state, unsigned(count, "count of jobs")?);
    }
    let open_dead_letters: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead_letters WHERE state = 'open'")
            .fetch_one(&mut *conn)
            .await?;
    let oldest = claim::oldest_ready(conn, now).await?;
    Ok(StoreStatus {
        kind: "sqlite".to_owned(),
        schema: schema::newest(),
        size_bytes: size(path) + size(&beside(path, "-wal")),
        events: unsigned(events, "count of events")?,
        jobs,
        open_dead_letters: unsigned(open_dead_letters, "count of dead letters")?,
        oldest_queued: oldest,
        accept_commits: counters.commits.load(Ordering::Relaxed),
        accepted_events: counters.events.load(Ordering::Relaxed),
    })
}

fn size(path: &Path) -> u64 {
    fs_err::metadata(path).map_or(0, |metadata| metadata.len())
}

/// See `Upkeep::probe`.
pub(crate) struct Probe;

#[async_trait]
impl Write for Probe {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        sqlx::query(
            "INSERT INTO pulse (one, at) VALUES (1, ?)
             ON CONFLICT (one) DO UPDATE SET at = excluded.at",
        )
        .bind(tx.now.wall.as_millis())
        .execute(&mut *tx.conn)
        .await?;
        Ok(())
    }
}
