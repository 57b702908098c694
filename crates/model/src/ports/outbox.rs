//! What the engine needs of a store to hand events on without losing one.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    event::Event,
    id::{EventId, SinkName},
    ports::StoreError,
};

/// An event that a sink has not taken yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Its place in the order of acceptance, unique in the outbox.
    pub seq: u64,
    pub event: Event,
}

/// What waits for one sink.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    pub events: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
}

/// Holds what routes send on, from its acceptance until the sink has taken it.
/// Filled by [`crate::ports::Intake::accept`].
///
/// Contract:
/// - `the_outbox_gives_events_in_order_of_acceptance`
/// - `what_was_sent_is_not_given_again`
/// - `what_cannot_be_sent_becomes_a_dead_letter_and_lets_the_next_pass`
/// - `waiting_for_the_outbox_wakes_when_an_event_arrives`
/// - `the_backlog_is_counted_for_each_sink`
/// - `an_event_can_be_put_into_an_outbox_again`
#[async_trait]
pub trait Outbox: Send + Sync {
    /// The oldest events for a sink that come after `after`, at most `max`;
    /// waits up to `wait` for the first.
    async fn pending(
        &self,
        sink: &SinkName,
        after: u64,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Outgoing>, StoreError>;

    /// The sink has taken these. Idempotent.
    async fn sent(&self, sink: &SinkName, seqs: &[u64]) -> Result<(), StoreError>;

    /// The sink will never take this one: it leaves the outbox and becomes a
    /// dead letter of kind `unsendable`, the event as JSON in it, its source
    /// the name of the sink. Idempotent.
    async fn give_up(&self, sink: &SinkName, seq: u64, cause: &str) -> Result<(), StoreError>;

    /// Puts an event of the history into an outbox. `false` when there is no
    /// such event.
    async fn put(&self, sink: &SinkName, event: &EventId) -> Result<bool, StoreError>;

    /// What waits, for each sink that has something.
    async fn backlog(&self) -> Result<BTreeMap<SinkName, Backlog>, StoreError>;
}
