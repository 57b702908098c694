//! What people do to jobs.

use async_trait::async_trait;
use model::{
    audit::{AuditAction, AuditDraft},
    id::{JobId, Principal},
    job::{JobState, NextState},
    ports::Controlled,
};
use sqlx::{AssertSqlSafe, Row};

use super::{
    audit, dead,
    failure::Failure,
    finish::{HEAD_COLUMNS, Head, settle},
    keys,
    rows::job_state,
    writer::{Tx, Write},
};

async fn find(tx: &mut Tx<'_>, id: &JobId) -> Result<Option<(Head, JobState)>, Failure> {
    let sql = format!("SELECT {HEAD_COLUMNS} FROM jobs WHERE id = ?");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id.as_str().to_owned())
        .fetch_optional(&mut *tx.conn)
        .await?;
    row.map(|row| Ok((Head::read(&row)?, job_state(row.try_get("state")?)?)))
        .transpose()
}

/// See `JobControl::cancel`.
pub(crate) struct Cancel {
    pub(crate) job: JobId,
    pub(crate) by: Principal,
}

#[async_trait]
impl Write for Cancel {
    type Answer = Controlled;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Controlled, Failure> {
        let Some((job, state)) = find(tx, &self.job).await? else {
            return Ok(Controlled::NotFound);
        };
        match state {
            JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Returned => {
                Ok(Controlled::WrongState(state))
            }
            JobState::Running => {
                sqlx::query("UPDATE jobs SET cancel_by = coalesce(cancel_by, ?) WHERE seq = ?")
                    .bind(self.by.0.clone())
                    .bind(job.seq)
                    .execute(&mut *tx.conn)
                    .await?;
                let done = (&self.job, JobState::Running);
                note(tx, AuditAction::JobCancel, done, &self.by).await?;
                Ok(Controlled::Done(JobState::Running))
            }
            JobState::Waiting
            | JobState::Delayed
            | JobState::Queued
            | JobState::Retrying
            | JobState::Held => {
                let by = self.by.clone();
                settle(tx, &job, &NextState::Cancelled { by }).await?;
                let done = (&self.job, JobState::Cancelled);
                note(tx, AuditAction::JobCancel, done, &self.by).await?;
                Ok(Controlled::Done(JobState::Cancelled))
            }
        }
    }
}

/// See `JobControl::retry`.
pub(crate) struct Retry {
    pub(crate) job: JobId,
    pub(crate) by: Principal,
}

#[async_trait]
impl Write for Retry {
    type Answer = Controlled;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Controlled, Failure> {
        let Some((job, state)) = find(tx, &self.job).await? else {
            return Ok(Controlled::NotFound);
        };
        if !state.is_retryable() {
            return Ok(Controlled::WrongState(state));
        }
        let key: Vec<&str> = job.key.as_deref().into_iter().collect();
        let holders = keys::holders(tx.conn, &key).await?;
        let is_taken = holders.values().any(|holder| *holder != job.id);
        let next = if is_taken {
            JobState::Waiting
        } else {
            JobState::Queued
        };
        sqlx::query(
            "UPDATE jobs SET state = ?, reason = NULL, failed = 0, lost = 0, cancel_by = NULL,
             finished = NULL, delivery = NULL WHERE seq = ?",
        )
        .bind(next.as_str())
        .bind(job.seq)
        .execute(&mut *tx.conn)
        .await?;
        if state.is_ended() {
            tx.state.open_jobs += 1;
        }
        dead::close_of_job(tx, &job.id, &self.by).await?;
        note(tx, AuditAction::JobRetry, (&job.id, next), &self.by).await?;
        tx.effects.wake = true;
        Ok(Controlled::Done(next))
    }
}

async fn note(
    tx: &mut Tx<'_>,
    action: AuditAction,
    (job, state): (&JobId, JobState),
    by: &Principal,
) -> Result<(), Failure> {
    let draft = AuditDraft {
        by: by.clone(),
        action,
        target: job.to_string(),
        detail: Some(format!("{state} now")),
    };
    audit::record(tx, &draft).await
}
