//! One instance's way to the queue.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    id::SourceName,
    link::{Contact, DeliveryTag, FleetNote, LinkState, LinkStatus, Received, Settle, Talk, Terms},
    ports::transport::Source,
};

use super::MemoryBroker;
use crate::fault::FaultPlan;

/// How long a source waits before it looks at the broker again. It is what a
/// message is under way for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A source over a [`MemoryBroker`].
pub struct MemorySource {
    name: SourceName,
    broker: Arc<MemoryBroker>,
    faults: Arc<FaultPlan>,
    peer: usize,
    terms: Terms,
    patience: Duration,
    since: Timestamp,
}

impl MemorySource {
    /// Consumes the queue of `broker`, at most `prefetch` at a time, until its
    /// process dies by plan.
    pub fn new(
        name: &str,
        broker: &Arc<MemoryBroker>,
        faults: &Arc<FaultPlan>,
        terms: Terms,
        prefetch: usize,
    ) -> Self {
        let peer = broker.change(|state, now| state.add_peer(terms, prefetch, now));
        Self {
            name: name.parse().unwrap(),
            broker: Arc::clone(broker),
            faults: Arc::clone(faults),
            peer,
            terms,
            patience: Duration::from_secs(15 * 60),
            since: broker.clock.now(),
        }
    }

    /// The same with another patience.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// By what the broker knows it.
    pub fn peer(&self) -> usize {
        self.peer
    }

    fn is_dead(&self) -> bool {
        self.faults.tripped().is_some()
    }

    /// What there is for this source now.
    fn look(&self) -> Option<Received> {
        self.broker.change(|state, now| {
            state.connect(self.peer, now);
            let peer = &mut state.peers[self.peer];
            if peer.cut_since.is_some() {
                return None;
            }
            if let Some(event) = peer.events.pop_front() {
                return Some(event);
            }
            if peer.is_closed {
                return Some(Received::Closed);
            }
            let deliveries = state.deliver(self.peer, now);
            (!deliveries.is_empty()).then_some(Received::Deliveries(deliveries))
        })
    }
}

#[async_trait]
impl Source for MemorySource {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    async fn receive(&self) -> Received {
        loop {
            if self.is_dead() {
                return std::future::pending().await;
            }
            if let Some(received) = self.look() {
                return received;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn settle(&self, tags: &[DeliveryTag], how: Settle) {
        if !self.is_dead() {
            self.broker
                .change(|state, _| state.settle(self.peer, tags, how));
        }
    }

    async fn tell(&self, note: FleetNote) {
        if !self.is_dead() {
            self.broker.change(|state, _| state.tell(self.peer, note));
        }
    }

    fn contact(&self) -> Contact {
        self.broker.change(|state, _| {
            let is_down = state.is_down();
            let peer = &state.peers[self.peer];
            let since = peer.answered.clone();
            if peer.cut_since.is_some() && peer.connections > 0 {
                // Nobody has noticed here: the last answer grows old.
                return Contact::Live {
                    connection: peer.connections,
                    answered: since,
                };
            }
            match peer.connection {
                Some(connection) => Contact::Live {
                    connection,
                    answered: since,
                },
                None if is_down => Contact::Down,
                None => Contact::Silent { since },
            }
        })
    }

    fn talk(&self) -> Talk {
        self.broker.change(|state, _| state.talk(self.peer))
    }

    fn status(&self) -> LinkStatus {
        let state = self.broker.lock();
        let peer = &state.peers[self.peer];
        LinkStatus {
            state: match (peer.is_closed, peer.connection) {
                (true, _) => LinkState::Closed,
                (false, Some(_)) => LinkState::Connected,
                (false, None) => LinkState::Waiting,
            },
            since: self.since,
            peer: None,
            detail: None,
            messages: peer.received,
            losses: peer
                .connections
                .saturating_sub(u64::from(peer.connection.is_some())),
        }
    }

    async fn pause(&self) {
        self.broker
            .change(|state, _| state.peers[self.peer].is_paused = true);
    }

    /// A dead process closes too: its sockets are closed for it.
    async fn close(&self) {
        self.broker.change(|state, _| {
            state.peers[self.peer].is_closed = true;
            state.drop_connection(self.peer);
            state.peers[self.peer].events.clear();
        });
    }
}
