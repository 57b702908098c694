//! What workers record: steps, the end of attempts, and leases that ran out.
//!
//! What becomes of a job is decided in `model::job`; here it is applied, in
//! the transaction that records why.

use async_trait::async_trait;
use model::{
    fault::FaultPoint,
    id::{JobId, LeaseId, Principal, RuleName, WorkerId},
    job::{
        JobPlan, JobState, LostLease, NextState, Outcome, StepEnd, StepState, Tries,
        after_lost_lease,
    },
    ports::{DeadKind, DeadLetterDraft, Fenced, Recovered},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    claim::{begin_steps, held},
    dead::{self, Letter},
    failure::Failure,
    keys,
    rows::{self, from_json, list, parse, principal, to_json, unsigned},
    storms,
    writer::{Tx, Write},
};

/// See `JobQueue::advance`.
pub(crate) struct Advance {
    pub(crate) lease: LeaseId,
    pub(crate) ended: StepEnd,
}

#[async_trait]
impl Write for Advance {
    type Answer = Fenced;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Fenced, Failure> {
        let Some(job) = held(tx, &self.lease).await? else {
            return Ok(Fenced::Stale);
        };
        // Recording the same end again finds no running step and is nothing.
        if end_step(tx, job, self.lease.attempt, &self.ended).await? {
            begin_steps(tx, &list(&[job])).await?;
        }
        Ok(Fenced::Recorded)
    }
}

/// Records how a running step ended. Says whether it was running.
async fn end_step(tx: &mut Tx<'_>, job: i64, attempt: u32, end: &StepEnd) -> Result<bool, Failure> {
    let ended = sqlx::query(
        "UPDATE steps SET state = ?, finished = ?, exit = ?, summary = ?
         WHERE job = ? AND attempt = ? AND step = ? AND state = 'running'",
    )
    .bind(StepState::of(end).as_str())
    .bind(tx.now.wall.as_millis())
    .bind(end.exit.as_ref().map(to_json))
    .bind(end.outcome.summary())
    .bind(job)
    .bind(i64::from(attempt))
    .bind(rows::signed(end.index))
    .execute(&mut *tx.conn)
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(false);
    }
    if matches!(end.outcome, Outcome::Succeeded { .. }) {
        sqlx::query("UPDATE jobs SET next_step = ?, result = ? WHERE seq = ?")
            .bind(rows::signed(end.index + 1))
            .bind(end.result.as_ref().map(to_json))
            .bind(job)
            .execute(&mut *tx.conn)
            .await?;
    }
    Ok(true)
}

/// What settling needs to know of a job.
pub(crate) struct Head {
    pub(crate) seq: i64,
    pub(crate) id: JobId,
    pub(crate) rule: RuleName,
    pub(crate) key: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) tries: Tries,
    pub(crate) cancel: Option<Principal>,
}

pub(crate) const HEAD_COLUMNS: &str =
    "seq, id, rule, key, attempt, failed, lost, cancel_by, state, worker, delivery, plan";

