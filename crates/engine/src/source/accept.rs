//! The third and fourth stage: events are committed, then settled.
//!
//! What the store cannot take now is handed to it again until it can. A batch
//! that fails although the store can be written is taken apart; the single
//! event that goes on failing becomes a dead letter.

use std::sync::Arc;

use model::{
    custody::Custody as InCustody,
    fault::FaultPoint,
    link::{DeliveryTag, Settle},
    ports::{AcceptError, Accepted, DeadLetterDraft, Judged, StoreError},
    verdict::Firing,
};
use tokio::sync::mpsc;

use super::{Backoff, Feed, judge::poisoned};
use crate::{
    custody::{
        Custody,
        tracker::{Arriving, Past},
    },
    intake,
    shared::{Shared, is_transient},
    tasks::{Policy, Task, caught},
    telemetry::{
        StoreFailed, TaskPanicked,
        links::{AcceptHeld, DeliveriesJoined, EventPoisoned, UndecodableKept},
    },
};

/// Failures in a row after which a batch is taken apart.
const FAILURES: u32 = 5;

/// What was judged together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) arriving: Vec<Arriving>,
    pub(super) letters: Vec<Letter>,
}

/// A delivery that is no event, or none that anything can be made of.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) draft: DeadLetterDraft,
    pub(super) tag: DeliveryTag,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.arriving.is_empty() && self.letters.is_empty()
    }
}

/// How handing something to the store ended.
enum Handed<T> {
    Taken(T),
    /// The store can be written, and does not take this.
    Poisoned(StoreError),
    /// The engine ends.
    Ending,
}

pub(super) fn start(shared: &Arc<Shared>, feed: &Arc<Feed>, mut batches: mpsc::Receiver<Batch>) {
    let task = Task {
        name: "accept",
        owner: "source",
        policy: Policy::AwaitOnDrain,
    };
    let (own, feed) = (Arc::clone(shared), Arc::clone(feed));
    shared.tasks.spawn(task, async move {
        loop {
            let batch = match &feed.custody {
                None => batches.recv().await,
                Some(custody) => either(&feed, custody, &mut batches).await,
            };
            let Some(batch) = batch else {
                return;
            };
            if let Err(panicked) = caught(take(&own, &feed, batch)).await {
                TaskPanicked { task, panicked }.emit();
            }
        }
    });
}

/// The next batch, or what is not waited for any more. `None` when no batch
/// will come.
async fn either(
    feed: &Feed,
    custody: &Custody,
    batches: &mut mpsc::Receiver<Batch>,
) -> Option<Batch> {
    let max = feed.source.terms().batch.max(1);
    loop {
        let arriving = custody.tracker().take_ready(max);
        if !arriving.is_empty() {
            return Some(Batch {
                arriving,
                letters: Vec::new(),
            });
        }
        tokio::select! {
            biased;
            batch = batches.recv() => return batch,
            () = custody.ready.notified() => {}
        }
    }
}

/// Keeps a batch and settles it.
async fn take(shared: &Shared, feed: &Feed, batch: Batch) {
    let Batch { arriving, letters } = batch;
    let mut ack = Vec::with_capacity(arriving.len() + letters.len());
    let mut back = Vec::new();
    for Letter { draft, tag } in letters {
        if keep(shared, feed, draft).await {
            ack.push(tag);
        } else {
            back.push(tag);
        }
    }
    match &feed.custody {
        None => stored(shared, feed, arriving, &mut ack).await,
        Some(custody) => held(shared, feed, custody, arriving, &mut ack).await,
    }
    feed.settle(ack, Settle::Ack).await;
    feed.settle(back, Settle::Requeue).await;
}

