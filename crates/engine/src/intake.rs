//! An event's way in: judged by the rules in force, then accepted durably.
//!
//! A source is answered only after `Intake::accept` has returned; nothing
//! else in the engine may answer one. What depends on other events
//! (duplicates, keys) is decided by the store inside its transaction.

use std::sync::Arc;

use model::{
    clock::Timestamp,
    custody::Custody,
    event::{Event, EventDraft},
    id::EventId,
    json::ContentHash,
    ports::{AcceptError, Accepted, Judged, StoreError},
    route::{Route, sinks_for},
};
use rules::RuleSet;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    shared::Shared,
    tasks,
    telemetry::{EventsAccepted, JudgingPanicked, Offered},
};

/// More events than this, or more bytes of them, are judged on the pool for
/// long computations, so that they do not hold up a thread that answers others.
const JUDGED_IN_PLACE: usize = 16;
pub(crate) const BYTES_IN_PLACE: usize = 16 * 1024;

/// Accepts all of `drafts` or nothing; answers once it is durable.
pub(crate) async fn publish(
    shared: &Shared,
    drafts: Vec<EventDraft>,
    source: &str,
) -> Result<Vec<Accepted>, AcceptError> {
    let now = shared.parts.clock.now();
    let events = drafts
        .into_iter()
        .map(|draft| event(draft, source, now))
        .collect();
    accept(shared, events).await
}

/// The event that a draft becomes when it is accepted now.
pub(crate) fn event(draft: EventDraft, source: &str, now: Timestamp) -> Event {
    let EventDraft {
        id,
        topic,
        time,
        severity,
        headers,
        body,
        origin,
        cause,
    } = draft;
    Event {
        id: id.unwrap_or_else(|| EventId::generate(now)),
        topic,
        time: time.unwrap_or(now),
        accepted: now,
        source: source.to_owned(),
        severity,
        headers,
        body,
        origin,
        cause,
    }
}

/// Judges events and hands them to the store in one call.
pub(crate) async fn accept(
    shared: &Shared,
    events: Vec<Event>,
) -> Result<Vec<Accepted>, AcceptError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let judged: Result<Vec<Judged>, Box<Unjudged>> =
        judge(shared, events).await.into_iter().collect();
    let judged = judged.map_err(|_unjudged| {
        AcceptError::Store(StoreError::Failed(
            "the rules could not be applied to an event".into(),
        ))
    })?;
    commit(shared, judged).await
}

/// Hands judged events to the store.
pub(crate) async fn commit(
    shared: &Shared,
    judged: Vec<Judged>,
) -> Result<Vec<Accepted>, AcceptError> {
    let offered: Vec<Offered> = judged.iter().map(Offered::new).collect();
    let started = Instant::now();
    let accepted = shared.parts.intake.accept(judged).await?;
    let took = started.elapsed();
    shared.live.committed();
    EventsAccepted {
        offered: &offered,
        accepted: &accepted,
        took,
    }
    .emit(&shared.meter);
    Ok(accepted)
}

/// An event whose judging panicked.
#[derive(Debug)]
pub(crate) struct Unjudged {
    pub(crate) event: Event,
    pub(crate) why: String,
}

/// Applies the rules in force and the routes to each event. One that makes
/// the rules panic is given back and spoils no other.
pub(crate) async fn judge(
    shared: &Shared,
    events: Vec<Event>,
) -> Vec<Result<Judged, Box<Unjudged>>> {
    let rules = shared.rules.load_full();
    let routes = Arc::clone(&shared.routes);
    let is_large = events.len() > JUDGED_IN_PLACE || are_large(&events);
    let judging = move || -> Vec<Result<Judged, Box<Unjudged>>> {
        events
            .into_iter()
            .map(|event| judge_one(&rules, &routes, event))
            .collect()
    };
    if !is_large {
        return judging();
    }
    match tasks::blocking(judging).await {
        Ok(judged) => judged,
        // Panics are caught above: the runtime ends, and nothing is judged.
        Err(_ending) => std::future::pending().await,
    }
}

/// Whether they have more than a few bytes in all; looks at no more of them.
fn are_large(events: &[Event]) -> bool {
    let mut left = BYTES_IN_PLACE;
    let fits = events.iter().all(|event| {
        let mut headers = event.headers.iter();
        headers.all(|(key, value)| take(&mut left, key.len()) && fits(value, &mut left))
            && fits(&event.body, &mut left)
    });
    !fits
}

fn fits(value: &Value, left: &mut usize) -> bool {
    // About what JSON writes around it.
    const AROUND: usize = 4;
    match value {
        Value::Null | Value::Bool(_) => take(left, AROUND),
        Value::Number(number) => take(left, number.as_str().len()),
        Value::String(text) => take(left, text.len() + AROUND),
        Value::Array(items) => take(left, AROUND) && items.iter().all(|item| fits(item, left)),
        Value::Object(fields) => {
            take(left, AROUND)
                && fields
                    .iter()
                    .all(|(key, value)| take(left, key.len() + AROUND) && fits(value, left))
        }
    }
}

fn take(left: &mut usize, bytes: usize) -> bool {
    match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

fn judge_one(rules: &RuleSet, routes: &[Route], event: Event) -> Result<Judged, Box<Unjudged>> {
    match tasks::caught_here(|| rules.judge(&event)) {
        Ok(decisions) => Ok(Judged {
            hash: ContentHash::of(event.topic.as_str(), &event.body),
            revision: rules.revision().clone(),
            decisions,
            custody: Custody::Store,
            routes: sinks_for(routes, &event),
            event: Arc::new(event),
        }),
        Err(panicked) => {
            JudgingPanicked {
                event: &event.id,
                panicked: &panicked,
            }
            .emit();
            Err(Box::new(Unjudged {
                why: format!("the rules could not be applied to it: {}", panicked.message),
                event,
            }))
        }
    }
}

#[cfg(test)]
mod tests;
