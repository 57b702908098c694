//! What depends on other events: the second pure decision about a firing,
//! taken inside the accepting transaction on the state that is read there.

use crate::{
    id::JobId,
    job::JobState,
    verdict::{Firing, Verdict},
};

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
    /// A new job in this state, `waiting` or `queued`.
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
pub fn decide(state: &FlowState, firing: &Firing) -> Flow {
    match firing {
        Firing::Suppress { reason } => Flow::Record {
            verdict: Verdict::Suppressed,
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
            match (&plan.key, &state.key_holder) {
                (Some(key), Some(holder)) => Flow::Create {
                    state: JobState::Waiting,
                    reason: format!("waiting for key `{key}` held by job {holder}"),
                },
                (Some(_), None) | (None, _) => Flow::Create {
                    state: JobState::Queued,
                    reason: String::new(),
                },
            }
        }
    }
}
