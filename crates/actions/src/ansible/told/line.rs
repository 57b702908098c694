//! A line of our callback plugin, read strictly.
//!
//! What is not one of these objects, with these fields and no others, is
//! nothing. Texts are cut and lose their control characters.

use model::task::{
    HostRecap, ItemFailure, Items, PlayStart, TaskEvent, TaskResult, TaskStart, TaskStatus,
};
use serde::Deserialize;

/// Bytes of each text.
mod limit {
    pub(super) const NAME: usize = 512;
    pub(super) const MESSAGE: usize = 2 * 1024;
    pub(super) const DIFF: usize = 16 * 1024;
    pub(super) const ITEM: usize = 256;
    pub(super) const ITEM_MESSAGE: usize = 512;
}

/// Items of a loop whose failure is kept.
const ITEM_FAILURES: usize = 5;

/// A line of the callback plugin.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    Play {
        play: String,
    },
    Task {
        play: String,
        task: String,
        action: String,
        role: Option<String>,
        #[serde(default)]
        handler: bool,
    },
    Result(Box<ResultLine>),
    Recap {
        host: String,
        ok: u32,
        changed: u32,
        unreachable: u32,
        failed: u32,
        skipped: u32,
        rescued: u32,
        ignored: u32,
    },
    LeftOut {
        count: u64,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultLine {
    play: String,
    task: String,
    host: String,
    status: TaskStatus,
    #[serde(default)]
    handler: bool,
    duration_ms: Option<u64>,
    message: Option<String>,
    diff: Option<String>,
    #[serde(default)]
    censored: bool,
    delegated_to: Option<String>,
    tries: Option<u32>,
    items: Option<ItemsLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemsLine {
    ok: u32,
    changed: u32,
    failed: u32,
    skipped: u32,
    failures: Vec<FailureLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureLine {
    item: Option<String>,
    message: Option<String>,
    #[serde(default)]
    censored: bool,
}

impl Line {
    /// As it is kept. `None`: it is about no host.
    pub(super) fn event(self) -> Option<TaskEvent> {
        Some(match self {
            Self::Play { play } => TaskEvent::Play(PlayStart { play: name(&play) }),
            Self::Task {
                play,
                task,
                action,
                role,
                handler,
            } => TaskEvent::Task(TaskStart {
                play: name(&play),
                task: name(&task),
                action: name(&action),
                role: role.as_deref().map(name),
                handler,
            }),
            Self::Result(line) => TaskEvent::Result(line.result()?),
            Self::Recap {
                host,
                ok,
                changed,
                unreachable,
                failed,
                skipped,
                rescued,
                ignored,
            } => TaskEvent::Recap(HostRecap {
                host: host_name(&host)?,
                ok,
                changed,
                unreachable,
                failed,
                skipped,
                rescued,
                ignored,
            }),
            Self::LeftOut { count } => TaskEvent::LeftOut { count },
        })
    }
}

impl ResultLine {
    /// What is censored says nothing, whatever the line says.
    fn result(self) -> Option<TaskResult> {
        let said = |text: Option<String>, most: usize| -> Option<String> {
            let text = text.filter(|_| !self.censored)?;
            Some(paragraph(&text, most)).filter(|text| !text.is_empty())
        };
        Some(TaskResult {
            play: name(&self.play),
            task: name(&self.task),
            host: host_name(&self.host)?,
            status: self.status,
            handler: self.handler,
            duration_ms: self.duration_ms,
            message: said(self.message, limit::MESSAGE),
            diff: said(self.diff, limit::DIFF),
            censored: self.censored,
            delegated_to: self.delegated_to.as_deref().map(name),
            tries: self.tries,
            items: self.items.map(|items| Items {
                ok: items.ok,
                changed: items.changed,
                failed: items.failed,
                skipped: items.skipped,
                failures: items
                    .failures
                    .into_iter()
                    .take(ITEM_FAILURES)
                    .map(FailureLine::failure)
                    .collect(),
            }),
        })
    }
}

impl FailureLine {
    fn failure(self) -> ItemFailure {
        let said = |text: Option<String>, most: usize| {
            let text = text.filter(|_| !self.censored)?;
            Some(paragraph(&text, most))
        };
        ItemFailure {
            item: said(self.item, limit::ITEM),
            message: said(self.message, limit::ITEM_MESSAGE),
            censored: self.censored,
        }
    }
}

/// A text of one line.
fn name(text: &str) -> String {
    clean(text, limit::NAME, |c| c.is_control())
}

fn host_name(text: &str) -> Option<String> {
    Some(name(text)).filter(|name| !name.is_empty())
}

/// A text with line breaks and tabs.
fn paragraph(text: &str, most: usize) -> String {
    clean(text, most, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// At most so many bytes of a text, without what it must not have.
fn clean(text: &str, most: usize, is_bad: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        let c = if is_bad(c) { '\u{fffd}' } else { c };
        if clean.len() + c.len_utf8() > most {
            break;
        }
        clean.push(c);
    }
    clean
}
