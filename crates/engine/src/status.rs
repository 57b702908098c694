//! What an engine says about itself.
//!
//! Field names are those of the API.

use std::collections::BTreeMap;

use model::{
    clock::Timestamp,
    diagnostic::Diagnostic,
    id::{Revision, SinkName, SourceName, WorkerId},
    link::{AckMode, LinkStatus},
    ports::{StoreError, StoreStatus, outbox::Backlog},
    warm::Starts,
};
use serde::Serialize;

use crate::{
    engine::NotReady,
    shared::{Phase, Shared},
};

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
    pub sources: Vec<SourceReport>,
    pub sinks: Vec<SinkReport>,
    pub playbooks: Starts,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    pub name: SourceName,
    pub kind: &'static str,
    pub ack: AckMode,
    pub link: LinkStatus,
    /// Deliveries that are not acknowledged yet.
    pub held: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkReport {
    pub name: SinkName,
    pub kind: &'static str,
    pub link: LinkStatus,
    pub backlog: BacklogReport,
    /// Why the first of them was not taken, when it was tried.
    pub trouble: Option<String>,
}

/// What waits for a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BacklogReport {
    pub events: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
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

pub(crate) fn sources(shared: &Shared) -> Vec<SourceReport> {
    let feeds = shared.feeds.iter();
    feeds
        .map(|feed| SourceReport {
            name: feed.source.name().clone(),
            kind: feed.source.kind(),
            ack: feed.source.terms().ack,
            link: feed.source.status(),
            held: feed.held(),
        })
        .collect()
}

pub(crate) async fn sinks(shared: &Shared) -> Result<Vec<SinkReport>, StoreError> {
    let mut backlog = shared.parts.outbox.backlog().await?;
    let senders = shared.senders.iter();
    Ok(senders
        .map(|sender| {
            let waits = backlog.remove(sender.sink.name()).unwrap_or_default();
            let Backlog { events, oldest } = waits;
            SinkReport {
                name: sender.sink.name().clone(),
                kind: sender.sink.kind(),
                link: sender.sink.status(),
                backlog: BacklogReport { events, oldest },
                trouble: sender.trouble(),
            }
        })
        .collect())
}

pub(crate) async fn status(shared: &Shared) -> Result<Status, StoreError> {
    let parts = &shared.parts;
    let store = parts.upkeep.status().await?;
    let rules = shared.rules.load_full();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: shared.started,
        revision: rules.revision().clone(),
        commit: rules.text().commit.clone(),
        rules: rules.len(),
        worker: WorkerReport {
            id: parts.settings.worker.clone(),
            concurrency: parts.settings.concurrency,
            running: shared.held.len(),
        },
        store: store.into(),
        sources: sources(shared),
        sinks: sinks(shared).await?,
        playbooks: parts
            .actions
            .iter()
            .find_map(|action| action.starts())
            .unwrap_or_default(),
        notices: shared.notices.load().as_ref().clone(),
    })
}

/// Rules are always in force here: an engine does not start without.
pub(crate) async fn ready(shared: &Shared) -> Result<(), NotReady> {
    if shared.phase() > Phase::Serving {
        return Err(NotReady::Draining);
    }
    Ok(shared.parts.upkeep.probe().await?)
}
