//! The newest events of the history, in commit order, bounded.
//!
//! A ring knows from which place on it has everything. It reads nothing and
//! waits for nothing; `stream.rs` fills it and asks it.

use std::{collections::VecDeque, sync::Arc};

use model::page::Cursor;

use super::StreamEvent;

/// Events that are kept, and what they may take.
const MOST: usize = 2_048;
const MOST_BYTES: usize = 8 << 20;

/// What a ring has for a reader at some place.
#[derive(Debug)]
pub(super) enum Look {
    /// What follows, and the place that a reader has then come to.
    Events(Vec<Arc<StreamEvent>>, Cursor),
    UpToDate,
    /// What follows is older than the ring, or nothing fills it yet.
    Behind,
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Absent while nothing fills the ring.
    span: Option<Span>,
    events: VecDeque<Arc<StreamEvent>>,
    bytes: usize,
}

/// Everything behind `floor` up to `head` is in the ring.
#[derive(Debug, Clone, Copy)]
struct Span {
    floor: Cursor,
    head: Cursor,
}

impl Ring {
    /// Empties it; what comes now follows `place`.
    pub(super) fn begin(&mut self, place: Cursor) {
        *self = Self {
            span: Some(Span {
                floor: place,
                head: place,
            }),
            ..Self::default()
        };
    }

    /// Empties it; nothing fills it any more.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// Takes what follows the head, which is then `head`.
    pub(super) fn push(&mut self, events: Vec<Arc<StreamEvent>>, head: Cursor) {
        let Some(span) = &mut self.span else {
            return;
        };
        span.head = head;
        for event in events {
            self.bytes += event.weight();
            self.events.push_back(event);
        }
        while self.events.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.weight();
            span.floor = oldest.place();
        }
    }

    /// What follows `place`, at most `max` events of it.
    pub(super) fn after(&self, place: Cursor, max: usize) -> Look {
        let Some(span) = self.span else {
            return Look::Behind;
        };
        if place < span.floor {
            return Look::Behind;
        }
        if place >= span.head {
            return Look::UpToDate;
        }
        let from = self.events.partition_point(|event| event.place() <= place);
        let events: Vec<_> = self.events.iter().skip(from).take(max).cloned().collect();
        let is_all = from + events.len() == self.events.len();
        let up_to = match events.last() {
            Some(last) if !is_all => last.place(),
            Some(_) | None => span.head,
        };
        Look::Events(events, up_to)
    }

    pub(super) fn head(&self) -> Option<Cursor> {
        self.span.map(|span| span.head)
    }
}

#[cfg(test)]
mod tests;
