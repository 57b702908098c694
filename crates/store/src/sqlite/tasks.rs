//! What playbooks tell about their tasks: see [`TaskLog`].
//!
//! A batch is a few statements, however many events it has: a play on a
//! thousand hosts tells tens of thousands.

use std::collections::HashMap;

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    id::{JobId, LeaseId},
    job::JobState,
    page::{Cursor, Page},
    ports::{Fenced, StoreError, task::TaskLog},
    task::{MOST_NAMES, Recap, RecordedTask, TaskEvent, TaskPage, TaskQuery},
};
use sqlx::{Acquire, Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteStore,
    claim::held,
    failure::Failure,
    rows::{from_json, insert, job_state, list, parse, signed, to_json, unsigned},
    writer::{Tx, Write},
};

#[async_trait]
impl TaskLog for SqliteStore {
    async fn append_tasks(
        &self,
        lease: &LeaseId,
        step: usize,
        events: Vec<(Timestamp, TaskEvent)>,
    ) -> Result<Fenced, StoreError> {
        self.write(Append {
            lease: lease.clone(),
            step,
            events,
        })
        .await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Option<TaskPage>, StoreError> {
        self.read(async {
            let mut conn = self.reader().await?;
            let mut snapshot = conn.begin().await?;
            read(&mut snapshot, query).await
        })
        .await
    }

    async fn recaps(&self, jobs: &[JobId]) -> Result<HashMap<JobId, Recap>, StoreError> {
        if jobs.is_empty() {
            return Ok(HashMap::new());
        }
        self.read(async { recaps(&mut *self.reader().await?, jobs).await })
            .await
    }
}

/// See [`TaskLog::append_tasks`].
struct Append {
    lease: LeaseId,
    step: usize,
    events: Vec<(Timestamp, TaskEvent)>,
}

#[async_trait]
impl Write for Append {
    type Answer = Fenced;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Fenced, Failure> {
        let Some(job) = held(tx, &self.lease).await? else {
            return Ok(Fenced::Stale);
        };
        if self.events.is_empty() {
            return Ok(Fenced::Recorded);
        }
        let attempt = i64::from(self.lease.attempt);
        let last: Option<i64> =
            sqlx::query_scalar("SELECT max(n) FROM task_events WHERE job = ? AND attempt = ?")
                .bind(job)
                .bind(attempt)
                .fetch_one(&mut *tx.conn)
                .await?;
        let places = last.unwrap_or(0) + 1..;
        let rows: Vec<(i64, &(Timestamp, TaskEvent))> = places.zip(&self.events).collect();
        insert(
            tx.conn,
            (
                "INSERT INTO task_events (job, attempt, n, step, at, kind, host, status, data) VALUES",
                9,
                "",
            ),
            &rows,
            |statement, (n, (at, event))| {
                statement
                    .bind(job)
                    .bind(attempt)
                    .bind(*n)
                    .bind(signed(self.step))
                    .bind(at.as_millis())
                    .bind(event.kind().as_str())
                    .bind(event.host().map(str::to_owned))
                    .bind(event.status().map(|status| status.as_str()))
                    .bind(to_json(event))
            },
        )
        .await?;
        self.keep_recaps(tx, (job, attempt)).await?;
        sqlx::query("UPDATE attempts SET output = 1 WHERE job = ? AND number = ? AND output = 0")
            .bind(job)
            .bind(attempt)
            .execute(&mut *tx.conn)
            .await?;
        Ok(Fenced::Recorded)
    }
}

impl Append {
    /// A host has one recap of a step; the first counts.
    async fn keep_recaps(
        &self,
        tx: &mut Tx<'_>,
        (job, attempt): (i64, i64),
    ) -> Result<(), Failure> {
        let recaps: Vec<_> = self
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                TaskEvent::Recap(recap) => Some(recap),
                TaskEvent::Play(_)
                | TaskEvent::Task(_)
                | TaskEvent::Result(_)
                | TaskEvent::LeftOut { .. } => None,
            })
            .collect();
        insert(
            tx.conn,
            (
                "INSERT INTO task_recaps (job, step, attempt, host, has_failed, has_changed) VALUES",
                6,
                "ON CONFLICT DO NOTHING",
            ),
            &recaps,
            |statement, recap| {
                statement
                    .bind(job)
                    .bind(signed(self.step))
                    .bind(attempt)
                    .bind(recap.host.clone())
                    .bind(i64::from(recap.has_failed()))
                    .bind(i64::from(recap.has_changed()))
            },
        )
        .await?;
        Ok(())
    }
}

