//! An engine over ports in memory that can crash and come back.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use actions::PublishAction;
use async_trait::async_trait;
use engine::{DeadRetry, Engine, EngineParts, Settings};
use model::{
    account::Grants,
    diagnostic::Diagnostic,
    event::{EventDraft, Origin, Severity},
    fault::FaultPoint,
    id::{DeadLetterId, JobId, LeaseId, Principal},
    job::{Job, JobState, Lease, NextState, Outcome, StepEnd},
    json::Object,
    page::{DeadQuery, JobQuery, Position},
    ports::{
        Accepted, Claimant, DeadLetter, Fenced, History, JobQueue, ProjectSource, ProjectText,
        Recovered, Renewed, StoreError,
    },
};
use serde_json::Value;
use testkit::{FaultPlan, MemoryStore, TestClock};

use crate::world::{ScriptedAction, World};

/// How long a test waits for a condition, on its paused clock.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// A project whose rules a test replaces, and what is granted to them.
pub(crate) struct TestProject(pub(crate) Mutex<String>, pub(crate) Mutex<Grants>);

impl TestProject {
    pub(crate) fn new(rules: &str) -> Self {
        Self(Mutex::new(rules.to_owned()), Mutex::default())
    }
}

#[async_trait]
impl ProjectSource for TestProject {
    async fn grants(&self) -> Result<Grants, Vec<Diagnostic>> {
        Ok(self.1.lock().unwrap().clone())
    }

    async fn read(&self) -> Result<ProjectText, Vec<Diagnostic>> {
        let rules = self.0.lock().unwrap().clone();
        Ok(ProjectText {
            files: [("rules/test.yml".to_owned(), rules)].into(),
            listing: Vec::new(),
            commit: None,
        })
    }
}

/// How the store misbehaves towards the worker.
#[derive(Default)]
pub(crate) struct Trouble {
    pub(crate) renewals_fail: AtomicBool,
    pub(crate) renewals_hang: AtomicBool,
    /// So many of the next ends are refused: the disk is full.
    pub(crate) refuse_ends: AtomicU32,
    pub(crate) refuse_output: AtomicU32,
    pub(crate) refuse_claims: AtomicU32,
    /// How late the answer to a claim comes, in milliseconds.
    pub(crate) slow_claims: AtomicU64,
}

fn refuses(counter: &AtomicU32) -> Result<(), StoreError> {
    let left = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    match left {
        Ok(_) => Err(StoreError::Full("no space left on device".into())),
        Err(_) => Ok(()),
    }
}

struct TroubledQueue {
    store: Arc<MemoryStore>,
    trouble: Arc<Trouble>,
}

#[async_trait]
impl JobQueue for TroubledQueue {
    async fn claim(
        &self,
        who: &Claimant,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        refuses(&self.trouble.refuse_claims)?;
        let leases = self.store.claim(who, max, lease, wait).await?;
        let late = self.trouble.slow_claims.load(Ordering::SeqCst);
        testkit::clock::let_pass(Duration::from_millis(late)).await;
        Ok(leases)
    }

    async fn renew(&self, leases: &[LeaseId], lease: Duration) -> Result<Vec<Renewed>, StoreError> {
        if self.trouble.renewals_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.trouble.renewals_fail.load(Ordering::SeqCst) {
            let after = Duration::from_secs(5);
            return Err(StoreError::Deadline { after });
        }
        self.store.renew(leases, lease).await
    }

    async fn advance(&self, lease: &LeaseId, ended: &StepEnd) -> Result<Fenced, StoreError> {
        self.store.advance(lease, ended).await
    }

    async fn append_output(
        &self,
        lease: &LeaseId,
        step: usize,
        bytes: Vec<u8>,
    ) -> Result<Fenced, StoreError> {
        refuses(&self.trouble.refuse_output)?;
        self.store.append_output(lease, step, bytes).await
    }

    async fn finish(
        &self,
        lease: &LeaseId,
        last: Option<&StepEnd>,
        outcome: &Outcome,
        next: &NextState,
    ) -> Result<Fenced, StoreError> {
        refuses(&self.trouble.refuse_ends)?;
        self.store.finish(lease, last, outcome, next).await
    }

