//! What depends on other events: the second pure decision about a firing,
//! taken inside the accepting transaction on the state that is read there.

mod plan;

use crate::{
    custody::Custody,
    id::JobId,
    job::{JobPlan, JobState, OnLost},
    verdict::{Firing, Verdict},
};

pub use plan::{Debounce, Excess, FlowPlan, Throttle, WhenBusy};

/// What the store already holds under the id of an arriving event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: the event is new.
    None,
    /// The same topic and body: a redelivery.
    Same,
    /// Something else: two senders used one id.
    Conflict,
}

/// What becomes of an arriving event as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Keep it and carry out the decisions of its rules.
    Keep,
    /// Make nothing of it; note on the original's jobs that it came again.
    Duplicate,
    /// Make nothing of it; keep it as a dead letter.
    Conflict,
}

pub fn arrival(existing: Existing) -> Arrival {
    match existing {
        Existing::None => Arrival::Keep,
        Existing::Same => Arrival::Duplicate,
        Existing::Conflict => Arrival::Conflict,
    }
}

/// What the store holds that bears on one firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowState {
    /// The job that this rule already has for this event.
    pub job: Option<JobId>,
    /// The job that has the firing's key and has not ended.
    pub key_holder: Option<JobId>,
}

/// What becomes of a firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// A new job in this state: `waiting`, `queued`, and `held` or `failed`
    /// (then also a dead letter with the reason as its cause) when another
    /// process may have begun with it.
    Create { state: JobState, reason: String },
    /// No new job; the verdict says why.
    Record {
        verdict: Verdict,
        reason: String,
        job: Option<JobId>,
    },
}

/// Decides what becomes of one firing. (rule, event) makes one job, ever;
/// a key that is held makes the job wait.
pub fn decide(state: &FlowState, firing: &Firing, custody: &Custody) -> Flow {
    match firing {
        Firing::Suppress { reason } => Flow::Record {
            verdict: Verdict::Suppressed,
            reason: reason.clone(),
            job: None,
        },
        Firing::Shadow { reason } => Flow::Record {
            verdict: Verdict::Shadow,
            reason: reason.clone(),
            job: None,
        },
        Firing::Error { reason } => Flow::Record {
            verdict: Verdict::Error,
            reason: reason.clone(),
            job: None,
        },
        Firing::Fire(plan) => {
            if let Some(job) = &state.job {
                return Flow::Record {
                    verdict: Verdict::Duplicate,
                    reason: format!("this rule already has job {job} for this event"),
                    job: Some(job.clone()),
                };
            }
            let (state, reason) = match custody {
                Custody::Broker {
                    taken_over: true, ..
                } => taken_over(plan, 0, state.key_holder.as_ref()),
                Custody::Broker {
                    taken_over: false, ..
                }
                | Custody::Store => begin(plan, state.key_holder.as_ref()),
            };
            Flow::Create { state, reason }
        }
    }
}

/// What the store holds of a job whose delivery went back and has come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedJob {
    /// The step that the next attempt begins with.
    pub next_step: usize,
    /// The step that ran when the job was lost here, if one did.
    pub interrupted: Option<usize>,
    /// Another job that has its key and has not ended.
    pub key_holder: Option<JobId>,
}

/// Decides what becomes of a returned job when its delivery comes to this
/// store again: the state it is put into, and why. It follows its `on_lost`
/// like any job whose worker vanished; `failed` is also a dead letter. With
/// `taken_over` another process may have had it meanwhile.
pub fn resume(state: &ReturnedJob, plan: &JobPlan, custody: &Custody) -> (JobState, String) {
    let holder = state.key_holder.as_ref();
    match custody {
        Custody::Broker {
            taken_over: true, ..
        } => taken_over(plan, state.next_step, holder),
        Custody::Broker {
            taken_over: false, ..
        }
        | Custody::Store => match state.interrupted.and_then(|step| plan.steps.get(step)) {
            Some(step) => after_interruption(step.on_lost, plan, holder),
            None => begin(plan, holder),
        },
    }
}

fn begin(plan: &JobPlan, key_holder: Option<&JobId>) -> (JobState, String) {
    match (&plan.key, key_holder) {
        (Some(key), Some(holder)) => (
            JobState::Waiting,
            format!("waiting for key `{key}` held by job {holder}"),
        ),
        (Some(_), None) | (None, _) => (JobState::Queued, String::new()),
    }
}

/// Any step from `first` on may have been interrupted: the strictest decides.
fn taken_over(plan: &JobPlan, first: usize, holder: Option<&JobId>) -> (JobState, String) {
    let steps = || plan.steps.iter().skip(first).map(|step| step.on_lost);
    let on_lost = if steps().any(|word| word == OnLost::Fail) {
        OnLost::Fail
    } else if steps().any(|word| word == OnLost::Hold) {
        OnLost::Hold
    } else {
        OnLost::Retry
    };
    after_interruption(on_lost, plan, holder)
}

fn after_interruption(
    on_lost: OnLost,
    plan: &JobPlan,
    holder: Option<&JobId>,
) -> (JobState, String) {
    const WHY: &str = "it was delivered before to a process that is gone and may have done part \
                       of its work";
    match (on_lost, &plan.key, holder) {
        (OnLost::Retry, _, _) => begin(plan, holder),
        (OnLost::Fail, _, _) => (JobState::Failed, WHY.to_owned()),
        // It cannot hold a key that another has, and may not run after it.
        (OnLost::Hold, Some(key), Some(holder)) => (
            JobState::Failed,
            format!("{WHY}, and its key `{key}` is held by job {holder}"),
        ),
        (OnLost::Hold, Some(_), None) | (OnLost::Hold, None, _) => (JobState::Held, WHY.to_owned()),
    }
}
