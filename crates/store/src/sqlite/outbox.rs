//! What routes send on, until the sink has taken it: see [`Outbox`].
//!
//! A row is an event's place in the line of one sink. The number of the row
//! is never used again, so that a sender may go on after the last it has seen.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    id::{EventId, SinkName},
    ports::{
        DeadKind, DeadLetterDraft, StoreError,
        outbox::{Backlog, Outbox, Outgoing},
    },
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};
use tokio::time::Instant;

use super::{
    SqliteStore,
    accept::Kept,
    dead,
    failure::Failure,
    ports::POLL,
    rows::{self, EVENT_COLUMNS, insert, list, parse, to_json, unsigned},
    writer::{Tx, Write},
};

/// Bytes of headers and bodies in one answer, the first event aside.
const MOST_BYTES: i64 = 8 << 20;

#[async_trait]
impl Outbox for SqliteStore {
    async fn pending(
        &self,
        sink: &SinkName,
        after: u64,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            // Interest is registered before looking, so no wake-up is missed.
            let mut woken = std::pin::pin!(self.inner.outgoing.notified());
            woken.as_mut().enable();
            if self.is_closed() {
                return Err(StoreError::Closed);
            }
            let found = self
                .read(async { pending(&mut *self.reader().await?, sink, after, max).await })
                .await?;
            let rest = deadline.saturating_duration_since(Instant::now());
            if !found.is_empty() || rest.is_zero() {
                return Ok(found);
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(rest.min(POLL)) => {}
            }
        }
    }

    async fn sent(&self, sink: &SinkName, seqs: &[u64]) -> Result<(), StoreError> {
        if seqs.is_empty() {
            return Ok(());
        }
        self.write(Sent {
            sink: sink.clone(),
            seqs: seqs.to_vec(),
        })
        .await
    }

    async fn give_up(&self, sink: &SinkName, seq: u64, cause: &str) -> Result<(), StoreError> {
        self.write(GiveUp {
            sink: sink.clone(),
            seq,
            cause: cause.to_owned(),
        })
        .await
    }

    async fn put(&self, sink: &SinkName, event: &EventId) -> Result<bool, StoreError> {
        self.write(Put {
            sink: sink.clone(),
            event: event.clone(),
        })
        .await
    }

    async fn backlog(&self) -> Result<BTreeMap<SinkName, Backlog>, StoreError> {
        self.read(async { backlog(&mut *self.reader().await?).await })
            .await
    }
}

/// Puts new events into the outboxes of their routes.
pub(crate) async fn fill(tx: &mut Tx<'_>, kept: &[Kept<'_>]) -> Result<(), Failure> {
    let places: Vec<(&SinkName, i64)> = kept
        .iter()
        .flat_map(|it| it.row.judged.routes.iter().map(|sink| (sink, it.seq)))
        .collect();
    if places.is_empty() {
        return Ok(());
    }
    insert(
        tx.conn,
        (
            "INSERT INTO outbox (sink, event) VALUES",
            2,
            "ON CONFLICT DO NOTHING",
        ),
        &places,
        |statement, (sink, event)| statement.bind(sink.as_str().to_owned()).bind(*event),
    )
    .await?;
    tx.effects.outgoing = true;
    Ok(())
}

/// A number of an outbox in its column. One that is too large is nobody's.
fn place(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

async fn pending(
    conn: &mut SqliteConnection,
    sink: &SinkName,
    after: u64,
    max: usize,
) -> Result<Vec<Outgoing>, Failure> {
    // The sizes of texts are read without the texts.
    let sizes: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT o.seq, octet_length(e.body) + octet_length(e.headers)
         FROM outbox o JOIN events e ON e.seq = o.event
         WHERE o.sink = ? AND o.seq > ? ORDER BY o.seq LIMIT ?",
    )
    .bind(sink.as_str().to_owned())
    .bind(place(after))
    .bind(rows::signed(max))
    .fetch_all(&mut *conn)
    .await?;
    let mut bytes = 0_i64;
    let mut seqs = Vec::with_capacity(sizes.len());
    for (seq, size) in sizes {
        bytes = bytes.saturating_add(size);
        if bytes > MOST_BYTES && !seqs.is_empty() {
            break;
        }
        seqs.push(seq);
    }
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT o.seq AS outbox_seq, {EVENT_COLUMNS}
         FROM outbox o JOIN events e ON e.seq = o.event
         WHERE o.seq IN (SELECT value FROM json_each(?)) ORDER BY o.seq"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(list(&seqs))
        .fetch_all(conn)
        .await?;
    rows.iter().map(outgoing).collect()
}

