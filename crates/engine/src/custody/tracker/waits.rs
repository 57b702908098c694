//! Events that another process had: asked about, and accepted when nobody has
//! them, or when who had them has not begun.

use std::{collections::hash_map, time::Duration};

use model::{
    clock::BootTime,
    id::EventId,
    link::{DeliveryTag, FleetNote, FleetWord, Talk},
};

use super::{Arriving, Past, Tracker};

/// An event whose earlier holder may still have it.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) arriving: Arriving,
    since: BootTime,
    /// Our question came round for the first time and for the last, without
    /// a gap in which nobody may have heard it.
    heard: Option<(BootTime, BootTime)>,
    /// When the others are asked again.
    ask: BootTime,
    /// Who had it has said that nothing has begun …
    is_unbegun: bool,
    /// … and everybody was asked since.
    has_asked: bool,
}

impl Tracker {
    /// Waits for the word of others about an event.
    pub(crate) fn wait(&mut self, mut arriving: Arriving, now: &BootTime) {
        arriving.tags.retain(|tag| !self.is_gone(*tag));
        if arriving.tags.is_empty() {
            return;
        }
        self.count(&arriving.tags);
        let id = arriving.judged.event.id.clone();
        let is_unbegun = self.unbegun.take_told(&id);
        match self.waits.entry(id) {
            hash_map::Entry::Occupied(mut wait) => {
                wait.get_mut().arriving.tags.extend(arriving.tags);
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(Wait {
                    arriving,
                    since: now.clone(),
                    heard: None,
                    ask: now.clone(),
                    is_unbegun,
                    has_asked: false,
                });
            }
        }
    }

    /// The events to ask about now.
    pub(crate) fn asks(&mut self, now: &BootTime, every: Duration) -> Vec<EventId> {
        let mut ids = Vec::new();
        for (id, wait) in &mut self.waits {
            if wait.ask.has_passed(now) {
                wait.ask = now.plus(every);
                wait.has_asked = wait.is_unbegun;
                ids.push(id.clone());
            }
        }
        ids
    }

    /// What another has said: the tags that are to be acknowledged since it
    /// has their events.
    pub(crate) fn told(&mut self, note: &FleetNote, now: &BootTime) -> Vec<DeliveryTag> {
        let mut ack = Vec::new();
        for id in &note.events {
            match note.about {
                // It will begin with it, or has heard from us that it may.
                FleetWord::Ask => {
                    self.unbegun.take_told(id);
                }
                FleetWord::Mine => {
                    self.unbegun.forget(id);
                    if let Some(wait) = self.waits.remove(id) {
                        self.uncount(&wait.arriving.tags);
                        ack.extend(wait.arriving.tags);
                    }
                }
                FleetWord::Unbegun => match self.waits.get_mut(id) {
                    // The others have heard the same, and are to forget it
                    // before anything begins.
                    Some(wait) => {
                        wait.is_unbegun = true;
                        wait.ask = now.clone();
                    }
                    None if self.entries.contains_key(id) => {}
                    None => self.unbegun.heard(id),
                },
            }
        }
        ack
    }

    /// Our own question has come round: everybody who hears anything has heard
    /// it, and nobody else begins with what is unbegun.
    pub(crate) fn echoed(&mut self, events: &[EventId], now: &BootTime) {
        let gap = self.longest_gap();
        for id in events {
            let Some(wait) = self.waits.get_mut(id) else {
                continue;
            };
            if wait.is_unbegun && wait.has_asked {
                self.resolve(id, Past::Fresh);
            } else {
                let first = match wait.heard.take() {
                    Some((first, last)) if !last.plus(gap).has_passed(now) => first,
                    Some(_) | None => now.clone(),
                };
                wait.heard = Some((first, now.clone()));
            }
        }
    }

    /// Questions come round more often than this, or not at all.
    fn longest_gap(&self) -> Duration {
        self.takeover / 2
    }

    /// Takes over what nobody has spoken for although everybody was asked all
    /// the time. A broker that is short of disk passes no questions on: then
    /// the wait goes on. Where instances are not allowed to talk nobody waits
    /// for an answer, and who lost a delivery gives it up before: see
    /// [`Tracker::doubt`].
    pub(crate) fn take_over(&mut self, talk: Talk, now: &BootTime) -> Vec<EventId> {
        let (takeover, gap) = (self.takeover, self.longest_gap());
        let due = self.waits.iter().filter(|(_, wait)| match talk {
            Talk::Refused => wait.since.plus(takeover).has_passed(now),
            Talk::Heard | Talk::Silent => wait.heard.as_ref().is_some_and(|(first, last)| {
                first.plus(takeover).has_passed(now) && !last.plus(gap).has_passed(now)
            }),
        });
        let ids: Vec<EventId> = due.map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.resolve(id, Past::TakenOver);
        }
        ids
    }

    fn resolve(&mut self, id: &EventId, past: Past) {
        if let Some(wait) = self.waits.remove(id) {
            let mut arriving = wait.arriving;
            arriving.past = past;
            self.ready.push(arriving);
        }
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is not waited for any more, to be accepted.
    pub(crate) fn take_ready(&mut self, max: usize) -> Vec<Arriving> {
        let count = max.min(self.ready.len());
        let ready: Vec<Arriving> = self.ready.drain(..count).collect();
        for arriving in &ready {
            self.uncount(&arriving.tags);
        }
        ready
    }

    /// Gives up everything that is waited for; its tags go back.
    pub(crate) fn abandon_waits(&mut self) -> Vec<DeliveryTag> {
        let mut tags = Vec::new();
        for (_, wait) in self.waits.drain() {
            tags.extend(wait.arriving.tags);
        }
        for arriving in self.ready.drain(..) {
            tags.extend(arriving.tags);
        }
        self.uncount(&tags);
        tags
    }
}
