//! The answers of `/api/v1/status` and `/healthz`.

use std::collections::BTreeMap;

use model::{
    clock::Timestamp,
    diagnostic::Diagnostic,
    id::{Revision, WorkerId},
};
use serde::{Deserialize, Serialize};

/// How the service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub started: Timestamp,
    /// The rules in force.
    pub revision: Revision,
    /// The git commit of the project, when it is a repository.
    pub commit: Option<String>,
    pub rules: usize,
    pub worker: Worker,
    pub store: StoreStatus,
    /// What is worth knowing or needs mending, for example a missing
    /// `ansible-playbook`.
    pub notices: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    pub id: WorkerId,
    /// How many jobs may run at once.
    pub concurrency: usize,
    /// How many run now.
    pub running: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    pub kind: String,
    pub schema: u32,
    pub size_bytes: u64,
    pub events: u64,
    /// Jobs by state; absent is 0.
    pub jobs: BTreeMap<String, u64>,
    pub open_dead_letters: u64,
    pub oldest_queued: Option<Timestamp>,
    pub accept_commits: u64,
    pub accepted_events: u64,
}

impl From<model::ports::StoreStatus> for StoreStatus {
    fn from(status: model::ports::StoreStatus) -> Self {
        Self {
            kind: status.kind,
            schema: status.schema,
            size_bytes: status.size_bytes,
            events: status.events,
            jobs: status.jobs,
            open_dead_letters: status.open_dead_letters,
            oldest_queued: status.oldest_queued,
            accept_commits: status.accept_commits,
            accepted_events: status.accepted_events,
        }
    }
}

/// Answer of `/healthz/live` and `/healthz/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// `live` or `ready`.
    pub status: String,
}
