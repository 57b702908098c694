//! Whose the jobs of deliveries are: see [`JobCustody`].

use async_trait::async_trait;
use model::{
    custody::{Custody, JobStanding},
    flow::{self, ReturnedJob},
    id::{EventId, JobId, WorkerId},
    job::{JobState, NextState},
    ports::{StoreError, custody::JobCustody},
};

use super::{
    MemoryStore,
    job::{Due, JobRow},
    state::{Now, State},
};

#[async_trait]
impl JobCustody for MemoryStore {
    async fn standing(
        &self,
        events: &[EventId],
    ) -> Result<Vec<(EventId, Vec<JobStanding>)>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let mut standing: Vec<(EventId, Vec<JobStanding>)> = Vec::new();
        for event in events {
            let is_known = state.event(event).is_some();
            if is_known && standing.iter().all(|(seen, _)| seen != event) {
                let jobs = state.jobs.values().filter(|job| job.event_id == *event);
                standing.push((event.clone(), jobs.map(stands).collect()));
            }
        }
        Ok(standing)
    }

    async fn park(&self, events: &[EventId]) -> Result<(), StoreError> {
        self.enter().await?;
        for job in self.lock().jobs.values_mut() {
            if events.contains(&job.event_id) && !job.state.is_ended() {
                job.delivery = None;
            }
        }
        self.shared.wake.notify_waiters();
        Ok(())
    }

    async fn give_back(&self, events: &[EventId], reason: &str) -> Result<Vec<JobId>, StoreError> {
        self.enter().await?;
        let given = {
            let now = self.now();
            let mut state = self.lock();
            let jobs = state.returnable(|job| events.contains(&job.event_id));
            state.give_back(&jobs, reason, &now);
            jobs
        };
        self.shared.wake.notify_waiters();
        Ok(given)
    }

    async fn give_back_of_others(
        &self,
        worker: &WorkerId,
        max: usize,
        reason: &str,
    ) -> Result<usize, StoreError> {
        self.enter().await?;
        let count = {
            let now = self.now();
            let mut state = self.lock();
            let mut jobs = state.returnable(|job| job.delivery.as_ref() != Some(worker));
            jobs.truncate(max);
            state.give_back(&jobs, reason, &now);
            jobs.len()
        };
        self.shared.wake.notify_waiters();
        Ok(count)
    }
}

fn stands(job: &JobRow) -> JobStanding {
    JobStanding {
        job: job.id.clone(),
        state: job.state,
        begun: !job.attempts.is_empty(),
        delivery: job.delivery.clone(),
    }
}

impl State {
    /// Jobs that are `returned`: as many may come back.
    pub(crate) fn returned_len(&self) -> usize {
        let jobs = self.jobs.values();
        jobs.filter(|job| job.state == JobState::Returned).count()
    }

    pub(crate) fn returned_jobs_of(&self, event: &EventId) -> Vec<i64> {
        let is_asked_for = |job: &JobRow| job.event_id == *event && job.state == JobState::Returned;
        let jobs = self.jobs.iter().filter(|(_, job)| is_asked_for(job));
        jobs.map(|(seq, _)| *seq).collect()
    }

    /// Takes up a returned job under the custody that its event came with.
    pub(crate) fn resume(&mut self, seq: i64, custody: &Custody, now: &Now) {
        let moment = self.moment(now);
        let job = &self.jobs[&seq];
        let returned = ReturnedJob {
            next_step: job.next_step,
            interrupted: job.lost_step(),
            key_holder: job.key().and_then(|key| self.key_holder(key).cloned()),
            due: job
                .due_tick
                .filter(|due| *due > moment.tick)
                .map(|due| moment.at(due)),
        };
        let (state, reason) = flow::resume(&returned, &job.plan, custody);
        let id = job.id.clone();
        let job = self.jobs.get_mut(&seq).expect("it was read a moment ago");
        job.state = state;
        job.reason = (!reason.is_empty()).then(|| reason.clone());
        job.delivery = custody.worker().cloned();
        job.finished = state.is_ended().then_some(now.wall);
        job.due = returned
            .due
            .filter(|_| state == JobState::Delayed)
            .map(|due| Due {
                boot: None,
                wall: due.wall,
            });
        if state == JobState::Failed {
            self.bury_job(&id, &reason, now.wall);
        }
    }

    fn returnable(&self, is_asked_for: impl Fn(&JobRow) -> bool) -> Vec<JobId> {
        self.jobs
            .values()
            .filter(|job| job.is_returnable() && is_asked_for(job))
            .map(|job| job.id.clone())
            .collect()
    }

    fn give_back(&mut self, jobs: &[JobId], reason: &str, now: &Now) {
        let next = NextState::Returned {
            reason: reason.to_owned(),
        };
        for job in jobs {
            self.settle(job, &next, now);
        }
    }
}
