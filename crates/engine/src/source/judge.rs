//! The second stage: deliveries become events that the rules in force have
//! judged.
//!
//! An event that makes the rules panic becomes a dead letter of kind
//! `undecodable` with the event as JSON: it was never accepted, so there is no
//! event in the history that a retry could go back to.

use std::sync::Arc;

use model::{
    event::Event,
    link::{Delivery, Settle, Undecodable},
    ports::{DeadKind, DeadLetterDraft, Judged},
};
use tokio::sync::mpsc;

use super::{
    Backoff, Feed,
    accept::{Batch, Letter},
};
use crate::{
    custody::{
        Custody, Delivered,
        tracker::{Arriving, Past},
    },
    intake::{self, Unjudged},
    shared::{Phase, Shared, is_transient},
    tasks::{Policy, Task, caught},
    telemetry::{StoreFailed, TaskPanicked},
};

pub(super) fn start(shared: &Arc<Shared>, feed: &Arc<Feed>, batches: mpsc::Sender<Batch>) {
    let task = Task {
        name: "judge",
        owner: "source",
        policy: Policy::AwaitOnDrain,
    };
    let (own, feed) = (Arc::clone(shared), Arc::clone(feed));
    shared.tasks.spawn(task, async move {
        while let Some(deliveries) = next(&own, &feed).await {
            match caught(judge(&own, &feed, deliveries)).await {
                Ok(Some(batch)) => {
                    if batches.send(batch).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(panicked) => TaskPanicked { task, panicked }.emit(),
            }
        }
    });
}

/// The next deliveries; `None` when the engine ends and nothing is left.
async fn next(shared: &Shared, feed: &Feed) -> Option<Vec<Delivery>> {
    let mut phase = shared.phase.subscribe();
    let max = feed.source.terms().batch.max(1);
    loop {
        let is_serving = shared.phase() == Phase::Serving;
        match (feed.inbox.take(max), &feed.custody) {
            (Some(deliveries), Some(custody)) if !is_serving => {
                leave(shared, feed, custody, deliveries).await;
                continue;
            }
            (Some(deliveries), _) => return Some(deliveries),
            (None, _) if !is_serving => return None,
            (None, _) => {}
        }
        tokio::select! {
            biased;
            Ok(_) = phase.wait_for(|phase| *phase > Phase::Serving) => {}
            () = feed.inbox.arrived() => {}
        }
    }
}

/// The engine ends before it has begun with these.
async fn leave(shared: &Shared, feed: &Feed, custody: &Custody, deliveries: Vec<Delivery>) {
    {
        let mut tracker = custody.tracker();
        for delivery in deliveries.iter().filter(|one| !one.redelivered) {
            if let Ok(draft) = &delivery.content
                && let Some(id) = &draft.id
            {
                tracker.say_unbegun(id.clone());
            }
        }
    }
    custody.tell_unbegun(&shared.parts.clock.boot()).await;
    let tags = deliveries.iter().map(|delivery| delivery.tag).collect();
    feed.settle(tags, Settle::Requeue).await;
}

/// `None`: nothing of it is to be accepted now, or the engine ends.
async fn judge(shared: &Shared, feed: &Feed, deliveries: Vec<Delivery>) -> Option<Batch> {
    let now = shared.parts.clock.now();
    let source = feed.source.name().as_str();
    let mut letters = Vec::new();
    let mut delivered = Vec::with_capacity(deliveries.len());
    let mut events = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let known = Delivered::of(&delivery);
        match delivery.content {
            Ok(draft) => {
                events.push(intake::event(draft, source, now));
                delivered.push(known);
            }
            Err(undecodable) => letters.push(Letter {
                draft: undecodable_letter(source, undecodable),
                tag: known.tag,
            }),
        }
    }
    let mut pairs = Vec::with_capacity(events.len());
    for (one, judged) in delivered
        .into_iter()
        .zip(intake::judge(shared, events).await)
    {
        match judged {
            Ok(judged) => pairs.push((one, judged)),
            Err(unjudged) => {
                let Unjudged { event, why } = *unjudged;
                letters.push(Letter {
                    draft: poisoned(&event, why),
                    tag: one.tag,
                });
            }
        }
    }
    let arriving = match &feed.custody {
        None => pairs.into_iter().map(plain).collect(),
        Some(custody) => sort(shared, custody, pairs).await?,
    };
    let batch = Batch { arriving, letters };
    (!batch.is_empty()).then_some(batch)
}

fn plain((delivered, judged): (Delivered, Judged)) -> Arriving {
    Arriving {
        judged,
        tags: vec![delivered.tag],
        since: delivered.received,
        past: Past::Fresh,
    }
}

/// `None`: the engine ends; what was not settled is the broker's again.
async fn sort(
    shared: &Shared,
    custody: &Custody,
    judged: Vec<(Delivered, Judged)>,
) -> Option<Vec<Arriving>> {
    let mut backoff = Backoff::new();
    loop {
        match custody.known(shared, &judged).await {
            Ok(known) => return Some(custody.sort(judged, &known, &shared.parts.clock.boot())),
            Err(error) => {
                StoreFailed {
                    what: "look up what came again",
                    error: &error,
                }
                .emit();
                if !is_transient(&error) || !backoff.wait(shared).await {
                    return None;
                }
            }
        }
    }
}

fn undecodable_letter(source: &str, undecodable: Undecodable) -> DeadLetterDraft {
    let Undecodable { cause, raw } = undecodable;
    DeadLetterDraft {
        kind: DeadKind::Undecodable,
        cause,
        event_id: None,
        rule: None,
        job_id: None,
        source: source.to_owned(),
        raw: Some(raw),
    }
}

/// A letter about an event that nothing can be made of, with the event in it.
pub(super) fn poisoned(event: &Event, cause: String) -> DeadLetterDraft {
    DeadLetterDraft {
        kind: DeadKind::Undecodable,
        cause,
        event_id: Some(event.id.clone()),
        rule: None,
        job_id: None,
        source: event.source.clone(),
        raw: serde_json::to_vec(event).ok(),
    }
}
