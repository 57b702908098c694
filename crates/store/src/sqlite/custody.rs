//! Whose the jobs of deliveries are: see [`JobCustody`].

use std::collections::HashMap;

use async_trait::async_trait;
use model::{
    custody::JobStanding,
    id::{EventId, JobId, WorkerId},
    job::NextState,
    ports::{StoreError, custody::JobCustody},
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteStore,
    failure::Failure,
    finish::{HEAD_COLUMNS, Head, settle},
    rows::{self, job_state, list, parse},
    writer::{Tx, Write},
};

/// Events that one question is about at most.
const MOST_EVENTS: usize = 500;

#[async_trait]
impl JobCustody for SqliteStore {
    async fn standing(
        &self,
        events: &[EventId],
    ) -> Result<Vec<(EventId, Vec<JobStanding>)>, StoreError> {
        let mut standing = Vec::with_capacity(events.len());
        for some in events.chunks(MOST_EVENTS) {
            let found = self
                .read(async { standing_of(&mut *self.reader().await?, some).await })
                .await?;
            standing.extend(found);
        }
        Ok(standing)
    }

    async fn park(&self, events: &[EventId]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.write(Park(events.to_vec())).await
    }

    async fn give_back(&self, events: &[EventId], reason: &str) -> Result<Vec<JobId>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.write(Return {
            events: events.to_vec(),
            reason: reason.to_owned(),
        })
        .await
    }

    async fn give_back_of_others(
        &self,
        worker: &WorkerId,
        max: usize,
        reason: &str,
    ) -> Result<usize, StoreError> {
        self.write(ReturnOthers {
            worker: worker.clone(),
            max,
            reason: reason.to_owned(),
        })
        .await
    }
}

/// The events in the order in which they were asked for, each once.
async fn standing_of(
    conn: &mut SqliteConnection,
    events: &[EventId],
) -> Result<Vec<(EventId, Vec<JobStanding>)>, Failure> {
    let rows = sqlx::query(
        "SELECT e.id AS event, j.id AS job, j.state, j.attempt, j.delivery
         FROM events e LEFT JOIN jobs j ON j.event = e.seq
         WHERE e.id IN (SELECT value FROM json_each(?)) ORDER BY j.seq",
    )
    .bind(list(events))
    .fetch_all(conn)
    .await?;
    let mut jobs: HashMap<EventId, Vec<JobStanding>> = HashMap::new();
    for row in &rows {
        let of_event = jobs
            .entry(parse(row.try_get("event")?, "event id")?)
            .or_default();
        of_event.extend(one(row)?);
    }
    Ok(events
        .iter()
        .filter_map(|event| jobs.remove_entry(event))
        .collect())
}

fn one(row: &SqliteRow) -> Result<Option<JobStanding>, Failure> {
    let Some(job) = row.try_get::<Option<&str>, _>("job")? else {
        return Ok(None);
    };
    let delivery: Option<&str> = row.try_get("delivery")?;
    Ok(Some(JobStanding {
        job: parse(job, "job id")?,
        state: job_state(row.try_get("state")?)?,
        begun: row.try_get::<i64, _>("attempt")? > 0,
        delivery: delivery.map(|it| parse(it, "worker id")).transpose()?,
    }))
}

/// See [`JobCustody::park`].
struct Park(Vec<EventId>);

#[async_trait]
impl Write for Park {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let parked = sqlx::query(
            "UPDATE jobs SET delivery = NULL
             WHERE event IN (
                 SELECT seq FROM events WHERE id IN (SELECT value FROM json_each(?)))
             AND delivery IS NOT NULL
             AND +state IN ('waiting', 'delayed', 'queued', 'running', 'retrying', 'held')",
        )
        .bind(list(&self.0))
        .execute(&mut *tx.conn)
        .await?;
        // A claimant that may begin nothing of deliveries may begin these.
        tx.effects.wake |= parked.rows_affected() > 0;
        Ok(())
    }
}

/// See [`JobCustody::give_back`].
struct Return {
    events: Vec<EventId>,
    reason: String,
}

#[async_trait]
impl Write for Return {
    type Answer = Vec<JobId>;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Vec<JobId>, Failure> {
        let sql = format!(
            "SELECT {HEAD_COLUMNS} FROM jobs
             WHERE event IN (
                 SELECT seq FROM events WHERE id IN (SELECT value FROM json_each(?)))
             AND delivery IS NOT NULL
             AND +state IN ('waiting', 'delayed', 'queued', 'retrying', 'held')
             ORDER BY seq"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(list(&self.events))
            .fetch_all(&mut *tx.conn)
            .await?;
        let jobs = give_back(tx, &rows, &self.reason).await?;
        Ok(jobs.into_iter().map(|job| job.id).collect())
    }
}

/// See [`JobCustody::give_back_of_others`].
struct ReturnOthers {
    worker: WorkerId,
    max: usize,
    reason: String,
}

#[async_trait]
impl Write for ReturnOthers {
    type Answer = usize;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<usize, Failure> {
        let sql = format!(
            "SELECT {HEAD_COLUMNS} FROM jobs INDEXED BY jobs_delivery
             WHERE delivery IS NOT NULL AND delivery <> ?
             AND state IN ('waiting', 'delayed', 'queued', 'retrying', 'held') LIMIT ?"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(self.worker.as_str().to_owned())
            .bind(rows::signed(self.max))
            .fetch_all(&mut *tx.conn)
            .await?;
        Ok(give_back(tx, &rows, &self.reason).await?.len())
    }
}

/// Puts jobs that do not run into `returned`, which hands their keys on.
async fn give_back(
    tx: &mut Tx<'_>,
    rows: &[SqliteRow],
    reason: &str,
) -> Result<Vec<Head>, Failure> {
    let next = NextState::Returned {
        reason: reason.to_owned(),
    };
    let jobs: Vec<Head> = rows.iter().map(Head::read).collect::<Result<_, _>>()?;
    for job in &jobs {
        settle(tx, job, &next).await?;
    }
    Ok(jobs)
}
