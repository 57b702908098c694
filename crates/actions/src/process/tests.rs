//! Runs that are forked, and what forks them, under real guards. The fork
//! server here is one that knows no Ansible.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    action::{StepContext, StepControl, Stop},
    clock::{BootTime, Clock, Timestamp},
    event::{Event, EventDraft, Origin, Severity},
    id::JobId,
    json::Object,
    ports::{
        OutputSink,
        chain::{FollowUpError, FollowUps},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::told::Told;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    End, Ended, Kept, Program, guard, keep, keep::KeptHandle, message, pipes, run_warm,
    shared_name, tree,
};
use crate::settings::ActionSettings;

const FORKS: &str = include_str!("tests/forks.py");

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000)
    }

    fn boot(&self) -> BootTime {
        BootTime {
            boot: "this".to_owned(),
            millis: guard::now().unwrap(),
        }
    }
}

#[derive(Debug)]
struct NoFollowUps;

#[async_trait]
impl FollowUps for NoFollowUps {
    async fn follow_up(&self, event: EventDraft) -> Result<(), FollowUpError> {
        panic!("`{}` was published", event.topic);
    }
}

#[derive(Debug, Default)]
struct Output(Mutex<Vec<u8>>);

impl Output {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[async_trait]
impl OutputSink for Output {
    async fn write(&self, bytes: Vec<u8>) {
        self.0.lock().unwrap().extend(bytes);
    }
}

/// The binary that this crate's integration tests start as well.
fn guard_binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.ancestors().nth(2).unwrap().join("lariat-guard");
    assert!(
        binary.exists(),
        "{} is missing: `cargo build -p actions`",
        binary.display()
    );
    binary
}

/// A running fork server.
struct Stage {
    dir: TempDir,
    settings: ActionSettings,
    control: tokio::net::UnixStream,
    handle: KeptHandle,
    watch: JoinHandle<Ended>,
    log: Arc<Mutex<Vec<String>>>,
    pid: i32,
}

impl Stage {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = ActionSettings::new(
            guard_binary(),
            dir.path().join("run"),
            Arc::new(SystemClock),
        );
        let argv = ["python3", "-c", FORKS, "unread"];
        let program = program(&argv, dir.path());
        let Kept {
            mut control,
            handle,
            watch,
        } = keep(program, None, &settings).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        #[expect(clippy::disallowed_methods, reason = "there is no engine here")]
        let watch = tokio::spawn(watch.run(move |line| {
            lines.lock().unwrap().push(line.to_owned());
        }));
        let hello = read(&mut control).await;
        let pid = hello["ready"]["pid"].as_i64().unwrap();
        Self {
            dir,
            settings,
            control,
            handle,
            watch,
            log,
            pid: i32::try_from(pid).unwrap(),
        }
    }

    /// Has a shell script forked.
    async fn run(&mut self, script: &str, run: &Run) -> Ended {
        let (ours, ends) = pipes().unwrap();
        let request = json!({"run": 1, "guard": shared_name(&self.settings.guard)});
        let bytes = serde_json::to_vec(&request).unwrap();
        let descriptors = [&ends.orders, &ends.reports, &ends.output].map(AsFd::as_fd);
        message::send(&self.control, &bytes, &descriptors)
            .await
            .unwrap();
        drop(ends);
        assert!(read(&mut self.control).await["forked"].is_i64());
        let mut program = program(&["/bin/sh", "-c", script], self.dir.path());
        let result = tempfile::tempfile_in(self.dir.path()).unwrap();
        program.result = Some(result.into());
        let (context, control) = (&run.context, run.control());
        run_warm(program, context, control, &self.settings, ours).await
    }
}

