//! Words with a colour: states, outcomes, verdicts, severities.

use model::{
    event::Severity,
    job::{Attempt, JobState, Outcome, StepState},
    link::LinkState,
    task::TaskStatus,
    verdict::Verdict,
};
use serde::Serialize;

/// A word with a colour: `good`, `bad`, `warn`, `busy` or `plain`.
#[derive(Debug, Serialize)]
pub(super) struct Badge {
    pub(super) text: &'static str,
    pub(super) tone: &'static str,
}

pub(super) fn job_badge(state: JobState) -> Badge {
    Badge {
        text: state.as_str(),
        tone: match state {
            JobState::Succeeded => "good",
            JobState::Failed => "bad",
            JobState::Held | JobState::Retrying | JobState::Returned => "warn",
            JobState::Running => "busy",
            JobState::Waiting | JobState::Delayed | JobState::Queued | JobState::Cancelled => {
                "plain"
            }
        },
    }
}

pub(super) fn link_badge(state: LinkState) -> Badge {
    Badge {
        text: state.as_str(),
        tone: match state {
            LinkState::Connected => "good",
            LinkState::Waiting => "bad",
            LinkState::Blocked => "warn",
            LinkState::Connecting => "busy",
            LinkState::Closed => "plain",
        },
    }
}

pub(super) fn step_badge(state: StepState) -> Badge {
    Badge {
        text: state.as_str(),
        tone: match state {
            StepState::Succeeded => "good",
            StepState::Failed | StepState::TimedOut | StepState::Unstartable => "bad",
            StepState::Lost => "warn",
            StepState::Running => "busy",
            StepState::Cancelled | StepState::Skipped => "plain",
        },
    }
}

pub(super) fn task_badge(status: TaskStatus) -> Badge {
    Badge {
        text: status.as_str(),
        tone: match status {
            TaskStatus::Ok => "good",
            TaskStatus::Changed => "busy",
            TaskStatus::Failed | TaskStatus::Unreachable => "bad",
            TaskStatus::Rescued | TaskStatus::Ignored => "warn",
            TaskStatus::Skipped => "plain",
        },
    }
}

pub(super) fn outcome_badge(attempt: &Attempt) -> Badge {
    let Some(outcome) = &attempt.outcome else {
        return step_badge(StepState::Running);
    };
    let tone = match outcome {
        Outcome::Succeeded { .. } => "good",
        Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Unstartable { .. } => "bad",
        Outcome::Cancelled { .. } => "plain",
        Outcome::Lost { .. } => "warn",
    };
    Badge {
        text: outcome.as_str(),
        tone,
    }
}

pub(super) fn verdict_badge(verdict: Verdict) -> Badge {
    Badge {
        text: verdict.as_str(),
        tone: match verdict {
            Verdict::Fired => "good",
            Verdict::Error => "bad",
            Verdict::Suppressed => "warn",
            Verdict::Shadow | Verdict::Duplicate | Verdict::NoMatch => "plain",
        },
    }
}

pub(super) fn severity_badge(severity: Severity) -> Option<Badge> {
    let tone = match severity {
        Severity::Info => return None,
        Severity::Debug => "plain",
        Severity::Warning => "warn",
        Severity::Error => "bad",
    };
    Some(Badge {
        text: severity.as_str(),
        tone,
    })
}
