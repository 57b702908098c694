//! Events that went back to the broker and of which nothing has begun
//! anywhere, as far as is known here.
//!
//! Such knowledge grows old: what nobody has been told about may be taken
//! over by another for want of a word, and what was told is true until
//! somebody asks, which is what every instance does before it begins.

use std::{collections::HashMap, time::Duration};

use model::{clock::BootTime, id::EventId};

/// Events beyond these are asked about like any other.
const MOST: usize = 10_000;

#[derive(Debug)]
pub(super) struct Unbegun {
    takeover: Duration,
    events: HashMap<EventId, Known>,
}

#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// It went back from here and nobody knows. From then on another may have
    /// taken it over.
    Untold { until: BootTime },
    /// Everybody was told.
    Told,
}

impl Unbegun {
    pub(super) fn new(takeover: Duration) -> Self {
        Self {
            takeover,
            events: HashMap::new(),
        }
    }

    /// An event goes back from here; `proven` is the last moment at which
    /// nobody else had it. Without a takeover there is nobody to tell.
    pub(super) fn gave_back(&mut self, id: EventId, proven: &BootTime) {
        if !self.takeover.is_zero() {
            let until = proven.plus(self.takeover);
            self.events.insert(id, Known::Untold { until });
        }
    }

    /// Another has said so to all.
    pub(super) fn heard(&mut self, id: &EventId) {
        if self.events.len() < MOST {
            self.events.insert(id.clone(), Known::Told);
        }
    }

    /// Uses what is known only here. `false`: it is not, or is too old.
    pub(super) fn take_untold(&mut self, id: &EventId, now: &BootTime) -> bool {
        let is_ours = match self.events.get(id) {
            Some(Known::Untold { until }) => !until.has_passed(now),
            Some(Known::Told) | None => false,
        };
        if is_ours {
            self.events.remove(id);
        }
        is_ours
    }

    /// Uses up what all know. `false`: it is not known to all.
    pub(super) fn take_told(&mut self, id: &EventId) -> bool {
        let is_told = self.events.get(id) == Some(&Known::Told);
        if is_told {
            self.events.remove(id);
        }
        is_told
    }

    pub(super) fn forget(&mut self, id: &EventId) {
        self.events.remove(id);
    }

    /// What is to be told to all now; from here on it is.
    pub(super) fn tell(&mut self, now: &BootTime) -> Vec<EventId> {
        let mut ids = Vec::new();
        for (id, known) in &mut self.events {
            match known {
                Known::Untold { until } if !until.has_passed(now) => {
                    ids.push(id.clone());
                    *known = Known::Told;
                }
                Known::Untold { .. } | Known::Told => {}
            }
        }
        ids
    }

    /// No broker runs: nobody can have taken anything over by now.
    pub(super) fn nobody_could(&mut self, now: &BootTime) {
        for known in self.events.values_mut() {
            match known {
                Known::Untold { until } if !until.has_passed(now) => {
                    *until = now.plus(self.takeover);
                }
                Known::Untold { .. } | Known::Told => {}
            }
        }
    }

    pub(super) fn pass_time(&mut self, now: &BootTime) {
        self.events.retain(|_, known| match known {
            Known::Untold { until } => !until.has_passed(now),
            Known::Told => true,
        });
    }

    /// A connection was lost: who has asked meanwhile was not heard.
    pub(super) fn deaf(&mut self) {
        self.events.retain(|_, known| match known {
            Known::Untold { .. } => true,
            Known::Told => false,
        });
    }
}