/// Keeps one letter, whatever it takes. `false`: the engine ends.
async fn keep(shared: &Shared, feed: &Feed, draft: DeadLetterDraft) -> bool {
    let mut backoff = Backoff::new();
    loop {
        match shared.parts.control.keep_dead(draft.clone()).await {
            Ok(letter) => {
                UndecodableKept {
                    source: feed.source.name(),
                    letter: &letter,
                    cause: &draft.cause,
                }
                .emit(&shared.meter);
                return true;
            }
            Err(error) => {
                StoreFailed {
                    what: "keep a dead letter",
                    error: &error,
                }
                .emit();
                if matches!(error, StoreError::Closed) || !backoff.wait(shared).await {
                    return false;
                }
            }
        }
    }
}

/// With `ack: stored` everything that is committed is acknowledged.
async fn stored(shared: &Shared, feed: &Feed, arriving: Vec<Arriving>, ack: &mut Vec<DeliveryTag>) {
    if arriving.is_empty() {
        return;
    }
    let mut tags: Vec<DeliveryTag> = arriving.iter().flat_map(|one| one.tags.clone()).collect();
    let judged: Vec<Judged> = arriving.into_iter().map(|one| one.judged).collect();
    match hand_over(shared, &judged).await {
        Handed::Taken(_) => ack.append(&mut tags),
        Handed::Ending => feed.settle(tags, Settle::Requeue).await,
        Handed::Poisoned(_) => {
            for (judged, tag) in judged.iter().zip(tags) {
                let is_kept = match hand_over(shared, std::slice::from_ref(judged)).await {
                    Handed::Taken(_) => true,
                    Handed::Poisoned(error) => bury(shared, feed, judged, &error).await,
                    Handed::Ending => false,
                };
                if is_kept {
                    ack.push(tag);
                } else {
                    feed.settle(vec![tag], Settle::Requeue).await;
                }
            }
        }
    }
}

async fn bury(shared: &Shared, feed: &Feed, judged: &Judged, error: &StoreError) -> bool {
    EventPoisoned {
        event: &judged.event.id,
        error,
    }
    .emit();
    let cause = format!("the store could not keep it: {error}");
    keep(shared, feed, poisoned(&judged.event, cause)).await
}

