//! What this process knows of the deliveries of one source: which events it
//! holds, by which tags, and which it waits for the word of others about.
//!
//! Values and decisions only; `custody.rs` does what follows from them. An
//! entry is in one of four stations: *accepting* (the store is asked), *held*
//! (it has tags), *lost* (its tags are gone and nobody has looked at its jobs
//! yet) and *orphan* (something of it has begun here and goes on without a
//! delivery). While an entry is lost nothing of any delivery may be begun.

mod unbegun;
mod waits;

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map},
    time::Duration,
};

use model::{
    clock::BootTime,
    custody::{
        Due, Hold, JobStanding, due, hold,
        parting::{Gone, gone, leaving},
    },
    id::EventId,
    link::{Contact, DeliveryTag, Talk},
    ports::Judged,
};

use self::{unbegun::Unbegun, waits::Wait};

/// Between two questions of one who waits, at the least, and some more.
const HEARD_FOR: Duration = Duration::from_millis(500);

/// An event on its way into the store, with the deliveries that brought it.
#[derive(Debug, Clone)]
pub(crate) struct Arriving {
    pub(crate) judged: Judged,
    pub(crate) tags: Vec<DeliveryTag>,
    /// When the first of them arrived.
    pub(crate) since: BootTime,
    /// What is known of other processes that had it.
    pub(crate) past: Past,
}

/// What is known of an event's earlier deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// Nothing of it has begun anywhere.
    Fresh,
    /// It was delivered before; what came of it is here or is nothing.
    Known,
    /// Another process had it and may have begun.
    TakenOver,
}

#[derive(Debug)]
struct Entry {
    tags: Vec<DeliveryTag>,
    since: BootTime,
    past: Past,
    is_accepting: bool,
    is_lost: bool,
    /// Since when it has no delivery and nobody could ask about it.
    alone: Option<BootTime>,
}

/// What is to be done after a look at jobs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    pub(crate) ack: Vec<EventId>,
    pub(crate) park: Vec<EventId>,
    pub(crate) requeue: Vec<EventId>,
}

/// The jobs of events, as the store has them.
pub(crate) type Standing = HashMap<EventId, Vec<JobStanding>>;

/// What the store does not have has no jobs.
fn jobs_of<'a>(standing: &'a Standing, id: &EventId) -> &'a [JobStanding] {
    standing.get(id).map_or(&[], Vec::as_slice)
}

#[derive(Debug)]
pub(crate) struct Tracker {
    takeover: Duration,
    entries: HashMap<EventId, Entry>,
    waits: HashMap<EventId, Wait>,
    ready: Vec<Arriving>,
    unbegun: Unbegun,
    changed: HashSet<EventId>,
    /// Unsettled tags of entries and waits, counted by connection.
    connections: BTreeMap<u64, usize>,
    /// Entries that are lost.
    lost: usize,
    /// Deliveries of this connection and those before are gone.
    last_lost: u64,
    /// The last moment at which the deliveries were known to be ours, or
    /// nobody else's.
    proven: Option<BootTime>,
    /// Since when the other instances are heard.
    heard_since: Option<BootTime>,
    /// Entries that another instance may have taken over, or be about to.
    doubtful: HashSet<EventId>,
}

impl Tracker {
    pub(crate) fn new(takeover: Duration) -> Self {
        Self {
            takeover,
            entries: HashMap::new(),
            waits: HashMap::new(),
            ready: Vec::new(),
            unbegun: Unbegun::new(takeover),
            changed: HashSet::new(),
            connections: BTreeMap::new(),
            lost: 0,
            last_lost: 0,
            proven: None,
            heard_since: None,
            doubtful: HashSet::new(),
        }
    }

    pub(crate) fn is_gone(&self, tag: DeliveryTag) -> bool {
        tag.connection <= self.last_lost
    }

    fn count(&mut self, tags: &[DeliveryTag]) {
        for tag in tags {
            *self.connections.entry(tag.connection).or_default() += 1;
        }
    }

    fn uncount(&mut self, tags: &[DeliveryTag]) {
        for tag in tags {
            if let Some(count) = self.connections.get_mut(&tag.connection) {
                *count -= 1;
                if *count == 0 {
                    self.connections.remove(&tag.connection);
                }
            }
        }
    }

