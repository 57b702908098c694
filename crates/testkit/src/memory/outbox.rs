//! What routes send on, until the sink has taken it.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use model::{
    id::{EventId, SinkName},
    ports::{
        StoreError,
        outbox::{Backlog, Outbox, Outgoing},
    },
};

use super::MemoryStore;

#[async_trait]
impl Outbox for MemoryStore {
    async fn pending(
        &self,
        _sink: &SinkName,
        _after: u64,
        _max: usize,
        _wait: Duration,
    ) -> Result<Vec<Outgoing>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn sent(&self, _sink: &SinkName, _seqs: &[u64]) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn give_up(&self, _sink: &SinkName, _seq: u64, _cause: &str) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn put(&self, _sink: &SinkName, _event: &EventId) -> Result<bool, StoreError> {
        Err(StoreError::Closed)
    }

    async fn backlog(&self) -> Result<BTreeMap<SinkName, Backlog>, StoreError> {
        Ok(BTreeMap::new())
    }
}
