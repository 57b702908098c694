//! Jobs out to workers: claims and the leases that come of them.
//!
//! A lease is the number of the attempt together with an end on the boot-time
//! clock. Whatever is recorded for a job is recorded under [`held`].

use std::time::Duration;

use async_trait::async_trait;
use model::{
    clock::{BootTime, Timestamp},
    fault::FaultPoint,
    id::LeaseId,
    job::{Lease, NextState, Tries},
    ports::{Claimant, Renewed},
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};
use tokio::sync::mpsc;

use super::{
    failure::Failure,
    finish::{Head, settle},
    rows::{self, EVENT_COLUMNS, event, from_json, list, object, parse, principal, unsigned},
    storms,
    writer::{Item, Tx, Write, pending},
};

/// Jobs that could run now: queued ones, and retrying ones that are due. A
/// delay that was measured in another boot has passed. `whose` narrows them
/// down. SQLite would look at all retrying jobs to find those in order.
fn ready(whose: &str) -> String {
    const DUE: &str = "SELECT seq FROM jobs INDEXED BY jobs_due WHERE state = 'retrying'";
    format!(
        "SELECT seq FROM jobs WHERE state = 'queued'{whose}
         UNION ALL {DUE} AND due_boot = ?1 AND due_until <= ?2{whose}
         UNION ALL {DUE} AND due_boot < ?1{whose}
         UNION ALL {DUE} AND due_boot > ?1{whose}"
    )
}

/// What a claimant may have: `?3` is its name when it may begin what belongs
/// to its deliveries, and absent when it may not.
const ITS: &str = " AND (delivery IS NULL OR delivery = ?3)";

/// The name to look for among deliveries.
pub(crate) fn delivered_to(who: &Claimant) -> Option<String> {
    who.deliveries.then(|| who.worker.as_str().to_owned())
}

/// Whether `who` could have a job now, and otherwise how long until one of
/// those that it may have is due.
pub(crate) async fn outlook(
    conn: &mut SqliteConnection,
    who: &Claimant,
    now: &BootTime,
) -> Result<Outlook, Failure> {
    let sql = format!("SELECT EXISTS ({})", ready(ITS));
    let is_ready: bool = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(now.boot.clone())
        .bind(now.millis)
        .bind(delivered_to(who))
        .fetch_one(&mut *conn)
        .await?;
    if is_ready {
        return Ok(Outlook::Ready);
    }
    let delayed = storms::next_due(conn, now).await?;
    if delayed == Some(0) {
        return Ok(Outlook::Ready);
    }
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT min(due_until) FROM jobs INDEXED BY jobs_due
         WHERE state = 'retrying' AND due_boot = ?1 AND (delivery IS NULL OR delivery = ?2)",
    )
    .bind(now.boot.clone())
    .bind(delivered_to(who))
    .fetch_one(conn)
    .await?;
    let wait = due
        .map(|due| due.saturating_sub(now.millis))
        .into_iter()
        .chain(delayed)
        .min()
        .map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0).max(1)));
    Ok(Outlook::Nothing { due_in: wait })
}

/// When the oldest job that could run now was made.
pub(crate) async fn oldest_ready(
    conn: &mut SqliteConnection,
    now: &BootTime,
) -> Result<Option<Timestamp>, Failure> {
    let ready = ready("");
    let sql = format!("SELECT created FROM jobs WHERE seq = (SELECT min(seq) FROM ({ready}))");
    let created: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(now.boot.clone())
        .bind(now.millis)
        .fetch_optional(conn)
        .await?;
    Ok(rows::time(created))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    Ready,
    Nothing { due_in: Option<Duration> },
}

/// See `JobQueue::claim`, without the waiting.
pub(crate) struct Claim {
    pub(crate) who: Claimant,
    pub(crate) max: usize,
    pub(crate) lease: Duration,
    /// Where leases go back to when nobody takes them.
    pub(crate) back: mpsc::WeakSender<Item>,
}

