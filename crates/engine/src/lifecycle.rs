//! What becomes of jobs, as events: `lariat.job.<state>`.
//!
//! There are such events only where somebody listens: a rule in force whose
//! pattern can match them, or a stream. The store notes a change in the
//! transaction that makes it; here the notes become events, which have the
//! same id however often it is tried, and then the notes go. Jobs of these
//! events have none themselves, and a chain that is at its end gets none:
//! neither can a rule that listens to itself go on for ever.

use std::{
    collections::HashSet,
    fmt,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use model::{
    clock::Timestamp,
    event::{Cause, Event, MAX_HOPS, Origin, Severity},
    id::EventId,
    job::{JobState, Outcome},
    json::Object,
    ports::{AcceptError, Judged, StoreError, lifecycle::JobChange},
    topic::{Topic, TopicPattern},
};
use rules::RuleSet;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Notify};

use crate::{
    follow_up::{self, SOURCE},
    intake,
    shared::Shared,
    tasks::{Policy, Task},
    telemetry::StoreFailed,
};

/// Changes that are told at once.
const BATCH: usize = 100;
/// How long one look waits.
const POLL: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(1);

/// Who listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    streams: AtomicUsize,
    /// What the store was told last.
    told: Mutex<Option<HashSet<JobState>>>,
    changed: Notify,
}

/// Somebody listens to what becomes of jobs as long as this exists.
pub struct Listening(Arc<Shared>);

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let listeners = &self.0.listeners;
        listeners.streams.fetch_sub(1, Ordering::SeqCst);
        listeners.changed.notify_one();
    }
}

/// From when this has returned, no change of a job is missed.
pub(crate) async fn listen(shared: &Arc<Shared>) -> Result<Listening, StoreError> {
    shared.listeners.streams.fetch_add(1, Ordering::SeqCst);
    let listening = Listening(Arc::clone(shared));
    refresh(shared).await?;
    Ok(listening)
}

/// Whether a pattern can match the topic of a change.
pub(crate) fn is_about_jobs(pattern: &TopicPattern) -> bool {
    JobState::ALL
        .into_iter()
        .any(|state| pattern.matches(&topic(state)))
}

fn topic(state: JobState) -> Topic {
    format!("lariat.job.{state}")
        .parse()
        .expect("three words are a topic")
}

/// The states that rules react to.
fn of_rules(rules: &RuleSet) -> HashSet<JobState> {
    JobState::ALL
        .into_iter()
        .filter(|state| {
            let topic = topic(*state);
            let mut patterns = rules.rules().flat_map(|rule| rule.on());
            patterns.any(|pattern| pattern.matches(&topic))
        })
        .collect()
}

/// Tells the store which states are listened to, when these have changed.
pub(crate) async fn refresh(shared: &Shared) -> Result<(), StoreError> {
    let mut told = shared.listeners.told.lock().await;
    let wanted: HashSet<JobState> = if shared.listeners.streams.load(Ordering::SeqCst) > 0 {
        JobState::ALL.into()
    } else {
        of_rules(&shared.rules.load())
    };
    if told.as_ref() != Some(&wanted) {
        shared.parts.lifecycle.listen_to(&wanted).await?;
        *told = Some(wanted);
        shared.listeners.changed.notify_one();
    }
    Ok(())
}

pub(crate) fn start(shared: &Arc<Shared>) {
    let task = Task {
        name: "tell",
        owner: "lifecycle",
        policy: Policy::CutAfterDrain,
    };
    let own = Arc::clone(shared);
    shared.tasks.rounds(task, move || {
        let shared = Arc::clone(&own);
        async move { round(&shared).await }
    });
}

async fn round(shared: &Shared) -> ControlFlow<()> {
    match tell(shared).await {
        Ok(()) => {}
        Err(AcceptError::Store(StoreError::Closed)) => return ControlFlow::Break(()),
        Err(error) => {
            if let AcceptError::Store(error) = &error {
                StoreFailed {
                    what: "tell what became of jobs",
                    error,
                }
                .emit();
            }
            // A full queue has room again when jobs have ended.
            tokio::time::sleep(PAUSE).await;
        }
    }
    ControlFlow::Continue(())
}

