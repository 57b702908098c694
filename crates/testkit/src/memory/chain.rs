//! What events are the follow-ups of: see [`Chains`].

use async_trait::async_trait;
use model::{
    event::Event,
    id::EventId,
    ports::{
        StoreError,
        chain::{Chains, Link, LinkJob},
    },
};

use super::{MemoryStore, state::State};

#[async_trait]
impl Chains for MemoryStore {
    async fn follow_ups(&self, of: &[EventId], max: usize) -> Result<Vec<Link>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let links = state.events.values().filter_map(|row| link(&row.event));
        Ok(links
            .filter(|link| of.contains(&link.cause.event))
            .take(max)
            .collect())
    }

    async fn jobs_of(&self, events: &[EventId], max: usize) -> Result<Vec<LinkJob>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let jobs = state.jobs.values();
        let jobs = jobs.filter(|job| events.contains(&job.event_id)).take(max);
        Ok(jobs
            .map(|job| LinkJob {
                event: job.event_id.clone(),
                id: job.id.clone(),
                rule: job.rule.clone(),
                state: job.state,
            })
            .collect())
    }

    async fn chain_length(&self, of: &EventId, max: usize) -> Result<usize, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let root = state.root(of);
        let length = state
            .events
            .values()
            .filter(|row| row.event.cause.is_some() && state.root(&row.event.id) == root)
            .count();
        Ok(length.min(max))
    }
}

fn link(event: &Event) -> Option<Link> {
    Some(Link {
        id: event.id.clone(),
        topic: event.topic.clone(),
        accepted: event.accepted,
        source: event.source.clone(),
        cause: event.cause.clone()?,
    })
}

impl State {
    /// The first event of a chain, as far as it is known. Causes come from
    /// outside too and may go in a circle, so there is a limit.
    fn root<'a>(&'a self, event: &'a EventId) -> &'a EventId {
        let mut root = event;
        for _ in 0..=model::event::MAX_HOPS + 1 {
            match self.event(root).and_then(|row| row.event.cause.as_ref()) {
                Some(cause) => root = &cause.event,
                None => break,
            }
        }
        root
    }
}
