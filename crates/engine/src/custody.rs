//! The deliveries of one source with `ack: done`: held until their jobs have
//! ended, parked when they would wait too long, and never begun or kept
//! running when another instance may have them.
//!
//! What is decided is said in `model::custody`; this file carries it out.
//! Invariants:
//! 1. Jobs of a delivery are begun only while [`Custody::may_begin`] holds,
//!    which every claim asks for, and are ended by the watch when the peer has
//!    been silent for too long. The watch never waits for the store.
//! 2. A delivery is given back only while no claim is under way, and only
//!    when nothing of its event has begun: an event never runs here in part.
//! 3. What is said to others is durable first: `Mine` follows the parking.
//! 4. That nothing of an event has begun is told to all when it goes back, and
//!    only as long as nobody can have taken it over without a word. Whoever
//!    gets it next asks all the same, and begins at once when its own question
//!    has come round: by then the others have forgotten what they were told,
//!    so that it is never believed twice.
//! 5. Nothing is parked while the peer is not heard, since its
//!    acknowledgement would not arrive. Between the parking and the arrival of
//!    the acknowledgement a parked job is run at least once, not exactly once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{
    clock::BootTime,
    custody::{Due, Hold, JobStanding, is_kept, parting},
    fault::FaultPoint,
    id::{EventId, SourceName, WorkerId},
    link::{Delivery, DeliveryTag, FleetNote, FleetWord, Settle, Terms},
    ports::{Judged, StoreError, transport::Source},
    verdict::Firing,
};
use tokio::sync::{Notify, mpsc};

use self::tracker::{Arriving, Look, Past, Standing, Tracker, Verdicts};
use crate::{
    shared::{Phase, Shared},
    tasks::{Policy, Task, caught},
    telemetry::{
        StoreFailed, TaskPanicked,
        links::{
            DeliveriesFenced, DeliveriesGivenBack, DeliveriesParked, DeliveriesTakenOver, NoteHeard,
        },
    },
};

pub(crate) mod tracker;

/// Between two looks at everything that is held.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at what is waited for.
const WAIT_EVERY: Duration = Duration::from_millis(200);
/// Events that the store is asked about at once.
const CHUNK: usize = 500;
/// Events in one note.
const NOTE: usize = 200;
/// Notes that wait to be heard; more are dropped, since they are repeated.
const NOTES: usize = 1000;
/// How long an instance that ends tries to settle what it still holds.
const AT_END: Duration = Duration::from_secs(5);

pub(crate) struct Custody {
    source: Arc<dyn Source>,
    terms: Terms,
    worker: WorkerId,
    tracker: Mutex<Tracker>,
    /// Something is to be looked at.
    wake: Notify,
    /// Something may be accepted that waited.
    pub(crate) ready: Notify,
    notes: mpsc::Sender<FleetNote>,
}

/// What a custody needs to run, beside itself.
pub(crate) struct Duties {
    custody: Arc<Custody>,
    notes: mpsc::Receiver<FleetNote>,
    looked: Option<BootTime>,
    /// Since when others ask about events and got no answer for our store's
    /// sake.
    unanswered: HashMap<EventId, BootTime>,
}

impl Custody {
    pub(crate) fn new(source: Arc<dyn Source>, worker: WorkerId) -> (Arc<Self>, Duties) {
        let terms = source.terms();
        let (sender, receiver) = mpsc::channel(NOTES);
        let custody = Arc::new(Self {
            source,
            terms,
            worker,
            tracker: Mutex::new(Tracker::new(terms.takeover)),
            wake: Notify::new(),
            ready: Notify::new(),
            notes: sender,
        });
        let duties = Duties {
            custody: Arc::clone(&custody),
            notes: receiver,
            looked: None,
            unanswered: HashMap::new(),
        };
        (custody, duties)
    }

    pub(crate) fn source(&self) -> &SourceName {
        self.source.name()
    }

    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether jobs of these deliveries may be begun now.
    pub(crate) fn may_begin(&self, now: &BootTime) -> bool {
        self.hold(now) == Hold::Sure
    }

    fn hold(&self, now: &BootTime) -> Hold {
        let contact = self.source.contact();
        self.tracker().hold(&contact, now)
    }

    /// A job of an event has changed.
    pub(crate) fn changed(&self, event: &EventId) {
        if self.tracker().change(event) {
            self.wake.notify_one();
        }
    }

    /// Some job has changed, and it is not known which.
    pub(crate) fn changed_somewhere(&self) {
        let mut tracker = self.tracker();
        for id in tracker.events() {
            tracker.change(&id);
        }
        drop(tracker);
        self.wake.notify_one();
    }

    /// There may be something to look at.
    pub(crate) fn look_soon(&self) {
        if self.tracker().has_changed() {
            self.wake.notify_one();
        }
    }

