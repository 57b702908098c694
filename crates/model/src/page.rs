//! Questions to the history, and pages of answers.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{
    clock::Timestamp,
    event::Severity,
    id::{EventId, RuleName},
    job::JobState,
    topic::TopicPattern,
};

/// A place in a list, in commit order. Opaque to clients; a forged one that
/// parses only names another place in the same list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub i64);

/// A text that is not a cursor of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor that a list has returned")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('c')
            .filter(|digits| {
                digits
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            })
            .and_then(|digits| i64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or(CursorError)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Items, newest first unless the question said otherwise, and where the next
/// page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Newest first, from the end of the list.
    Newest,
    /// Newest first, older than this place.
    Before(Cursor),
    /// Oldest first, newer than this place. `next` is then always given: it
    /// is where to ask again.
    After(Cursor),
}

/// The lists that cursors are of. Each counts its places for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Events,
    Jobs,
    DeadLetters,
    Audit,
}

/// Which events. `since` and `until` mean `accepted`, `until` exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    pub topic: Option<TopicPattern>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub source: Option<String>,
    pub severity: Option<Severity>,
    pub position: Position,
    pub limit: usize,
}

/// Which jobs. `since` and `until` mean `created`, `until` exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobQuery {
    pub event: Option<EventId>,
    pub rule: Option<RuleName>,
    pub state: Option<JobState>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub position: Position,
    pub limit: usize,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadQuery {
    pub kind: Option<crate::ports::DeadKind>,
    pub rule: Option<RuleName>,
    /// Absent: open ones only.
    pub state: Option<crate::ports::DeadState>,
    pub position: Position,
    pub limit: usize,
}
