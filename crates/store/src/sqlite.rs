//! The embedded store.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::event::RecordedEvent;
use model::{
    clock::Clock,
    fault::Faults,
    id::{DeadLetterId, EventId, JobId, LeaseId, Principal, Revision, WorkerId},
    job::{Job, Lease, NextState, Outcome, StepEnd},
    page::{DeadQuery, EventQuery, JobQuery, Page},
    ports::{
        AcceptError, Accepted, Controlled, Cutoffs, DeadLetter, DeadLetterDraft, DeadState, Fenced,
        History, Intake, JobControl, JobQueue, Judged, Output, OutputQuery, ProjectText, Pruned,
        Recovered, Renewed, StoreError, StoreStatus, Upkeep,
    },
    verdict::{Decision, StoredVerdict},
};

/// How a store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    pub clock: Arc<dyn Clock>,
    pub faults: Arc<dyn Faults>,
    /// Jobs that may be there without having ended.
    pub queue_limit: usize,
    /// Written into the owner lock: who a second opener is told about.
    pub owner: String,
    /// How long a caller waits for an answer.
    pub deadline: Duration,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store `{}` is in use by {by}", .path.display())]
    Owned { path: PathBuf, by: String },
}

/// A store in one SQLite file. Clones are handles to the same store.
#[derive(Clone)]
pub struct SqliteStore {}

impl SqliteStore {
    pub async fn open(_path: &Path, _options: SqliteOptions) -> Result<Self, OpenError> {
        Ok(Self {})
    }
}

#[async_trait]
impl Intake for SqliteStore {
    async fn accept(&self, _batch: Vec<Judged>) -> Result<Vec<Accepted>, AcceptError> {
        Err(StoreError::Closed.into())
    }
    async fn refire(
        &self,
        _: &EventId,
        _: &Revision,
        _: &Decision,
    ) -> Result<Option<Option<JobId>>, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl JobQueue for SqliteStore {
    async fn claim(
        &self,
        _: &WorkerId,
        _: usize,
        _: Duration,
        _: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn renew(&self, _: &[LeaseId], _: Duration) -> Result<Vec<Renewed>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn advance(&self, _: &LeaseId, _: &StepEnd) -> Result<Fenced, StoreError> {
        Err(StoreError::Closed)
    }
    async fn append_output(&self, _: &LeaseId, _: usize, _: Vec<u8>) -> Result<Fenced, StoreError> {
        Err(StoreError::Closed)
    }
    async fn finish(
        &self,
        _: &LeaseId,
        _: Option<&StepEnd>,
        _: &Outcome,
        _: &NextState,
    ) -> Result<Fenced, StoreError> {
        Err(StoreError::Closed)
    }
    async fn recover(&self, _: usize, _: f64) -> Result<Vec<Recovered>, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl JobControl for SqliteStore {
    async fn cancel(&self, _: &JobId, _: &Principal) -> Result<Controlled, StoreError> {
        Err(StoreError::Closed)
    }
    async fn retry(&self, _: &JobId, _: &Principal) -> Result<Controlled, StoreError> {
        Err(StoreError::Closed)
    }
    async fn close_dead(
        &self,
        _: &DeadLetterId,
        _: DeadState,
        _: &Principal,
    ) -> Result<bool, StoreError> {
        Err(StoreError::Closed)
    }
    async fn keep_dead(&self, _: DeadLetterDraft) -> Result<DeadLetterId, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl History for SqliteStore {
    async fn events(&self, _: &EventQuery) -> Result<Page<RecordedEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn event(&self, _: &EventId) -> Result<Option<RecordedEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn verdicts(&self, _: &EventId) -> Result<Vec<StoredVerdict>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn jobs(&self, _: &JobQuery) -> Result<Page<Job>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn job(&self, _: &JobId) -> Result<Option<Job>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn output(&self, _: &OutputQuery) -> Result<Option<Output>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn dead_letters(&self, _: &DeadQuery) -> Result<Page<DeadLetter>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn dead_letter(&self, _: &DeadLetterId) -> Result<Option<DeadLetter>, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    async fn save_revision(&self, _: &Revision, _: &ProjectText) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn revision(&self, _: &Revision) -> Result<Option<ProjectText>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn prune(&self, _: &Cutoffs, _: usize) -> Result<Pruned, StoreError> {
        Err(StoreError::Closed)
    }
    async fn status(&self) -> Result<StoreStatus, StoreError> {
        Err(StoreError::Closed)
    }
    async fn probe(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn close(&self) {}
}