    /// Whether jobs of deliveries may be begun: all of them are known to be
    /// ours.
    pub(crate) fn hold(&self, contact: &Contact, now: &BootTime) -> Hold {
        let decided = hold(contact, self.takeover, now);
        if decided == Hold::Sure && self.is_behind(contact) {
            Hold::Unsure
        } else {
            decided
        }
    }

    /// Whether there are deliveries that this contact says nothing about:
    /// their connection is gone.
    fn is_behind(&self, contact: &Contact) -> bool {
        let is_older = match contact {
            Contact::Live { connection, .. } => {
                let oldest = self.connections.keys().next();
                oldest.is_some_and(|oldest| oldest < connection)
            }
            Contact::Down | Contact::Silent { .. } => false,
        };
        is_older || self.lost > 0 || !self.doubtful.is_empty()
    }

    /// Notes what is heard of the peer. While no broker runs nobody can take
    /// anything over, so what was true before is true for longer.
    pub(crate) fn heard(&mut self, contact: &Contact, now: &BootTime) {
        match contact {
            Contact::Live { answered, .. } => {
                if !self.is_behind(contact) {
                    self.proven = Some(answered.clone());
                }
            }
            Contact::Down => {
                let still = |until: &BootTime| !until.has_passed(now);
                let takeover = self.takeover;
                if let Some(proven) = &mut self.proven
                    && still(&proven.plus(takeover))
                {
                    *proven = now.clone();
                }
                self.unbegun.nobody_could(now);
            }
            Contact::Silent { .. } => {}
        }
        self.unbegun.pass_time(now);
    }

    /// The events that another instance may have by now, or soon: all of them
    /// when nothing was heard of the peer for too long, and those without a
    /// delivery that nobody could ask us about for as long. Who asks repeats
    /// it, so hearing for a while is what counts. While no broker runs nobody
    /// takes anything over.
    pub(crate) fn doubt(
        &mut self,
        contact: &Contact,
        talk: Talk,
        now: &BootTime,
    ) -> &HashSet<EventId> {
        let heard_since = match talk {
            Talk::Heard => Some(self.heard_since.take().unwrap_or_else(|| now.clone())),
            Talk::Silent | Talk::Refused => None,
        };
        let a_while = (self.takeover / 8).max(HEARD_FOR);
        let is_heard = heard_since
            .as_ref()
            .is_some_and(|since| since.plus(a_while).has_passed(now));
        self.heard_since = heard_since;
        let is_fenced = hold(contact, self.takeover, now) == Hold::Fenced;
        let is_safe = is_heard || *contact == Contact::Down;
        for (id, entry) in &mut self.entries {
            if is_fenced {
                self.doubtful.insert(id.clone());
            } else if is_safe || !entry.tags.is_empty() {
                entry.alone = None;
            } else {
                let since = entry.alone.get_or_insert_with(|| now.clone());
                if since.plus(self.takeover * 3 / 4).has_passed(now) {
                    self.doubtful.insert(id.clone());
                }
            }
        }
        &self.doubtful
    }

    pub(crate) fn doubtful(&self) -> Vec<EventId> {
        self.doubtful.iter().cloned().collect()
    }

    /// Nothing of it can be begun here any more.
    pub(crate) fn gave_up(&mut self, id: &EventId) {
        self.doubtful.remove(id);
        self.changed.insert(id.clone());
    }

    /// Registers what is about to be handed to the store; gives back only what
    /// is still ours.
    pub(crate) fn accepting(&mut self, batch: Vec<Arriving>) -> Vec<Arriving> {
        let mut ours = Vec::with_capacity(batch.len());
        for mut arriving in batch {
            arriving.tags.retain(|tag| !self.is_gone(*tag));
            if arriving.tags.is_empty() {
                continue;
            }
            self.count(&arriving.tags);
            let id = arriving.judged.event.id.clone();
            match self.entries.entry(id) {
                hash_map::Entry::Vacant(place) => {
                    place.insert(Entry {
                        tags: arriving.tags.clone(),
                        since: arriving.since.clone(),
                        past: arriving.past,
                        is_accepting: true,
                        is_lost: false,
                        alone: None,
                    });
                }
                hash_map::Entry::Occupied(mut place) => {
                    let entry = place.get_mut();
                    if entry.is_lost {
                        entry.is_lost = false;
                        self.lost -= 1;
                    }
                    if entry.tags.is_empty() {
                        entry.since = arriving.since.clone();
                    }
                    entry.tags.extend(&arriving.tags);
                    entry.is_accepting = true;
                    // It is ours again.
                    self.doubtful.remove(&arriving.judged.event.id);
                    if entry.past == Past::Fresh {
                        entry.past = arriving.past;
                    }
                }
            }
            ours.push(arriving);
        }
        ours
    }