impl Head {
    pub(crate) async fn of(conn: &mut SqliteConnection, seq: i64) -> Result<Self, Failure> {
        let sql = format!("SELECT {HEAD_COLUMNS} FROM jobs WHERE seq = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(seq)
            .fetch_one(conn)
            .await?;
        Self::read(&row)
    }

    pub(crate) fn read(row: &SqliteRow) -> Result<Self, Failure> {
        Ok(Self {
            seq: row.try_get("seq")?,
            id: parse(row.try_get("id")?, "job id")?,
            rule: parse(row.try_get("rule")?, "rule name")?,
            key: row.try_get("key")?,
            attempt: unsigned(row.try_get("attempt")?, "attempt")?,
            tries: Tries {
                failed: unsigned(row.try_get("failed")?, "failures")?,
                lost: unsigned(row.try_get("lost")?, "losses")?,
            },
            cancel: principal(row.try_get("cancel_by")?),
        })
    }
}

/// See `JobQueue::finish`.
pub(crate) struct Finish {
    pub(crate) lease: LeaseId,
    pub(crate) last: Option<StepEnd>,
    pub(crate) outcome: Outcome,
    pub(crate) next: NextState,
}

#[async_trait]
impl Write for Finish {
    type Answer = Fenced;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Fenced, Failure> {
        let Some(seq) = held(tx, &self.lease).await? else {
            return Ok(Fenced::Stale);
        };
        let job = Head::of(tx.conn, seq).await?;
        let next = self.next.clone().heeding(job.cancel.as_ref());
        end_attempt(tx, &job, self.last.as_ref(), &self.outcome, &next).await?;
        tx.before_commit(FaultPoint::BeforeFinishCommit);
        Ok(Fenced::Recorded)
    }
}

/// Ends the attempt that runs: its last step, the attempt, and the job.
async fn end_attempt(
    tx: &mut Tx<'_>,
    job: &Head,
    last: Option<&StepEnd>,
    outcome: &Outcome,
    next: &NextState,
) -> Result<(), Failure> {
    if let Some(end) = last {
        end_step(tx, job.seq, job.attempt, end).await?;
    }
    close_steps(tx, job, outcome).await?;
    sqlx::query("UPDATE attempts SET finished = ?, outcome = ? WHERE job = ? AND number = ?")
        .bind(tx.now.wall.as_millis())
        .bind(to_json(outcome))
        .bind(job.seq)
        .bind(i64::from(job.attempt))
        .execute(&mut *tx.conn)
        .await?;
    let tries = job.tries.after(outcome);
    sqlx::query(
        "UPDATE jobs SET failed = ?, lost = ?, worker = NULL, lease_boot = NULL,
         lease_until = NULL WHERE seq = ?",
    )
    .bind(i64::from(tries.failed))
    .bind(i64::from(tries.lost))
    .bind(job.seq)
    .execute(&mut *tx.conn)
    .await?;
    settle(tx, job, next).await
}

/// A step that nobody spoke of ended as the attempt did.
async fn close_steps(tx: &mut Tx<'_>, job: &Head, outcome: &Outcome) -> Result<(), Failure> {
    let state = StepState::of(&StepEnd {
        index: 0,
        outcome: outcome.clone(),
        exit: None,
        skipped: false,
        result: None,
    });
    sqlx::query(
        "UPDATE steps SET state = ?, finished = ?, summary = ?
         WHERE job = ? AND attempt = ? AND state = 'running'",
    )
    .bind(state.as_str())
    .bind(tx.now.wall.as_millis())
    .bind(outcome.summary())
    .bind(job.seq)
    .bind(i64::from(job.attempt))
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

/// Puts a job that has not ended into its next state, with what follows: its
/// key goes on when it ended, and a dead letter is kept when it gave up.
pub(crate) async fn settle(tx: &mut Tx<'_>, job: &Head, next: &NextState) -> Result<(), Failure> {
    let (reason, delay) = match next {
        NextState::Succeeded => (None, None),
        NextState::Retrying { delay, reason } => (Some(reason.clone()), Some(*delay)),
        NextState::Failed { cause } => (Some(cause.clone()), None),
        NextState::Cancelled { by } => (Some(format!("cancelled by {by}")), None),
        NextState::Dropped { reason }
        | NextState::Held { reason }
        | NextState::Returned { reason } => (Some(reason.clone()), None),
    };
    let state = next.state();
    let due = delay.map(|delay| tx.now.boot.plus(delay));
    sqlx::query(
        "UPDATE jobs SET state = ?, reason = ?, cancel_by = NULL, due_wall = ?, due_boot = ?,
         due_until = ?, finished = ? WHERE seq = ?",
    )
    .bind(state.as_str())
    .bind(reason)
    .bind(delay.map(|delay| tx.now.wall.plus(delay).as_millis()))
    .bind(due.as_ref().map(|due| due.boot.clone()))
    .bind(due.as_ref().map(|due| due.millis))
    .bind(state.is_ended().then(|| tx.now.wall.as_millis()))
    .bind(job.seq)
    .execute(&mut *tx.conn)
    .await?;
    if let NextState::Failed { cause } = next {
        bury(tx, job, cause).await?;
    }
    if state == JobState::Cancelled && job.attempt == 0 {
        storms::give_place_back(tx, job).await?;
    }
    if state.is_ended() {
        tx.state.open_jobs = tx.state.open_jobs.saturating_sub(1);
        if state == JobState::Returned {
            tx.state.returned_jobs += 1;
        }
        if let Some(key) = &job.key {
            keys::hand_on(tx, key).await?;
        }
    }
    // A retry changes when the next job is due.
    tx.effects.wake = true;
    Ok(())
}

/// Keeps the dead letter of a job that gave up.
pub(crate) async fn bury(tx: &mut Tx<'_>, job: &Head, cause: &str) -> Result<(), Failure> {
    let (event, source): (String, String) = sqlx::query_as(
        "SELECT e.id, e.source FROM jobs j JOIN events e ON e.seq = j.event WHERE j.seq = ?",
    )
    .bind(job.seq)
    .fetch_one(&mut *tx.conn)
    .await?;
    let letter = Letter::new(DeadLetterDraft {
        kind: DeadKind::JobFailed,
        cause: cause.to_owned(),
        event_id: Some(parse(&event, "event id")?),
        rule: Some(job.rule.clone()),
        job_id: Some(job.id.clone()),
        source,
        raw: None,
    });
    dead::insert(tx, &[letter]).await
}

/// See `JobQueue::recover`.
pub(crate) struct Recover {
    pub(crate) max: usize,
    pub(crate) roll: f64,
}

#[async_trait]
impl Write for Recover {
    type Answer = Vec<Recovered>;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Vec<Recovered>, Failure> {
        // Also when every worker is busy, and nobody claims.
        storms::release_due(tx).await?;
        let sql = format!(
            "SELECT {HEAD_COLUMNS} FROM jobs
             WHERE state = 'running' AND (lease_boot <> ? OR lease_until <= ?)
             ORDER BY seq LIMIT ?"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(tx.now.boot.boot.clone())
            .bind(tx.now.boot.millis)
            .bind(rows::signed(self.max))
            .fetch_all(&mut *tx.conn)
            .await?;
        let mut recovered = Vec::with_capacity(rows.len());
        for row in &rows {
            recovered.push(record_loss(tx, row, self.roll).await?);
        }
        if !recovered.is_empty() {
            tx.before_commit(FaultPoint::DuringRecovery);
        }
        Ok(recovered)
    }
}

async fn record_loss(tx: &mut Tx<'_>, row: &SqliteRow, roll: f64) -> Result<Recovered, Failure> {
    let job = Head::read(row)?;
    let worker: WorkerId = parse(row.try_get("worker")?, "worker id")?;
    let plan: JobPlan = from_json(row.try_get("plan")?, "plan of a job")?;
    let delivery: Option<&str> = row.try_get("delivery")?;
    let outcome = Outcome::Lost {
        worker: worker.clone(),
    };
    let interrupted = running_step(tx.conn, &job).await?;
    let lost = LostLease {
        worker: &worker,
        tries: job.tries.after(&outcome),
        interrupted,
        is_delivered: delivery.is_some(),
    };
    let next = after_lost_lease(&plan, &lost, roll).heeding(job.cancel.as_ref());
    end_attempt(tx, &job, None, &outcome, &next).await?;
    Ok(Recovered {
        lease: LeaseId {
            job: job.id,
            attempt: job.attempt,
        },
        worker,
        rule: job.rule,
        next,
    })
}

async fn running_step(conn: &mut SqliteConnection, job: &Head) -> Result<Option<usize>, Failure> {
    let step: Option<i64> = sqlx::query_scalar(
        "SELECT step FROM steps WHERE job = ? AND attempt = ? AND state = 'running'",
    )
    .bind(job.seq)
    .bind(i64::from(job.attempt))
    .fetch_optional(conn)
    .await?;
    step.map(|step| unsigned(step, "step")).transpose()
}
