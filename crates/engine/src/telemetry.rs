//! What is worth logging, each a typed struct whose `emit` is the one place
//! that says it. Values from outside are cleaned of control characters, and
//! nothing of a payload is ever in here: ids, names of rules, words of our
//! own, durations.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use model::{
    diagnostic::Diagnostic,
    event::Event,
    id::{EventId, JobId, LeaseId, Revision, RuleName},
    job::{NextState, Outcome, StepKind},
    ports::{Accepted, DeadKind, Judged, Pruned, Recovered, StoreError},
    verdict::{Firing, Verdict},
};
use tracing::{debug, error, info, warn};

use crate::{
    meter::Meter,
    tasks::{Panicked, Task},
};

/// Text from outside, fit for one line of a log.
pub(crate) struct Clean<'a>(pub(crate) &'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || is_direction(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Marks that reorder what a terminal shows, and separators that some
/// readers of logs take for a new line.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An error with all its causes, in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Clean(&self.0.to_string()))?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {}", Clean(&error.to_string()))?;
            cause = error.source();
        }
        Ok(())
    }
}

pub(crate) struct TaskPanicked {
    pub(crate) task: Task,
    pub(crate) panicked: Panicked,
}

impl TaskPanicked {
    pub(crate) fn emit(&self) {
        let Task { name, owner, .. } = self.task;
        error!(
            task = name,
            owner,
            panic = %Clean(&self.panicked.message),
            "task `{name}` panicked"
        );
    }
}

/// What is counted of an event that a store is handed.
pub(crate) struct Offered {
    event: Arc<Event>,
    fires: usize,
    /// What the rules alone decided.
    decided: [(Verdict, usize); 3],
}

impl Offered {
    pub(crate) fn new(judged: &Judged) -> Self {
        let (mut fires, mut suppressed, mut shadow, mut error) = (0, 0, 0, 0);
        for decision in &judged.decisions {
            match decision.firing {
                Firing::Fire(_) => fires += 1,
                Firing::Suppress { .. } => suppressed += 1,
                Firing::Shadow { .. } => shadow += 1,
                Firing::Error { .. } => error += 1,
            }
        }
        Self {
            event: Arc::clone(&judged.event),
            fires,
            decided: [
                (Verdict::Suppressed, suppressed),
                (Verdict::Shadow, shadow),
                (Verdict::Error, error),
            ],
        }
    }
}

/// A batch was committed.
pub(crate) struct EventsAccepted<'a> {
    pub(crate) offered: &'a [Offered],
    /// In the same order.
    pub(crate) accepted: &'a [Accepted],
    pub(crate) took: Duration,
}

impl EventsAccepted<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        let made = self.accepted.iter().filter(|one| !one.duplicate);
        debug!(
            events = self.accepted.len(),
            duplicates = self.accepted.iter().filter(|one| one.duplicate).count(),
            jobs = made.map(|one| one.jobs.len()).sum::<usize>(),
            duration_ms = millis(self.took),
            "accepted events"
        );
        meter.committed(self.took);
        let mut sources: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (offered, accepted) in self.offered.iter().zip(self.accepted) {
            let source = &offered.event.source;
            let (events, duplicates) = sources.entry(source).or_default();
            if accepted.conflict {
                meter.refused(source, DeadKind::IdConflict.as_str());
            } else if accepted.duplicate {
                *duplicates += 1;
            } else {
                *events += 1;
            }
            offered.count(accepted, meter);
        }
        for (source, (events, duplicates)) in sources {
            meter.accepted(source, events, duplicates);
        }
    }
}

impl Offered {
    /// Counts the verdicts. What fires and made no job was held back for what
    /// other events did.
    fn count(&self, accepted: &Accepted, meter: &Meter) {
        let jobs = accepted.jobs.len();
        if accepted.duplicate {
            meter.verdict(Verdict::Duplicate, jobs);
            return;
        }
        let held_back = self.fires.saturating_sub(jobs);
        let others = [(Verdict::Fired, jobs), (Verdict::Suppressed, held_back)];
        for (verdict, times) in self.decided.into_iter().chain(others) {
            if times > 0 {
                meter.verdict(verdict, times);
            }
        }
    }
}