    async fn recover(&self, max: usize, roll: f64) -> Result<Vec<Recovered>, StoreError> {
        self.store.recover(max, roll).await
    }
}

/// One process after the other over the same store and the same world.
pub(crate) struct TestEngine {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) world: Arc<World>,
    pub(crate) project: Arc<TestProject>,
    pub(crate) trouble: Arc<Trouble>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) faults: Arc<FaultPlan>,
    pub(crate) engine: Engine,
    processes: u32,
    pub(crate) died_starting: bool,
}

impl TestEngine {
    pub(crate) async fn start(rules: &str) -> Self {
        Self::with_plan(rules, FaultPlan::none()).await
    }

    /// The first process dies by plan; when that is while it starts, the
    /// second one is what this gives.
    pub(crate) async fn with_plan(rules: &str, plan: FaultPlan) -> Self {
        let clock = Arc::new(TestClock::following());
        let mut faults = Arc::new(plan);
        let mut store = Arc::new(MemoryStore::with_faults(
            clock.clone(),
            1000,
            Arc::clone(&faults),
        ));
        let world = Arc::new(World::new(clock.clone()));
        let project = Arc::new(TestProject::new(rules));
        let trouble = Arc::new(Trouble::default());
        let first = parts(&clock, &world, &project, &trouble, &store, &faults, 1);
        let started = tokio::select! {
            biased;
            _ = faults.wait_tripped() => None,
            started = Engine::start(first) => started.ok(),
        };
        let died_starting = started.is_none();
        let engine = match started {
            Some(engine) => engine,
            None => {
                faults = Arc::new(FaultPlan::none());
                store = Arc::new(store.reopened(Arc::clone(&faults)));
                let second = parts(&clock, &world, &project, &trouble, &store, &faults, 2);
                Engine::start(second).await.unwrap()
            }
        };
        Self {
            clock,
            world,
            project,
            trouble,
            store,
            faults,
            engine,
            processes: 2,
            died_starting,
        }
    }

    /// As `kill -9`: nothing that the process still does leaves a trace.
    pub(crate) async fn crash(&self) {
        self.faults.kill(FaultPoint::AfterFinish);
        self.engine.stop().await;
        assert_eq!(0, self.world.running(), "guards kill what runs");
    }

