//! What is worth logging, each a typed struct whose `emit` is the one place
//! that says it. Values from outside are cleaned of control characters, and
//! nothing of a payload is ever in here: ids, names of rules, words of our
//! own, durations.

use std::{fmt, time::Duration};

use model::{
    id::{EventId, JobId, LeaseId, Revision, RuleName},
    job::{NextState, Outcome},
    ports::{Pruned, Recovered, StoreError},
};
use tracing::{debug, error, info, warn};

use crate::tasks::{Panicked, Task};

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

/// A batch was committed.
pub(crate) struct EventsAccepted {
    pub(crate) events: usize,
    pub(crate) duplicates: usize,
    pub(crate) jobs: usize,
    pub(crate) took: Duration,
}

impl EventsAccepted {
    pub(crate) fn emit(&self) {
        debug!(
            events = self.events,
            duplicates = self.duplicates,
            jobs = self.jobs,
            duration_ms = millis(self.took),
            "accepted events"
        );
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
    pub(crate) fn emit(&self) {
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
            | NextState::Superseded { .. }
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
    pub(crate) fn emit(&self) {
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

/// A reload was refused; the old rules stay.
pub(crate) struct ReloadRefused {
    pub(crate) problems: usize,
}

impl ReloadRefused {
    pub(crate) fn emit(&self) {
        let problems = self.problems;
        error!(
            problems,
            "the rules have {problems} problems, the old ones stay in force"
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
    info!(running, "stopping at once, {running} jobs are cut");
}

pub(crate) mod links;

#[cfg(test)]
mod tests;
