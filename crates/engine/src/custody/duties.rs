//! What a custody does by itself, as long as it lasts: it hears what others
//! say, looks at what it holds, and watches over what runs of it.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc, time::Duration};

use model::{
    clock::BootTime,
    id::EventId,
    link::{FleetNote, FleetWord, Settle},
    ports::StoreError,
};
use tokio::sync::mpsc;

use super::Custody;
use crate::{
    shared::{Phase, Shared},
    tasks::{Policy, Task, caught},
    telemetry::{
        StoreFailed, TaskPanicked,
        links::{DeliveriesFenced, NoteHeard},
    },
};

/// Between two looks at everything that is held.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at what is waited for.
const WAIT_EVERY: Duration = Duration::from_millis(200);
/// How long an instance that ends tries to settle what it still holds.
const AT_END: Duration = Duration::from_secs(5);

/// What a custody needs to run, beside itself.
pub(crate) struct Duties {
    custody: Arc<Custody>,
    notes: mpsc::Receiver<FleetNote>,
    looked: Option<BootTime>,
    /// Since when others ask about events and got no answer for our store's
    /// sake.
    unanswered: HashMap<EventId, BootTime>,
}

impl Duties {
    pub(super) fn new(custody: &Arc<Custody>, notes: mpsc::Receiver<FleetNote>) -> Self {
        Self {
            custody: Arc::clone(custody),
            notes,
            looked: None,
            unanswered: HashMap::new(),
        }
    }
}

/// Starts the watch and the duties of one custody.
pub(crate) fn start(shared: &Arc<Shared>, mut duties: Duties) {
    let custody = Arc::clone(&duties.custody);
    if !custody.terms.takeover.is_zero() {
        watch(shared, &custody);
    }
    let task = Task {
        name: "custody",
        owner: "custody",
        policy: Policy::FinishLast,
    };
    let own = Arc::clone(shared);
    shared.tasks.spawn(task, async move {
        let finish = own.tasks.finish();
        loop {
            let pause = if custody.tracker().has_waits() {
                WAIT_EVERY
            } else {
                LOOK_EVERY
            };
            let note = tokio::select! {
                biased;
                () = finish.cancelled() => break,
                note = duties.notes.recv() => note,
                () = custody.wake.notified() => None,
                () = tokio::time::sleep(pause) => None,
            };
            if let Err(panicked) = caught(duties.round(&own, note)).await {
                TaskPanicked { task, panicked }.emit();
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        if let Err(panicked) = caught(duties.finish(&own)).await {
            TaskPanicked { task, panicked }.emit();
        }
    });
}

/// Compares what is heard of the peer with the clock, and ends what runs of
/// its deliveries before another instance can begin with them.
fn watch(shared: &Arc<Shared>, custody: &Arc<Custody>) {
    let every = (custody.terms.takeover / 20).clamp(Duration::from_millis(50), LOOK_EVERY);
    let task = Task {
        name: "watch",
        owner: "custody",
        policy: Policy::CutAfterDrain,
    };
    let (own, custody) = (Arc::clone(shared), Arc::clone(custody));
    shared.tasks.rounds(task, move || {
        let (shared, custody) = (Arc::clone(&own), Arc::clone(&custody));
        async move {
            tokio::time::sleep(every).await;
            let now = shared.parts.clock.boot();
            let contact = custody.source.contact();
            let mut tracker = custody.tracker();
            tracker.heard(&contact, &now);
            let doubtful = tracker.doubt(&contact, custody.source.talk(), &now);
            let ended = shared.held.lose_events(|event| doubtful.contains(event));
            DeliveriesFenced {
                source: custody.source.name(),
                jobs: &ended,
            }
            .emit();
            if !doubtful.is_empty() {
                custody.wake.notify_one();
            }
            ControlFlow::Continue(())
        }
    });
}

impl Duties {
    /// One look at everything that calls for it.
    async fn round(&mut self, shared: &Shared, note: Option<FleetNote>) {
        let mut next = note;
        while let Some(note) = next {
            self.heed(shared, note).await;
            next = self.notes.try_recv().ok();
        }
        let custody = Arc::clone(&self.custody);
        report("give deliveries back", custody.part(shared).await);
        report("give up deliveries", custody.give_up(shared).await);
        let now = shared.parts.clock.boot();
        custody.tell_unbegun(&now).await;
        custody.ask(&now).await;
        custody.take_over(&now);
        let is_leaving = shared.phase() > Phase::Serving;
        if is_leaving {
            custody.abandon_waits(shared).await;
        }
        let is_time = self
            .looked
            .as_ref()
            .is_none_or(|looked| looked.plus(LOOK_EVERY).has_passed(&now));
        let ids = if is_time || is_leaving {
            self.looked = Some(now);
            let mut tracker = custody.tracker();
            tracker.take_changed();
            tracker.events()
        } else {
            custody.tracker().take_changed()
        };
        report(
            "look at deliveries",
            custody.look(shared, &ids, is_leaving).await,
        );
    }

    /// Nothing runs any more: everything that is still held is settled. What
    /// cannot be is the broker's again when the source closes.
    async fn finish(&mut self, shared: &Shared) {
        let begun = tokio::time::Instant::now();
        loop {
            self.round(shared, None).await;
            let is_empty = self.custody.tracker().is_empty();
            if is_empty || begun.elapsed() > AT_END {
                return;
            }
            let note = tokio::select! {
                note = self.notes.recv() => note,
                () = tokio::time::sleep(WAIT_EVERY) => None,
            };
            if let Some(note) = note {
                self.heed(shared, note).await;
            }
        }
    }

    /// Does what the word of another instance asks for.
    async fn heed(&mut self, shared: &Shared, note: FleetNote) {
        if note.from == self.custody.worker {
            if note.about == FleetWord::Ask {
                let now = shared.parts.clock.boot();
                self.custody.tracker().echoed(&note.events, &now);
                self.custody.ready.notify_one();
            }
            return;
        }
        NoteHeard {
            source: self.custody.source.name(),
            note: &note,
        }
        .emit();
        let now = shared.parts.clock.boot();
        let ack = self.custody.tracker().told(&note, &now);
        self.custody.settle(shared, ack, Settle::Ack).await;
        if note.about == FleetWord::Ask {
            self.answer(shared, &note).await;
        }
    }

    /// Another instance asks. When the store does not let us answer before
    /// the other takes over, what runs of it here is ended.
    async fn answer(&mut self, shared: &Shared, note: &FleetNote) {
        let custody = &self.custody;
        let answered = custody.answer(shared, note).await;
        let now = shared.parts.clock.boot();
        match &answered {
            Ok(()) => {
                for id in &note.events {
                    self.unanswered.remove(id);
                }
            }
            Err(_) => {
                let late = custody.terms.takeover / 2;
                for id in &note.events {
                    let first = self.unanswered.entry(id.clone());
                    let first = first.or_insert_with(|| now.clone());
                    if first.plus(late).has_passed(&now) {
                        shared.held.lose_events(|event| event == id);
                    }
                }
            }
        }
        let takeover = custody.terms.takeover;
        self.unanswered
            .retain(|_, first| !first.plus(takeover).has_passed(&now));
        report("answer another instance", answered);
    }
}

fn report(what: &'static str, result: Result<(), StoreError>) {
    match result {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => StoreFailed {
            what,
            error: &error,
        }
        .emit(),
    }
}