/// Leases on their way to the caller. A caller that is gone when they are
/// there (its claim timed out, or was dropped by a worker that drains) has
/// begun nothing: the jobs go back to the queue at once and are not taken for
/// lost.
pub(crate) struct Claimed {
    leases: Vec<Lease>,
    /// Set once they are durable: before, there is nothing to give back.
    back: Option<mpsc::WeakSender<Item>>,
}

impl Claimed {
    pub(crate) fn take(mut self) -> Vec<Lease> {
        std::mem::take(&mut self.leases)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let Some(back) = self.back.take().and_then(|back| back.upgrade()) else {
            return;
        };
        let leases = self.leases.drain(..).map(|lease| lease.id).collect();
        let (give_back, _) = pending(GiveBack { leases });
        if back.try_send(Item::WriteAnyway(give_back)).is_err() {
            tracing::warn!("leases that nobody took could not be given back; they run out");
        }
    }
}

/// Makes claims undone whose jobs nobody has begun.
struct GiveBack {
    leases: Vec<LeaseId>,
}

#[async_trait]
impl Write for GiveBack {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        for lease in &self.leases {
            let Some(job) = held(tx, lease).await? else {
                continue;
            };
            let head = Head::of(tx.conn, job).await?;
            sqlx::query("DELETE FROM attempts WHERE job = ? AND number = ?")
                .bind(job)
                .bind(i64::from(lease.attempt))
                .execute(&mut *tx.conn)
                .await?;
            sqlx::query(
                "UPDATE jobs SET state = 'queued', attempt = attempt - 1, worker = NULL,
                     lease_boot = NULL, lease_until = NULL,
                     started = CASE WHEN attempt > 1 THEN started END
                 WHERE seq = ?",
            )
            .bind(job)
            .execute(&mut *tx.conn)
            .await?;
            tx.effects.wake = true;
            // What was asked of the attempt that was not begun.
            if let Some(by) = head.cancel.clone() {
                settle(tx, &head, &NextState::Cancelled { by }).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Write for Claim {
    type Answer = Claimed;

    fn committed(&self, claimed: &mut Claimed) {
        claimed.back = Some(self.back.clone());
    }

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Claimed, Failure> {
        storms::release_due(tx).await?;
        let ready = ready(ITS);
        let sql = format!("SELECT seq FROM ({ready}) ORDER BY seq LIMIT ?4");
        let ready: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(tx.now.boot.boot.clone())
            .bind(tx.now.boot.millis)
            .bind(delivered_to(&self.who))
            .bind(rows::signed(self.max))
            .fetch_all(&mut *tx.conn)
            .await?;
        if ready.is_empty() {
            return Ok(Claimed {
                leases: Vec::new(),
                back: None,
            });
        }
        let jobs = list(&ready);
        let now = tx.now.wall.as_millis();
        let end = tx.now.boot.plus(self.lease);
        sqlx::query(
            "UPDATE jobs SET state = 'running', attempt = attempt + 1, worker = ?,
                 lease_boot = ?, lease_until = ?, started = coalesce(started, ?), reason = NULL,
                 due_wall = NULL, due_boot = NULL, due_until = NULL, cancel_by = NULL
             WHERE seq IN (SELECT value FROM json_each(?))",
        )
        .bind(self.who.worker.as_str().to_owned())
        .bind(end.boot)
        .bind(end.millis)
        .bind(now)
        .bind(jobs.clone())
        .execute(&mut *tx.conn)
        .await?;
        sqlx::query(
            "INSERT INTO attempts (job, number, worker, started)
             SELECT seq, attempt, worker, ? FROM jobs
             WHERE seq IN (SELECT value FROM json_each(?))",
        )
        .bind(now)
        .bind(jobs.clone())
        .execute(&mut *tx.conn)
        .await?;
        begin_steps(tx, &jobs).await?;
        let sql = format!(
            "SELECT j.id AS job_id, j.attempt, j.rule, r.id AS revision, j.plan, j.next_step,
                 j.failed, j.lost, j.result, j.created, {EVENT_COLUMNS}
             FROM jobs j JOIN events e ON e.seq = j.event JOIN revisions r ON r.seq = j.revision
             WHERE j.seq IN (SELECT value FROM json_each(?)) ORDER BY j.seq"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(jobs)
            .fetch_all(&mut *tx.conn)
            .await?;
        tx.before_commit(FaultPoint::BeforeClaimCommit);
        let leases: Result<Vec<Lease>, Failure> = rows.iter().map(lease).collect();
        Ok(Claimed {
            leases: leases?,
            back: None,
        })
    }
}

/// Records that the next step of running jobs begins, where there is one.
/// `jobs` is a list for `json_each`.
pub(crate) async fn begin_steps(tx: &mut Tx<'_>, jobs: &str) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO steps (job, attempt, step, kind, state, started)
         SELECT seq, attempt, next_step, plan ->> ('$.steps[' || next_step || '].kind'),
             'running', ?
         FROM jobs
         WHERE seq IN (SELECT value FROM json_each(?))
         AND plan ->> ('$.steps[' || next_step || '].kind') IS NOT NULL",
    )
    .bind(tx.now.wall.as_millis())
    .bind(jobs.to_owned())
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

fn lease(row: &SqliteRow) -> Result<Lease, Failure> {
    Ok(Lease {
        id: LeaseId {
            job: parse(row.try_get("job_id")?, "job id")?,
            attempt: unsigned(row.try_get("attempt")?, "attempt")?,
        },
        rule: parse(row.try_get("rule")?, "rule name")?,
        revision: parse(row.try_get("revision")?, "revision")?,
        plan: from_json(row.try_get("plan")?, "plan of a job")?,
        event: event(row)?,
        step: unsigned(row.try_get("next_step")?, "step")?,
        tries: Tries {
            failed: unsigned(row.try_get("failed")?, "failures")?,
            lost: unsigned(row.try_get("lost")?, "losses")?,
        },
        result: object(row.try_get("result")?)?,
        created: Timestamp::from_millis(row.try_get("created")?),
    })
}

/// See `JobQueue::renew`.
pub(crate) struct Renew {
    pub(crate) leases: Vec<LeaseId>,
    pub(crate) lease: Duration,
}

#[async_trait]
impl Write for Renew {
    type Answer = Vec<Renewed>;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Vec<Renewed>, Failure> {
        let end = tx.now.boot.plus(self.lease);
        let mut renewed = Vec::with_capacity(self.leases.len());
        for lease in &self.leases {
            let row: Option<(Option<String>,)> = sqlx::query_as(
                "UPDATE jobs SET lease_until = ?
                 WHERE id = ? AND attempt = ? AND state = 'running'
                 AND lease_boot = ? AND lease_until > ?
                 RETURNING cancel_by",
            )
            .bind(end.millis)
            .bind(lease.job.as_str().to_owned())
            .bind(i64::from(lease.attempt))
            .bind(end.boot.clone())
            .bind(tx.now.boot.millis)
            .fetch_optional(&mut *tx.conn)
            .await?;
            if let Some((cancel,)) = row {
                renewed.push(Renewed {
                    lease: lease.clone(),
                    cancel: principal(cancel),
                });
            }
        }
        if !renewed.is_empty() {
            tx.before_commit(FaultPoint::DuringRenewal);
        }
        Ok(renewed)
    }
}

/// The row of a job whose lease is still good; `None` fences the caller off.
pub(crate) async fn held(tx: &mut Tx<'_>, lease: &LeaseId) -> Result<Option<i64>, Failure> {
    let seq = sqlx::query_scalar(
        "SELECT seq FROM jobs
         WHERE id = ? AND attempt = ? AND state = 'running'
         AND lease_boot = ? AND lease_until > ?",
    )
    .bind(lease.job.as_str().to_owned())
    .bind(i64::from(lease.attempt))
    .bind(tx.now.boot.boot.clone())
    .bind(tx.now.boot.millis)
    .fetch_optional(&mut *tx.conn)
    .await?;
    Ok(seq)
}
