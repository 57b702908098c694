//! What becomes of jobs: see [`Lifecycle`].
//!
//! Triggers note it, so that no statement that changes a job can forget to.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use model::{
    job::{JobState, Outcome},
    ports::{
        StoreError,
        lifecycle::{JobChange, Lifecycle},
    },
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use tokio::time::Instant;

use super::{
    SqliteStore,
    failure::Failure,
    ports::POLL,
    rows::{job_state, list, object, outcome, parse, signed, unsigned},
    writer::{Tx, Write},
};

#[async_trait]
impl Lifecycle for SqliteStore {
    async fn listen_to(&self, states: &HashSet<JobState>) -> Result<(), StoreError> {
        let states = states.iter().map(|state| state.as_str()).collect();
        self.write(Listen(states)).await
    }

    async fn changes(&self, max: usize, wait: Duration) -> Result<Vec<JobChange>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            // Interest is registered before looking, so no wake-up is missed.
            let mut woken = std::pin::pin!(self.inner.changed.notified());
            woken.as_mut().enable();
            if self.is_closed() {
                return Err(StoreError::Closed);
            }
            let found = self
                .read(async { changes(&mut *self.reader().await?, max).await })
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

    async fn told(&self, seqs: &[u64]) -> Result<(), StoreError> {
        self.write(Told(seqs.to_vec())).await
    }
}

async fn changes(conn: &mut SqliteConnection, max: usize) -> Result<Vec<JobChange>, Failure> {
    let rows = sqlx::query(
        "SELECT c.seq, c.state, c.reason, c.attempt, c.result, j.id AS job, j.rule, j.key,
                e.id AS event, e.topic, a.outcome,
                (SELECT hops FROM causes WHERE event = e.seq) AS hops
         FROM job_changes c JOIN jobs j ON j.seq = c.job JOIN events e ON e.seq = j.event
         LEFT JOIN attempts a ON a.job = c.job AND a.number = c.attempt
         ORDER BY c.seq LIMIT ?",
    )
    .bind(signed(max))
    .fetch_all(conn)
    .await?;
    rows.iter().map(change).collect()
}

fn change(row: &SqliteRow) -> Result<JobChange, Failure> {
    let state = job_state(row.try_get("state")?)?;
    let ended: Option<Outcome> = outcome(row.try_get("outcome")?)?;
    Ok(JobChange {
        seq: unsigned(row.try_get("seq")?, "change of a job")?,
        job: parse(row.try_get("job")?, "job id")?,
        rule: parse(row.try_get("rule")?, "rule name")?,
        key: row.try_get("key")?,
        state,
        reason: row.try_get("reason")?,
        attempt: unsigned(row.try_get("attempt")?, "number of an attempt")?,
        outcome: ended.filter(|_| state.follows_an_attempt()),
        result: object(row.try_get("result")?)?,
        event: parse(row.try_get("event")?, "event id")?,
        topic: parse(row.try_get("topic")?, "topic")?,
        hops: unsigned(
            row.try_get::<Option<i64>, _>("hops")?.unwrap_or(0),
            "hops of an event",
        )?,
    })
}

struct Listen(Vec<&'static str>);

#[async_trait]
impl Write for Listen {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        sqlx::query("DELETE FROM listened WHERE state NOT IN (SELECT value FROM json_each(?))")
            .bind(list(&self.0))
            .execute(&mut *tx.conn)
            .await?;
        sqlx::query("INSERT OR IGNORE INTO listened (state) SELECT value FROM json_each(?)")
            .bind(list(&self.0))
            .execute(&mut *tx.conn)
            .await?;
        Ok(())
    }
}

struct Told(Vec<u64>);

#[async_trait]
impl Write for Told {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        sqlx::query("DELETE FROM job_changes WHERE seq IN (SELECT value FROM json_each(?))")
            .bind(list(&self.0))
            .execute(&mut *tx.conn)
            .await?;
        Ok(())
    }
}
