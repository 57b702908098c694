//! Events that another process had: asked about, and accepted when nobody has
//! them, or when who had them has not begun.

use std::{collections::hash_map, time::Duration};

use model::{
    clock::BootTime,
    id::EventId,
    link::{DeliveryTag, FleetNote, FleetWord},
};

use super::{Arriving, Past, Tracker};

/// So many times the takeover is waited for when nobody hears our question.
const UNHEARD: u32 = 3;

/// An event whose earlier holder may still have it.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) arriving: Arriving,
    /// When it is taken over, which is known when our question has come
    /// round: before that nobody may have heard it.
    until: Option<BootTime>,
    /// When it is taken over although the question never came round, as with
    /// a broker that lets nobody ask.
    latest: BootTime,
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
                    until: None,
                    latest: now.plus(self.takeover * UNHEARD),
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
        for id in events {
            let Some(wait) = self.waits.get_mut(id) else {
                continue;
            };
            if wait.is_unbegun && wait.has_asked {
                self.resolve(id, Past::Fresh);
            } else if wait.until.is_none() {
                wait.until = Some(now.plus(self.takeover));
            }
        }
    }

    /// Takes over what nobody has spoken for.
    pub(crate) fn take_over(&mut self, now: &BootTime) -> Vec<EventId> {
        let due = self.waits.iter();
        let due = due.filter(|(_, wait)| {
            let until = wait.until.as_ref().unwrap_or(&wait.latest);
            until.has_passed(now)
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
