//! The deliveries of one source with `ack: done`: held until their jobs have
//! ended, parked when they would wait too long, and never begun or kept
//! running when another instance may have them.
//!
//! What is decided is said in `model::custody`; this file carries it out.
//! Invariants:
//! 1. Jobs of a delivery are begun only while [`Custody::may_begin`] holds,
//!    which every claim asks for, and are ended by the watch when another
//!    instance may have them: the peer has been silent for too long, or the
//!    delivery is gone and nobody could ask us about it. The watch never waits
//!    for the store; what does not run then is given back before anything else
//!    is begun.
//! 2. A delivery is given back only while no claim is under way, and only
//!    when nothing of its event has begun, or none of it will be begun again:
//!    an event never runs here in part.
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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{
    clock::BootTime,
    custody::{Due, Hold, JobStanding, is_kept, parting},
    fault::FaultPoint,
    id::{EventId, SourceName, WorkerId},
    job::JobState,
    link::{Delivery, DeliveryTag, FleetNote, FleetWord, Settle, Terms},
    ports::{Judged, StoreError, transport::Source},
    verdict::Firing,
};
use tokio::sync::{Notify, mpsc};

use self::tracker::{Arriving, Look, Past, Standing, Tracker, Verdicts};
use crate::{
    shared::Shared,
    telemetry::links::{DeliveriesGivenBack, DeliveriesParked, DeliveriesTakenOver},
};

mod duties;
pub(crate) mod tracker;

pub(crate) use self::duties::{Duties, start};

/// Between two questions to the others about an event: a tenth of the
/// takeover, within these.
const ASK_SOONEST: Duration = Duration::from_millis(200);
const ASK_LATEST: Duration = Duration::from_secs(2);
/// Events that the store is asked about at once.
const CHUNK: usize = 500;
/// Events in one note.
const NOTE: usize = 200;
/// Notes that wait to be heard; more are dropped, since they are repeated.
const NOTES: usize = 1000;

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
        let duties = Duties::new(&custody, receiver);
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
        Firing::Suppress { .. } | Firing::Shadow { .. } | Firing::Error { .. } => false,
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

    /// Gives up what another instance may have by now. What runs of it is
    /// being ended and comes next time.
    async fn give_up(&self, shared: &Shared) -> Result<(), StoreError> {
        let doubtful = self.tracker().doubtful();
        if doubtful.is_empty() {
            return Ok(());
        }
        let _no_claims = shared.begins.acquire().await;
        let standing = standing(shared, &doubtful).await?;
        let runs = |job: &JobStanding| job.state == JobState::Running;
        let still: Vec<EventId> = doubtful
            .into_iter()
            .filter(|id| !standing.get(id).is_some_and(|jobs| jobs.iter().any(runs)))
            .collect();
        for chunk in still.chunks(CHUNK) {
            let custody = &shared.parts.custody;
            custody
                .give_back(chunk, "another instance may have it")
                .await?;
            let mut tracker = self.tracker();
            for id in chunk {
                tracker.gave_up(id);
            }
        }
        Ok(())
    }

    async fn ask(&self, now: &BootTime) {
        let every = (self.terms.takeover / 10).clamp(ASK_SOONEST, ASK_LATEST);
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
                tracker.take_over(self.source.talk(), now)
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