/// The first attempt of a job begins.
pub(crate) struct JobStarted<'a> {
    pub(crate) lease: &'a LeaseId,
    pub(crate) rule: &'a RuleName,
    /// Since its event was accepted.
    pub(crate) after: Duration,
}

impl JobStarted<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        let LeaseId { job, attempt } = self.lease;
        debug!(
            job.id = %job, job.rule = %self.rule, attempt,
            delay_ms = millis(self.after),
            "job `{job}` starts"
        );
        meter.started(self.after);
    }
}

/// A step ended, however it did.
pub(crate) struct StepEnded<'a> {
    pub(crate) lease: &'a LeaseId,
    pub(crate) kind: StepKind,
    pub(crate) outcome: &'a Outcome,
    pub(crate) took: Duration,
}

impl StepEnded<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        let LeaseId { job, attempt } = self.lease;
        let (step, outcome) = (self.kind.as_str(), self.outcome.as_str());
        debug!(
            job.id = %job, attempt, step, outcome,
            duration_ms = millis(self.took),
            "a {step} step of job `{job}` {outcome}"
        );
        meter.step(self.kind, self.took);
    }
}

/// An attempt ended and that was recorded.
pub(crate) struct AttemptFinished<'a> {
    pub(crate) lease: &'a LeaseId,
    pub(crate) rule: &'a RuleName,
    pub(crate) outcome: &'a Outcome,
    pub(crate) next: &'a NextState,
    pub(crate) took: Duration,
}

impl AttemptFinished<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        meter.attempt(self.rule, self.outcome, self.took);
        count_end(self.rule, self.next, meter);
        let LeaseId { job, attempt } = self.lease;
        let (rule, outcome) = (self.rule, self.outcome.as_str());
        let duration_ms = millis(self.took);
        match self.next {
            NextState::Retrying { delay, .. } => warn!(
                job.id = %job, job.rule = %rule, attempt, outcome, duration_ms,
                delay_ms = millis(*delay),
                "attempt {attempt} of job `{job}` {outcome}, it will be tried again"
            ),
            NextState::Succeeded
            | NextState::Failed { .. }
            | NextState::Cancelled { .. }
            | NextState::Dropped { .. }
            | NextState::Held { .. }
            | NextState::Returned { .. } => {
                let state = self.next.state();
                info!(
                    job.id = %job, job.rule = %rule, attempt, outcome, duration_ms,
                    "job `{job}` {state}"
                );
            }
        }
    }
}

/// A job that is tried again has not ended.
fn count_end(rule: &RuleName, next: &NextState, meter: &Meter) {
    if !matches!(next, NextState::Retrying { .. }) {
        meter.ended(rule, next.state().as_str());
    }
}

/// An attempt panicked; it counts as failed.
pub(crate) struct AttemptPanicked<'a> {
    pub(crate) lease: &'a LeaseId,
    pub(crate) panicked: &'a Panicked,
}

impl AttemptPanicked<'_> {
    pub(crate) fn emit(&self) {
        let LeaseId { job, attempt } = self.lease;
        error!(
            job.id = %job, attempt,
            panic = %Clean(&self.panicked.message),
            "attempt {attempt} of job `{job}` panicked"
        );
    }
}

/// A lease ended before its attempt did. Recovery decides about the job.
pub(crate) struct LeaseLost<'a> {
    pub(crate) lease: &'a LeaseId,
    pub(crate) why: &'static str,
}

impl LeaseLost<'_> {
    pub(crate) fn emit(&self) {
        let LeaseId { job, attempt } = self.lease;
        warn!(
            job.id = %job, attempt, why = self.why,
            "lease of job `{job}` is lost, recovery decides about it"
        );
    }
}

/// The store did not take what an attempt had to record.
pub(crate) struct RecordFailed<'a> {
    pub(crate) lease: &'a LeaseId,
    pub(crate) what: &'static str,
    pub(crate) error: &'a StoreError,
    pub(crate) is_final: bool,
}