    /// A note has arrived.
    pub(crate) fn hear(&self, note: FleetNote) {
        // Full: it will be said again.
        let _is_heard = self.notes.try_send(note);
    }

    /// A connection is gone.
    pub(crate) fn lost(&self, connection: u64) {
        self.tracker().lost(connection);
        self.wake.notify_one();
    }

    /// What the store has of events that came again.
    pub(crate) async fn known(
        &self,
        shared: &Shared,
        judged: &[(Delivered, Judged)],
    ) -> Result<Standing, StoreError> {
        let redelivered: Vec<EventId> = judged
            .iter()
            .filter(|(delivered, _)| delivered.redelivered)
            .map(|(_, judged)| judged.event.id.clone())
            .collect();
        standing(shared, &redelivered).await
    }

    /// Sorts deliveries that were judged: what may be accepted is given back,
    /// the rest waits for the word of others. Nothing is behind what waits.
    pub(crate) fn sort(
        &self,
        judged: Vec<(Delivered, Judged)>,
        known: &Standing,
        now: &BootTime,
    ) -> Vec<Arriving> {
        let mut accepted = Vec::with_capacity(judged.len());
        let mut waiting = 0;
        let mut tracker = self.tracker();
        for (delivered, judged) in judged {
            let id = judged.event.id.clone();
            let past = if delivered.redelivered {
                let kept = known.get(&id).map(Vec::as_slice);
                match parting::came_again(kept, makes_jobs(&judged), self.terms.takeover) {
                    parting::Again::Accept => Some(Past::Known),
                    parting::Again::Ask => tracker.take_unbegun(&id, now).then_some(Past::Fresh),
                }
            } else {
                Some(Past::Fresh)
            };
            let arriving = Arriving {
                judged,
                tags: vec![delivered.tag],
                since: delivered.received,
                past: past.unwrap_or(Past::TakenOver),
            };
            if past.is_some() {
                accepted.push(arriving);
            } else {
                waiting += 1;
                tracker.wait(arriving, now);
            }
        }
        drop(tracker);
        if waiting > 0 {
            self.wake.notify_one();
        }
        accepted
    }

    async fn tell(&self, about: FleetWord, events: Vec<EventId>) {
        let mut events = events;
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(NOTE));
            let note = FleetNote {
                from: self.worker.clone(),
                about,
                events: std::mem::replace(&mut events, rest),
            };
            self.source.tell(note).await;
        }
    }
}

/// What is kept of a delivery while its event is judged.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    pub(crate) tag: DeliveryTag,
    pub(crate) redelivered: bool,
    pub(crate) received: BootTime,
}

impl Delivered {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        Self {
            tag: delivery.tag,
            redelivered: delivery.redelivered,
            received: delivery.received.clone(),
        }
    }
}

fn makes_jobs(judged: &Judged) -> bool {
    let fires = |firing: &Firing| match firing {
        Firing::Fire(_) => true,
        Firing::Suppress { .. } | Firing::Error { .. } => false,
    };
    judged.decisions.iter().any(|one| fires(&one.firing))
}