fn outgoing(row: &SqliteRow) -> Result<Outgoing, Failure> {
    Ok(Outgoing {
        seq: unsigned(row.try_get("outbox_seq")?, "place in an outbox")?,
        event: rows::event(row)?,
    })
}

async fn backlog(conn: &mut SqliteConnection) -> Result<BTreeMap<SinkName, Backlog>, Failure> {
    let found: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT w.sink, w.events, e.accepted
         FROM (SELECT sink, count(*) AS events, min(seq) AS first FROM outbox GROUP BY sink) w
         JOIN outbox o ON o.seq = w.first
         JOIN events e ON e.seq = o.event",
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|(sink, events, accepted)| {
            let backlog = Backlog {
                events: unsigned(events, "count of events")?,
                oldest: Some(Timestamp::from_millis(accepted)),
            };
            Ok((parse(&sink, "sink name")?, backlog))
        })
        .collect()
}

/// See [`Outbox::sent`].
struct Sent {
    sink: SinkName,
    seqs: Vec<u64>,
}

#[async_trait]
impl Write for Sent {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let seqs: Vec<i64> = self.seqs.iter().copied().map(place).collect();
        sqlx::query(
            "DELETE FROM outbox WHERE sink = ? AND seq IN (SELECT value FROM json_each(?))",
        )
        .bind(self.sink.as_str().to_owned())
        .bind(list(&seqs))
        .execute(&mut *tx.conn)
        .await?;
        Ok(())
    }
}

/// See [`Outbox::give_up`].
struct GiveUp {
    sink: SinkName,
    seq: u64,
    cause: String,
}

#[async_trait]
impl Write for GiveUp {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM outbox o JOIN events e ON e.seq = o.event
             WHERE o.seq = ? AND o.sink = ?"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(place(self.seq))
            .bind(self.sink.as_str().to_owned())
            .fetch_optional(&mut *tx.conn)
            .await?;
        let Some(row) = row else {
            return Ok(());
        };
        let event = rows::event(&row)?;
        let letter = DeadLetterDraft {
            kind: DeadKind::Unsendable,
            cause: self.cause.clone(),
            raw: Some(to_json(&event).into_bytes()),
            event_id: Some(event.id),
            rule: None,
            job_id: None,
            source: self.sink.as_str().to_owned(),
        };
        dead::keep(tx, letter).await?;
        sqlx::query("DELETE FROM outbox WHERE seq = ?")
            .bind(place(self.seq))
            .execute(&mut *tx.conn)
            .await?;
        Ok(())
    }
}

/// See [`Outbox::put`].
struct Put {
    sink: SinkName,
    event: EventId,
}

#[async_trait]
impl Write for Put {
    type Answer = bool;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<bool, Failure> {
        let event: Option<i64> = sqlx::query_scalar("SELECT seq FROM events WHERE id = ?")
            .bind(self.event.as_str().to_owned())
            .fetch_optional(&mut *tx.conn)
            .await?;
        let Some(event) = event else {
            return Ok(false);
        };
        sqlx::query("INSERT INTO outbox (sink, event) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(self.sink.as_str().to_owned())
            .bind(event)
            .execute(&mut *tx.conn)
            .await?;
        tx.effects.outgoing = true;
        Ok(true)
    }
}
