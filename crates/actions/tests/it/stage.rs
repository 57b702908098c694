//! A project, a runtime directory and the worker's ends of a step, for one test.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use actions::{ActionSettings, CommandAction, PlaybookAction};
use async_trait::async_trait;
use model::{
    action::{CommandCall, PlaybookCall, StepCall, StepContext, StepControl, StepReport, Stop},
    clock::{BootTime, Clock, Timestamp},
    event::{Event, EventDraft, Origin, Severity},
    id::JobId,
    job::{Exit, Outcome},
    json::Object,
    ports::{
        Action, OutputSink,
        chain::{FollowUpError, FollowUps},
        task::TaskSink,
    },
};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::told::Told;
use tokio::sync::watch;

/// The system's clocks, as the binary has them.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000)
    }

    fn boot(&self) -> BootTime {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap());
        BootTime {
            boot: "this".to_owned(),
            millis: i64::try_from(now.as_millis()).unwrap(),
        }
    }
}

/// For steps that publish nothing.
#[derive(Debug)]
struct NoFollowUps;

#[async_trait]
impl FollowUps for NoFollowUps {
    async fn follow_up(&self, event: EventDraft) -> Result<(), FollowUpError> {
        panic!("`{}` was published", event.topic);
    }
}

/// Keeps output as it comes.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Vec<u8>>);

impl Kept {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

#[async_trait]
impl OutputSink for Kept {
    async fn write(&self, bytes: Vec<u8>) {
        self.0.lock().unwrap().extend(bytes);
    }
}

pub(crate) struct Stage {
    _dir: TempDir,
    pub(crate) settings: ActionSettings,
    pub(crate) context: StepContext,
    pub(crate) output: Arc<Kept>,
    pub(crate) tasks: Arc<Told>,
    pub(crate) stop: watch::Sender<Option<Stop>>,
    pub(crate) deadline: watch::Sender<BootTime>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::for_job(JobId::generate(), Duration::from_secs(60))
    }

    pub(crate) fn for_job(job: JobId, lease: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        fs_err::create_dir(&project).unwrap();
        let mut settings = ActionSettings::new(
            PathBuf::from(env!("CARGO_BIN_EXE_lariat-guard")),
            dir.path().join("run"),
            Arc::new(SystemClock),
        );
        settings.guard_lock = Some(dir.path().join("guards"));
        let context = StepContext {
            job,
            attempt: 1,
            step: 0,
            rule: "a-rule".parse().unwrap(),
            event: Arc::new(event(json!({}))),
            project,
            account: None,
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(20),
            output_cap: 1024 * 1024,
        };
        Self {
            _dir: dir,
            settings,
            context,
            output: Arc::new(Kept::default()),
            tasks: Arc::default(),
            stop: watch::channel(None).0,
            deadline: watch::channel(SystemClock.boot().plus(lease)).0,
        }
    }

    pub(crate) fn project(&self) -> &Path {
        &self.context.project
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.project().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    pub(crate) fn set_body(&mut self, body: Value) {
        self.context.event = Arc::new(event(body));
    }

    pub(crate) fn control(&self) -> StepControl {
        StepControl {
            stop: self.stop.subscribe(),
            deadline: self.deadline.subscribe(),
            output: Arc::clone(&self.output) as Arc<dyn OutputSink>,
            tasks: Arc::clone(&self.tasks) as Arc<dyn TaskSink>,
            follow_ups: Arc::new(NoFollowUps),
        }
    }

    pub(crate) async fn command(&self, call: CommandCall) -> StepReport {
        let action = CommandAction::new(self.settings.clone());
        action
            .run(
                StepCall::Command(call),
                self.context.clone(),
                self.control(),
            )
            .await
    }

    /// A shell script of the test's own.
    pub(crate) async fn script(&self, script: &str) -> StepReport {
        self.command(script_call(script)).await
    }

    pub(crate) async fn playbook(&self, call: PlaybookCall) -> StepReport {
        let action = PlaybookAction::new(self.settings.clone());
        action
            .run(
                StepCall::Playbook(call),
                self.context.clone(),
                self.control(),
            )
            .await
    }

    /// Processes of this stage's job that are alive, the guard not counted.
    pub(crate) fn alive(&self) -> Vec<i32> {
        alive(&self.context.job)
    }
}

pub(crate) fn script_call(script: &str) -> CommandCall {
    CommandCall {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..CommandCall::default()
    }
}

pub(crate) fn event(body: Value) -> Event {
    Event {
        id: "2026-event".parse().unwrap(),
        topic: "org.example.test".parse().unwrap(),
        time: SystemClock.now(),
        accepted: SystemClock.now(),
        source: "api".to_owned(),
        severity: Severity::Info,
        headers: Object::new(),
        body,
        origin: Origin::open_http(),
        cause: None,
    }
}

/// Everybody alive whose environment names the job.
pub(crate) fn alive(job: &JobId) -> Vec<i32> {
    let mark = format!("LARIAT_JOB={job}").into_bytes();
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let is_marked = fs_err::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == mark));
        if is_marked {
            found.push(pid);
        }
    }
    found
}

/// Waits for a condition that has a name.
pub(crate) async fn until(name: &str, condition: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !condition() {
        assert!(tokio::time::Instant::now() < limit, "never came: {name}");
        tick.tick().await;
    }
}

/// A report in one line, without what differs from run to run.
pub(crate) fn say(report: &StepReport) -> String {
    let exit = match report.exit {
        None => "-".to_owned(),
        Some(Exit::Code(code)) => format!("code {code}"),
        Some(Exit::Signal(signal)) => format!("signal {signal}"),
    };
    let outcome = match &report.outcome {
        Outcome::Succeeded { summary } => format!("succeeded: {summary}"),
        Outcome::Failed { summary, retry, .. } => format!("failed ({retry:?}): {summary}"),
        Outcome::TimedOut { killed, .. } => format!("timed out, killed {killed}"),
        Outcome::Cancelled { by } => format!("cancelled by {by}"),
        Outcome::Unstartable { reason } => format!("unstartable: {reason}"),
        Outcome::Lost { worker } => format!("lost {worker}"),
    };
    format!("{exit} | {outcome}")
}
