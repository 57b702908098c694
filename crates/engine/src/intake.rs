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
};
use rules::RuleSet;

use crate::{
    shared::Shared,
    tasks,
    telemetry::{EventsAccepted, JudgingPanicked},
};

/// Batches above this are judged on the pool for long computations, so that
/// they do not hold up a thread that answers others.
const JUDGED_IN_PLACE: usize = 16;

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

fn event(draft: EventDraft, source: &str, now: Timestamp) -> Event {
    let EventDraft {
        id,
        topic,
        time,
        severity,
        headers,
        body,
        origin,
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
    let started = shared.parts.clock.boot();
    let rules = shared.rules.load_full();
    let judged = judge_all(rules, events).await?;
    let accepted = shared.parts.intake.accept(judged).await?;
    let made = accepted.iter().filter(|one| !one.duplicate);
    EventsAccepted {
        events: accepted.len(),
        duplicates: accepted.iter().filter(|one| one.duplicate).count(),
        jobs: made.map(|one| one.jobs.len()).sum(),
        took: crate::lease::between(&started, &shared.parts.clock.boot()),
    }
    .emit();
    Ok(accepted)
}

async fn judge_all(rules: Arc<RuleSet>, events: Vec<Event>) -> Result<Vec<Judged>, AcceptError> {
    let single = match events.as_slice() {
        [only] => Some(only.id.clone()),
        _ => None,
    };
    let is_large = events.len() > JUDGED_IN_PLACE;
    let judging = move || -> Vec<Judged> {
        events
            .into_iter()
            .map(|event| judge(&rules, event))
            .collect()
    };
    let judged = if is_large {
        tasks::blocking(judging).await
    } else {
        tasks::caught(async { judging() }).await
    };
    judged.map_err(|panicked| {
        JudgingPanicked {
            event: single.as_ref(),
            panicked: &panicked,
        }
        .emit();
        AcceptError::Store(StoreError::Failed(
            "the rules could not be applied to an event".into(),
        ))
    })
}

fn judge(rules: &RuleSet, event: Event) -> Judged {
    Judged {
        hash: ContentHash::of(event.topic.as_str(), &event.body),
        revision: rules.revision().clone(),
        decisions: rules.judge(&event),
        custody: Custody::Store,
        routes: Vec::new(),
        event,
    }
}
