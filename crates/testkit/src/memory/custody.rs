//! Whose the jobs of deliveries are.

use async_trait::async_trait;
use model::{
    custody::JobStanding,
    id::{EventId, JobId, WorkerId},
    ports::{StoreError, custody::JobCustody},
};

use super::MemoryStore;

#[async_trait]
impl JobCustody for MemoryStore {
    async fn standing(
        &self,
        _events: &[EventId],
    ) -> Result<Vec<(EventId, Vec<JobStanding>)>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn park(&self, _events: &[EventId]) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn give_back(
        &self,
        _events: &[EventId],
        _reason: &str,
    ) -> Result<Vec<JobId>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn give_back_of_others(
        &self,
        _worker: &WorkerId,
        _max: usize,
        _reason: &str,
    ) -> Result<usize, StoreError> {
        Ok(0)
    }
}
