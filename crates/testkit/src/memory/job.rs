//! One job in memory, with its attempts and their output.
//!
//! The steps here change one job and know nothing of keys or of other jobs;
//! those are `state.rs`'s.

use std::collections::BTreeMap;

use model::{
    clock::{BootTime, Timestamp},
    flow::Tick,
    id::{EventId, JobId, Principal, Revision, RuleName, WorkerId},
    job::{Attempt, JobPlan, JobState, Outcome, StepEnd, StepRecord, StepState, Tries},
    json::Object,
    ports::Claimant,
    task::RecordedTask,
};

#[derive(Debug, Clone)]
pub(crate) struct JobRow {
    pub(crate) id: JobId,
    pub(crate) rule: RuleName,
    pub(crate) revision: Revision,
    pub(crate) event_id: EventId,
    pub(crate) plan: JobPlan,
    pub(crate) state: JobState,
    pub(crate) reason: Option<String>,
    pub(crate) result: Option<Object>,
    pub(crate) next_step: usize,
    pub(crate) due: Option<Due>,
    /// Of a delayed job; kept when its delivery goes back.
    pub(crate) due_tick: Option<Tick>,
    pub(crate) latest: Option<Tick>,
    /// The place that its throttle has given to it.
    pub(crate) place: Option<Tick>,
    pub(crate) tries: Tries,
    pub(crate) cancel: Option<Principal>,
    /// The worker whose delivery it belongs to; absent: the store answers.
    pub(crate) delivery: Option<WorkerId>,
    /// When the lease of the last attempt ends; present while it runs.
    pub(crate) lease_end: Option<BootTime>,
    pub(crate) attempts: Vec<AttemptRow>,
    pub(crate) created: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
}

/// When a job may begin: the wall clock is for show.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    /// Of a retry, where it decides.
    pub(crate) boot: Option<BootTime>,
    pub(crate) wall: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct AttemptRow {
    pub(crate) record: Attempt,
    /// By step.
    pub(crate) output: BTreeMap<usize, Vec<u8>>,
    pub(crate) tasks: Vec<RecordedTask>,
}

impl JobRow {
    pub(crate) fn key(&self) -> Option<&str> {
        self.plan.key.as_deref()
    }

    /// Whether `who` may have it once it is runnable.
    pub(crate) fn is_for(&self, who: &Claimant) -> bool {
        match &self.delivery {
            None => true,
            Some(worker) => who.deliveries && *worker == who.worker,
        }
    }

    /// Whether it can go back with its delivery: it has not ended and does not
    /// run.
    pub(crate) fn is_returnable(&self) -> bool {
        let is_idle = !self.state.is_ended() && self.state != JobState::Running;
        is_idle && self.delivery.is_some()
    }

    pub(crate) fn is_runnable(&self, now: &BootTime) -> bool {
        match self.state {
            JobState::Queued => true,
            JobState::Retrying => {
                let boot = self.due.as_ref().and_then(|due| due.boot.as_ref());
                boot.is_none_or(|due| due.has_passed(now))
            }
            JobState::Waiting
            | JobState::Delayed
            | JobState::Running
            | JobState::Succeeded
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Held
            | JobState::Returned => false,
        }
    }

    /// Whether `attempt` is the one that runs and its lease has not run out.
    pub(crate) fn is_held_by(&self, attempt: u32, now: &BootTime) -> bool {
        let is_last = self
            .attempts
            .last()
            .is_some_and(|last| last.record.number == attempt);
        let is_live = self
            .lease_end
            .as_ref()
            .is_some_and(|end| !end.has_passed(now));
        self.state == JobState::Running && is_last && is_live
    }

    fn begin_step(&mut self, index: usize, now: Timestamp) {
        let Some(plan) = self.plan.steps.get(index) else {
            return;
        };
        let kind = plan.kind;
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.record.steps.push(StepRecord {
                index,
                kind,
                state: StepState::Running,
                started: now,
                finished: None,
                exit: None,
                summary: None,
            });
        }
    }

    /// Begins the next attempt and its first step.
    pub(crate) fn begin_attempt(&mut self, worker: &WorkerId, lease_end: BootTime, now: Timestamp) {
        let number = u32::try_from(self.attempts.len()).expect("attempts are few") + 1;
        self.attempts.push(AttemptRow {
            record: Attempt {
                number,
                worker: worker.clone(),
                started: now,
                finished: None,
                outcome: None,
                steps: Vec::new(),
            },
            output: BTreeMap::new(),
            tasks: Vec::new(),
        });
        self.state = JobState::Running;
        self.reason = None;
        self.due = None;
        self.cancel = None;
        self.lease_end = Some(lease_end);
        self.started.get_or_insert(now);
        self.begin_step(self.next_step, now);
    }

    /// Records how a step ended; one that is not running is left as it is.
    /// Says whether anything changed.
    pub(crate) fn end_step(&mut self, end: &StepEnd, now: Timestamp) -> bool {
        let Some(attempt) = self.attempts.last_mut() else {
            return false;
        };
        let running = attempt
            .record
            .steps
            .iter_mut()
            .find(|step| step.index == end.index && step.state == StepState::Running);
        let Some(step) = running else {
            return false;
        };
        step.state = StepState::of(end);
        step.finished = Some(now);
        step.exit = end.exit;
        step.summary = Some(end.outcome.summary());
        if matches!(end.outcome, Outcome::Succeeded { .. }) {
            self.next_step = end.index + 1;
            self.result.clone_from(&end.result);
        }
        true
    }

    /// The step ended well and the next one begins. Doing it again is nothing.
    pub(crate) fn advance(&mut self, ended: &StepEnd, now: Timestamp) {
        if self.end_step(ended, now) {
            self.begin_step(ended.index + 1, now);
        }
    }

    /// The step that runs now.
    pub(crate) fn running_step(&self) -> Option<usize> {
        self.last_step(StepState::Running)
    }

    /// The step that was lost with the last attempt.
    pub(crate) fn lost_step(&self) -> Option<usize> {
        self.last_step(StepState::Lost)
    }

    fn last_step(&self, state: StepState) -> Option<usize> {
        let attempt = self.attempts.last()?;
        let mut steps = attempt.record.steps.iter();
        steps.find(|step| step.state == state).map(|it| it.index)
    }
}
