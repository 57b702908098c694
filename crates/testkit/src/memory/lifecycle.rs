//! What becomes of jobs: see [`Lifecycle`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    id::JobId,
    job::JobState,
    ports::{
        StoreError,
        lifecycle::{JobChange, Lifecycle},
    },
};
use tokio::time::Instant;

use super::{MemoryStore, job::JobRow, state::State};

/// What was noted, and what is compared to note it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    listened: HashSet<JobState>,
    known: HashMap<JobId, JobState>,
    changes: BTreeMap<u64, JobChange>,
    last: u64,
}

#[async_trait]
impl Lifecycle for MemoryStore {
    async fn listen_to(&self, states: &HashSet<JobState>) -> Result<(), StoreError> {
        self.enter().await?;
        let mut state = self.lock();
        state.lifecycle.known = state
            .jobs
            .values()
            .map(|job| (job.id.clone(), job.state))
            .collect();
        state.lifecycle.listened = states.clone();
        Ok(())
    }

    async fn changes(&self, max: usize, wait: Duration) -> Result<Vec<JobChange>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            // Interest is registered before looking, so no wake-up is missed.
            let mut woken = std::pin::pin!(self.shared.wake.notified());
            woken.as_mut().enable();
            self.enter().await?;
            let found: Vec<JobChange> = {
                let state = self.lock();
                let changes = state.lifecycle.changes.values();
                changes.take(max).cloned().collect()
            };
            let rest = deadline.saturating_duration_since(Instant::now());
            if !found.is_empty() || rest.is_zero() {
                return Ok(found);
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    async fn told(&self, seqs: &[u64]) -> Result<(), StoreError> {
        self.enter().await?;
        self.lock()
            .lifecycle
            .changes
            .retain(|seq, _| !seqs.contains(seq));
        Ok(())
    }
}

impl State {
    /// Notes the jobs whose state is another than before. Whether there were
    /// any.
    pub(crate) fn note_changes(&mut self) -> bool {
        if self.lifecycle.listened.is_empty() {
            return false;
        }
        let changed: Vec<JobRow> = self
            .jobs
            .values()
            .filter(|job| self.lifecycle.known.get(&job.id) != Some(&job.state))
            .cloned()
            .collect();
        let mut is_noted = false;
        for job in changed {
            self.lifecycle.known.insert(job.id.clone(), job.state);
            if !self.lifecycle.listened.contains(&job.state) {
                continue;
            }
            let Some(row) = self.event(&job.event_id) else {
                continue;
            };
            let event = &row.event;
            let last = job.attempts.last().map(|attempt| &attempt.record);
            let change = JobChange {
                seq: self.lifecycle.last + 1,
                job: job.id.clone(),
                rule: job.rule.clone(),
                key: job.plan.key.clone(),
                state: job.state,
                reason: job.reason.clone(),
                attempt: last.map_or(0, |attempt| attempt.number),
                outcome: last
                    .and_then(|attempt| attempt.outcome.clone())
                    .filter(|_| job.state.follows_an_attempt()),
                result: job.result.clone(),
                event: event.id.clone(),
                topic: event.topic.clone(),
                hops: event.cause.as_ref().map_or(0, |cause| cause.hops),
            };
            self.lifecycle.last = change.seq;
            self.lifecycle.changes.insert(change.seq, change);
            is_noted = true;
        }
        is_noted
    }
}
