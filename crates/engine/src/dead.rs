//! Retrying and discarding what gave up.
//!
//! Each kind of dead letter has its own way back. All of them may be repeated
//! after a crash between the retry and the closing of the letter: a job is
//! retried by its state, an event is accepted again under an id that follows
//! from the letter, a rule makes one job for an event.

use std::error::Error;

use model::{
    event::Event,
    id::{DeadLetterId, EventId, Principal},
    job::JobState,
    json,
    ports::{
        AcceptError, Controlled, DeadKind, DeadLetter, DeadLetterDraft, DeadState, StoreError,
    },
    verdict::Firing,
};
use serde_json::Value;

use crate::{control, engine::DeadRetry, intake, shared::Shared, tasks::caught};

pub(crate) async fn retry(
    shared: &Shared,
    id: &DeadLetterId,
    by: &Principal,
) -> Result<DeadRetry, AcceptError> {
    let Some(letter) = shared.parts.history.dead_letter(id).await? else {
        return Ok(DeadRetry::NotFound);
    };
    if letter.state != DeadState::Open {
        return Ok(DeadRetry::WrongState(letter.state));
    }
    match letter.content.kind {
        DeadKind::JobFailed => Ok(retry_job(shared, &letter, by).await?),
        DeadKind::IdConflict => accept_again(shared, &letter, by).await,
        DeadKind::RuleError => Ok(fire_again(shared, &letter, by).await?),
        DeadKind::Unsendable => Ok(send_again(shared, &letter, by).await?),
        DeadKind::Undecodable => Ok(not_retryable(
            "the bytes are not an event; publish a corrected one and discard this".to_owned(),
        )),
    }
}

/// `None`: no such letter; `false`: it is not open.
pub(crate) async fn discard(
    shared: &Shared,
    id: &DeadLetterId,
    by: &Principal,
) -> Result<Option<bool>, StoreError> {
    let parts = &shared.parts;
    if parts.history.dead_letter(id).await?.is_none() {
        return Ok(None);
    }
    let closed = parts
        .control
        .close_dead(id, DeadState::Discarded, by)
        .await?;
    Ok(Some(closed))
}

fn not_retryable(why: String) -> DeadRetry {
    DeadRetry::NotRetryable { why }
}

async fn close(shared: &Shared, letter: &DeadLetter, by: &Principal) -> Result<(), StoreError> {
    // Closed already when two people retried it at the same time, which came
    // to the same.
    let control = &shared.parts.control;
    let _was_open = control
        .close_dead(&letter.id, DeadState::Retried, by)
        .await?;
    Ok(())
}

/// The job closes its letter by being retried.
async fn retry_job(
    shared: &Shared,
    letter: &DeadLetter,
    by: &Principal,
) -> Result<DeadRetry, StoreError> {
    let Some(job) = &letter.content.job_id else {
        return Ok(not_retryable("the letter names no job".to_owned()));
    };
    match control::retry(shared, job, by).await? {
        Controlled::Done(_) => Ok(DeadRetry::Job(job.clone())),
        Controlled::WrongState(state) => Ok(not_retryable(wrong_state(state))),
        Controlled::NotFound => Ok(not_retryable("its job is no longer kept".to_owned())),
    }
}

fn wrong_state(state: JobState) -> String {
    format!("its job is {state} by now")
}

/// The refused event gets an id of its own, always the same for one letter.
async fn accept_again(
    shared: &Shared,
    letter: &DeadLetter,
    by: &Principal,
) -> Result<DeadRetry, AcceptError> {
    let event = match refused_event(letter, shared.parts.clock.now()) {
        Ok(event) => event,
        Err(why) => return Ok(not_retryable(why)),
    };
    let accepted = intake::accept(shared, vec![event]).await?;
    close(shared, letter, by).await?;
    match accepted.into_iter().next() {
        Some(accepted) => Ok(DeadRetry::Event(accepted)),
        None => Ok(DeadRetry::NothingFired),
    }
}

