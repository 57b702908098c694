//! Deliveries that were received and not judged yet.
//!
//! What the broker hands out at once bounds it, and what is lost with a
//! connection leaves it.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::link::Delivery;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    batches: Mutex<VecDeque<Vec<Delivery>>>,
    arrived: Notify,
}

impl Inbox {
    fn batches(&self) -> MutexGuard<'_, VecDeque<Vec<Delivery>>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, batch: Vec<Delivery>) {
        self.batches().push_back(batch);
        self.arrived.notify_one();
    }

    /// What came by this connection or an earlier one will come again.
    pub(super) fn lost(&self, connection: u64) {
        let mut batches = self.batches();
        for batch in batches.iter_mut() {
            batch.retain(|delivery| delivery.tag.connection > connection);
        }
        batches.retain(|batch| !batch.is_empty());
    }

    /// What is here, about `max` deliveries; absent when there is nothing.
    pub(super) fn take(&self, max: usize) -> Option<Vec<Delivery>> {
        let mut batches = self.batches();
        let mut taken = batches.pop_front()?;
        while let Some(next) = batches.front()
            && taken.len() + next.len() <= max
        {
            taken.extend(batches.pop_front().unwrap_or_default());
        }
        Some(taken)
    }

    /// Waits until there is something.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
