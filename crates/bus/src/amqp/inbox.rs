//! What has arrived and was not handed over yet.
//!
//! Its size is bounded by the prefetch and by [`NOTES`]. Deliveries stay here
//! until somebody takes them, so a pause can give them back.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::link::{Delivery, DeliveryTag, FleetNote, Received};
use tokio::sync::Notify;
use tracing::debug;

/// Notes that wait at most. They are asked again, so the newest may go.
const NOTES: usize = 1000;

#[derive(Debug, Default)]
struct Waiting {
    deliveries: VecDeque<Delivery>,
    /// Connections that were lost, before what came by a later one.
    lost: VecDeque<u64>,
    notes: VecDeque<FleetNote>,
    is_closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn deliver(&self, deliveries: Vec<Delivery>) {
        self.lock().deliveries.extend(deliveries);
        self.arrived.notify_one();
    }

    pub(super) fn note(&self, note: FleetNote) {
        let mut waiting = self.lock();
        if waiting.notes.len() < NOTES {
            waiting.notes.push_back(note);
        } else {
            debug!("too many notes of other instances wait, one is dropped");
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// What came by this connection and was not handed over is forgotten: the
    /// broker has it again.
    pub(super) fn lost(&self, connection: u64) {
        let mut waiting = self.lock();
        waiting
            .deliveries
            .retain(|delivery| delivery.tag.connection != connection);
        waiting.lost.push_back(connection);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes back what was not handed over.
    pub(super) fn withdraw(&self) -> Vec<DeliveryTag> {
        let mut waiting = self.lock();
        waiting
            .deliveries
            .drain(..)
            .map(|delivery| delivery.tag)
            .collect()
    }

    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.deliveries.clear();
        waiting.is_closed = true;
        drop(waiting);
        self.arrived.notify_one();
    }

    /// What comes next, at most `max` deliveries at once. Nothing is lost when
    /// the waiting is given up.
    pub(super) async fn next(&self, max: usize) -> Received {
        loop {
            let arrived = self.arrived.notified();
            if let Some(received) = self.take(max) {
                // Whoever waits beside us looks too.
                self.arrived.notify_one();
                return received;
            }
            arrived.await;
        }
    }

    fn take(&self, max: usize) -> Option<Received> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Some(Received::Closed);
        }
        if let Some(connection) = waiting.lost.pop_front() {
            return Some(Received::Lost { connection });
        }
        if let Some(note) = waiting.notes.pop_front() {
            return Some(Received::Note(note));
        }
        if waiting.deliveries.is_empty() {
            return None;
        }
        let count = waiting.deliveries.len().min(max);
        Some(Received::Deliveries(
            waiting.deliveries.drain(..count).collect(),
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