async fn standing(shared: &Shared, ids: &[EventId]) -> Result<Standing, StoreError> {
    let mut standing = Standing::new();
    for chunk in ids.chunks(CHUNK) {
        standing.extend(shared.parts.custody.standing(chunk).await?);
    }
    Ok(standing)
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
            if tracker.hold(&contact, &now) == Hold::Fenced {
                let ended = shared.held.lose_events(|event| tracker.knows(event));
                if !ended.is_empty() {
                    DeliveriesFenced {
                        source: custody.source.name(),
                        jobs: &ended,
                    }
                    .emit();
                }
            }
            std::ops::ControlFlow::Continue(())
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

impl Custody {
    async fn settle(&self, shared: &Shared, tags: Vec<DeliveryTag>, how: Settle) {
        if let Some(feed) = shared.feed(self.source.name()) {
            feed.settle(tags, how).await;
        }
    }

    async fn answer(&self, shared: &Shared, note: &FleetNote) -> Result<(), StoreError> {
        let standing = standing(shared, &note.events).await?;
        let is_mine = |id: &&EventId| standing.get(*id).is_some_and(|jobs| is_kept(jobs));
        let mine: Vec<EventId> = note.events.iter().filter(is_mine).cloned().collect();
        if !mine.is_empty() {
            self.park(shared, &mine).await?;
            self.tell(FleetWord::Mine, mine).await;
        }
        Ok(())
    }

    /// Tells the others what went back from here unbegun, as soon as they can
    /// be told.
    pub(crate) async fn tell_unbegun(&self, now: &BootTime) {
        let contact = self.source.contact();
        let untold = {
            let mut tracker = self.tracker();
            if tracker.hold(&contact, now) == Hold::Sure {
                tracker.untold(now)
            } else {
                Vec::new()
            }
        };
        self.tell(FleetWord::Unbegun, untold).await;
    }

    /// The store answers for these from now on.
    async fn park(&self, shared: &Shared, ids: &[EventId]) -> Result<(), StoreError> {
        for chunk in ids.chunks(CHUNK) {
            shared.parts.custody.park(chunk).await?;
        }
        shared.parts.faults.reach(FaultPoint::AfterParkBeforeAck);
        self.release(shared, ids, Settle::Ack).await;
        Ok(())
    }

    async fn release(&self, shared: &Shared, ids: &[EventId], how: Settle) {
        let tags: Vec<DeliveryTag> = {
            let mut tracker = self.tracker();
            ids.iter().flat_map(|id| tracker.release(id)).collect()
        };
        self.settle(shared, tags, how).await;
    }

    /// Gives back what came by a connection that is gone and has not begun.
    async fn part(&self, shared: &Shared) -> Result<(), StoreError> {
        let lost = self.tracker().lost_events();
        if lost.is_empty() {
            return Ok(());
        }
        let _no_claims = shared.begins.acquire().await;
        let standing = standing(shared, &lost).await?;
        let back = self.tracker().part(&lost, &standing);
        for chunk in back.chunks(CHUNK) {
            let custody = &shared.parts.custody;
            custody.give_back(chunk, "its connection was lost").await?;
            let mut tracker = self.tracker();
            for id in chunk {
                tracker.gave_back(id);
            }
        }
        DeliveriesGivenBack {
            source: self.source.name(),
            events: back.len(),
            running: lost.len() - back.len(),
            why: "the connection was lost",
        }
        .emit();
        Ok(())
    }

    async fn ask(&self, now: &BootTime) {
        let every = (self.terms.takeover / 10).clamp(WAIT_EVERY, LOOK_EVERY * 2);
        let ids = self.tracker().asks(now, every);
        self.tell(FleetWord::Ask, ids).await;
    }

    fn take_over(&self, now: &BootTime) {
        let contact = self.source.contact();
        let (taken, has_ready) = {
            let mut tracker = self.tracker();
            // Who is not heard is not asked: the wait goes on, or its
            // connection turns out to be gone.
            let taken = if tracker.hold(&contact, now) == Hold::Sure {
                tracker.take_over(now)
            } else {
                Vec::new()
            };
            (taken, tracker.has_ready())
        };
        if !taken.is_empty() {
            DeliveriesTakenOver {
                source: self.source.name(),
                events: &taken,
            }
            .emit();
        }
        if has_ready {
            self.ready.notify_one();
        }
    }

    /// The process ends: who waited for others leaves it to the next.
    async fn abandon_waits(&self, shared: &Shared) {
        let tags = self.tracker().abandon_waits();
        self.settle(shared, tags, Settle::Requeue).await;
    }

    /// Does about deliveries what their jobs ask for.
    async fn look(
        &self,
        shared: &Shared,
        ids: &[EventId],
        is_leaving: bool,
    ) -> Result<(), StoreError> {
        for chunk in ids.chunks(CHUNK) {
            let standing = standing(shared, chunk).await?;
            let now = shared.parts.clock.boot();
            let look = Look {
                hold: self.hold(&now),
                patience: self.source.patience(),
                is_leaving,
                now,
            };
            let Verdicts { ack, park, requeue } = self.tracker().judge(chunk, &standing, &look);
            self.release(shared, &ack, Settle::Ack).await;
            if !park.is_empty() {
                self.park(shared, &park).await?;
                DeliveriesParked {
                    source: self.source.name(),
                    events: &park,
                }
                .emit();
            }
            if !requeue.is_empty() {
                self.requeue(shared, &requeue, is_leaving).await?;
            }
        }
        Ok(())
    }

    /// Puts deliveries back for any instance.
    async fn requeue(
        &self,
        shared: &Shared,
        ids: &[EventId],
        is_leaving: bool,
    ) -> Result<(), StoreError> {
        let mut ids = ids.to_vec();
        if is_leaving {
            let _no_claims = shared.begins.acquire().await;
            // A claim may have come first.
            let now = standing(shared, &ids).await?;
            let goes = |jobs: &Vec<JobStanding>| parting::leaving(jobs) == Due::Requeue;
            ids.retain(|id| now.get(id).is_none_or(goes));
            let custody = &shared.parts.custody;
            custody.give_back(&ids, "its process ends").await?;
            let mut tracker = self.tracker();
            for id in &ids {
                let jobs = now.get(id).map_or(&[][..], Vec::as_slice);
                if jobs.iter().all(|job| !job.begun) {
                    tracker.leave_unbegun(id);
                }
            }
        }
        self.tell_unbegun(&shared.parts.clock.boot()).await;
        self.release(shared, &ids, Settle::Requeue).await;
        DeliveriesGivenBack {
            source: self.source.name(),
            events: ids.len(),
            running: 0,
            why: "their jobs were not begun, or lost, here",
        }
        .emit();
        Ok(())
    }
}