fn refused_event(letter: &DeadLetter, now: model::clock::Timestamp) -> Result<Event, String> {
    let DeadLetterDraft { raw, source, .. } = &letter.content;
    let raw = raw
        .as_deref()
        .ok_or_else(|| "the refused event was not kept".to_owned())?;
    let event = read_event(raw)
        .map_err(|error| format!("the refused event cannot be read back: {error}"))?;
    let id: EventId = format!("{}-{}", letter.created.year(), letter.id)
        .parse()
        .map_err(|error| format!("the letter gives no id: {error}"))?;
    Ok(Event {
        id,
        accepted: now,
        source: source.clone(),
        ..event
    })
}

/// Numbers of body and headers keep the text they were sent with.
fn read_event(raw: &[u8]) -> Result<Event, Box<dyn Error>> {
    let mut value = json::parse(str::from_utf8(raw)?)?;
    let fields = value.as_object_mut().ok_or("it is not an object")?;
    let body = fields.insert("body".to_owned(), Value::Null);
    let headers = fields.insert("headers".to_owned(), Value::Object(json::Object::new()));
    let event: Event = serde_json::from_value(value)?;
    Ok(Event {
        body: body.ok_or("it has no body")?,
        headers: match headers {
            Some(Value::Object(headers)) => headers,
            Some(_) | None => return Err("its headers are not an object".into()),
        },
        ..event
    })
}

/// The event goes into the outbox of its sink once more. After a crash it may
/// stand there twice; it has one id.
async fn send_again(
    shared: &Shared,
    letter: &DeadLetter,
    by: &Principal,
) -> Result<DeadRetry, StoreError> {
    let DeadLetterDraft {
        event_id, source, ..
    } = &letter.content;
    let Some(event) = event_id else {
        return Ok(not_retryable("the letter names no event".to_owned()));
    };
    let sinks = &shared.parts.sinks;
    let Some(sink) = sinks.iter().find(|sink| sink.name().as_str() == source) else {
        return Ok(not_retryable(format!("there is no sink `{source}` today")));
    };
    if !shared.parts.outbox.put(sink.name(), event).await? {
        return Ok(not_retryable("its event is no longer kept".to_owned()));
    }
    close(shared, letter, by).await?;
    Ok(DeadRetry::Sink(sink.name().clone()))
}

/// The rule as it is today judges the event again.
async fn fire_again(
    shared: &Shared,
    letter: &DeadLetter,
    by: &Principal,
) -> Result<DeadRetry, StoreError> {
    let DeadLetterDraft { event_id, rule, .. } = &letter.content;
    let (Some(event_id), Some(rule)) = (event_id, rule) else {
        return Ok(not_retryable(
            "the letter names no event or rule".to_owned(),
        ));
    };
    let Some(recorded) = shared.parts.history.event(event_id).await? else {
        return Ok(not_retryable("its event is no longer kept".to_owned()));
    };
    let rules = shared.rules.load_full();
    if rules.rule(rule).is_none() {
        return Ok(not_retryable(format!("there is no rule `{rule}` today")));
    }
    let judged = caught(async { rules.judge(&recorded.event) }).await;
    let decisions = match judged {
        Ok(decisions) => decisions,
        Err(_panicked) => {
            return Ok(not_retryable(format!(
                "rule `{rule}` cannot be applied to the event"
            )));
        }
    };
    let Some(decision) = decisions.into_iter().find(|one| one.rule == *rule) else {
        close(shared, letter, by).await?;
        return Ok(DeadRetry::NothingFired);
    };
    // Refiring the same error would only make another letter.
    if let Firing::Error { reason } = &decision.firing {
        return Ok(not_retryable(format!(
            "rule `{rule}` still fails: {reason}"
        )));
    }
    let intake = &shared.parts.intake;
    let fired = intake.refire(event_id, rules.revision(), &decision).await?;
    let Some(job) = fired else {
        return Ok(not_retryable("its event is no longer kept".to_owned()));
    };
    close(shared, letter, by).await?;
    Ok(match job {
        Some(job) => DeadRetry::Job(job),
        None => DeadRetry::NothingFired,
    })
}