/// Turns the oldest notes into events.
async fn tell(shared: &Shared) -> Result<(), AcceptError> {
    refresh(shared).await?;
    let lifecycle = &shared.parts.lifecycle;
    let is_silent = {
        let told = shared.listeners.told.lock().await;
        told.as_ref().is_none_or(HashSet::is_empty)
    };
    // Notes of those who no longer listen are told all the same.
    let wait = if is_silent { Duration::ZERO } else { POLL };
    let changes = tokio::select! {
        changes = lifecycle.changes(BATCH, wait) => changes?,
        () = shared.listeners.changed.notified() => return Ok(()),
    };
    if changes.is_empty() {
        if is_silent {
            shared.listeners.changed.notified().await;
        }
        return Ok(());
    }
    let now = shared.parts.clock.now();
    let mut events = Vec::new();
    for change in &changes {
        if change.topic.is_reserved()
            || has_no_hops_left(change)
            || follow_up::is_full(shared, &change.event).await?
        {
            continue;
        }
        events.push(event(change, now));
    }
    // One that makes the rules panic would do so at every try, and keep all
    // others from being told. What became of its job is in the history, and
    // the panic in the log.
    let judged = intake::judge(shared, events).await;
    let judged: Vec<Judged> = judged.into_iter().filter_map(Result::ok).collect();
    if !judged.is_empty() {
        intake::commit(shared, judged).await?;
    }
    let seqs: Vec<u64> = changes.iter().map(|change| change.seq).collect();
    lifecycle.told(&seqs).await?;
    Ok(())
}

/// At the end of a chain only failures are told, that of the limit among them.
/// It ends there all the same: jobs of such an event have none themselves, and
/// what they publish is refused.
fn has_no_hops_left(change: &JobChange) -> bool {
    change.hops > MAX_HOPS || (change.hops == MAX_HOPS && change.state != JobState::Failed)
}

fn event(change: &JobChange, now: Timestamp) -> Event {
    Event {
        id: id(change),
        topic: topic(change.state),
        time: now,
        accepted: now,
        source: SOURCE.to_owned(),
        severity: severity(change.state),
        headers: Object::new(),
        body: body(change),
        origin: Origin {
            verified: false,
            by: None,
            via: SOURCE.to_owned(),
        },
        cause: Some(Cause {
            event: change.event.clone(),
            job: change.job.clone(),
            hops: change.hops.saturating_add(1),
        }),
    }
}

/// Of the job and the change alone: what is told twice is told once.
fn id(change: &JobChange) -> EventId {
    let text = format!("lariat lifecycle {} {}", change.job, change.seq);
    let hash = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    let uuid = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    format!("job-{uuid}")
        .parse()
        .expect("a word and a UUID are an event id")
}

fn severity(state: JobState) -> Severity {
    match state {
        JobState::Failed => Severity::Error,
        JobState::Retrying | JobState::Held | JobState::Returned => Severity::Warning,
        JobState::Waiting
        | JobState::Delayed
        | JobState::Queued
        | JobState::Running
        | JobState::Succeeded
        | JobState::Cancelled => Severity::Info,
    }
}

fn body(change: &JobChange) -> Value {
    let JobChange {
        seq: _,
        job,
        rule,
        key,
        state,
        reason,
        attempt,
        outcome,
        result,
        event,
        topic,
        hops: _,
    } = change;
    json!({
        "job": job,
        "rule": rule,
        "state": state,
        "reason": reason,
        "key": key,
        "attempt": attempt,
        "outcome": outcome.as_ref().map(Outcome::as_str),
        "summary": outcome.as_ref().map(Outcome::summary),
        "result": result,
        "event": {"id": event, "topic": topic},
    })
}
