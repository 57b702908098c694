//! The answers of `/api/v1/status` and `/healthz`.

use std::collections::BTreeMap;

use model::{
    clock::Timestamp,
    diagnostic::Diagnostic,
    id::{Revision, WorkerId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Sink, Source, schema};

/// How the service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub version: String,
    #[schemars(with = "schema::Time")]
    pub started: Timestamp,
    /// The rules in force.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// The git commit of the project, when it is a repository.
    pub commit: Option<String>,
    pub rules: usize,
    pub worker: Worker,
    pub store: StoreStatus,
    pub sources: Vec<Source>,
    pub sinks: Vec<Sink>,
    /// What is worth knowing or needs mending, for example a missing
    /// `ansible-playbook`.
    #[schemars(with = "Vec<schema::Diagnostic>")]
    pub notices: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    #[schemars(with = "String")]
    pub id: WorkerId,
    /// How many jobs may run at once.
    pub concurrency: usize,
    /// How many run now.
    pub running: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreStatus {
    pub kind: String,
    pub schema: u32,
    pub size_bytes: u64,
    pub events: u64,
    /// Jobs by state; absent is 0.
    pub jobs: BTreeMap<String, u64>,
    pub open_dead_letters: u64,
    #[schemars(with = "Option<schema::Time>")]
    pub oldest_queued: Option<Timestamp>,
    pub accept_commits: u64,
    pub accepted_events: u64,
}

/// Answer of `/healthz/live` and `/healthz/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// `live` or `ready`.
    pub status: String,
}

impl From<engine::Status> for Status {
    fn from(status: engine::Status) -> Self {
        let engine::WorkerReport {
            id,
            concurrency,
            running,
        } = status.worker;
        let store = status.store;
        Self {
            version: status.version,
            started: status.started,
            revision: status.revision,
            commit: status.commit,
            rules: status.rules,
            worker: Worker {
                id,
                concurrency,
                running,
            },
            store: StoreStatus {
                kind: store.kind,
                schema: store.schema,
                size_bytes: store.size_bytes,
                events: store.events,
                jobs: store.jobs,
                open_dead_letters: store.open_dead_letters,
                oldest_queued: store.oldest_queued,
                accept_commits: store.accept_commits,
                accepted_events: store.accepted_events,
            },
            sources: status.sources.into_iter().map(Source::from).collect(),
            sinks: status.sinks.into_iter().map(Sink::from).collect(),
            notices: status.notices,
        }
    }
}
