//! Jobs: one firing of one rule each, and the state machine they follow.
//!
//! `after_attempt` is the only place that decides what becomes of a job when
//! an attempt has ended; stores apply what it says and decide nothing.

mod next;

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    event::Event,
    flow::FlowPlan,
    id::{AccountName, EventId, JobId, LeaseId, Principal, Revision, RuleName, WorkerId},
    json::Object,
};

pub use next::{LostLease, MAX_LOST, NextState, Tries, after_attempt, after_lost_lease};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// An earlier job with the same key has not ended.
    Waiting,
    /// Not before a certain time: its rule is to be quiet first, or fires too
    /// often. It has no key yet.
    Delayed,
    Queued,
    Running,
    /// Between two attempts, until its delay has passed.
    Retrying,
    Succeeded,
    Failed,
    Cancelled,
    /// Interrupted in a step that may not be repeated without a person's word.
    Held,
    /// Its delivery went back to the broker, which gives it to any instance.
    /// Ended here, unless it comes back to this one.
    Returned,
}

impl JobState {
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Delayed,
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Held,
        Self::Returned,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Held => "held",
            Self::Returned => "returned",
        }
    }

    /// Whether nothing more happens by itself and the key is released.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Returned => true,
            Self::Waiting
            | Self::Delayed
            | Self::Queued
            | Self::Running
            | Self::Retrying
            | Self::Held => false,
        }
    }

    /// Whether it is why others with its key wait.
    pub fn holds_key(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Retrying | Self::Held => true,
            Self::Waiting
            | Self::Delayed
            | Self::Succeeded
            | Self::Failed
            | Self::Cancelled
            | Self::Returned => false,
        }
    }

    /// Whether a job comes into it by the end of an attempt, if it had one.
    pub fn follows_an_attempt(self) -> bool {
        match self {
            Self::Retrying
            | Self::Succeeded
            | Self::Failed
            | Self::Cancelled
            | Self::Held
            | Self::Returned => true,
            Self::Waiting | Self::Delayed | Self::Queued | Self::Running => false,
        }
    }

    /// Whether a person may ask for another attempt.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Failed | Self::Cancelled | Self::Held => true,
            Self::Waiting
            | Self::Delayed
            | Self::Queued
            | Self::Running
            | Self::Retrying
            | Self::Succeeded
            | Self::Returned => false,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not one of the states of a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "state is one of waiting, delayed, queued, running, retrying, succeeded, failed, cancelled, held, returned"
)]
pub struct JobStateError;

impl FromStr for JobState {
    type Err = JobStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(JobStateError)
    }
}

/// The kinds of steps that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Playbook,
    Command,
    Publish,
    Http,
}

impl StepKind {
    pub const ALL: [Self; 4] = [Self::Playbook, Self::Command, Self::Publish, Self::Http];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Playbook => "playbook",
            Self::Command => "command",
            Self::Publish => "publish",
            Self::Http => "http",
        }
    }

    /// What happens to a job interrupted in such a step when the rule does not
    /// say: a playbook can be run again, Ansible's own convention, and an event
    /// is published again under the same id. What a request did before its
    /// answer was lost is not known.
    pub fn default_on_lost(self) -> OnLost {
        match self {
            Self::Playbook | Self::Publish => OnLost::Retry,
            Self::Command | Self::Http => OnLost::Hold,
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of a job whose worker vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    Retry,
    Hold,
    Fail,
}

impl OnLost {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Fail => "fail",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Twice as long after each failure.
    Exponential,
    Fixed,
}

/// How often and how soon a failed job is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: NonZeroU32,
    pub delay: Duration,
    pub backoff: Backoff,
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(3).expect("three is not zero"),
            delay: Duration::from_secs(30),
            backoff: Backoff::Exponential,
            max_delay: Duration::from_secs(600),
        }
    }
}

/// Jitter spreads retries over this share of the delay, up and down.
const JITTER: f64 = 0.2;

impl RetryPolicy {
    /// The delay after `failures` failures (at least 1). `roll` in 0..1 is the
    /// jitter's dice: 0.5 gives the delay itself. `max_delay` is kept.
    pub fn delay_after(&self, failures: u32, roll: f64) -> Duration {
        let plain = match self.backoff {
            Backoff::Fixed => self.delay,
            Backoff::Exponential => {
                let doublings = failures.saturating_sub(1).min(32);
                self.delay
                    .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            }
        };
        let bounded = plain.min(self.max_delay);
        let factor = 1.0 + JITTER * (2.0 * roll.clamp(0.0, 1.0) - 1.0);
        bounded.mul_f64(factor).min(self.max_delay)
    }
}

