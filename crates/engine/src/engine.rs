//! The engine as its callers see it.
//!
//! Every method here is one line into the file of its noun; what an answer
//! means is said there.

use std::{path::PathBuf, sync::Arc};

use model::{
    clock::{Clock, Timestamp},
    diagnostic::Diagnostic,
    event::EventDraft,
    fault::Faults,
    id::{DeadLetterId, EventId, JobId, Principal, Revision, RuleName, SinkName},
    ports::{
        AcceptError, Accepted, Action, Controlled, DeadState, History, Intake, JobControl,
        JobQueue, ProjectSource, StoreError, Upkeep,
        access::{Audit, Tokens},
        chain::Chains,
        custody::JobCustody,
        lifecycle::Lifecycle,
        outbox::Outbox,
        task::TaskLog,
        transport::{Sink, Source},
    },
    route::Route,
    verdict::Explanation,
};
use rules::RuleSet;

use crate::{
    chain::{self, Chain},
    control, dead, explain, intake, lease,
    lifecycle::{self, Listening},
    meter::Meter,
    outbox, recovery,
    reload::{self, Sound},
    retention,
    settings::Settings,
    shared::Shared,
    shutdown, source,
    status::{self, SinkReport, SourceReport, Status},
    stream::{self, EventStream, ListenError, StreamFilter, StreamStart, follow::Following},
    worker,
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
    pub custody: Arc<dyn JobCustody>,
    pub outbox: Arc<dyn Outbox>,
    pub tokens: Arc<dyn Tokens>,
    pub audit: Arc<dyn Audit>,
    pub chains: Arc<dyn Chains>,
    pub lifecycle: Arc<dyn Lifecycle>,
    pub task_log: Arc<dyn TaskLog>,
    pub sources: Vec<Arc<dyn Source>>,
    pub sinks: Vec<Arc<dyn Sink>>,
    pub routes: Vec<Route>,
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
    /// The event waits for this sink again.
    Sink(SinkName),
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

impl Engine {
    /// Reads and checks the project, keeps its revision, finds what an earlier
    /// process left behind, and starts the workers, the sinks
    /// and the sources.
    pub async fn start(parts: EngineParts) -> Result<Self, StartError> {
        let checked = reload::check(&parts)
            .await
            .map_err(StartError::Diagnostics)?;
        Ok(Self::start_with(parts, checked).await?)
    }

    /// As [`Engine::start`], with a project that was read and checked already.
    pub async fn start_with(parts: EngineParts, checked: Sound) -> Result<Self, StoreError> {
        let settings = parts.settings.clone().checked();
        let parts = EngineParts { settings, ..parts };
        reload::keep(&parts, &checked.rules).await?;
        let (shared, sources) = Shared::new(parts, checked);
        let shared = Arc::new(shared);
        lifecycle::refresh(&shared).await?;
        recovery::recover(&shared).await?;
        recovery::give_back_of_others(&shared).await?;
        lease::start(&shared);
        recovery::start(&shared);
        retention::start(&shared);
        reload::preflight(&shared);
        worker::start(&shared);
        outbox::start(&shared);
        lifecycle::start(&shared);
        source::start(&shared, sources);
        stream::start(&shared);
        Ok(Self { shared })
    }

    /// Accepts all of `drafts` or nothing; answers once it is durable.
    pub async fn publish(
        &self,
        drafts: Vec<EventDraft>,
        source: &str,
    ) -> Result<Vec<Accepted>, AcceptError> {
        intake::publish(&self.shared, drafts, source).await
    }

    /// Events as they are committed, from a place in the history on.
    pub async fn listen(
        &self,
        filter: StreamFilter,
        start: StreamStart,
    ) -> Result<EventStream, ListenError> {
        stream::listen(&self.shared, filter, start).await
    }

    /// Has events made of what becomes of jobs, as long as the answer is kept.
    pub async fn listen_to_lifecycle(&self) -> Result<Listening, StoreError> {
        lifecycle::listen(&self.shared).await
    }

    /// Wakes when a job may have changed or printed something.
    pub fn follow(&self, job: &JobId) -> Following {
        self.shared.followers.follow(job)
    }

    /// What every rule, or the one asked for, decided about an event and why.
    /// `None` when there is no such event.
    pub async fn verdicts(
        &self,
        event: &EventId,
        rule: Option<&RuleName>,
    ) -> Result<Option<Vec<Explanation>>, StoreError> {
        explain::verdicts(&self.shared, event, rule).await
    }

    /// What an event comes of and what came of it. `None` when nothing is
    /// known of such an event.
    pub async fn chain(&self, event: &EventId) -> Result<Option<Chain>, StoreError> {
        chain::chain(&self.shared, event).await
    }

    /// Ends a job that does not run, asks one that does to stop.
    pub async fn cancel(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError> {
        control::cancel(&self.shared, job, by).await
    }

    /// Same job, new attempt, its budget reset.
    pub async fn retry(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError> {
        control::retry(&self.shared, job, by).await
    }

    /// Tries again what gave up, each kind in its own way.
    pub async fn retry_dead(
        &self,
        id: &DeadLetterId,
        by: &Principal,
    ) -> Result<DeadRetry, AcceptError> {
        dead::retry(&self.shared, id, by).await
    }

    /// `None`: no such letter; `false`: it is not open.
    pub async fn discard_dead(
        &self,
        id: &DeadLetterId,
        by: &Principal,
    ) -> Result<Option<bool>, StoreError> {
        dead::discard(&self.shared, id, by).await
    }

    /// Puts the project's rules in force as they are now; bad ones leave the
    /// old in force.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        reload::reload(&self.shared).await
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.shared.rules.load_full()
    }

    pub fn history(&self) -> &Arc<dyn History> {
        &self.shared.parts.history
    }

    pub fn task_log(&self) -> &Arc<dyn TaskLog> {
        &self.shared.parts.task_log
    }

    pub fn tokens(&self) -> &Arc<dyn Tokens> {
        &self.shared.parts.tokens
    }

    pub fn audit(&self) -> &Arc<dyn Audit> {
        &self.shared.parts.audit
    }

    pub async fn status(&self) -> Result<Status, StoreError> {
        status::status(&self.shared).await
    }

    /// What is counted and measured, in the text format of OpenMetrics without
    /// its end mark. Answers when the store does not.
    pub async fn metrics(&self) -> String {
        let shared = &self.shared;
        let status = shared.scraped.status(shared).await;
        let now = shared.parts.clock.now();
        shared.meter.text(status.as_ref(), now)
    }

    /// When the engine, and for people the process, started.
    pub fn started(&self) -> Timestamp {
        self.shared.started
    }

    /// For what is counted outside the engine, by its meter.
    pub fn meter(&self) -> &Meter {
        &self.shared.meter
    }

    /// How each source stands.
    pub fn sources(&self) -> Vec<SourceReport> {
        status::sources(&self.shared)
    }

    /// How each sink stands, and what waits for it.
    pub async fn sinks(&self) -> Result<Vec<SinkReport>, StoreError> {
        status::sinks(&self.shared).await
    }

    /// Whether events can be accepted now.
    pub async fn ready(&self) -> Result<(), NotReady> {
        status::ready(&self.shared).await
    }

    /// Takes nothing more from sources and claims nothing more, lets running
    /// jobs end, settles their deliveries, and closes the store.
    /// Returns when that is done, or when [`Engine::stop`] was called.
    pub async fn drain(&self) {
        shutdown::drain(&self.shared).await;
    }

    /// Ends everything at once. What runs is killed by its guard, and its
    /// leases are left to recovery.
    pub async fn stop(&self) {
        shutdown::stop(&self.shared).await;
    }
}
