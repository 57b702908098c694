//! Several engines on one queue, each over a store of its own, in one world
//! that sees everything that runs.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use engine::{Engine, EngineParts, Settings};
use model::{
    fault::FaultPoint,
    id::{EventId, JobId, Principal, Revision},
    job::{Job, JobState},
    link::{AckMode, Terms},
    page::{DeadQuery, JobQuery, Position},
    ports::{AcceptError, Accepted, DeadLetter, History, Intake, Judged, StoreError},
    route::Route,
    verdict::Decision,
};
use serde_json::json;
use testkit::{
    FaultPlan, MemoryStore, TestClock,
    link::{MemoryBroker, MemorySink, MemorySource},
};

use crate::{
    harness::{TestProject, draft},
    world::{Run, ScriptedAction, World},
};

/// How long a test waits for a condition, on its paused clock.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// `a.work` works for so long; `a.once` too, and may not be repeated;
/// `a.flaky` fails once; `a.keyed` goes one by one; `a.calm` waits until
/// it is quiet; `a.plain` and what else there is match nothing.
pub(crate) const RULES: &str = r#"
rules:
  - name: works
    on: a.work
    run:
      - command: [work, "{{ event.body.ms }}"]
    on_lost: retry
  - name: once
    on: a.once
    run:
      - command: [work, "{{ event.body.ms }}"]
  - name: flaky
    on: a.flaky
    run:
      - command: [flaky, "1"]
    retry: {attempts: 3, delay: 30s}
    on_lost: retry
  - name: keyed
    on: a.keyed
    key: "{{ event.body.key }}"
    run:
      - command: [work, "{{ event.body.ms }}"]
    on_lost: retry
  - name: calm
    on: a.calm
    debounce: 30s
    run:
      - command: [work, "{{ event.body.ms }}"]
    on_lost: retry
  - name: first
    on: a.both
    run:
      - command: [work, "60000"]
    on_lost: retry
  - name: second
    on: a.both
    run:
      - command: [work, "50000"]
    on_lost: retry
"#;

/// How a fleet is set up.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) rules: String,
    pub(crate) ack: AckMode,
    pub(crate) takeover: Duration,
    pub(crate) batch: usize,
    pub(crate) prefetch: usize,
    pub(crate) concurrency: usize,
    pub(crate) queue_limit: usize,
    pub(crate) patience: Duration,
    pub(crate) routes: Vec<Route>,
    pub(crate) bad_days: Arc<BadDays>,
}

/// How the store misbehaves towards what comes in.
#[derive(Default)]
pub(crate) struct BadDays {
    /// It fails whenever this event is among those that it is to accept.
    pub(crate) never: Mutex<Option<EventId>>,
    /// So many times it says that its disk is full.
    pub(crate) full: AtomicU32,
}

struct BadIntake {
    store: Arc<MemoryStore>,
    bad_days: Arc<BadDays>,
}

#[async_trait]
impl Intake for BadIntake {
    async fn accept(&self, batch: Vec<Judged>) -> Result<Vec<Accepted>, AcceptError> {
        let full = &self.bad_days.full;
        if full
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            return Err(StoreError::Full("no space left on device".into()).into());
        }
        let never = self.bad_days.never.lock().unwrap().clone();
        if batch
            .iter()
            .any(|one| Some(&one.event.id) == never.as_ref())
        {
            return Err(StoreError::Failed("it chokes on it".into()).into());
        }
        self.store.accept(batch).await
    }

    async fn refire(
        &self,
        event: &EventId,
        revision: &Revision,
        decision: &Decision,
    ) -> Result<Option<Option<JobId>>, StoreError> {
        self.store.refire(event, revision, decision).await
    }
}

impl Options {
    pub(crate) fn stored() -> Self {
        Self {
            rules: RULES.to_owned(),
            ack: AckMode::Stored,
            takeover: Duration::from_secs(20),
            batch: 100,
            prefetch: 100,
            concurrency: 4,
            queue_limit: 1000,
            patience: Duration::from_secs(15 * 60),
            routes: Vec::new(),
            bad_days: Arc::default(),
        }
    }