    /// Of what is being accepted, that which is still ours.
    pub(crate) fn still_accepting(&mut self, batch: Vec<Arriving>) -> Vec<Arriving> {
        let mut ours = Vec::with_capacity(batch.len());
        for mut arriving in batch {
            arriving.tags.retain(|tag| !self.is_gone(*tag));
            if arriving.tags.is_empty() {
                self.accepted(&arriving.judged.event.id);
            } else {
                ours.push(arriving);
            }
        }
        ours
    }

    /// The store will not be asked for these any more; they are settled
    /// otherwise.
    pub(crate) fn not_accepted(&mut self, batch: &[Arriving]) {
        for arriving in batch {
            let id = &arriving.judged.event.id;
            let Some(entry) = self.entries.get_mut(id) else {
                continue;
            };
            let mut gone = Vec::new();
            for tag in &arriving.tags {
                if let Some(at) = entry.tags.iter().position(|held| held == tag) {
                    gone.push(entry.tags.swap_remove(at));
                }
            }
            self.uncount(&gone);
            self.accepted(id);
        }
    }

    /// The store has answered about it.
    pub(crate) fn accepted(&mut self, id: &EventId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        entry.is_accepting = false;
        if entry.tags.is_empty() && !entry.is_lost {
            entry.is_lost = true;
            self.lost += 1;
        }
    }

    /// Forgets an event; its tags are to be settled.
    pub(crate) fn release(&mut self, id: &EventId) -> Vec<DeliveryTag> {
        self.changed.remove(id);
        self.doubtful.remove(id);
        let Some(entry) = self.entries.remove(id) else {
            return Vec::new();
        };
        if entry.is_lost {
            self.lost -= 1;
        }
        self.uncount(&entry.tags);
        entry.tags
    }

    /// Forgets some of the tags of an event; they are to be settled.
    pub(crate) fn drop_tags(&mut self, id: &EventId, tags: &[DeliveryTag]) -> Vec<DeliveryTag> {
        let Some(entry) = self.entries.get_mut(id) else {
            return Vec::new();
        };
        let (dropped, kept) = entry.tags.iter().partition(|tag| tags.contains(tag));
        entry.tags = kept;
        if entry.tags.is_empty() && !entry.is_lost {
            entry.is_lost = true;
            self.lost += 1;
        }
        self.uncount(&dropped);
        dropped
    }

    /// A connection is gone, and with it the right to what came by it.
    pub(crate) fn lost(&mut self, connection: u64) {
        self.last_lost = self.last_lost.max(connection);
        let is_ours = |tag: &DeliveryTag| tag.connection > connection;
        for entry in self.entries.values_mut() {
            let had_tags = !entry.tags.is_empty();
            entry.tags.retain(is_ours);
            if had_tags && entry.tags.is_empty() && !entry.is_lost {
                entry.is_lost = true;
                self.lost += 1;
            }
        }
        self.waits.retain(|_, wait| {
            wait.arriving.tags.retain(is_ours);
            !wait.arriving.tags.is_empty()
        });
        self.ready.retain_mut(|arriving| {
            arriving.tags.retain(is_ours);
            !arriving.tags.is_empty()
        });
        self.connections.retain(|number, _| *number > connection);
        self.unbegun.deaf();
    }

    /// Entries whose deliveries are gone.
    pub(crate) fn lost_events(&self) -> Vec<EventId> {
        if self.lost == 0 {
            return Vec::new();
        }
        let lost = self.entries.iter();
        let lost = lost.filter(|(_, entry)| entry.is_lost && !entry.is_accepting);
        lost.map(|(id, _)| id.clone()).collect()
    }