async fn read(conn: &mut SqliteConnection, query: &TaskQuery) -> Result<Option<TaskPage>, Failure> {
    let job: Option<(i64, String)> = sqlx::query_as("SELECT seq, state FROM jobs WHERE id = ?")
        .bind(query.job.as_str().to_owned())
        .fetch_optional(&mut *conn)
        .await?;
    let Some((job, state)) = job else {
        return Ok(None);
    };
    let attempt: Option<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT number, finished FROM attempts
         WHERE job = ?1 AND (?2 IS NULL OR number = ?2) ORDER BY number DESC LIMIT 1",
    )
    .bind(job)
    .bind(query.attempt.map(i64::from))
    .fetch_optional(&mut *conn)
    .await?;
    let after = query.after.unwrap_or(Cursor(0));
    let Some((attempt, finished)) = attempt else {
        let state: JobState = job_state(&state)?;
        return Ok(query.attempt.is_none().then(|| TaskPage {
            attempt: 0,
            page: Page {
                items: Vec::new(),
                next: Some(after),
            },
            is_open: !state.is_ended(),
        }));
    };
    let rows = sqlx::query(
        "SELECT n, step, at, data FROM task_events
         WHERE job = ?1 AND attempt = ?2 AND n > ?3
         AND (?4 IS NULL OR kind = ?4) AND (?5 IS NULL OR status = ?5) AND (?6 IS NULL OR host = ?6)
         ORDER BY n LIMIT ?7",
    )
    .bind(job)
    .bind(attempt)
    .bind(after.0)
    .bind(query.kind.map(|kind| kind.as_str()))
    .bind(query.status.map(|status| status.as_str()))
    .bind(query.host.clone())
    .bind(signed(query.limit))
    .fetch_all(conn)
    .await?;
    let attempt = unsigned(attempt, "attempt")?;
    let items: Vec<RecordedTask> = rows
        .iter()
        .map(|row| recorded(row, attempt))
        .collect::<Result<_, _>>()?;
    Ok(Some(TaskPage {
        attempt,
        is_open: finished.is_none() || items.len() >= query.limit,
        page: Page {
            next: Some(items.last().map_or(after, |last| last.place)),
            items,
        },
    }))
}

fn recorded(row: &SqliteRow, attempt: u32) -> Result<RecordedTask, Failure> {
    Ok(RecordedTask {
        place: Cursor(row.try_get("n")?),
        attempt,
        step: unsigned(row.try_get("step")?, "step of a task event")?,
        at: Timestamp::from_millis(row.try_get("at")?),
        event: from_json(row.try_get("data")?, "a task event")?,
    })
}

/// The counts of each job stand in all its rows; of its hosts those are read
/// that are named. Of attempts before the last only their changes count.
async fn recaps(
    conn: &mut SqliteConnection,
    jobs: &[JobId],
) -> Result<HashMap<JobId, Recap>, Failure> {
    let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
    let rows = sqlx::query(
        "WITH last AS (
             SELECT job, step, max(attempt) AS last FROM task_recaps
             WHERE job IN (SELECT seq FROM jobs WHERE id IN (SELECT value FROM json_each(?1)))
             GROUP BY job, step),
         hosts AS (
             SELECT job, host, max(has_failed AND attempt = last) AS has_failed,
                 max(has_changed) AS has_changed
             FROM last JOIN task_recaps USING (job, step)
             WHERE attempt = last OR has_changed
             GROUP BY job, host),
         ranked AS (
             SELECT job, host, has_failed, has_changed,
                 count(*) OVER (PARTITION BY job) AS hosts,
                 sum(has_failed) OVER (PARTITION BY job) AS failed,
                 sum(has_changed) OVER (PARTITION BY job) AS changed,
                 row_number() OVER (PARTITION BY job, has_failed ORDER BY host) AS failed_rank,
                 row_number() OVER (PARTITION BY job, has_changed ORDER BY host) AS changed_rank
             FROM hosts)
         SELECT jobs.id, ranked.* FROM ranked JOIN jobs ON jobs.seq = ranked.job
         WHERE failed_rank <= ?2 OR changed_rank <= ?2
         ORDER BY ranked.job, ranked.host",
    )
    .bind(list(&ids))
    .bind(signed(MOST_NAMES))
    .fetch_all(conn)
    .await?;
    let mut recaps: HashMap<JobId, Recap> = HashMap::new();
    for row in &rows {
        let id: JobId = parse(row.try_get("id")?, "job id")?;
        let count =
            |name: &str| -> Result<u64, Failure> { unsigned(row.try_get(name)?, "count of hosts") };
        let recap = recaps.entry(id).or_default();
        recap.hosts = count("hosts")?;
        recap.failed = count("failed")?;
        recap.changed = count("changed")?;
        let host: String = row.try_get("host")?;
        let is_named = |what: &str, rank: &str| -> Result<bool, Failure> {
            let is_so = row.try_get::<i64, _>(what)? != 0;
            Ok(is_so && row.try_get::<i64, _>(rank)? <= signed(MOST_NAMES))
        };
        if is_named("has_failed", "failed_rank")? {
            recap.failed_names.push(host.clone());
        }
        if is_named("has_changed", "changed_rank")? {
            recap.changed_names.push(host);
        }
    }
    Ok(recaps)
}
