//! The store itself: see [`Upkeep`].

use std::{collections::BTreeMap, sync::atomic::Ordering};

use async_trait::async_trait;
use model::{
    audit::KEPT_FOR,
    fault::FaultPoint,
    id::{EventId, Revision},
    ports::{Cutoffs, DeadState, ProjectText, Pruned, StoreError, StoreStatus, Upkeep},
};

use super::{MemoryStore, state::State};

#[async_trait]
impl Upkeep for MemoryStore {
    async fn save_revision(&self, id: &Revision, text: &ProjectText) -> Result<(), StoreError> {
        self.enter().await?;
        self.lock()
            .revisions
            .entry(id.as_str().to_owned())
            .or_insert_with(|| text.clone());
        Ok(())
    }

    async fn revision(&self, id: &Revision) -> Result<Option<ProjectText>, StoreError> {
        self.enter().await?;
        Ok(self.lock().revisions.get(id.as_str()).cloned())
    }

    async fn prune(&self, cutoffs: &Cutoffs, max: usize) -> Result<Pruned, StoreError> {
        self.enter().await?;
        self.pass(FaultPoint::DuringRetention).await;
        let old = self.now().wall.minus(KEPT_FOR);
        let mut state = self.lock();
        state.audit.retain(|_, entry| entry.at >= old);
        let outputs = prune_outputs(&mut state, cutoffs, max);
        let events = prune_events(&mut state, cutoffs, max);
        let dead = prune_dead(&mut state, cutoffs, max);
        Ok(Pruned {
            events,
            outputs,
            dead,
        })
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        self.enter().await?;
        let now = self.now();
        let state = self.lock();
        let mut jobs = BTreeMap::new();
        for job in state.jobs.values() {
            *jobs.entry(job.state.as_str().to_owned()).or_insert(0) += 1;
        }
        Ok(StoreStatus {
            kind: "memory".to_owned(),
            schema: 1,
            size_bytes: 0,
            events: state.events.len() as u64,
            jobs,
            open_dead_letters: state
                .dead
                .values()
                .filter(|letter| letter.state == DeadState::Open)
                .count() as u64,
            oldest_queued: state
                .jobs
                .values()
                .find(|job| job.is_runnable(&now.boot))
                .map(|job| job.created),
            accept_commits: state.accept_commits,
            accepted_events: state.accepted_events,
        })
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.enter().await
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.shared.wake.notify_waiters();
    }
}

fn prune_outputs(state: &mut State, cutoffs: &Cutoffs, max: usize) -> u64 {
    let old = state
        .jobs
        .values_mut()
        .flat_map(|job| &mut job.attempts)
        .filter(|attempt| {
            let is_old = attempt
                .record
                .finished
                .is_some_and(|finished| finished < cutoffs.output);
            let holds_some = !attempt.output.is_empty() || !attempt.tasks.is_empty();
            is_old && holds_some
        });
    let mut count = 0;
    for attempt in old.take(max) {
        attempt.output.clear();
        attempt.tasks.clear();
        count += 1;
    }
    count
}

fn prune_events(state: &mut State, cutoffs: &Cutoffs, max: usize) -> u64 {
    let old: Vec<(i64, EventId)> = state
        .events
        .iter()
        .filter(|(_, row)| row.event.accepted < cutoffs.events)
        .filter(|(_, row)| {
            let mut outgoing = state.outbox.values();
            !outgoing.any(|place| place.event == row.event.id)
        })
        .filter(|(_, row)| {
            state
                .jobs
                .values()
                .all(|job| job.event_id != row.event.id || job.state.is_ended())
        })
        .take(max)
        .map(|(seq, row)| (*seq, row.event.id.clone()))
        .collect();
    for (seq, id) in &old {
        state.events.remove(seq);
        state.event_seqs.remove(id);
        state.verdicts.retain(|_, verdict| verdict.event_id != *id);
        for job in state.jobs_of(id) {
            if let Some(seq) = state.job_seqs.remove(&job) {
                state.jobs.remove(&seq);
            }
        }
    }
    old.len() as u64
}

fn prune_dead(state: &mut State, cutoffs: &Cutoffs, max: usize) -> u64 {
    let old: Vec<i64> = state
        .dead
        .iter()
        .filter(|(_, letter)| letter.created < cutoffs.dead)
        .map(|(seq, _)| *seq)
        .take(max)
        .collect();
    for seq in &old {
        state.dead.remove(seq);
    }
    old.len() as u64
}