/// With `ack: done` what has jobs is held until they have ended.
async fn held(
    shared: &Shared,
    feed: &Feed,
    custody: &Custody,
    arriving: Vec<Arriving>,
    ack: &mut Vec<DeliveryTag>,
) {
    let worker = &shared.parts.settings.worker;
    let mut arriving = custody.tracker().accepting(arriving);
    for one in &mut arriving {
        one.judged.custody = InCustody::Broker {
            worker: worker.clone(),
            taken_over: one.past == Past::TakenOver,
        };
    }
    match hand_over_ours(shared, custody, &mut arriving).await {
        Handed::Taken(accepted) => custody.hold_on(&arriving, &accepted, ack),
        Handed::Ending => give_up(shared, feed, custody, arriving).await,
        Handed::Poisoned(_) => {
            for one in arriving {
                let mut single = vec![one];
                match hand_over_ours(shared, custody, &mut single).await {
                    Handed::Taken(accepted) => custody.hold_on(&single, &accepted, ack),
                    Handed::Ending => give_up(shared, feed, custody, single).await,
                    Handed::Poisoned(error) => {
                        for one in single {
                            if bury(shared, feed, &one.judged, &error).await {
                                ack.extend(custody.tracker().release(&one.judged.event.id));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The engine ends before these were accepted.
async fn give_up(shared: &Shared, feed: &Feed, custody: &Custody, arriving: Vec<Arriving>) {
    let tags = {
        let mut tracker = custody.tracker();
        tracker.not_accepted(&arriving);
        for one in arriving.iter().filter(|one| one.past == Past::Fresh) {
            tracker.say_unbegun(one.judged.event.id.clone());
        }
        arriving.into_iter().flat_map(|one| one.tags).collect()
    };
    custody.tell_unbegun(&shared.parts.clock.boot()).await;
    feed.settle(tags, Settle::Requeue).await;
}

/// Hands over what is still ours, until the store takes it.
async fn hand_over_ours(
    shared: &Shared,
    custody: &Custody,
    arriving: &mut Vec<Arriving>,
) -> Handed<Vec<Accepted>> {
    let mut tries = Tries::new();
    loop {
        if arriving.is_empty() {
            return Handed::Taken(Vec::new());
        }
        let judged = arriving.iter().map(|one| one.judged.clone()).collect();
        match intake::commit(shared, judged).await {
            Ok(accepted) => {
                shared.parts.faults.reach(FaultPoint::AfterAcceptBeforeAck);
                return Handed::Taken(accepted);
            }
            Err(error) => {
                if let Some(end) = tries.failed(shared, error).await {
                    return end;
                }
            }
        }
        let ours = custody.tracker().still_accepting(std::mem::take(arriving));
        *arriving = ours;
    }
}

async fn hand_over(shared: &Shared, judged: &[Judged]) -> Handed<Vec<Accepted>> {
    let mut tries = Tries::new();
    loop {
        match intake::commit(shared, judged.to_vec()).await {
            Ok(accepted) => {
                shared.parts.faults.reach(FaultPoint::AfterAcceptBeforeAck);
                return Handed::Taken(accepted);
            }
            Err(error) => {
                if let Some(end) = tries.failed(shared, error).await {
                    return end;
                }
            }
        }
    }
}

/// Counts what the store refuses.
struct Tries {
    backoff: Backoff,
    failures: u32,
}

impl Tries {
    fn new() -> Self {
        Self {
            backoff: Backoff::new(),
            failures: 0,
        }
    }

    /// Waits before the next try; `Some` when there is none.
    async fn failed<T>(&mut self, shared: &Shared, error: AcceptError) -> Option<Handed<T>> {
        AcceptHeld { error: &error }.emit();
        if let AcceptError::Store(error) = error {
            if matches!(error, StoreError::Closed) {
                return Some(Handed::Ending);
            }
            let is_about_it = matches!(error, StoreError::Failed(_)) || !is_transient(&error);
            self.failures = if is_about_it { self.failures + 1 } else { 0 };
            let is_enough = self.failures >= FAILURES || !is_transient(&error);
            if is_enough && shared.parts.upkeep.probe().await.is_ok() {
                return Some(Handed::Poisoned(error));
            }
        }
        (!self.backoff.wait(shared).await).then_some(Handed::Ending)
    }
}

impl Custody {
    /// Holds what has jobs; what has none is to be acknowledged.
    fn hold_on(&self, arriving: &[Arriving], accepted: &[Accepted], ack: &mut Vec<DeliveryTag>) {
        let mut changed = Vec::new();
        {
            let mut tracker = self.tracker();
            for (one, accepted) in arriving.iter().zip(accepted) {
                let id = &one.judged.event.id;
                tracker.accepted(id);
                if accepted.conflict {
                    // The deliveries of the one that has the id are not meant.
                    ack.extend(tracker.drop_tags(id, &one.tags));
                } else if accepted.jobs.is_empty() {
                    ack.extend(tracker.release(id));
                } else if accepted.duplicate || may_wait(one) {
                    changed.push(id.clone());
                }
            }
        }
        let joined = accepted.iter().filter(|one| one.duplicate).count();
        if joined > 0 {
            DeliveriesJoined {
                source: self.source(),
                count: joined,
            }
            .emit();
        }
        for id in changed {
            self.changed(&id);
        }
        self.look_soon();
    }
}

/// Whether its jobs may be waiting from the beginning.
fn may_wait(arriving: &Arriving) -> bool {
    let has_key = |firing: &Firing| match firing {
        Firing::Fire(plan) => plan.key.is_some(),
        Firing::Suppress { .. } | Firing::Shadow { .. } | Firing::Error { .. } => false,
    };
    arriving.past == Past::TakenOver
        || arriving
            .judged
            .decisions
            .iter()
            .any(|one| has_key(&one.firing))
}