    /// The next process. Leases of the one before end at once, as its guards
    /// are known to be gone.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(FaultPlan::none()).await;
    }

    pub(crate) async fn restart_with(&mut self, plan: FaultPlan) {
        self.restart_as(plan, |_| {}).await;
    }

    /// The next process, with other settings.
    pub(crate) async fn restart_as(&mut self, plan: FaultPlan, change: impl FnOnce(&mut Settings)) {
        self.crash().await;
        self.faults = Arc::new(plan);
        self.store = Arc::new(self.store.reopened(Arc::clone(&self.faults)));
        self.store.expire_leases();
        self.processes += 1;
        let mut parts = self.parts();
        change(&mut parts.settings);
        self.engine = Engine::start(parts).await.unwrap();
    }

    /// Whether the planned death has come, to this process or to one before.
    pub(crate) fn plan_is_spent(&self) -> bool {
        self.processes > 2 || self.faults.tripped().is_some()
    }

    /// Parts of another process over the same store.
    pub(crate) fn parts(&self) -> EngineParts {
        parts(
            &self.clock,
            &self.world,
            &self.project,
            &self.trouble,
            &self.store,
            &self.faults,
            self.processes,
        )
    }

    pub(crate) async fn publish(&self, id: &str, topic: &str, body: Value) -> Accepted {
        let accepted = self
            .engine
            .publish(vec![draft(id, topic, body)], "api")
            .await;
        accepted.unwrap().remove(0)
    }

    /// Publishes and names the only job of it.
    pub(crate) async fn publish_job(&self, id: &str, topic: &str, body: Value) -> JobId {
        let accepted = self.publish(id, topic, body).await;
        assert_eq!(1, accepted.jobs.len(), "one rule is for `{topic}`");
        accepted.jobs[0].clone()
    }

    pub(crate) async fn jobs(&self) -> Vec<Job> {
        let query = JobQuery {
            event: None,
            rule: None,
            state: None,
            since: None,
            until: None,
            position: Position::Newest,
            limit: 500,
        };
        let mut jobs = self.store.jobs(&query).await.unwrap().items;
        jobs.reverse();
        jobs
    }

    pub(crate) async fn job(&self, id: &JobId) -> Job {
        self.store.job(id).await.unwrap().expect("the job exists")
    }

    pub(crate) async fn letters(&self) -> Vec<DeadLetter> {
        let query = DeadQuery {
            kind: None,
            rule: None,
            state: None,
            position: Position::Newest,
            limit: 500,
        };
        self.store.dead_letters(&query).await.unwrap().items
    }

    pub(crate) async fn retry_dead(&self, id: &DeadLetterId) -> DeadRetry {
        self.engine.retry_dead(id, &ann()).await.unwrap()
    }

    /// Waits until a job has reached a state.
    pub(crate) async fn until(&self, job: &JobId, state: JobState) {
        self.wait(&format!("job {job} is {state}"), async || {
            self.job(job).await.state == state
        })
        .await;
    }

    /// Waits until nothing is left that happens by itself.
    pub(crate) async fn until_idle(&self) {
        self.wait("all jobs have ended or are held", async || {
            self.jobs()
                .await
                .iter()
                .all(|job| job.state.is_ended() || job.state == JobState::Held)
        })
        .await;
    }

    pub(crate) async fn until_running(&self, count: usize) {
        self.wait(&format!("{count} steps run"), async || {
            self.world.running() == count
        })
        .await;
    }

    /// Waits for a condition that has a name.
    pub(crate) async fn wait(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = tokio::time::Instant::now();
        while !holds().await {
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain until {what}; the store:\n{}\n{:#?}",
                self.store.dump(),
                self.world.runs()
            );
            testkit::clock::let_pass(Duration::from_millis(20)).await;
        }
    }

    /// The complete state of the store, without what differs from run to run.
    pub(crate) fn state(&self) -> String {
        self.store.dump()
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "these are the parts of one thing, gathered before it exists"
)]
fn parts(
    clock: &Arc<TestClock>,
    world: &Arc<World>,
    project: &Arc<TestProject>,
    trouble: &Arc<Trouble>,
    store: &Arc<MemoryStore>,
    faults: &Arc<FaultPlan>,
    process: u32,
) -> EngineParts {
    EngineParts {
        intake: store.clone(),
        queue: Arc::new(TroubledQueue {
            store: Arc::clone(store),
            trouble: Arc::clone(trouble),
        }),
        control: store.clone(),
        history: store.clone(),
        upkeep: store.clone(),
        actions: vec![
            Arc::new(ScriptedAction {
                world: Arc::clone(world),
            }),
            Arc::new(PublishAction::new(BTreeMap::new(), clock.clone())),
        ],
        custody: store.clone(),
        outbox: store.clone(),
        tokens: store.clone(),
        audit: store.clone(),
        chains: store.clone(),
        lifecycle: store.clone(),
        task_log: store.clone(),
        sources: Vec::new(),
        sinks: Vec::new(),
        routes: Vec::new(),
        project: project.clone(),
        project_dir: PathBuf::from("/project"),
        clock: clock.clone(),
        faults: faults.clone(),
        settings: Settings {
            worker: format!("worker-{process}").parse().unwrap(),
            ..Settings::default()
        },
    }
}

pub(crate) fn ann() -> Principal {
    Principal("ann".to_owned())
}

pub(crate) fn draft(id: &str, topic: &str, body: Value) -> EventDraft {
    EventDraft {
        id: Some(id.parse().unwrap()),
        topic: topic.parse().unwrap(),
        time: None,
        severity: Severity::Info,
        headers: Object::new(),
        body,
        origin: Origin::open_http(),
        cause: None,
    }
}
