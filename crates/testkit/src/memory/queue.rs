//! Jobs out to workers: see [`JobQueue`].

use std::time::Duration;

use async_trait::async_trait;
use model::{
    fault::FaultPoint,
    id::LeaseId,
    job::{JobState, Lease, LostLease, NextState, Outcome, StepEnd, after_lost_lease},
    ports::{Claimant, Fenced, JobQueue, Recovered, Renewed, StoreError},
};
use tokio::time::Instant;

use super::{
    MemoryStore,
    job::JobRow,
    state::{Ending, Now, State},
};

/// Wake-ups make a claim fast; this makes it right when a clock is moved by
/// hand.
const POLL: Duration = Duration::from_millis(200);

#[async_trait]
impl JobQueue for MemoryStore {
    async fn claim(
        &self,
        who: &Claimant,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            // Interest is registered before looking, so no wake-up is missed.
            let mut woken = std::pin::pin!(self.shared.wake.notified());
            woken.as_mut().enable();
            self.enter().await?;
            let is_worth_it = {
                let now = self.now();
                let mut state = self.lock();
                let mut jobs = state.jobs.values().filter(|job| job.is_for(who));
                jobs.any(|job| job.is_runnable(&now.boot)) || state.has_due(&now)
            };
            if is_worth_it {
                self.pass(FaultPoint::BeforeClaimCommit).await;
                let now = self.now();
                let leases = claim_now(&mut self.lock(), who, max, lease, &now);
                if !leases.is_empty() {
                    return Ok(leases);
                }
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(Vec::new());
            }
            let pause = rest.min(POLL).min(self.until_next_due(who));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn renew(&self, leases: &[LeaseId], lease: Duration) -> Result<Vec<Renewed>, StoreError> {
        self.enter().await?;
        self.pass(FaultPoint::DuringRenewal).await;
        let now = self.now();
        let mut state = self.lock();
        Ok(leases
            .iter()
            .filter_map(|id| {
                let job = state.leased(id, &now.boot)?;
                job.lease_end = Some(now.boot.plus(lease));
                Some(Renewed {
                    lease: id.clone(),
                    cancel: job.cancel.clone(),
                })
            })
            .collect())
    }

    async fn advance(&self, lease: &LeaseId, ended: &StepEnd) -> Result<Fenced, StoreError> {
        self.enter().await?;
        let now = self.now();
        let mut state = self.lock();
        let Some(job) = state.leased(lease, &now.boot) else {
            return Ok(Fenced::Stale);
        };
        job.advance(ended, now.wall);
        Ok(Fenced::Recorded)
    }

    async fn append_output(
        &self,
        lease: &LeaseId,
        step: usize,
        bytes: Vec<u8>,
    ) -> Result<Fenced, StoreError> {
        self.enter().await?;
        let now = self.now();
        let mut state = self.lock();
        let Some(job) = state.leased(lease, &now.boot) else {
            return Ok(Fenced::Stale);
        };
        if let Some(attempt) = job.attempts.last_mut() {
            attempt.output.entry(step).or_default().extend(bytes);
        }
        Ok(Fenced::Recorded)
    }

    async fn finish(
        &self,
        lease: &LeaseId,
        last: Option<&StepEnd>,
        outcome: &Outcome,
        next: &NextState,
    ) -> Result<Fenced, StoreError> {
        self.enter().await?;
        self.pass(FaultPoint::BeforeFinishCommit).await;
        {
            let now = self.now();
            let mut state = self.lock();
            let Some(job) = state.leased(lease, &now.boot) else {
                return Ok(Fenced::Stale);
            };
            let next = next.clone().heeding(job.cancel.as_ref());
            let ending = Ending {
                last,
                outcome,
                next: &next,
            };
            state.end_attempt(&lease.job, &ending, &now);
        }
        self.shared.wake.notify_waiters();
        Ok(Fenced::Recorded)
    }

    async fn recover(&self, max: usize, roll: f64) -> Result<Vec<Recovered>, StoreError> {
        self.enter().await?;
        self.pass(FaultPoint::DuringRecovery).await;
        let recovered = {
            let now = self.now();
            let mut state = self.lock();
            state.release_due(&now);
            let lost: Vec<LeaseId> = state
                .jobs
                .values()
                .filter_map(|job| lost_lease(job, &now))
                .take(max)
                .collect();
            lost.into_iter()
                .map(|lease| record_loss(&mut state, lease, roll, &now))
                .collect()
        };
        self.shared.wake.notify_waiters();
        Ok(recovered)
    }
}

impl MemoryStore {
    /// How long until a retry that `who` may have is due, on the clock as it
    /// runs.
    fn until_next_due(&self, who: &Claimant) -> Duration {
        let now = self.now();
        let mut state = self.lock();
        let tick = state.moment(&now).tick;
        let delayed = state.jobs.values();
        let delayed = delayed
            .filter(|job| job.state == JobState::Delayed)
            .filter_map(|job| job.due_tick.map(|due| due.since(tick)));
        let retrying = state.jobs.values().filter(|job| job.is_for(who));
        retrying
            .filter_map(|job| job.due.as_ref()?.boot.as_ref())
            .map(|due| {
                let millis = due.millis.saturating_sub(now.boot.millis);
                Duration::from_millis(u64::try_from(millis).unwrap_or(0))
            })
            .chain(delayed)
            .map(|wait| wait.max(Duration::from_millis(1)))
            .min()
            .unwrap_or(Duration::MAX)
    }
}

fn claim_now(
    state: &mut State,
    who: &Claimant,
    max: usize,
    lease: Duration,
    now: &Now,
) -> Vec<Lease> {
    state.release_due(now);
    let ready: Vec<i64> = state
        .jobs
        .iter()
        .filter(|(_, job)| job.is_for(who) && job.is_runnable(&now.boot))
        .map(|(seq, _)| *seq)
        .take(max)
        .collect();
    let mut leases = Vec::with_capacity(ready.len());
    for seq in ready {
        let job = state.jobs.get_mut(&seq).expect("it was found a moment ago");
        job.begin_attempt(&who.worker, now.boot.plus(lease), now.wall);
        let job = &state.jobs[&seq];
        let attempt = job.attempts.last().expect("it has just begun");
        let row = state.event(&job.event_id).expect("a job keeps its event");
        leases.push(Lease {
            id: LeaseId {
                job: job.id.clone(),
                attempt: attempt.record.number,
            },
            rule: job.rule.clone(),
            revision: job.revision.clone(),
            plan: job.plan.clone(),
            event: row.event.clone(),
            step: job.next_step,
            tries: job.tries,
            result: job.result.clone(),
            created: job.created,
        });
    }
    leases
}

fn lost_lease(job: &JobRow, now: &Now) -> Option<LeaseId> {
    let end = job.lease_end.as_ref()?;
    let attempt = job.attempts.last()?;
    end.has_passed(&now.boot).then(|| LeaseId {
        job: job.id.clone(),
        attempt: attempt.record.number,
    })
}

fn record_loss(state: &mut State, lease: LeaseId, roll: f64, now: &Now) -> Recovered {
    let job = state.job(&lease.job).expect("it was found a moment ago");
    let worker = job
        .attempts
        .last()
        .expect("a leased job has an attempt")
        .record
        .worker
        .clone();
    let rule = job.rule.clone();
    let outcome = Outcome::Lost {
        worker: worker.clone(),
    };
    let interrupted = job.running_step();
    let lost = LostLease {
        worker: &worker,
        tries: job.tries.after(&outcome),
        interrupted,
        is_delivered: job.delivery.is_some(),
    };
    let next = after_lost_lease(&job.plan, &lost, roll).heeding(job.cancel.as_ref());
    let last = interrupted.map(|index| StepEnd {
        index,
        outcome: outcome.clone(),
        exit: None,
        skipped: false,
        result: None,
    });
    let ending = Ending {
        last: last.as_ref(),
        outcome: &outcome,
        next: &next,
    };
    state.end_attempt(&lease.job, &ending, now);
    Recovered {
        lease,
        worker,
        rule,
        next,
    }
}
