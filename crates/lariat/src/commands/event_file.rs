//! Events in files, for what judges them without a service.

use model::event::Event;
use rules::cases;
use wire::event_json::{Limits, MAX_NESTING, Usual, read_recorded};

use crate::config;

/// Reads an event as the API takes or prints it, or says all that is wrong.
pub(super) fn read(bytes: &[u8], limits: &config::Limits) -> Result<Event, Vec<String>> {
    let limits = Limits {
        event_bytes: limits.event,
        events: 1,
        nesting: limits.nesting,
    };
    recorded(bytes, &limits)
}

/// Reads an event that a service has accepted, under limits of its own.
pub(crate) fn read_answer(bytes: &[u8]) -> Result<Event, Vec<String>> {
    let limits = Limits {
        event_bytes: usize::MAX,
        events: 1,
        nesting: MAX_NESTING,
    };
    recorded(bytes, &limits)
}

fn recorded(bytes: &[u8], limits: &Limits) -> Result<Event, Vec<String>> {
    let (id, time) = cases::usual();
    read_recorded(bytes, limits, Usual { id, time }).map_err(|refusal| {
        let told = refusal.problems.into_iter();
        told.map(|problem| match problem.field {
            Some(field) => format!("`{field}`: {}", problem.message),
            None => problem.message,
        })
        .collect()
    })
}
