//! What becomes of a job when an attempt has ended. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{JobPlan, JobState, OnLost, Outcome, Retry};
use crate::id::{Principal, WorkerId};

/// What becomes of a job after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextState {
    Succeeded,
    /// Another attempt when `delay` has passed on the boot-time clock.
    Retrying {
        delay: Duration,
        reason: String,
    },
    /// Gave up: also a dead letter with `cause`.
    Failed {
        cause: String,
    },
    Cancelled {
        by: Principal,
    },
    /// Its rule says so: a newer job takes its place, or its key is held.
    /// Cancelled, by nobody.
    Dropped {
        reason: String,
    },
    Held {
        reason: String,
    },
    /// The broker still has the delivery and gives it to an instance.
    Returned {
        reason: String,
    },
}

impl NextState {
    pub fn state(&self) -> JobState {
        match self {
            Self::Succeeded => JobState::Succeeded,
            Self::Retrying { .. } => JobState::Retrying,
            Self::Failed { .. } => JobState::Failed,
            Self::Cancelled { .. } | Self::Dropped { .. } => JobState::Cancelled,
            Self::Held { .. } => JobState::Held,
            Self::Returned { .. } => JobState::Returned,
        }
    }

    /// What becomes of the job when somebody asked for it to be cancelled
    /// while the attempt ran: it is not tried again and not held, whatever
    /// came of the attempt.
    #[must_use]
    pub fn heeding(self, cancel: Option<&Principal>) -> Self {
        match (self, cancel) {
            (Self::Retrying { .. } | Self::Held { .. } | Self::Returned { .. }, Some(by)) => {
                Self::Cancelled { by: by.clone() }
            }
            (next, _) => next,
        }
    }
}

/// How often a job has been tried since it was accepted or last retried by a
/// person; the attempt that is ending is included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tries {
    /// Attempts that ended by failing or timing out.
    pub failed: u32,
    /// Attempts whose worker vanished.
    pub lost: u32,
}

impl Tries {
    /// With one more attempt, which ended like this. Only failing, timing out
    /// and losing the worker use anything up.
    #[must_use]
    pub fn after(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Failed { .. } | Outcome::TimedOut { .. } => Self {
                failed: self.failed.saturating_add(1),
                ..self
            },
            Outcome::Lost { .. } => Self {
                lost: self.lost.saturating_add(1),
                ..self
            },
            Outcome::Succeeded { .. } | Outcome::Cancelled { .. } | Outcome::Unstartable { .. } => {
                self
            }
        }
    }
}

/// A job that keeps losing its worker is likely what kills it.
pub const MAX_LOST: u32 = 10;

/// Decides what becomes of a job when an attempt has ended.
///
/// `interrupted` is the step that was running when the worker vanished; a
/// worker lost between two steps did no harm. `roll` in 0..1 is the jitter's.
pub fn after_attempt(
    plan: &JobPlan,
    tries: Tries,
    outcome: &Outcome,
    interrupted: Option<usize>,
    roll: f64,
) -> NextState {
    match outcome {
        Outcome::Succeeded { .. } => NextState::Succeeded,
        Outcome::Cancelled { by } => NextState::Cancelled { by: by.clone() },
        Outcome::Unstartable { reason } => NextState::Failed {
            cause: reason.clone(),
        },
        Outcome::Failed {
            retry: Retry::Pointless,
            summary,
            ..
        } => NextState::Failed {
            cause: summary.clone(),
        },
        Outcome::Failed {
            retry: Retry::Worthwhile | Retry::After { .. },
            ..
        }
        | Outcome::TimedOut { .. } => {
            let reason = outcome.summary();
            let allowed = plan.retry.attempts.get();
            if tries.failed < allowed {
                let delay = plan.retry.delay_after(tries.failed, roll);
                let least = outcome.least_delay().min(plan.retry.max_delay);
                NextState::Retrying {
                    delay: delay.max(least),
                    reason,
                }
            } else if allowed == 1 {
                NextState::Failed { cause: reason }
            } else {
                NextState::Failed {
                    cause: format!("{reason}; gave up after {allowed} attempts"),
                }
            }
        }
        Outcome::Lost { .. } => after_loss(plan, tries, outcome, interrupted, roll),
    }
}

fn after_loss(
    plan: &JobPlan,
    tries: Tries,
    outcome: &Outcome,
    interrupted: Option<usize>,
    roll: f64,
) -> NextState {
    let summary = outcome.summary();
    let step = interrupted.and_then(|index| plan.steps.get(index).map(|step| (index, step)));
    match step {
        Some((index, step)) if step.on_lost == OnLost::Hold => NextState::Held {
            reason: format!(
                "{summary} in step {index} ({}), which may have done part of its work",
                step.kind
            ),
        },
        Some((index, step)) if step.on_lost == OnLost::Fail => NextState::Failed {
            cause: format!("{summary} in step {index} ({})", step.kind),
        },
        Some(_) | None if tries.lost >= MAX_LOST => NextState::Failed {
            cause: format!("{summary}; lost {MAX_LOST} workers, it may be what ends them"),
        },
        Some(_) | None => NextState::Retrying {
            // The first loss is the worker's; later ones may be the job's.
            delay: if tries.lost <= 1 {
                Duration::ZERO
            } else {
                plan.retry.delay_after(tries.lost - 1, roll)
            },
            reason: summary,
        },
    }
}

/// A lease that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostLease<'a> {
    pub worker: &'a WorkerId,
    /// What the job has used up, this loss included.
    pub tries: Tries,
    /// The step that was running, if one was.
    pub interrupted: Option<usize>,
    /// Whether the job belongs to a delivery.
    pub is_delivered: bool,
}

/// Decides what becomes of a job whose lease ran out.
///
/// As [`after_attempt`] with a lost worker; but while a broker still has the
/// delivery the job is not this store's to repeat: whoever gets the delivery
/// next decides, see [`crate::flow::resume`].
pub fn after_lost_lease(plan: &JobPlan, lost: &LostLease<'_>, roll: f64) -> NextState {
    let outcome = Outcome::Lost {
        worker: lost.worker.clone(),
    };
    if lost.is_delivered {
        let summary = outcome.summary();
        return NextState::Returned {
            reason: format!("{summary}; its delivery is the broker's again"),
        };
    }
    after_attempt(plan, lost.tries, &outcome, lost.interrupted, roll)
}
