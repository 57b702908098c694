//! What is heard of the broker, as [`Contact`] wants it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{clock::BootTime, link::Contact};

#[derive(Debug)]
struct Heard {
    /// The connection that stands.
    connection: Option<u64>,
    /// Every host refused the last attempt.
    is_down: bool,
    /// When it was last certain that no other instance had our deliveries:
    /// a question that was answered, or the refusal of all hosts.
    since: BootTime,
}

#[derive(Debug)]
pub(super) struct Hearing {
    heard: Mutex<Heard>,
}

impl Hearing {
    pub(super) fn new(now: BootTime) -> Self {
        Self {
            heard: Mutex::new(Heard {
                connection: None,
                is_down: false,
                since: now,
            }),
        }
    }

    pub(super) fn get(&self) -> Contact {
        let heard = self.lock();
        match heard.connection {
            Some(connection) => Contact::Live {
                connection,
                answered: heard.since.clone(),
            },
            None if heard.is_down => Contact::Down,
            None => Contact::Silent {
                since: heard.since.clone(),
            },
        }
    }

    pub(super) fn connected(&self, connection: u64, asked: BootTime) {
        *self.lock() = Heard {
            connection: Some(connection),
            is_down: false,
            since: asked,
        };
    }

    /// A question of this connection, sent at `asked`, was answered.
    pub(super) fn answered(&self, connection: u64, asked: BootTime) {
        let mut heard = self.lock();
        if heard.connection == Some(connection) {
            heard.since = asked;
        }
    }

    pub(super) fn lost(&self) {
        self.lock().connection = None;
    }

    /// Every host refused an attempt that began at `tried`.
    pub(super) fn refused(&self, tried: BootTime) {
        let mut heard = self.lock();
        heard.is_down = true;
        heard.since = tried;
    }

    /// An attempt got an answer that is none, or no answer.
    pub(super) fn unclear(&self) {
        self.lock().is_down = false;
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Half of the limit that a broker names when it takes deliveries back because
/// they were held for too long.
pub(super) fn patience_of(said: &str) -> Option<Duration> {
    if !said.contains("delivery acknowledgement on channel") {
        return None;
    }
    let (_, after) = said.split_once("Timeout value used: ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    let limit = Duration::from_millis(digits.parse().ok()?);
    Some(limit / 2)
}

#[cfg(test)]
mod tests;
