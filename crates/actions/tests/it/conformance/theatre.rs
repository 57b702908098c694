//! Where the matrix is played: one copy of the project, one action with its
//! fork servers, and for each run a job and a directory of its own.

use std::{path::PathBuf, time::Duration};

use actions::{ActionSettings, PlaybookAction, WarmSettings};
use model::{
    action::{PlaybookCall, StepCall},
    id::JobId,
    ports::Action,
};
use serde_json::Value;
use tempfile::TempDir;
use testkit::tools::{self, Ansible};
use tokio::time::Instant;

use super::{
    case::{self, Case},
    seen::{self, Mask, Seen},
};
use crate::stage::{Stage, say};

/// No run and no proof takes as long as this, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(300);

/// How a playbook is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In an `ansible-playbook` of its own.
    Cold,
    /// From a fork server, or the test fails.
    Warm,
}

pub(crate) struct Theatre {
    _dir: TempDir,
    pub(crate) project: PathBuf,
    settings: ActionSettings,
    action: PlaybookAction,
    works: PathBuf,
}

impl Theatre {
    /// `None`, said on standard error, where this Ansible is not. A fork
    /// server is ready when it is some.
    pub(crate) async fn open(version: Ansible) -> Option<Self> {
        let program = tools::ansible(version)?;
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        case::copy_project(&project);
        let works = dir.path().join("works");
        let home = dir.path().join("home");
        for made in [&works, &home] {
            fs_err::create_dir(made).unwrap();
        }
        let mut settings = Stage::new().settings;
        settings.playbook_command = program.display().to_string();
        settings.home = home;
        settings.runtime_dir = dir.path().join("run");
        settings.warm = Some(WarmSettings {
            max: 2,
            idle: Duration::from_secs(600),
        });
        settings.guard_lock = Some(dir.path().join("guards"));
        let theatre = Self {
            action: PlaybookAction::new(settings.clone()),
            _dir: dir,
            project,
            settings,
            works,
        };
        theatre.warm_up().await;
        Some(theatre)
    }

    /// Runs until one is warm: the first asks for a server, which has to
    /// start and to be proven. A busy machine takes its time over that.
    pub(crate) async fn warm_up(&self) {
        let limit = Instant::now() + PATIENCE;
        let case = case::named("season");
        loop {
            let (_, probe) = self.play(&case, Way::Warm).await;
            if probe.as_ref().is_some_and(seen::is_warm) {
                return;
            }
            let servers = self.action.starts().unwrap().servers;
            let reason = servers.iter().find_map(|server| server.reason.clone());
            assert_eq!(None, reason, "a fork server is not used");
            assert!(Instant::now() < limit, "no run is warm: {servers:?}");
        }
    }

    /// Playbooks that fork servers have started so far.
    pub(crate) fn warm_starts(&self) -> u64 {
        self.action.starts().unwrap().warm
    }

    /// Plays a case, which has to run as it is asked to; of a run in which no
    /// play begins only [`Theatre::warm_starts`] tells.
    pub(crate) async fn run(&self, case: &Case, way: Way) -> Seen {
        let (seen, probe) = self.play(case, way).await;
        if let Some(probe) = probe {
            assert_eq!(
                way == Way::Warm,
                seen::is_warm(&probe),
                "`{}` was to run {way:?}",
                case.name
            );
        }
        seen
    }

    /// Plays a case that may need another fork server than there is: the run
    /// that finds that out is cold.
    pub(crate) async fn run_some_way(&self, case: &Case) -> Seen {
        self.play(case, Way::Warm).await.0
    }

    async fn play(&self, case: &Case, way: Way) -> (Seen, Option<Value>) {
        let work = tempfile::Builder::new()
            .prefix("work-")
            .tempdir_in(&self.works)
            .unwrap();
        let call = PlaybookCall {
            cold: way == Way::Cold,
            ..case.call(work.path())
        };
        let mut stage = Stage::for_job(JobId::generate(), PATIENCE);
        stage.context.timeout = PATIENCE;
        stage.settings = self.settings.clone();
        stage.context.project.clone_from(&self.project);
        let (context, control) = (stage.context.clone(), stage.control());
        let report = self
            .action
            .run(StepCall::Playbook(call), context, control)
            .await;

        let probe = seen::probe(work.path());
        let mut mask = Mask::default();
        mask.add(work.path().display().to_string(), "<work>");
        mask.add(stage.context.job.to_string(), "<job>");
        if let Some(probe) = &probe {
            mask.add(private_dir(probe), "<private>");
        }
        let seen = Seen {
            end: format!("{} | {:?}", say(&report), report.result),
            output: seen::output(&stage.output.text(), case, &mask),
            tasks: seen::tasks(&stage.tasks.events(), case, &mask),
            files: seen::files(work.path(), &mask),
            process: seen::process(probe.clone(), &mask),
        };
        (seen, probe)
    }
}

/// The directory that a run has for itself, as its environment names it.
fn private_dir(probe: &Value) -> String {
    let file = &probe["process"]["environment"]["LARIAT_EVENT_FILE"];
    let file = PathBuf::from(file.as_str().unwrap_or_default());
    file.parent().unwrap().display().to_string()
}