async fn read(control: &mut tokio::net::UnixStream) -> Value {
    let bytes = message::receive(control).await.unwrap().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn program(argv: &[&str], directory: &Path) -> Program {
    let found = crate::place::on_path("/usr/local/bin:/usr/bin:/bin", argv[0]);
    Program {
        program: found.unwrap_or_else(|| argv[0].into()),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        directory: directory.to_owned(),
        stdin: "/dev/null".into(),
        result: None,
        tasks: None,
        private: None,
        detach: false,
    }
}

/// One run, as its worker sees it.
struct Run {
    context: StepContext,
    output: Arc<Output>,
    stop: watch::Sender<Option<Stop>>,
    deadline: watch::Sender<BootTime>,
}

impl Run {
    fn new() -> Self {
        let at = SystemClock.now();
        let event = Event {
            id: "e".parse().unwrap(),
            topic: "org.example.a".parse().unwrap(),
            time: at,
            accepted: at,
            source: "api".to_owned(),
            severity: Severity::Info,
            headers: Object::new(),
            body: json!({}),
            origin: Origin::open_http(),
            cause: None,
        };
        let deadline = SystemClock.boot().plus(Duration::from_secs(60));
        Self {
            context: StepContext {
                job: JobId::generate(),
                attempt: 1,
                step: 0,
                rule: "r".parse().unwrap(),
                event: Arc::new(event),
                project: "/nowhere".into(),
                account: None,
                timeout: Duration::from_secs(60),
                grace: Duration::from_secs(10),
                output_cap: 100_000,
            },
            output: Arc::default(),
            stop: watch::channel(None).0,
            deadline: watch::channel(deadline).0,
        }
    }

    fn control(&self) -> StepControl {
        StepControl {
            stop: self.stop.subscribe(),
            deadline: self.deadline.subscribe(),
            output: Arc::clone(&self.output) as _,
            tasks: Arc::new(Told::default()),
            follow_ups: Arc::new(NoFollowUps),
        }
    }

    /// Who of it is alive.
    fn alive(&self) -> usize {
        let mark = format!("LARIAT_LEASE={}/1/0", self.context.job);
        tree::marked(None, |variable| variable == mark.as_bytes()).len()
    }
}

async fn until(name: &str, condition: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !condition() {
        assert!(tokio::time::Instant::now() < limit, "never came: {name}");
        tick.tick().await;
    }
}

fn is_alive(pid: i32) -> bool {
    tree::processes()
        .iter()
        .any(|process| process.pid == pid && !process.is_dead)
}

#[tokio::test]
async fn a_forked_run_is_what_a_started_one_would_be() {
    let mut stage = Stage::new().await;
    let run = Run::new();
    let script = "echo $LARIAT_RESULT_FD; ls /proc/$$/fd; pwd; cat; exit 3";
    let ended = stage.run(script, &run).await;
    assert_eq!(
        (End::Exited, Some(model::job::Exit::Code(3))),
        (ended.end, ended.exit)
    );
    let here = fs_err::canonicalize(stage.dir.path()).unwrap();
    assert_eq!(
        format!("3\n0\n1\n2\n3\n{}\n", here.display()),
        run.output.text()
    );
    assert_eq!(
        vec!["a line for the log".to_owned()],
        *stage.log.lock().unwrap()
    );
}

#[tokio::test]
async fn a_forked_run_that_takes_too_long_ends_with_everything_below_it() {
    let mut stage = Stage::new().await;
    let mut run = Run::new();
    run.context.timeout = Duration::from_millis(300);
    run.context.grace = Duration::from_millis(100);
    let script = "trap '' TERM; (setsid sh -c 'while :; do sleep 0.05; done' &) ; while :; do sleep 0.05; done";
    let ended = stage.run(script, &run).await;
    assert_eq!(End::TimedOut { killed: true }, ended.end);
    assert_eq!(0, run.alive());
    let next = stage.run("exit 0", &Run::new()).await;
    assert_eq!(End::Exited, next.end, "the server still forks");
}

#[tokio::test]
async fn a_run_goes_on_when_the_server_that_forked_it_is_ended() {
    let mut stage = Stage::new().await;
    let run = Run::new();
    let handle = stage.handle.clone();
    let pid = stage.pid;
    let script = "echo on; until [ -e go ]; do sleep 0.05; done; echo off";
    let go = stage.dir.path().join("go");
    let (ended, ()) = tokio::join!(stage.run(script, &run), async {
        until("the run is on", || run.output.text() == "on\n").await;
        handle.end(Duration::ZERO);
        until("the server is gone", || !is_alive(pid)).await;
        fs_err::write(go, "").unwrap();
    });
    assert_eq!(End::Exited, ended.end);
    assert_eq!("on\noff\n", run.output.text());
    assert_eq!(End::Exited, stage.watch.await.unwrap().end);
}

#[tokio::test]
async fn a_server_that_its_worker_lets_go_takes_its_runs_along() {
    let mut stage = Stage::new().await;
    let run = Run::new();
    let pid = stage.pid;
    let watch = stage.watch.abort_handle();
    let script = "echo on; (setsid sleep 1000 &); sleep 1000";
    let (ended, ()) = tokio::join!(stage.run(script, &run), async {
        until("the run is on", || run.output.text() == "on\n").await;
        watch.abort();
        until("the server is gone", || !is_alive(pid)).await;
    });
    assert!(matches!(ended.end, End::GuardLost { .. }), "{ended:?}");
    assert_eq!(0, run.alive());
}

#[tokio::test]
async fn a_forked_guard_that_is_killed_is_replaced_by_its_worker() {
    let mut stage = Stage::new().await;
    let run = Run::new();
    let script = "echo $PPID; (setsid sleep 1000 &); sleep 1000";
    let (ended, ()) = tokio::join!(stage.run(script, &run), async {
        until("the run is on", || run.output.text().ends_with('\n')).await;
        let guard: i32 = run.output.text().trim().parse().unwrap();
        let guard = nix::unistd::Pid::from_raw(guard);
        nix::sys::signal::kill(guard, nix::sys::signal::Signal::SIGKILL).unwrap();
    });
    assert!(matches!(ended.end, End::GuardLost { .. }), "{ended:?}");
    assert_eq!(0, run.alive());
}

#[tokio::test]
async fn a_run_whose_process_is_gone_has_not_begun() {
    let stage = Stage::new().await;
    let (ours, ends) = pipes().unwrap();
    // Nobody becomes its guard.
    drop(ends);
    let run = Run::new();
    let program = program(&["/bin/true"], stage.dir.path());
    let control = run.control();
    let ended = run_warm(program, &run.context, control, &stage.settings, ours).await;
    assert!(matches!(ended.end, End::Unstartable { .. }), "{ended:?}");
}
