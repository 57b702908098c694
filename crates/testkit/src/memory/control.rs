//! What people do: see [`JobControl`].

use async_trait::async_trait;
use model::{
    audit::{AuditAction, AuditDraft},
    id::{DeadLetterId, JobId, Principal},
    job::{JobState, NextState, Tries},
    ports::{Controlled, DeadLetterDraft, DeadState, JobControl, StoreError},
};

use super::MemoryStore;

#[async_trait]
impl JobControl for MemoryStore {
    async fn cancel(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError> {
        self.enter().await?;
        let answer = {
            let now = self.now();
            let mut state = self.lock();
            let Some(row) = state.job_mut(job) else {
                return Ok(Controlled::NotFound);
            };
            let answer = match row.state {
                JobState::Succeeded
                | JobState::Failed
                | JobState::Cancelled
                | JobState::Returned => Controlled::WrongState(row.state),
                JobState::Running => {
                    row.cancel.get_or_insert_with(|| by.clone());
                    Controlled::Done(JobState::Running)
                }
                JobState::Waiting
                | JobState::Delayed
                | JobState::Queued
                | JobState::Retrying
                | JobState::Held => {
                    state.settle(job, &NextState::Cancelled { by: by.clone() }, &now);
                    Controlled::Done(JobState::Cancelled)
                }
            };
            if let Controlled::Done(was) = &answer {
                state.record(done(AuditAction::JobCancel, job, was, by), now.wall);
            }
            answer
        };
        self.shared.wake.notify_waiters();
        Ok(answer)
    }

    async fn retry(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError> {
        self.enter().await?;
        let answer = {
            let now = self.now();
            let mut state = self.lock();
            let Some(row) = state.job(job) else {
                return Ok(Controlled::NotFound);
            };
            if !row.state.is_retryable() {
                return Ok(Controlled::WrongState(row.state));
            }
            let is_taken = row
                .key()
                .and_then(|key| state.key_holder(key))
                .is_some_and(|holder| holder != job);
            let next = if is_taken {
                JobState::Waiting
            } else {
                JobState::Queued
            };
            let row = state.job_mut(job).expect("it was found a moment ago");
            row.state = next;
            row.reason = None;
            row.tries = Tries::default();
            row.delivery = None;
            row.finished = None;
            state.close_dead_of(job, by, now.wall);
            state.record(done(AuditAction::JobRetry, job, &next, by), now.wall);
            Controlled::Done(next)
        };
        self.shared.wake.notify_waiters();
        Ok(answer)
    }

    async fn close_dead(
        &self,
        id: &DeadLetterId,
        how: DeadState,
        by: &Principal,
    ) -> Result<bool, StoreError> {
        self.enter().await?;
        let now = self.now();
        let mut state = self.lock();
        let open = state
            .dead
            .values_mut()
            .find(|letter| letter.id == *id && letter.state == DeadState::Open);
        match (open, how) {
            (Some(letter), DeadState::Retried | DeadState::Discarded) => {
                letter.state = how;
                letter.closed = Some((now.wall, by.clone()));
                let action = match how {
                    DeadState::Discarded => AuditAction::DeadDiscard,
                    DeadState::Open | DeadState::Retried => AuditAction::DeadRetry,
                };
                let entry = AuditDraft {
                    by: by.clone(),
                    action,
                    target: id.to_string(),
                    detail: None,
                };
                state.record(entry, now.wall);
                Ok(true)
            }
            (Some(_) | None, _) => Ok(false),
        }
    }

    async fn keep_dead(&self, letter: DeadLetterDraft) -> Result<DeadLetterId, StoreError> {
        self.enter().await?;
        let now = self.now();
        Ok(self.lock().keep_dead(letter, now.wall))
    }
}

fn done(action: AuditAction, job: &JobId, state: &JobState, by: &Principal) -> AuditDraft {
    AuditDraft {
        by: by.clone(),
        action,
        target: job.to_string(),
        detail: Some(format!("{state} now")),
    }
}