/// What the store must know of a rule to carry its job through, without the
/// rule itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// Jobs with the same key run one at a time, in order of acceptance.
    pub key: Option<String>,
    /// Who its programs run as; absent: the user of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    pub retry: RetryPolicy,
    /// One entry for each step, in order; never empty.
    pub steps: Vec<StepPlan>,
    #[serde(default, skip_serializing_if = "FlowPlan::is_plain")]
    pub flow: FlowPlan,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPlan {
    pub kind: StepKind,
    pub on_lost: OnLost,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    Worthwhile,
    /// Worthwhile, and not before this has passed: a server said so.
    After {
        least: Duration,
    },
    Pointless,
}

/// How an attempt, or a step of it, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    Succeeded {
        summary: String,
    },
    Failed {
        /// Absent when no process was involved.
        exit: Option<Exit>,
        summary: String,
        retry: Retry,
    },
    TimedOut {
        after: Duration,
        /// Whether the polite signal was not enough.
        killed: bool,
    },
    Cancelled {
        by: Principal,
    },
    /// The program never started: missing, not executable, bad directory.
    Unstartable {
        reason: String,
    },
    /// The worker vanished; nobody knows how far it came.
    Lost {
        worker: WorkerId,
    },
}

impl Outcome {
    /// How long another try has to wait for, whatever the plan says.
    fn least_delay(&self) -> Duration {
        match self {
            Self::Failed {
                retry: Retry::After { least },
                ..
            } => *least,
            Self::Failed {
                retry: Retry::Worthwhile | Retry::Pointless,
                ..
            }
            | Self::Succeeded { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::Unstartable { .. }
            | Self::Lost { .. } => Duration::ZERO,
        }
    }

    /// The word for it in the API and the tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed_out",
            Self::Cancelled { .. } => "cancelled",
            Self::Unstartable { .. } => "unstartable",
            Self::Lost { .. } => "lost",
        }
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        match self {
            Self::Succeeded { summary } | Self::Failed { summary, .. } => summary.clone(),
            Self::TimedOut { after, killed } => {
                let how = if *killed { ", killed" } else { "" };
                format!("timed out after {} s{how}", after.as_secs_f64())
            }
            Self::Cancelled { by } => format!("cancelled by {by}"),
            Self::Unstartable { reason } => reason.clone(),
            Self::Lost { worker } => format!("worker `{worker}` vanished"),
        }
    }
}

/// What is recorded when a step has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEnd {
    pub index: usize,
    pub outcome: Outcome,
    pub exit: Option<Exit>,
    /// The step did nothing, by its own rule.
    pub skipped: bool,
    /// The JSON object that the step gave.
    pub result: Option<Object>,
}

/// A job as history shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub rule: RuleName,
    pub revision: Revision,
    pub event_id: EventId,
    pub key: Option<String>,
    /// Who its programs run as; absent: the user of the service.
    pub account: Option<AccountName>,
    pub state: JobState,
    /// Why it waits, is held, retries or failed; what it waits for.
    pub reason: Option<String>,
    /// The JSON object that its last step gave.
    pub result: Option<Object>,
    /// The step that the next attempt begins with.
    pub next_step: usize,
    /// For `retrying` and `delayed`: when it is due, as the wall clock stood.
    pub due: Option<Timestamp>,
    /// The job that this one waits for, when it waits for a key.
    pub waits_for: Option<JobId>,
    pub attempts: Vec<Attempt>,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
}

/// One try of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub number: u32,
    pub worker: WorkerId,
    pub started: Timestamp,
    pub finished: Option<Timestamp>,
    /// Absent while it runs.
    pub outcome: Option<Outcome>,
    pub steps: Vec<StepRecord>,
}

impl Attempt {
    /// How the process of its last step ended.
    pub fn exit(&self) -> Option<Exit> {
        self.steps.last().and_then(|step| step.exit)
    }
}

/// One step of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    pub index: usize,
    pub kind: StepKind,
    pub state: StepState,
    pub started: Timestamp,
    pub finished: Option<Timestamp>,
    pub exit: Option<Exit>,
    pub summary: Option<String>,
}

/// Where a step of an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Unstartable,
    Lost,
    Skipped,
}

impl StepState {
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Unstartable,
        Self::Lost,
        Self::Skipped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Unstartable => "unstartable",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
        }
    }

    pub fn of(end: &StepEnd) -> Self {
        if end.skipped {
            return Self::Skipped;
        }
        match end.outcome {
            Outcome::Succeeded { .. } => Self::Succeeded,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::TimedOut { .. } => Self::TimedOut,
            Outcome::Cancelled { .. } => Self::Cancelled,
            Outcome::Unstartable { .. } => Self::Unstartable,
            Outcome::Lost { .. } => Self::Lost,
        }
    }
}

/// A claimed job: everything that a worker needs to run the next attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    pub id: LeaseId,
    pub rule: RuleName,
    pub revision: Revision,
    pub plan: JobPlan,
    pub event: Event,
    /// The step to begin with; its beginning is already recorded.
    pub step: usize,
    /// What earlier attempts used up, this one not included.
    pub tries: Tries,
    /// The result of the last step that ended well, in an earlier attempt.
    pub result: Option<Object>,
    pub created: Timestamp,
}

#[cfg(test)]
mod tests;
