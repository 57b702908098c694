//! What an engine says about itself.
//!
//! Field names are those of the API.

use std::collections::BTreeMap;

use model::{
    clock::Timestamp,
    diagnostic::Diagnostic,
    id::{Revision, WorkerId},
    ports::StoreStatus,
};
use serde::Serialize;

/// The whole engine at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub version: String,
    pub started: Timestamp,
    pub revision: Revision,
    /// The git commit of the project, when it is a repository.
    pub commit: Option<String>,
    /// How many rules there are.
    pub rules: usize,
    pub worker: WorkerReport,
    pub store: StoreReport,
    /// What the actions miss here, and how to get it.
    pub notices: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerReport {
    pub id: WorkerId,
    pub concurrency: usize,
    /// Jobs that run now.
    pub running: usize,
}

/// [`StoreStatus`] with the names of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    pub kind: String,
    pub schema: u32,
    pub size_bytes: u64,
    pub events: u64,
    pub jobs: BTreeMap<String, u64>,
    pub open_dead_letters: u64,
    pub oldest_queued: Option<Timestamp>,
    pub accept_commits: u64,
    pub accepted_events: u64,
}

impl From<StoreStatus> for StoreReport {
    fn from(status: StoreStatus) -> Self {
        let StoreStatus {
            kind,
            schema,
            size_bytes,
            events,
            jobs,
            open_dead_letters,
            oldest_queued,
            accept_commits,
            accepted_events,
        } = status;
        Self {
            kind,
            schema,
            size_bytes,
            events,
            jobs,
            open_dead_letters,
            oldest_queued,
            accept_commits,
            accepted_events,
        }
    }
}