    pub(crate) fn done() -> Self {
        Self {
            ack: AckMode::Done,
            prefetch: 4,
            ..Self::stored()
        }
    }
}

/// One instance: one process after the other over the same store.
pub(crate) struct Instance {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) faults: Arc<FaultPlan>,
    /// What the broker knows its source by.
    pub(crate) peer: usize,
    pub(crate) sink: Arc<MemorySink>,
    number: usize,
    processes: u32,
    pub(crate) is_up: bool,
}

pub(crate) struct Fleet {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) world: Arc<World>,
    pub(crate) broker: Arc<MemoryBroker>,
    pub(crate) instances: Vec<Instance>,
    options: Options,
}

impl Fleet {
    pub(crate) async fn start(count: usize, options: Options) -> Self {
        Self::with_plan(count, options, FaultPlan::none()).await
    }

    /// The first instance dies by plan.
    pub(crate) async fn with_plan(count: usize, options: Options, plan: FaultPlan) -> Self {
        let clock = Arc::new(TestClock::following());
        let mut fleet = Self {
            world: Arc::new(World::new(clock.clone())),
            broker: MemoryBroker::new(clock.clone()),
            clock,
            instances: Vec::new(),
            options,
        };
        let mut plan = Some(plan);
        for number in 0..count {
            let faults = Arc::new(plan.take().unwrap_or_else(FaultPlan::none));
            let limit = fleet.options.queue_limit;
            let store = MemoryStore::with_faults(fleet.clock.clone(), limit, Arc::clone(&faults));
            let store = Arc::new(store);
            let sink = MemorySink::new("out");
            let (engine, peer) = fleet.open(number, 1, &store, &faults, &sink).await;
            fleet.instances.push(Instance {
                engine,
                store,
                faults,
                peer,
                sink,
                number,
                processes: 1,
                is_up: true,
            });
        }
        fleet
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "these are the parts of one thing, gathered before it exists"
    )]
    async fn open(
        &self,
        number: usize,
        process: u32,
        store: &Arc<MemoryStore>,
        faults: &Arc<FaultPlan>,
        sink: &Arc<MemorySink>,
    ) -> (Engine, usize) {
        let options = &self.options;
        let terms = Terms {
            ack: options.ack,
            batch: options.batch,
            takeover: options.takeover,
        };
        let source = MemorySource::new("bus", &self.broker, faults, terms, options.prefetch)
            .patient_for(options.patience);
        let peer = source.peer();
        let parts = EngineParts {
            intake: Arc::new(BadIntake {
                store: Arc::clone(store),
                bad_days: Arc::clone(&options.bad_days),
            }),
            queue: store.clone(),
            control: store.clone(),
            history: store.clone(),
            upkeep: store.clone(),
            actions: vec![Arc::new(ScriptedAction {
                world: Arc::clone(&self.world),
            })],
            custody: store.clone(),
            outbox: store.clone(),
            tokens: store.clone(),
            audit: store.clone(),
            chains: store.clone(),
            lifecycle: store.clone(),
            task_log: store.clone(),
            sources: vec![Arc::new(source)],
            sinks: vec![sink.clone()],
            routes: options.routes.clone(),
            project: Arc::new(TestProject::new(&options.rules)),
            project_dir: PathBuf::from("/project"),
            clock: self.clock.clone(),
            faults: faults.clone(),
            settings: Settings {
                worker: format!("worker-{number}-{process}").parse().unwrap(),
                concurrency: options.concurrency,
                ..Settings::default()
            },
        };
        (Engine::start(parts).await.unwrap(), peer)
    }

    /// As `kill -9`: nothing that the process still does leaves a trace, and
    /// its connection is reset.
    pub(crate) async fn kill(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        instance.is_up = false;
        instance.faults.kill(FaultPoint::AfterFinish);
        instance.engine.stop().await;
    }

    /// As on SIGTERM; returns when it has ended.
    pub(crate) async fn drain(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        instance.engine.drain().await;
        instance.is_up = false;
    }

    /// The next process over the same store.
    pub(crate) async fn restart(&mut self, index: usize) {
        if self.instances[index].is_up {
            self.kill(index).await;
        }
        let (number, processes, sink) = {
            let instance = &self.instances[index];
            (
                instance.number,
                instance.processes + 1,
                Arc::clone(&instance.sink),
            )
        };
        let faults = Arc::new(FaultPlan::none());
        let store = Arc::new(self.instances[index].store.reopened(Arc::clone(&faults)));
        store.expire_leases();
        let (engine, peer) = self.open(number, processes, &store, &faults, &sink).await;
        self.instances[index] = Instance {
            engine,
            store,
            faults,
            peer,
            sink,
            number,
            processes,
            is_up: true,
        };
    }

    /// An event comes into the queue.
    pub(crate) fn publish(&self, id: &str, topic: &str, millis: u64) {
        let body = json!({"ms": millis.to_string(), "key": "k"});
        self.broker.publish(draft(id, topic, body));
    }

    pub(crate) async fn jobs(&self, index: usize) -> Vec<Job> {
        let query = JobQuery {
            event: None,
            rule: None,
            state: None,
            since: None,
            until: None,
            position: Position::Newest,
            limit: 5000,
        };
        let store = self.look_at(index);
        let mut jobs = store.jobs(&query).await.unwrap().items;
        jobs.reverse();
        jobs
    }

    pub(crate) async fn letters(&self, index: usize) -> Vec<DeadLetter> {
        let query = DeadQuery {
            kind: None,
            rule: None,
            state: None,
            position: Position::Newest,
            limit: 5000,
        };
        let store = self.look_at(index);
        store.dead_letters(&query).await.unwrap().items
    }

    /// The store, readable even when its process is gone.
    fn look_at(&self, index: usize) -> MemoryStore {
        let store = &self.instances[index].store;
        store.reopened(Arc::new(FaultPlan::none()))
    }

    /// The states of the jobs of one instance, in order.
    pub(crate) async fn states(&self, index: usize) -> Vec<JobState> {
        let jobs = self.jobs(index).await;
        jobs.iter().map(|job| job.state).collect()
    }

    pub(crate) async fn until_acked(&self, count: u64) {
        self.wait(&format!("{count} deliveries are acked"), async || {
            self.broker.acked() >= count
        })
        .await;
        assert_eq!(count, self.broker.acked());
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
                "waited in vain until {what}\n{}",
                self.state()
            );
            testkit::clock::let_pass(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn state(&self) -> String {
        let mut text = format!(
            "queue {} unacked {} acked {} requeued {}\n{:#?}\n",
            self.broker.waiting(),
            self.broker.unacked(),
            self.broker.acked(),
            self.broker.requeued(),
            self.broker.notes(),
        );
        for (index, instance) in self.instances.iter().enumerate() {
            let is_up = instance.is_up;
            let dump = self.look_at(index).dump();
            text = format!("{text}instance {index}, up: {is_up}\n{dump}");
        }
        text
    }

    /// Everything that ran of an event.
    pub(crate) fn runs_of(&self, event: &str) -> Vec<Run> {
        let mut runs = self.world.runs();
        runs.retain(|run| run.event.as_str() == event);
        runs
    }

    /// The same work for the same event at the same time, anywhere.
    pub(crate) fn overlaps(&self) -> Vec<String> {
        let runs = self.world.runs();
        let end = |run: &Run| run.ended.unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for (index, one) in runs.iter().enumerate() {
            for other in &runs[index + 1..] {
                let is_same = one.event == other.event && one.argv == other.argv;
                if is_same && one.started < end(other) && other.started < end(one) {
                    found.push(format!("{one:?}\nbeside {other:?}"));
                }
            }
        }
        found
    }
}

pub(crate) fn ann() -> Principal {
    Principal("ann".to_owned())
}
