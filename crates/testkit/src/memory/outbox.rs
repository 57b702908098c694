//! What routes send on, until the sink has taken it: see [`Outbox`].

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use model::{
    id::{EventId, SinkName},
    ports::{
        DeadKind, DeadLetterDraft, StoreError,
        outbox::{Backlog, Outbox, Outgoing},
    },
};
use tokio::time::Instant;

use super::{
    MemoryStore,
    state::{Place, State},
};

#[async_trait]
impl Outbox for MemoryStore {
    async fn pending(
        &self,
        sink: &SinkName,
        after: u64,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            // Interest is registered before looking, so no wake-up is missed.
            let mut woken = std::pin::pin!(self.shared.wake.notified());
            woken.as_mut().enable();
            self.enter().await?;
            let found = self.lock().pending(sink, after, max);
            let rest = deadline.saturating_duration_since(Instant::now());
            if !found.is_empty() || rest.is_zero() {
                return Ok(found);
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    async fn sent(&self, sink: &SinkName, seqs: &[u64]) -> Result<(), StoreError> {
        self.enter().await?;
        self.lock()
            .outbox
            .retain(|seq, place| place.sink != *sink || !seqs.contains(&number(*seq)));
        Ok(())
    }

    async fn give_up(&self, sink: &SinkName, seq: u64, cause: &str) -> Result<(), StoreError> {
        self.enter().await?;
        let now = self.now();
        let mut state = self.lock();
        let place = state
            .outbox
            .iter()
            .find(|(at, place)| number(**at) == seq && place.sink == *sink);
        let Some((at, event)) = place.map(|(at, place)| (*at, place.event.clone())) else {
            return Ok(());
        };
        let row = state.event(&event).expect("an outbox keeps its events");
        let raw = serde_json::to_vec(&row.event).expect("an event is plain data");
        let letter = DeadLetterDraft {
            kind: DeadKind::Unsendable,
            cause: cause.to_owned(),
            event_id: Some(event),
            rule: None,
            job_id: None,
            source: sink.as_str().to_owned(),
            raw: Some(raw),
        };
        state.keep_dead(letter, now.wall);
        state.outbox.remove(&at);
        Ok(())
    }

    async fn put(&self, sink: &SinkName, event: &EventId) -> Result<bool, StoreError> {
        self.enter().await?;
        let is_known = {
            let mut state = self.lock();
            let is_known = state.event(event).is_some();
            if is_known {
                state.put(sink.clone(), event.clone());
            }
            is_known
        };
        self.shared.wake.notify_waiters();
        Ok(is_known)
    }

    async fn backlog(&self) -> Result<BTreeMap<SinkName, Backlog>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let mut backlog: BTreeMap<SinkName, Backlog> = BTreeMap::new();
        for place in state.outbox.values() {
            let of_sink = backlog.entry(place.sink.clone()).or_default();
            of_sink.events += 1;
            if of_sink.oldest.is_none() {
                of_sink.oldest = state.event(&place.event).map(|row| row.event.accepted);
            }
        }
        Ok(backlog)
    }
}

/// A place in the order of acceptance, as the port has it.
fn number(seq: i64) -> u64 {
    u64::try_from(seq).expect("places are counted from 1")
}

impl State {
    /// Gives an event a place in the line of a sink; it has one at most.
    pub(crate) fn put(&mut self, sink: SinkName, event: EventId) {
        let place = Place { sink, event };
        if self.outbox.values().all(|other| *other != place) {
            let seq = self.next_seq();
            self.outbox.insert(seq, place);
        }
    }

    fn pending(&self, sink: &SinkName, after: u64, max: usize) -> Vec<Outgoing> {
        self.outbox
            .iter()
            .filter(|(seq, place)| number(**seq) > after && place.sink == *sink)
            .take(max)
            .filter_map(|(seq, place)| {
                let row = self.event(&place.event)?;
                Some(Outgoing {
                    seq: number(*seq),
                    event: row.event.clone(),
                })
            })
            .collect()
    }
}