    /// Of lost events, those that go back. The others go on as orphans, or
    /// nothing is left of them.
    pub(crate) fn part(&mut self, asked: &[EventId], standing: &Standing) -> Vec<EventId> {
        let mut back = Vec::new();
        for id in asked {
            // It may have come again meanwhile.
            let is_meant = |entry: &&mut Entry| entry.is_lost && !entry.is_accepting;
            let Some(entry) = self.entries.get_mut(id).filter(is_meant) else {
                continue;
            };
            match gone(jobs_of(standing, id)) {
                Gone::GiveBack => back.push(id.clone()),
                Gone::KeepOn => {
                    entry.is_lost = false;
                    self.lost -= 1;
                }
                Gone::Forget => {
                    self.release(id);
                }
            }
        }
        back
    }

    /// A lost event went back. The others are told that nothing has begun,
    /// when nothing had begun before it came here either.
    pub(crate) fn gave_back(&mut self, id: &EventId) {
        self.leave_unbegun(id);
        self.release(id);
    }

    /// An event goes back of which nothing has begun here.
    pub(crate) fn leave_unbegun(&mut self, id: &EventId) {
        let entry = self.entries.get(id);
        if entry.is_some_and(|entry| entry.past == Past::Fresh) {
            self.say_unbegun(id.clone());
        }
    }

    /// Nothing of it has begun anywhere, and from the last proof on nobody can
    /// take it over for a while.
    pub(crate) fn say_unbegun(&mut self, id: EventId) {
        if let Some(proven) = &self.proven {
            self.unbegun.gave_back(id, proven);
        }
    }

    /// Whether it went back from here, nothing has begun, and nobody was told
    /// so: then it is ours as if it had come for the first time.
    pub(crate) fn take_unbegun(&mut self, id: &EventId, now: &BootTime) -> bool {
        self.unbegun.take_untold(id, now)
    }

    /// What the others are to be told about: nothing of it has begun.
    pub(crate) fn untold(&mut self, now: &BootTime) -> Vec<EventId> {
        self.unbegun.tell(now)
    }

    /// Something of an event has changed. `false`: it is not known here.
    pub(crate) fn change(&mut self, id: &EventId) -> bool {
        let is_known = self.entries.contains_key(id);
        if is_known {
            self.changed.insert(id.clone());
        }
        is_known
    }

    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty() || self.lost > 0
    }

    pub(crate) fn take_changed(&mut self) -> Vec<EventId> {
        self.changed.drain().collect()
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, id: &EventId) -> bool {
        self.entries.contains_key(id)
    }

    pub(crate) fn events(&self) -> Vec<EventId> {
        self.entries.keys().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.waits.is_empty() && self.ready.is_empty()
    }

    pub(crate) fn has_waits(&self) -> bool {
        !self.waits.is_empty() || self.lost > 0
    }

    /// Decides about events by their jobs. What the store does not have has
    /// no jobs, and orphans that have ended are forgotten.
    pub(crate) fn judge(
        &mut self,
        asked: &[EventId],
        standing: &Standing,
        look: &Look,
    ) -> Verdicts {
        let mut verdicts = Verdicts::default();
        for id in asked {
            let Some(entry) = self.entries.get(id) else {
                continue;
            };
            if entry.is_accepting || entry.is_lost {
                continue;
            }
            let jobs = jobs_of(standing, id);
            let is_overdue = entry.since.plus(look.patience).has_passed(&look.now);
            let is_orphan = entry.tags.is_empty();
            let decided = if look.is_leaving {
                leaving(jobs)
            } else {
                due(jobs, is_overdue && !is_orphan)
            };
            match (decided, is_orphan) {
                (Due::Later, _) | (Due::Park, true) => {}
                (Due::Ack | Due::Requeue, true) => {
                    self.release(id);
                }
                (Due::Ack, false) => verdicts.ack.push(id.clone()),
                // What is parked has to be acknowledged, and that has to arrive.
                (Due::Park, false) if look.hold == Hold::Sure => verdicts.park.push(id.clone()),
                (Due::Park, false) => {}
                (Due::Requeue, false) => verdicts.requeue.push(id.clone()),
            }
        }
        verdicts
    }
}

/// With what deliveries are looked at.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) now: BootTime,
    pub(crate) patience: Duration,
    pub(crate) hold: Hold,
    pub(crate) is_leaving: bool,
}

#[cfg(test)]
mod tests;
