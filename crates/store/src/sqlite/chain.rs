//! What events are the follow-ups of: see [`Chains`].

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    event::Cause,
    id::EventId,
    ports::{
        StoreError,
        chain::{Chains, Link, LinkJob},
    },
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteStore,
    accept::Kept,
    failure::Failure,
    rows::{job_state, list, parse, signed, unsigned},
    writer::Tx,
};

#[async_trait]
impl Chains for SqliteStore {
    async fn follow_ups(&self, of: &[EventId], max: usize) -> Result<Vec<Link>, StoreError> {
        self.read(async { follow_ups(&mut *self.reader().await?, of, max).await })
            .await
    }

    async fn jobs_of(&self, events: &[EventId], max: usize) -> Result<Vec<LinkJob>, StoreError> {
        self.read(async { jobs_of(&mut *self.reader().await?, events, max).await })
            .await
    }

    async fn chain_length(&self, of: &EventId, max: usize) -> Result<usize, StoreError> {
        self.read(async { chain_length(&mut *self.reader().await?, of, max).await })
            .await
    }
}

/// Notes the causes of new events. Few events have one, so each is a
/// statement of its own; the chain goes on from the cause's own first event.
pub(crate) async fn keep_causes(tx: &mut Tx<'_>, kept: &[Kept<'_>]) -> Result<(), Failure> {
    for it in kept {
        let Some(cause) = &it.row.judged.event.cause else {
            continue;
        };
        sqlx::query(
            "INSERT INTO causes (event, cause, job, hops, root)
             SELECT ?1, ?2, ?3, ?4, coalesce(
                 (SELECT c.root FROM causes c JOIN events e ON e.seq = c.event WHERE e.id = ?2),
                 ?2)",
        )
        .bind(it.seq)
        .bind(cause.event.as_str())
        .bind(cause.job.as_str())
        .bind(i64::from(cause.hops))
        .execute(&mut *tx.conn)
        .await?;
    }
    Ok(())
}

async fn follow_ups(
    conn: &mut SqliteConnection,
    of: &[EventId],
    max: usize,
) -> Result<Vec<Link>, Failure> {
    let rows = sqlx::query(
        "SELECT e.id, e.topic, e.accepted, e.source, c.cause, c.job, c.hops
         FROM causes c JOIN events e ON e.seq = c.event
         WHERE c.cause IN (SELECT value FROM json_each(?)) ORDER BY c.event LIMIT ?",
    )
    .bind(list(of))
    .bind(signed(max))
    .fetch_all(conn)
    .await?;
    rows.iter().map(link).collect()
}

fn link(row: &SqliteRow) -> Result<Link, Failure> {
    Ok(Link {
        id: parse(row.try_get("id")?, "event id")?,
        topic: parse(row.try_get("topic")?, "topic")?,
        accepted: Timestamp::from_millis(row.try_get("accepted")?),
        source: row.try_get("source")?,
        cause: Cause {
            event: parse(row.try_get("cause")?, "event id")?,
            job: parse(row.try_get("job")?, "job id")?,
            hops: unsigned(row.try_get("hops")?, "hops of an event")?,
        },
    })
}

async fn jobs_of(
    conn: &mut SqliteConnection,
    events: &[EventId],
    max: usize,
) -> Result<Vec<LinkJob>, Failure> {
    let rows = sqlx::query(
        "SELECT e.id AS event, j.id, j.rule, j.state
         FROM events e JOIN jobs j ON j.event = e.seq
         WHERE e.id IN (SELECT value FROM json_each(?)) ORDER BY j.seq LIMIT ?",
    )
    .bind(list(events))
    .bind(signed(max))
    .fetch_all(conn)
    .await?;
    let job = |row: &SqliteRow| {
        Ok(LinkJob {
            event: parse(row.try_get("event")?, "event id")?,
            id: parse(row.try_get("id")?, "job id")?,
            rule: parse(row.try_get("rule")?, "rule name")?,
            state: job_state(row.try_get("state")?)?,
        })
    };
    rows.iter().map(job).collect()
}

async fn chain_length(
    conn: &mut SqliteConnection,
    of: &EventId,
    max: usize,
) -> Result<usize, Failure> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT 1 FROM causes WHERE root = coalesce(
             (SELECT c.root FROM causes c JOIN events e ON e.seq = c.event WHERE e.id = ?1),
             ?1) LIMIT ?2)",
    )
    .bind(of.as_str())
    .bind(signed(max))
    .fetch_one(conn)
    .await?;
    unsigned(count, "length of a chain")
}
