//! The answers of `/api/v1/status` and `/healthz`.

use std::collections::BTreeMap;

use model::{
    clock::Timestamp,
    diagnostic::Diagnostic,
    id::{AccountName, Revision, WorkerId},
    warm::{self, Starts, WarmState},
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
    pub playbooks: Playbooks,
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

/// How playbooks are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Playbooks {
    /// Whether fork servers are used at all: `ansible.warm`.
    pub warm: bool,
    /// Since the service began: by a fork server.
    pub started_warm: u64,
    /// Since the service began: without one.
    pub started_cold: u64,
    /// The fork servers, and the playbooks that have none and why.
    pub servers: Vec<WarmServer>,
}

/// The fork server of the playbooks that have one environment and account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WarmServer {
    /// The `ansible-playbook` whose place it takes.
    pub program: String,
    /// Absent: the service's own user.
    #[schemars(with = "Option<String>")]
    pub account: Option<AccountName>,
    /// Of Ansible and Python, when it has said so.
    pub version: Option<String>,
    #[schemars(with = "schema::WarmState")]
    pub state: WarmState,
    /// Why these playbooks start cold, when they do.
    pub reason: Option<String>,
    /// Playbooks that it started.
    pub started: u64,
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
            playbooks: status.playbooks.into(),
            notices: status.notices,
        }
    }
}

impl From<Starts> for Playbooks {
    fn from(starts: Starts) -> Self {
        let Starts {
            is_warm,
            warm,
            cold,
            servers,
        } = starts;
        Self {
            warm: is_warm,
            started_warm: warm,
            started_cold: cold,
            servers: servers.into_iter().map(WarmServer::from).collect(),
        }
    }
}

impl From<warm::WarmServer> for WarmServer {
    fn from(server: warm::WarmServer) -> Self {
        let warm::WarmServer {
            program,
            account,
            version,
            state,
            reason,
            started,
        } = server;
        Self {
            program,
            account,
            version,
            state,
            reason,
            started,
        }
    }
}
