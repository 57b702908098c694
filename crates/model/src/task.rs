//! What a playbook does while it runs: plays, tasks, and what became of each
//! task on each host.
//!
//! All of it is told by a program that an event may have influenced, so each
//! text is data of bounded length, and nothing is decided by it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    id::JobId,
    page::{Cursor, Page},
};

/// What became of a task on a host, as Ansible counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    Ok,
    /// It went well and something is different now.
    Changed,
    Failed,
    Skipped,
    Unreachable,
    /// It failed, and its block has a `rescue` for that.
    Rescued,
    /// It failed, and that was said not to matter.
    Ignored,
}

/// A word that is not a status of a task, or not a kind of task event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is one of {expected}")]
pub struct TaskWordError {
    expected: &'static str,
}

impl TaskStatus {
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Changed,
        Self::Failed,
        Self::Skipped,
        Self::Unreachable,
        Self::Rescued,
        Self::Ignored,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unreachable => "unreachable",
            Self::Rescued => "rescued",
            Self::Ignored => "ignored",
        }
    }

    /// Whether the host went no further.
    pub fn is_fatal(self) -> bool {
        match self {
            Self::Failed | Self::Unreachable => true,
            Self::Ok | Self::Changed | Self::Skipped | Self::Rescued | Self::Ignored => false,
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskStatus {
    type Err = TaskWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(TaskWordError {
                expected: "ok, changed, failed, skipped, unreachable, rescued, ignored",
            })
    }
}

/// One thing that a playbook told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEvent {
    Play(PlayStart),
    Task(TaskStart),
    Result(TaskResult),
    /// What became of a host, at the end of the run.
    Recap(HostRecap),
    /// So many were told and not kept.
    LeftOut {
        count: u64,
    },
}

/// Which of the variants of [`TaskEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEventKind {
    Play,
    Task,
    Result,
    Recap,
    LeftOut,
}

impl TaskEventKind {
    pub const ALL: [Self; 5] = [
        Self::Play,
        Self::Task,
        Self::Result,
        Self::Recap,
        Self::LeftOut,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Play => "play",
            Self::Task => "task",
            Self::Result => "result",
            Self::Recap => "recap",
            Self::LeftOut => "left_out",
        }
    }
}

impl fmt::Display for TaskEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskEventKind {
    type Err = TaskWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(TaskWordError {
                expected: "play, task, result, recap, left_out",
            })
    }
}

impl TaskEvent {
    pub fn kind(&self) -> TaskEventKind {
        match self {
            Self::Play(_) => TaskEventKind::Play,
            Self::Task(_) => TaskEventKind::Task,
            Self::Result(_) => TaskEventKind::Result,
            Self::Recap(_) => TaskEventKind::Recap,
            Self::LeftOut { .. } => TaskEventKind::LeftOut,
        }
    }

    /// Of a result or a recap.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Result(result) => Some(&result.host),
            Self::Recap(recap) => Some(&recap.host),
            Self::Play(_) | Self::Task(_) | Self::LeftOut { .. } => None,
        }
    }

    /// Of a result.
    pub fn status(&self) -> Option<TaskStatus> {
        match self {
            Self::Result(result) => Some(result.status),
            Self::Play(_) | Self::Task(_) | Self::Recap(_) | Self::LeftOut { .. } => None,
        }
    }
}

/// A play has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayStart {
    pub play: String,
}

/// A task has begun, on whichever hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStart {
    pub play: String,
    pub task: String,
    /// The module.
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
}

/// What became of a task on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    pub play: String,
    pub task: String,
    pub host: String,
    pub status: TaskStatus,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What the module said, where the plain output shows it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What changed in files, where `diff` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// `no_log` hides what was said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub censored: bool,
    /// The host that it really ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated_to: Option<String>,
    /// How often it was tried, when more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Of a loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
}

/// What became of the items of a loop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Items {
    pub ok: u32,
    pub changed: u32,
    pub failed: u32,
    pub skipped: u32,
    /// The first that failed.
    #[serde(default)]
    pub failures: Vec<ItemFailure>,
}

/// An item that failed. Neither field is there when `no_log` hides it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ItemFailure {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub censored: bool,
}

/// How many tasks ended in which way on a host: a line of Ansible's recap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostRecap {
    pub host: String,
    pub ok: u32,
    pub changed: u32,
    pub unreachable: u32,
    pub failed: u32,
    pub skipped: u32,
    pub rescued: u32,
    pub ignored: u32,
}

impl HostRecap {
    /// Nothing has happened on a host yet.
    pub fn of(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            ..Self::default()
        }
    }

    /// Counts a result as Ansible does: what changed and what was ignored went
    /// well, too.
    pub fn count(&mut self, status: TaskStatus) {
        let counters: &mut [&mut u32] = match status {
            TaskStatus::Ok => &mut [&mut self.ok],
            TaskStatus::Changed => &mut [&mut self.ok, &mut self.changed],
            TaskStatus::Failed => &mut [&mut self.failed],
            TaskStatus::Skipped => &mut [&mut self.skipped],
            TaskStatus::Unreachable => &mut [&mut self.unreachable],
            TaskStatus::Rescued => &mut [&mut self.rescued],
            TaskStatus::Ignored => &mut [&mut self.ok, &mut self.ignored],
        };
        for counter in counters {
            **counter = counter.saturating_add(1);
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failed > 0 || self.unreachable > 0
    }

    pub fn has_changed(&self) -> bool {
        self.changed > 0
    }
}

/// A task event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedTask {
    /// Where it stands among those of its attempt.
    pub place: Cursor,
    pub attempt: u32,
    pub step: usize,
    /// When the worker read it.
    pub at: Timestamp,
    pub event: TaskEvent,
}

/// Which task events of a job. They come in the order in which they were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskQuery {
    pub job: JobId,
    /// Absent: the last attempt.
    pub attempt: Option<u32>,
    pub kind: Option<TaskEventKind>,
    pub status: Option<TaskStatus>,
    pub host: Option<String>,
    /// Those behind this place; absent: from the first on.
    pub after: Option<Cursor>,
    pub limit: usize,
}

/// Some task events of one attempt. `next` is always where to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPage {
    /// 0 before the first.
    pub attempt: u32,
    pub page: Page<RecordedTask>,
    /// Whether more of them are there or can come.
    pub is_open: bool,
}

/// Names of hosts in a [`Recap`] at most, of each kind.
pub const MOST_NAMES: usize = 5;

/// What became of the hosts of a job, all its playbooks together: for each step
/// the last attempt that has told it, and what those before it have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recap {
    pub hosts: u64,
    /// Hosts where a task failed, and hosts that were not reached.
    pub failed: u64,
    /// Hosts where something changed in any attempt, those that failed later
    /// included.
    pub changed: u64,
    /// The first of them by name, at most [`MOST_NAMES`].
    pub failed_names: Vec<String>,
    pub changed_names: Vec<String>,
}

#[cfg(test)]
mod tests;