impl RecordFailed<'_> {
    pub(crate) fn emit(&self) {
        let LeaseId { job, attempt } = self.lease;
        let (what, error) = (self.what, Chain(self.error));
        if self.is_final {
            error!(
                job.id = %job, attempt, %error,
                "cannot record {what} of job `{job}`, recovery will find it"
            );
        } else {
            warn!(
                job.id = %job, attempt, %error,
                "cannot record {what} of job `{job}` yet, trying again"
            );
        }
    }
}

/// A call of a background loop failed; the loop tries again.
pub(crate) struct StoreFailed<'a> {
    pub(crate) what: &'static str,
    pub(crate) error: &'a StoreError,
}

impl StoreFailed<'_> {
    pub(crate) fn emit(&self) {
        let what = self.what;
        warn!(error = %Chain(self.error), "cannot {what}, trying again");
    }
}

/// A lease that ran out was recorded as lost.
pub(crate) struct JobRecovered<'a>(pub(crate) &'a Recovered);

impl JobRecovered<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        let Recovered {
            lease: LeaseId { job, attempt },
            worker,
            rule,
            next,
        } = self.0;
        let state = next.state();
        warn!(
            job.id = %job, job.rule = %rule, attempt, %worker, %state,
            "job `{job}` lost its worker and is {state} now"
        );
        meter.lease_lost();
        count_end(rule, next, meter);
    }
}

/// Retention removed something.
pub(crate) struct HistoryPruned(pub(crate) Pruned);

impl HistoryPruned {
    pub(crate) fn emit(&self) {
        let Pruned {
            events,
            outputs,
            dead,
        } = self.0;
        debug!(
            events,
            outputs, dead, "removed what is older than retention"
        );
    }
}

/// The wall clock moved by itself; retention waits until it is believable.
pub(crate) struct ClockJumped {
    pub(crate) by_millis: i64,
}

impl ClockJumped {
    pub(crate) fn emit(&self) {
        warn!(
            by_ms = self.by_millis,
            "the wall clock jumped, retention waits until it has settled"
        );
    }
}

/// Rules were put in force, at start or by a reload.
pub(crate) struct RulesLoaded<'a> {
    pub(crate) revision: &'a Revision,
    pub(crate) rules: usize,
    pub(crate) warnings: usize,
}

impl RulesLoaded<'_> {
    pub(crate) fn emit(&self) {
        let Self {
            revision,
            rules,
            warnings,
        } = self;
        info!(%revision, rules, warnings, "rules in force: {rules}");
    }
}

/// Steps of the rules in force need something that is not on this machine.
pub(crate) struct StepsMiss<'a> {
    pub(crate) notice: &'a Diagnostic,
}

impl StepsMiss<'_> {
    pub(crate) fn emit(&self) {
        let Diagnostic { code, message, .. } = self.notice;
        warn!(code, "{message}");
    }
}

/// A reload was refused; the old rules stay.
pub(crate) struct ReloadRefused {
    pub(crate) problems: usize,
}

impl ReloadRefused {
    pub(crate) fn emit(&self) {
        let problems = self.problems;
        error!(
            problems,
            "problems in the rules: {problems}, the old ones stay in force"
        );
    }
}

/// A rule made the judging of an event panic.
pub(crate) struct JudgingPanicked<'a> {
    pub(crate) event: &'a EventId,
    pub(crate) panicked: &'a Panicked,
}

impl JudgingPanicked<'_> {
    pub(crate) fn emit(&self) {
        let event = self.event;
        let panic = Clean(&self.panicked.message);
        error!(event.id = %event, %panic, "judging event `{event}` panicked");
    }
}

/// A person asked for something.
pub(crate) struct CancelAsked<'a> {
    pub(crate) job: &'a JobId,
    pub(crate) by: &'a str,
}

impl CancelAsked<'_> {
    pub(crate) fn emit(&self) {
        let job = self.job;
        info!(job.id = %job, by = %Clean(self.by), "job `{job}` is asked to stop");
    }
}

/// The engine changes its phase.
pub(crate) fn draining(running: usize) {
    info!(running, "draining: no new jobs, {running} still run");
}

pub(crate) fn stopping(running: usize) {
    info!(running, "stopping at once, running jobs cut: {running}");
}

pub(crate) mod links;

#[cfg(test)]
mod tests;
