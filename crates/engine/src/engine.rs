//! The engine as its callers see it.
//!
//! Every method here is one line into the file of its noun; what an answer
//! means is said there.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use model::{
    clock::Clock,
    diagnostic::Diagnostic,
    event::EventDraft,
    fault::Faults,
    id::{DeadLetterId, EventId, JobId, Principal, Revision, RuleName},
    ports::{
        AcceptError, Accepted, Action, Controlled, DeadState, History, Intake, JobControl,
        JobQueue, ProjectSource, StoreError, Upkeep,
    },
    verdict::Explanation,
};
use rules::RuleSet;

use crate::{
    settings::Settings,
    status::{Status, WorkerReport},
};

/// Everything that an engine is made of.
#[derive(Clone)]
pub struct EngineParts {
    pub intake: Arc<dyn Intake>,
    pub queue: Arc<dyn JobQueue>,
    pub control: Arc<dyn JobControl>,
    pub history: Arc<dyn History>,
    pub upkeep: Arc<dyn Upkeep>,
    pub actions: Vec<Arc<dyn Action>>,
    pub project: Arc<dyn ProjectSource>,
    pub project_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub faults: Arc<dyn Faults>,
    pub settings: Settings,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the rules have {} problem(s)", .0.len())]
    Diagnostics(Vec<Diagnostic>),
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
}

/// Why the rules were not replaced. The old ones are still in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("the rules have {} problem(s)", .0.len())]
    Diagnostics(Vec<Diagnostic>),
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
}

/// Why no events should be sent here now.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("the process is ending")]
    Draining,
    #[error("the store cannot be written")]
    Store(#[from] StoreError),
}

/// The rules that a reload put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    pub revision: Revision,
    /// How many rules there are.
    pub rules: usize,
    pub warnings: Vec<Diagnostic>,
    /// Whether the revision is another than before.
    pub changed: bool,
}

/// What retrying a dead letter came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadRetry {
    /// This job runs again, or for the first time.
    Job(JobId),
    /// The refused event was accepted under an id of its own.
    Event(Accepted),
    /// The rule says nothing about the event today, or has its job already.
    NothingFired,
    /// The letter is closed.
    WrongState(DeadState),
    NotRetryable {
        why: String,
    },
    NotFound,
}

/// A running engine. Clones are handles to the same one; it runs until
/// [`Engine::drain`] or [`Engine::stop`] has returned.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    parts: EngineParts,
    rules: ArcSwap<RuleSet>,
}

impl Engine {
    /// Reads and checks the project, keeps its revision, finds what an earlier
    /// process left behind, and starts the workers.
    pub async fn start(parts: EngineParts) -> Result<Self, StartError> {
        let text = parts.project.read().await.map_err(StartError::Diagnostics)?;
        let checked = rules::compile(Arc::new(text)).map_err(StartError::Diagnostics)?;
        Ok(Self {
            shared: Arc::new(Shared {
                parts: EngineParts {
                    settings: parts.settings.clone().checked(),
                    ..parts
                },
                rules: ArcSwap::from_pointee(checked.rules),
            }),
        })
    }

    /// Accepts all of `drafts` or nothing; answers once it is durable.
    pub async fn publish(
        &self,
        _drafts: Vec<EventDraft>,
        _source: &str,
    ) -> Result<Vec<Accepted>, AcceptError> {
        Err(AcceptError::Store(StoreError::Closed))
    }

    /// What every rule, or the one asked for, decided about an event and why.
    /// `None` when there is no such event.
    pub async fn verdicts(
        &self,
        _event: &EventId,
        _rule: Option<&RuleName>,
    ) -> Result<Option<Vec<Explanation>>, StoreError> {
        Err(StoreError::Closed)
    }

    pub async fn cancel(&self, _job: &JobId, _by: &Principal) -> Result<Controlled, StoreError> {
        Err(StoreError::Closed)
    }

    pub async fn retry(&self, _job: &JobId, _by: &Principal) -> Result<Controlled, StoreError> {
        Err(StoreError::Closed)
    }

    pub async fn retry_dead(
        &self,
        _id: &DeadLetterId,
        _by: &Principal,
    ) -> Result<DeadRetry, AcceptError> {
        Err(AcceptError::Store(StoreError::Closed))
    }

    /// `None`: no such letter; `false`: it is not open.
    pub async fn discard_dead(
        &self,
        _id: &DeadLetterId,
        _by: &Principal,
    ) -> Result<Option<bool>, StoreError> {
        Err(StoreError::Closed)
    }

    /// Puts the project's rules in force as they are now.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        Err(ReloadError::Store(StoreError::Closed))
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.shared.rules.load_full()
    }

    pub fn history(&self) -> &Arc<dyn History> {
        &self.shared.parts.history
    }

    pub async fn status(&self) -> Result<Status, StoreError> {
        let parts = &self.shared.parts;
        let store = parts.upkeep.status().await?;
        let rules = self.rules();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: parts.clock.now(),
            revision: rules.revision().clone(),
            commit: rules.text().commit.clone(),
            rules: rules.len(),
            worker: WorkerReport {
                id: parts.settings.worker.clone(),
                concurrency: parts.settings.concurrency,
                running: 0,
            },
            store: store.into(),
            notices: Vec::new(),
        })
    }

    /// Whether events can be accepted now.
    pub async fn ready(&self) -> Result<(), NotReady> {
        Ok(self.shared.parts.upkeep.probe().await?)
    }

    /// Claims nothing more, lets running jobs end, and closes the store.
    /// Returns when that is done, or when [`Engine::stop`] was called.
    pub async fn drain(&self) {}

    /// Ends everything at once. What runs is killed by its guard, and its
    /// leases are left to recovery.
    pub async fn stop(&self) {}
}
