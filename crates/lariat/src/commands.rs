//! Commands, one file for each noun. Most talk to a running service.
//!
//! They hold no decisions about events or jobs: they ask, and print what the
//! service says.

use model::job::JobState;

use crate::{
    console::{Span, Style},
    failure::Failure,
};

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod event_file;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod follow;
pub(crate) mod jobs;
pub(crate) mod man;
pub(crate) mod publish;
pub(crate) mod reload;
pub(crate) mod rerun;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod tasks;
pub(crate) mod test;
pub(crate) mod token;

/// Query parameters, absent ones left out.
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(mut self, name: &'static str, value: Option<&impl ToString>) -> Self {
        if let Some(value) = value {
            self.0.push((name, value.to_string()));
        }
        self
    }

    pub(crate) fn window(self, window: &crate::args::Window) -> Self {
        self.add("since", window.since.as_ref())
            .add("until", window.until.as_ref())
            .page(&window.page)
    }

    pub(crate) fn page(self, page: &crate::args::Page) -> Self {
        self.add("limit", page.limit.as_ref())
            .add("cursor", page.cursor.as_ref())
    }

    pub(crate) fn pairs(&self) -> &[(&'static str, String)] {
        &self.0
    }
}

fn job_state(state: JobState) -> Span {
    let style = match state {
        JobState::Succeeded => Style::Green,
        JobState::Failed => Style::Red,
        JobState::Held | JobState::Retrying | JobState::Returned => Style::Yellow,
        JobState::Running => Style::Cyan,
        JobState::Waiting | JobState::Delayed | JobState::Queued | JobState::Cancelled => {
            Style::Plain
        }
    };
    Span::new(style, state.as_str())
}

/// What talk says below a list that goes on.
fn more(console: &mut crate::console::Console, next: Option<&String>) {
    if let Some(cursor) = next {
        console.say(&format!("more: --cursor {cursor}"));
    }
}

/// A number with its noun.
fn counted(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{count} {noun}")
}

/// One line of a description: a name and a value.
fn fact(
    console: &mut crate::console::Console,
    name: &str,
    value: impl Into<String>,
) -> Result<(), Failure> {
    let value = value.into();
    if value.is_empty() {
        return Ok(());
    }
    let label = Span::new(Style::Dim, format!("{name:<10} "));
    console.spans(&[label, Span::plain(value)])
}
