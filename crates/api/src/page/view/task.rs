//! What playbooks did: the recap of a job, its hosts, and its tasks.

use model::{
    clock::Timestamp,
    task::{HostRecap, Items, Recap, RecordedTask, TaskEvent, TaskResult, TaskStatus},
};
use serde::Serialize;

use super::{
    badge::{Badge, task_badge},
    plural,
    time::between,
};

/// What became of the hosts of a job, in a line.
#[derive(Debug, Serialize)]
pub(super) struct RecapLine {
    hosts: String,
    changed: Option<String>,
    failed: Option<String>,
}

pub(super) fn recap_line(recap: &Recap) -> RecapLine {
    RecapLine {
        hosts: plural(usize::try_from(recap.hosts).unwrap_or(usize::MAX), "host"),
        changed: named("changed", &recap.changed_names, recap.changed),
        failed: named("failed", &recap.failed_names, recap.failed),
    }
}

/// `changed web1, web2 and 3 more`.
fn named(what: &str, names: &[String], count: u64) -> Option<String> {
    if count == 0 {
        return None;
    }
    let more = count.saturating_sub(names.len() as u64);
    let names = names.join(", ");
    Some(match more {
        0 => format!("{what} {names}"),
        more => format!("{what} {names} and {more} more"),
    })
}

/// What the history gave for the page of a job.
#[derive(Debug, Default)]
pub(in crate::page) struct Told {
    pub(in crate::page) attempt: u32,
    pub(in crate::page) recaps: Vec<RecordedTask>,
    /// Those of hosts that went no further.
    pub(in crate::page) fatal: Vec<RecordedTask>,
    pub(in crate::page) results: Vec<RecordedTask>,
    /// Whether there are more results than these.
    pub(in crate::page) is_cut: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::page) struct TasksView {
    attempt: u32,
    hosts: Vec<HostLine>,
    fatal: Vec<ResultLine>,
    results: Vec<ResultLine>,
    is_cut: bool,
}

#[derive(Debug, Serialize)]
struct HostLine {
    host: String,
    badge: Badge,
    ok: u32,
    changed: u32,
    failed: u32,
    unreachable: u32,
    skipped: u32,
    rescued: u32,
    ignored: u32,
}

#[derive(Debug, Serialize)]
struct ResultLine {
    /// Absent: as in the line before.
    play: Option<String>,
    task: Option<String>,
    host: String,
    badge: Badge,
    duration: Option<String>,
    notes: Vec<String>,
    message: Option<String>,
    diff: Option<String>,
}

/// `None`: nothing was told.
pub(in crate::page) fn tasks(told: &Told) -> Option<TasksView> {
    if told.recaps.is_empty() && told.results.is_empty() {
        return None;
    }
    let mut hosts: Vec<&HostRecap> = told.recaps.iter().filter_map(recap).collect();
    // What is worth looking at comes first.
    hosts.sort_by_key(|host| (!host.has_failed(), !host.has_changed()));
    Some(TasksView {
        attempt: told.attempt,
        hosts: hosts.into_iter().map(host_line).collect(),
        fatal: told.fatal.chunks(1).flat_map(lines).collect(),
        results: lines(&told.results),
        is_cut: told.is_cut,
    })
}

fn recap(told: &RecordedTask) -> Option<&HostRecap> {
    match &told.event {
        TaskEvent::Recap(recap) => Some(recap),
        TaskEvent::Play(_)
        | TaskEvent::Task(_)
        | TaskEvent::Result(_)
        | TaskEvent::LeftOut { .. } => None,
    }
}

fn result(told: &RecordedTask) -> Option<&TaskResult> {
    match &told.event {
        TaskEvent::Result(result) => Some(result),
        TaskEvent::Play(_)
        | TaskEvent::Task(_)
        | TaskEvent::Recap(_)
        | TaskEvent::LeftOut { .. } => None,
    }
}

fn host_line(recap: &HostRecap) -> HostLine {
    let status = if recap.unreachable > 0 {
        TaskStatus::Unreachable
    } else if recap.has_failed() {
        TaskStatus::Failed
    } else if recap.has_changed() {
        TaskStatus::Changed
    } else {
        TaskStatus::Ok
    };
    HostLine {
        host: recap.host.clone(),
        badge: task_badge(status),
        ok: recap.ok,
        changed: recap.changed,
        failed: recap.failed,
        unreachable: recap.unreachable,
        skipped: recap.skipped,
        rescued: recap.rescued,
        ignored: recap.ignored,
    }
}

fn lines(told: &[RecordedTask]) -> Vec<ResultLine> {
    let mut before: Option<&TaskResult> = None;
    let mut lines = Vec::with_capacity(told.len());
    for result in told.iter().filter_map(result) {
        let same_play = before.is_some_and(|it| it.play == result.play);
        let same_task = same_play && before.is_some_and(|it| it.task == result.task);
        lines.push(ResultLine {
            play: (!same_play).then(|| result.play.clone()),
            task: (!same_task).then(|| result.task.clone()),
            host: result.host.clone(),
            badge: task_badge(result.status),
            duration: result.duration_ms.map(duration),
            notes: notes(result),
            message: result.message.clone(),
            diff: result.diff.clone(),
        });
        before = Some(result);
    }
    lines
}

fn duration(millis: u64) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    between(Timestamp::from_millis(0), Timestamp::from_millis(millis))
}

fn notes(result: &TaskResult) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(host) = &result.delegated_to {
        notes.push(format!("on {host}"));
    }
    if let Some(tries) = result.tries {
        notes.push(format!("tried {tries} times"));
    }
    if let Some(items) = &result.items {
        notes.push(items_note(items));
        for failure in &items.failures {
            let item = failure.item.as_deref().unwrap_or("an item");
            let message = failure.message.as_deref().unwrap_or("failed");
            notes.push(format!("{item}: {message}"));
        }
    }
    if result.censored {
        notes.push("hidden by no_log".to_owned());
    }
    notes
}

/// `items: 3 ok, 1 failed`.
fn items_note(items: &Items) -> String {
    let counts: Vec<String> = [
        (items.ok, "ok"),
        (items.changed, "changed"),
        (items.failed, "failed"),
        (items.skipped, "skipped"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    format!("items: {}", counts.join(", "))
}
