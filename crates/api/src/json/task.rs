//! What playbooks told about their tasks.

use model::{
    clock::Timestamp,
    task::{self, HostRecap, RecordedTask, TaskEventKind, TaskStatus},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// One thing that a playbook told. Which fields are there depends on `kind`;
/// those that say nothing are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEvent {
    /// Goes back as `after`.
    pub place: String,
    pub attempt: u32,
    pub step: usize,
    #[schemars(with = "schema::Time")]
    pub at: Timestamp,
    #[schemars(with = "schema::TaskEventKind")]
    pub kind: TaskEventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Of a task: the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Of a task and a result: whether it is a handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<bool>,
    /// Of a result and a recap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::TaskStatus>")]
    pub status: Option<TaskStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where `diff` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Of a result: whether `no_log` hides what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub censored: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated_to: Option<String>,
    /// When it was tried more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Of a loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<LoopItems>,
    /// Of a recap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<TaskCounts>,
    /// How many were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// What became of the items of a loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoopItems {
    pub ok: u32,
    pub changed: u32,
    pub failed: u32,
    pub skipped: u32,
    /// The first that failed.
    pub failures: Vec<LoopFailure>,
}

/// `item` and `message` are `null` when `no_log` hides them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoopFailure {
    pub item: Option<String>,
    pub message: Option<String>,
    pub censored: bool,
}

/// How many tasks ended in which way on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskCounts {
    pub ok: u32,
    pub changed: u32,
    pub unreachable: u32,
    pub failed: u32,
    pub skipped: u32,
    pub rescued: u32,
    pub ignored: u32,
}

impl TaskEvent {
    /// About its size as text.
    pub(crate) fn size(&self) -> usize {
        const AROUND: usize = 400;
        let texts = [
            &self.play,
            &self.task,
            &self.host,
            &self.message,
            &self.diff,
        ];
        let texts = texts.into_iter().flatten().map(String::len);
        AROUND + texts.sum::<usize>()
    }

    fn bare(told: &RecordedTask) -> Self {
        Self {
            place: format!("{}.{}", told.attempt, told.place.0),
            attempt: told.attempt,
            step: told.step,
            at: told.at,
            kind: told.event.kind(),
            play: None,
            task: None,
            action: None,
            role: None,
            handler: None,
            host: None,
            status: None,
            duration_ms: None,
            message: None,
            diff: None,
            censored: None,
            delegated_to: None,
            tries: None,
            items: None,
            counts: None,
            count: None,
        }
    }
}

impl From<RecordedTask> for TaskEvent {
    fn from(told: RecordedTask) -> Self {
        let bare = Self::bare(&told);
        match told.event {
            task::TaskEvent::Play(play) => Self {
                play: Some(play.play),
                ..bare
            },
            task::TaskEvent::Task(task) => Self {
                play: Some(task.play),
                task: Some(task.task),
                action: Some(task.action),
                role: task.role,
                handler: Some(task.handler),
                ..bare
            },
            task::TaskEvent::Result(result) => Self {
                play: Some(result.play),
                task: Some(result.task),
                handler: Some(result.handler),
                host: Some(result.host),
                status: Some(result.status),
                duration_ms: result.duration_ms,
                message: result.message,
                diff: result.diff,
                censored: Some(result.censored),
                delegated_to: result.delegated_to,
                tries: result.tries,
                items: result.items.map(LoopItems::from),
                ..bare
            },
            task::TaskEvent::Recap(recap) => Self {
                counts: Some(TaskCounts::from(&recap)),
                host: Some(recap.host),
                ..bare
            },
            task::TaskEvent::LeftOut { count } => Self {
                count: Some(count),
                ..bare
            },
        }
    }
}

impl From<task::Items> for LoopItems {
    fn from(items: task::Items) -> Self {
        let failures = items.failures.into_iter().map(|failure| LoopFailure {
            item: failure.item,
            message: failure.message,
            censored: failure.censored,
        });
        Self {
            ok: items.ok,
            changed: items.changed,
            failed: items.failed,
            skipped: items.skipped,
            failures: failures.collect(),
        }
    }
}

impl From<&HostRecap> for TaskCounts {
    fn from(recap: &HostRecap) -> Self {
        let HostRecap {
            host: _,
            ok,
            changed,
            unreachable,
            failed,
            skipped,
            rescued,
            ignored,
        } = *recap;
        Self {
            ok,
            changed,
            unreachable,
            failed,
            skipped,
            rescued,
            ignored,
        }
    }
}
