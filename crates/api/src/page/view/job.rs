//! One job: its attempts and the end of its output.

use model::{
    clock::Timestamp,
    job::{Attempt, Job, JobState},
    ports::Output,
};
use serde::Serialize;

use super::{
    Moment,
    badge::{Badge, job_badge, outcome_badge, step_badge},
    cut, duration, pretty_object,
    task::TasksView,
    time::between,
};

/// Bytes of output that are shown, from its end.
pub(super) const MAX_OUTPUT_TAIL: usize = 64 * 1024;

#[derive(Debug, Serialize)]
pub(in crate::page) struct JobView {
    id: String,
    rule: String,
    event: String,
    badge: Badge,
    reason: Option<String>,
    key: Option<String>,
    account: Option<String>,
    waits_for: Option<String>,
    due: Option<Moment>,
    created: Moment,
    duration: Option<String>,
    revision: String,
    revision_short: String,
    result: Option<String>,
    attempts: Vec<AttemptView>,
    output: Option<OutputView>,
    tasks: Option<TasksView>,
    is_returned: bool,
    can_retry: bool,
    can_cancel: bool,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    number: u32,
    badge: Badge,
    summary: Option<String>,
    worker: String,
    started: Moment,
    duration: String,
    steps: Vec<StepView>,
}

#[derive(Debug, Serialize)]
struct StepView {
    index: usize,
    kind: &'static str,
    badge: Badge,
    duration: String,
    exit: Option<String>,
    summary: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct OutputView {
    attempt: u32,
    pub(super) text: String,
    is_empty: bool,
    /// How much is left out at the start.
    pub(super) skipped: Option<String>,
    is_open: bool,
}

pub(in crate::page) fn job(
    job: &Job,
    (output, tasks): (Option<&Output>, Option<TasksView>),
    now: Timestamp,
) -> JobView {
    JobView {
        id: job.id.to_string(),
        rule: job.rule.to_string(),
        event: job.event_id.to_string(),
        badge: job_badge(job.state),
        reason: job.reason.clone().filter(|reason| !reason.is_empty()),
        key: job.key.clone(),
        account: job.account.as_ref().map(ToString::to_string),
        waits_for: job.waits_for.as_ref().map(ToString::to_string),
        due: job.due.map(|due| Moment::new(due, now)),
        created: Moment::new(job.created, now),
        duration: duration(job.started, job.finished, now),
        revision: job.revision.to_string(),
        revision_short: job.revision.as_str().chars().take(10).collect(),
        result: job
            .result
            .as_ref()
            .map(|result| cut(&pretty_object(result)).0),
        attempts: job
            .attempts
            .iter()
            .rev()
            .map(|attempt| attempt_view(attempt, now))
            .collect(),
        output: output.map(output_view),
        tasks,
        is_returned: job.state == JobState::Returned,
        can_retry: job.state.is_retryable(),
        can_cancel: !job.state.is_ended(),
    }
}

fn attempt_view(attempt: &Attempt, now: Timestamp) -> AttemptView {
    AttemptView {
        number: attempt.number,
        badge: outcome_badge(attempt),
        summary: attempt
            .outcome
            .as_ref()
            .map(model::job::Outcome::summary)
            .filter(|summary| !summary.is_empty() && !is_said(attempt, summary)),
        worker: attempt.worker.to_string(),
        started: Moment::new(attempt.started, now),
        duration: between(attempt.started, attempt.finished.unwrap_or(now)),
        steps: attempt
            .steps
            .iter()
            .map(|step| StepView {
                index: step.index,
                kind: step.kind.as_str(),
                badge: step_badge(step.state),
                duration: between(step.started, step.finished.unwrap_or(now)),
                exit: step.exit.map(|exit| exit.to_string()),
                summary: step.summary.clone().filter(|summary| {
                    let exit = step.exit.map(|exit| exit.to_string());
                    !summary.is_empty() && exit.as_ref() != Some(summary)
                }),
            })
            .collect(),
    }
}

/// Whether its last step says the same.
fn is_said(attempt: &Attempt, summary: &str) -> bool {
    attempt.steps.last().is_some_and(|step| {
        let exit = step.exit.map(|exit| exit.to_string());
        step.summary.as_deref() == Some(summary) || exit.as_deref() == Some(summary)
    })
}

pub(super) fn output_view(output: &Output) -> OutputView {
    let from = output.bytes.len().saturating_sub(MAX_OUTPUT_TAIL);
    // From the first whole line of the tail on.
    let from = match output.bytes.get(from..) {
        Some(tail) if from > 0 => {
            from + tail.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1)
        }
        Some(_) | None => from,
    };
    let tail = output.bytes.get(from..).unwrap_or_default();
    OutputView {
        attempt: output.attempt,
        text: String::from_utf8_lossy(tail).replace("\r\n", "\n"),
        is_empty: tail.is_empty(),
        skipped: (from > 0).then(|| format!("{} KiB", from.div_ceil(1024))),
        is_open: output.is_open,
    }
}
