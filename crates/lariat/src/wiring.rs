//! The index: every kind of store, source, sink and action that exists, and what
//! each is made with. Nothing is decided here.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use actions::{
    ActionSettings, CommandAction, DEFAULT_PATH, HttpAction, PlaybookAction, PublishAction,
    WarmSettings,
};
use bus::amqp::{AmqpSink, AmqpSource};
use engine::EngineParts;
use model::{
    clock::Clock,
    fault::Faults,
    id::WorkerId,
    ports::{
        Action,
        transport::{Sink, Source},
    },
};
use store::{OpenError, SqliteOptions, SqliteStore};

use crate::{
    config::{
        Config, Environment, accounts,
        ansible::Ansible,
        open::{Links, SinkSettings, SourceSettings},
    },
    project::DirectoryProject,
};

/// How long a caller waits for the store.
const STORE_DEADLINE: Duration = Duration::from_secs(10);
/// This binary, even after the file it was started from has been replaced.
const THIS_BINARY: &str = "/proc/self/exe";

/// The ending of the directory where running steps have their files.
const RUNTIME: &str = ".run";

/// A service before it is started.
pub(crate) struct Plan<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    /// Canonical.
    pub(crate) project: &'a Path,
    /// The store's file.
    pub(crate) store: PathBuf,
    /// What the file said, before flags changed it.
    pub(crate) written: Config,
    pub(crate) accounts: accounts::Place,
    pub(crate) links: Links,
    pub(crate) worker: WorkerId,
    /// Who a second process on the same store is told about.
    pub(crate) owner: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) faults: Arc<dyn Faults>,
}

impl Plan<'_> {
    /// Opens the store and puts everything together.
    pub(crate) async fn assemble(self) -> Result<EngineParts, OpenError> {
        let options = SqliteOptions {
            clock: Arc::clone(&self.clock),
            faults: Arc::clone(&self.faults),
            queue_limit: self.config.limits.queue,
            owner: self.owner,
            deadline: STORE_DEADLINE,
        };
        let store = Arc::new(SqliteStore::open(&self.store, options).await?);
        let place = ActionPlace {
            store: store.path(),
            clock: Arc::clone(&self.clock),
        };
        actions::sweep(&beside(place.store, RUNTIME));
        let Links { sources, sinks } = self.links;
        let source = |settings| source(settings, &self.clock);
        let sources = sources.into_iter().map(source).collect();
        let sink = |settings| sink(settings, &self.clock);
        let sinks: Vec<Arc<dyn Sink>> = sinks.into_iter().map(sink).collect();
        let actions = actions((self.config, &sinks), self.environment, place);
        let project = DirectoryProject::new(self.project.to_owned(), store.path().to_owned())
            .started_with(self.written)
            .with_accounts(self.accounts);
        let workers = &self.config.workers;
        Ok(EngineParts {
            intake: Arc::clone(&store) as _,
            queue: Arc::clone(&store) as _,
            control: Arc::clone(&store) as _,
            history: Arc::clone(&store) as _,
            upkeep: Arc::clone(&store) as _,
            custody: Arc::clone(&store) as _,
            outbox: Arc::clone(&store) as _,
            tokens: Arc::clone(&store) as _,
            audit: Arc::clone(&store) as _,
            chains: Arc::clone(&store) as _,
            lifecycle: Arc::clone(&store) as _,
            task_log: store,
            sources,
            sinks,
            routes: self.config.routes.clone(),
            actions,
            project: Arc::new(project),
            project_dir: self.project.to_owned(),
            clock: self.clock,
            faults: self.faults,
            settings: engine::Settings {
                worker: self.worker,
                concurrency: workers.concurrency,
                lease: workers.lease,
                renew: workers.renew,
                retention: self.config.retention,
                prune_every: self.config.prune_every,
                ..engine::Settings::default()
            },
        })
    }
}

/// Every source that exists.
fn source(settings: SourceSettings, clock: &Arc<dyn Clock>) -> Arc<dyn Source> {
    match settings {
        SourceSettings::Amqp(settings) => Arc::new(AmqpSource::new(*settings, Arc::clone(clock))),
    }
}

/// Every sink that exists.
fn sink(settings: SinkSettings, clock: &Arc<dyn Clock>) -> Arc<dyn Sink> {
    match settings {
        SinkSettings::Amqp(settings) => Arc::new(AmqpSink::new(*settings, Arc::clone(clock))),
    }
}

/// Where actions keep what they need while they run.
pub(crate) struct ActionPlace<'a> {
    pub(crate) store: &'a Path,
    pub(crate) clock: Arc<dyn Clock>,
}

/// For playbooks that a person starts.
pub(crate) fn by_hand(
    config: &Config,
    environment: &Environment,
    clock: Arc<dyn Clock>,
) -> ActionSettings {
    let path = environment.path.clone();
    ActionSettings {
        path: path.unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        playbook_command: config.ansible.playbook_command.clone(),
        variable: Environment::variable,
        ..ActionSettings::new(PathBuf::from(THIS_BINARY), PathBuf::new(), clock)
    }
}

/// Every action that exists; `publish` knows these sinks.
pub(crate) fn actions(
    (config, sinks): (&Config, &[Arc<dyn Sink>]),
    environment: &Environment,
    place: ActionPlace<'_>,
) -> Vec<Arc<dyn Action>> {
    let path = environment.path.clone();
    let settings = ActionSettings {
        guard_lock: Some(beside(place.store, ".guards")),
        path: path.unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        playbook_command: config.ansible.playbook_command.clone(),
        warm: warm(&config.ansible),
        variable: Environment::variable,
        ..ActionSettings::new(
            PathBuf::from(THIS_BINARY),
            beside(place.store, RUNTIME),
            Arc::clone(&place.clock),
        )
    };
    let sinks = sinks
        .iter()
        .map(|sink| (sink.name().clone(), Arc::clone(sink)));
    vec![
        Arc::new(PlaybookAction::new(settings.clone())),
        Arc::new(CommandAction::new(settings)),
        Arc::new(PublishAction::new(
            sinks.collect(),
            Arc::clone(&place.clock),
        )),
        Arc::new(HttpAction::new(place.clock)),
    ]
}

fn warm(ansible: &Ansible) -> Option<WarmSettings> {
    ansible.warm.then_some(WarmSettings {
        max: ansible.warm_max,
        idle: ansible.warm_idle,
    })
}

/// The store's path with an ending after its own.
fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}
