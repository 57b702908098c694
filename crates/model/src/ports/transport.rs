//! Sources and sinks that connect out.
//!
//! Both look after their connections themselves: they reconnect with backoff
//! and jitter, and notice peers that are half-open. What they do with events
//! is the engine's to say.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    event::Event,
    id::{SinkName, SourceName},
    link::{Contact, DeliveryTag, FleetNote, LinkStatus, Received, Settle, Talk, Terms},
};

/// Where events come from. One task receives, any task settles.
#[async_trait]
pub trait Source: Send + Sync {
    fn name(&self) -> &SourceName;
    /// The word of `kind:` in the configuration.
    fn kind(&self) -> &'static str;
    fn terms(&self) -> Terms;

    /// How long a delivery may be held without being settled: half of what the
    /// peer allows. It shrinks when the peer turns out to allow less.
    fn patience(&self) -> Duration;

    /// Waits for what comes next. Deliveries that arrived together come
    /// together. Connects first when it has to, and never fails: what goes
    /// wrong is in [`Source::status`], and is tried again.
    async fn receive(&self) -> Received;

    /// Tells the peer what has become of deliveries. Those of a connection
    /// that is gone are ignored: the peer delivers them again.
    async fn settle(&self, tags: &[DeliveryTag], how: Settle);

    /// Tells the other instances on the same queue. Whether anybody hears it
    /// is not known; while there is no connection nobody does.
    async fn tell(&self, note: FleetNote);

    /// What is heard of the peer. Cheap: asked before every claim.
    fn contact(&self) -> Contact;

    /// Whether the other instances are heard. Cheap.
    fn talk(&self) -> Talk;

    fn status(&self) -> LinkStatus;

    /// Takes no more deliveries; those that were taken can still be settled.
    async fn pause(&self);

    /// Sends what was settled and closes. `receive` then says `Closed`.
    async fn close(&self);
}

/// Why an event was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No confirmation came: it may have arrived, and is to be sent again.
    #[error("the broker did not confirm it: {why}")]
    Unconfirmed { why: String },
    /// The broker does not take it now, as when a queue is full.
    #[error("the broker refused it: {why}")]
    Refused { why: String },
    /// It reached the exchange and no queue takes it.
    #[error("no queue takes it: {why}")]
    Unroutable { why: String },
    /// It will never be taken: too large, or not to be expressed there.
    #[error("it cannot be sent: {why}")]
    Impossible { why: String },
}

impl PublishError {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unconfirmed { .. } | Self::Refused { .. } => true,
            Self::Unroutable { .. } | Self::Impossible { .. } => false,
        }
    }
}

/// Where events are published.
#[async_trait]
pub trait Sink: Send + Sync {
    fn name(&self) -> &SinkName;
    /// The word of `kind:` in the configuration.
    fn kind(&self) -> &'static str;

    /// Publishes in this order and returns when each has its answer, in the
    /// same order, or when `patience` is over: what has no answer then is
    /// `Unconfirmed`. Waits for the connection and while the peer is blocked,
    /// within `patience`.
    async fn publish(
        &self,
        events: &[Arc<Event>],
        patience: Duration,
    ) -> Vec<Result<(), PublishError>>;

    fn status(&self) -> LinkStatus;

    async fn close(&self);
}
