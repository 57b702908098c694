//! Lariat's own JSON for events: one object, or an array of them.
//!
//! All that is wrong is found at once, named by event and field. Sizes and
//! nesting are measured on the bytes before anything is parsed, and a text
//! that two parsers could read differently is refused: repeated keys, a byte
//! order mark, something behind the end. Numbers keep the text they came with.

use std::ops::ControlFlow;

use model::event::{EventDraft, Origin};
use serde_json::{Value, value::RawValue};

use crate::{
    checked::{self, Fault},
    scan, shown,
};

pub(crate) mod fields;
mod recorded;

pub use recorded::{Usual, read_recorded};

/// What a request may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event, as sent.
    pub event_bytes: usize,
    /// Events in one array.
    pub events: usize,
    /// Arrays and objects inside each other in a field of an event, at most
    /// [`MAX_NESTING`].
    pub nesting: usize,
}

/// What the parser behind this can take, with room for what events are
/// embedded in.
pub const MAX_NESTING: usize = checked::MAX_NESTING;

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 1024 * 1024,
            events: 1_000,
            nesting: 64,
        }
    }
}

/// The kind of the worst thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// JSON, and not an event: wrong types, missing or unknown fields.
    Invalid,
    NotJson,
    TooManyEvents,
    TooDeep,
    EventTooLarge,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which event, from 0; absent when it is about the whole text.
    pub index: Option<usize>,
    /// Which field; absent when it is about the whole event.
    pub field: Option<String>,
    pub message: String,
}

/// Why a text is refused, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.first().map_or("not an event", |problem| &problem.message))]
pub struct Refusal {
    pub kind: RefusalKind,
    pub problems: Vec<Problem>,
}

/// More problems than this are counted, not listed.
const MAX_PROBLEMS: usize = 1_000;

/// Reads one event or an array of events. `origin` becomes theirs.
pub fn read(bytes: &[u8], limits: &Limits, origin: &Origin) -> Result<Vec<EventDraft>, Refusal> {
    let Texts { events, .. } = texts(bytes, limits)?;
    if events.is_empty() {
        return Err(whole(
            RefusalKind::Invalid,
            "the array holds no event".to_owned(),
        ));
    }

    let mut problems = Problems::default();
    let mut drafts = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        problems.index = index;
        let ControlFlow::Continue(value) = problems.value(event.get(), limits) else {
            continue;
        };
        if let ControlFlow::Continue(fields) = fields::read(value, &mut problems) {
            drafts.push(fields.into_draft(origin));
        }
    }
    problems.into_result(drafts)
}

/// The texts of the events in a request.
#[derive(Debug)]
pub(crate) struct Texts<'t> {
    /// Whether they stand in an array.
    pub(crate) is_array: bool,
    pub(crate) events: Vec<&'t RawValue>,
}

/// Finds the events of a request, which is JSON when this has returned well.
pub(crate) fn texts<'t>(bytes: &'t [u8], limits: &Limits) -> Result<Texts<'t>, Refusal> {
    let nesting = limits.nesting.min(MAX_NESTING);
    let text = text(bytes)?;
    let outline = scan::outline(text.as_bytes());
    let is_array = text.starts_with('[');
    if is_array && outline.commas >= limits.events {
        return Err(whole(
            RefusalKind::TooManyEvents,
            format!(
                "a request may hold at most {} events, this has {}",
                limits.events,
                outline.commas + 1
            ),
        ));
    }
    // The array and the event's own object lie around the fields.
    if outline.depth > nesting + 2 {
        return Err(whole(RefusalKind::TooDeep, checked::too_deep(nesting)));
    }
    checked::grammar(text).map_err(not_json)?;
    let events = if is_array {
        serde_json::from_str(text)
    } else {
        serde_json::from_str(text).map(|event| vec![event])
    }
    .map_err(|error| not_json(checked::not_json(&error)))?;
    Ok(Texts { is_array, events })
}

/// The text without the white space around it.
fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    let text = checked::text(bytes).map_err(not_json)?;
    if text.is_empty() {
        return Err(whole(
            RefusalKind::NotJson,
            "there is no event in the request".to_owned(),
        ));
    }
    Ok(text)
}

/// Collects what is wrong with the events of a request.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kind: Option<RefusalKind>,
    list: Vec<Problem>,
    unlisted: usize,
    /// The event that is being read.
    pub(crate) index: usize,
}

impl Problems {
    /// How many there are so far.
    pub(crate) fn count(&self) -> usize {
        self.list.len() + self.unlisted
    }

    /// Parses the text of one event, or notes what is wrong with it.
    pub(crate) fn value(&mut self, text: &str, limits: &Limits) -> ControlFlow<(), Value> {
        let nesting = limits.nesting.min(MAX_NESTING);
        if text.len() > limits.event_bytes {
            self.add(
                RefusalKind::EventTooLarge,
                None,
                too_large(limits.event_bytes, text.len()),
            );
            return ControlFlow::Break(());
        }
        match checked::value(text, nesting + 1, MAX_PROBLEMS) {
            Ok(value) => return ControlFlow::Continue(value),
            Err(fault) => self.add_fault(fault, nesting),
        }
        ControlFlow::Break(())
    }

    /// Notes why a text is no value.
    pub(crate) fn add_fault(&mut self, fault: Fault, nesting: usize) {
        match fault {
            Fault::TooDeep => self.add(RefusalKind::TooDeep, None, checked::too_deep(nesting)),
            Fault::NotJson(message) => self.add(RefusalKind::NotJson, None, message),
            Fault::Keys(keys) => {
                for bad in &keys {
                    let field = Some(shown::path(&bad.path));
                    self.add(RefusalKind::Invalid, field, checked::about_key(bad));
                }
            }
        }
    }

    pub(crate) fn add(&mut self, kind: RefusalKind, field: Option<String>, message: String) {
        self.kind = self.kind.max(Some(kind));
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(Problem {
                index: Some(self.index),
                field,
                message,
            });
        } else {
            self.unlisted += 1;
        }
    }

    pub(crate) fn into_result(
        mut self,
        drafts: Vec<EventDraft>,
    ) -> Result<Vec<EventDraft>, Refusal> {
        let Some(kind) = self.kind else {
            return Ok(drafts);
        };
        if self.unlisted > 0 {
            self.list.push(Problem {
                index: None,
                field: None,
                message: format!("{} more problems are not listed", self.unlisted),
            });
        }
        Err(Refusal {
            kind,
            problems: self.list,
        })
    }
}

pub(crate) fn too_large(max: usize, len: usize) -> String {
    format!("an event may have at most {max} bytes, this has {len}")
}

pub(crate) fn whole(kind: RefusalKind, message: String) -> Refusal {
    Refusal {
        kind,
        problems: vec![Problem {
            index: None,
            field: None,
            message,
        }],
    }
}

fn not_json(message: String) -> Refusal {
    whole(RefusalKind::NotJson, message)
}

#[cfg(test)]
mod tests;
