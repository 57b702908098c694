//! Playbooks that sleep where Ansible hides its processes best: in a module,
//! in `async` tasks, behind an SSH connection. Whatever ends such steps, cold
//! or warm, nothing of them goes on running on this machine.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actions::{PlaybookAction, WarmSettings};
use model::{
    action::{StepCall, StepContext, StepControl, StepReport, Stop},
    id::{JobId, Principal},
    job::Outcome,
    ports::Action,
    warm::WarmState,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::tools::{self, Ansible};
use tokio::sync::watch;

use crate::{
    playbook::call,
    sshd::Sshd,
    stage::{Stage, alive, say},
};

const ROLE_VARIABLE: &str = "LARIAT_TEST_PLAYBOOK_WORKER";
const ROLE: &str = "supervise_playbook::works_when_it_is_told_to";

/// Four playbooks at once begin slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Long enough for a playbook to get to its sleep.
const TIMEOUT: Duration = Duration::from_secs(30);

static NAPS: AtomicU32 = AtomicU32::new(0);

/// Where a playbook sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleeps {
    InCommand,
    /// Ansible looks now and then whether it has ended.
    InAsync,
    /// Ansible has gone on to something else.
    InForgottenAsync,
    OverSsh,
}

const LOCAL: [Sleeps; 3] = [Sleeps::InCommand, Sleeps::InAsync, Sleeps::InForgottenAsync];

impl Sleeps {
    fn playbook(self, sleep: &str) -> String {
        let command = format!("    - command: {sleep}\n");
        let (host, tasks) = match self {
            Self::InCommand => ("here", command),
            Self::InAsync => (
                "here",
                format!("{command}      async: 3000\n      poll: 1\n"),
            ),
            Self::InForgottenAsync => (
                "here",
                format!("{command}      async: 3000\n      poll: 0\n    - command: sleep 3001\n"),
            ),
            Self::OverSsh => ("far", command),
        };
        format!("- hosts: {host}\n  gather_facts: false\n  tasks:\n{tasks}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Cold,
    Warm,
}

/// A project, and what its playbooks are run by.
struct Bed {
    stage: Stage,
    action: PlaybookAction,
    start: Start,
    sshd: Option<Sshd>,
}

impl Bed {
    /// `None`: there is no Ansible.
    fn new(start: Start) -> Option<Self> {
        let ansible = tools::ansible(Ansible::Newest)?;
        let stage = Stage::new();
        let sshd = Sshd::start();
        let far = sshd.as_ref().map_or_else(String::new, Sshd::host);
        stage.write(
            "hosts",
            &format!(
                "{far}here ansible_connection=local\n[all:vars]\nansible_python_interpreter=/usr/bin/python3\n"
            ),
        );
        // The connection takes its time on a busy machine.
        stage.write("ansible.cfg", "[defaults]\ntimeout = 100\n");
        stage.write("quick.yml", "- hosts: here\n  gather_facts: false\n");
        let stage = furnished(stage, &ansible, start);
        let bed = Self {
            action: PlaybookAction::new(stage.settings.clone()),
            stage,
            start,
            sshd,
        };
        Some(bed)
    }

    async fn warm_up(&self) {
        if self.start == Start::Warm {
            warm_up(&self.stage, &self.action).await;
        }
    }

    /// One of each kind that can be.
    fn naps(&self) -> Vec<Nap<'_>> {
        let far = self.sshd.as_ref().map(|_| Sleeps::OverSsh);
        let kinds = LOCAL.into_iter().chain(far);
        kinds.map(|sleeps| Nap::new(self, sleeps)).collect()
    }

    /// Runs all of them and `meanwhile`; the reports are in their order.
    async fn run(&self, naps: &[Nap<'_>], meanwhile: impl Future<Output = ()>) -> Vec<StepReport> {
        self.warm_up().await;
        let before = self.action.starts().map_or(0, |starts| starts.warm);
        let runs = futures_util::future::join_all(naps.iter().map(Nap::run));
        let (reports, ()) = tokio::join!(runs, meanwhile);
        let warm = self.action.starts().map_or(0, |starts| starts.warm) - before;
        match self.start {
            Start::Cold => assert_eq!(0, warm),
            // A busy fork server is not waited for.
            Start::Warm => assert_ne!(0, warm, "none began warm"),
        }
        reports
    }
}

fn furnished(mut stage: Stage, ansible: &Path, start: Start) -> Stage {
    stage.settings.playbook_command = ansible.display().to_string();
    stage.settings.warm = match start {
        Start::Cold => None,
        Start::Warm => Some(WarmSettings {
            max: 1,
            idle: Duration::from_secs(600),
        }),
    };
    stage
}

/// Runs a playbook that ends at once, and waits for the fork server's proof.
async fn warm_up(stage: &Stage, action: &PlaybookAction) {
    let call = StepCall::Playbook(call("quick.yml"));
    action
        .run(call, stage.context.clone(), stage.control())
        .await;
    until("a fork server is ready", || {
        let starts = action.starts().unwrap();
        let is_ready = |state| state == WarmState::Ready;
        starts.servers.iter().any(|one| is_ready(one.state))
    })
    .await;
}

/// One run of one such playbook.
struct Nap<'a> {
    bed: &'a Bed,
    sleeps: Sleeps,
    playbook: String,
    /// Seconds that nobody else sleeps.
    unique: String,
    context: StepContext,
    stop: watch::Sender<Option<Stop>>,
}

impl<'a> Nap<'a> {
    fn new(bed: &'a Bed, sleeps: Sleeps) -> Self {
        let number = NAPS.fetch_add(1, Ordering::Relaxed);
        let unique = format!("3000.{}{number}", std::process::id());
        let playbook = format!("{number}.yml");
        let text = sleeps.playbook(&format!("sleep {unique}"));
        bed.stage.write(&playbook, &text);
        let mut context = bed.stage.context.clone();
        context.job = JobId::generate();
        Self {
            bed,
            sleeps,
            playbook,
            unique,
            context,
            stop: watch::channel(None).0,
        }
    }

    async fn run(&self) -> StepReport {
        let control = StepControl {
            stop: self.stop.subscribe(),
            ..self.bed.stage.control()
        };
        let call = StepCall::Playbook(call(&self.playbook));
        self.bed
            .action
            .run(call, self.context.clone(), control)
            .await
    }

    /// Waits until it sleeps.
    async fn until_asleep(&self) {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let limit = tokio::time::Instant::now() + PATIENCE;
        let sleeps = || {
            let members = self.alive();
            let is_seen = members.iter().any(|line| match self.sleeps {
                Sleeps::InCommand | Sleeps::InAsync | Sleeps::InForgottenAsync => {
                    *line == format!("sleep {}", self.unique)
                }
                Sleeps::OverSsh => line.starts_with("ssh "),
            });
            is_seen && !self.sleepers().is_empty()
        };
        while !sleeps() {
            let output = self.bed.stage.output.text();
            let is_over = tokio::time::Instant::now() >= limit || output.contains("UNREACHABLE");
            assert!(!is_over, "{:?} never slept: {output}", self.sleeps);
            tick.tick().await;
        }
    }

    /// The command lines of its processes on this side of a connection.
    fn alive(&self) -> Vec<String> {
        let members = alive(&self.context.job).into_iter();
        members.map(command_line).collect()
    }

    /// Who sleeps for it, on either side.
    fn sleepers(&self) -> Vec<i32> {
        let names = fs_err::read_dir("/proc").unwrap().flatten();
        names
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| command_line(*pid) == format!("sleep {}", self.unique))
            .collect()
    }

    /// Whether its guard was given its first process instead of starting it.
    fn is_warm(&self) -> bool {
        let members = alive(&self.context.job).into_iter();
        let mut guards = members.filter_map(parent).map(command_line);
        guards.any(|line| line.contains(" --adopt "))
    }

    fn check_gone(&self) {
        assert_eq!(Vec::<String>::new(), self.alive(), "{:?}", self.sleeps);
    }
}

impl Drop for Nap<'_> {
    /// Of the far side of a connection nothing is promised.
    fn drop(&mut self) {
        for pid in self.sleepers() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}

/// `None`: it is gone.
fn parent(pid: i32) -> Option<i32> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// The command lines of fork servers that run from this directory.
fn servers(runtime: &Path) -> Vec<String> {
    let runtime = runtime.display().to_string();
    let names = fs_err::read_dir("/proc").unwrap().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(command_line)
        .filter(|line| line.contains(&runtime) && line.contains("lariat_warm.py"))
        .collect()
}

/// Empty when it is gone.
fn command_line(pid: i32) -> String {
    let bytes = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.trim_end().to_owned()
}

async fn until(name: &str, condition: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !condition() {
        assert!(tokio::time::Instant::now() < limit, "never came: {name}");
        tick.tick().await;
    }
}

async fn until_all_sleep(naps: &[Nap<'_>]) {
    futures_util::future::join_all(naps.iter().map(Nap::until_asleep)).await;
}

async fn check_cancelled(start: Start) {
    let Some(bed) = Bed::new(start) else {
        return;
    };
    let naps = bed.naps();
    let cancel = async {
        until_all_sleep(&naps).await;
        for nap in &naps {
            let by = Principal("a person".to_owned());
            nap.stop.send_replace(Some(Stop::Cancel(by)));
        }
    };
    let reports = bed.run(&naps, cancel).await;
    for (nap, report) in naps.iter().zip(reports) {
        let is_cancelled = matches!(report.outcome, Outcome::Cancelled { .. });
        assert!(is_cancelled, "{:?}: {}", nap.sleeps, say(&report));
        nap.check_gone();
        // Ansible asks for a terminal there, and who loses it hears of it.
        until("the far side has ended", || nap.sleepers().is_empty()).await;
    }
}

async fn check_timed_out(start: Start) {
    let Some(bed) = Bed::new(start) else {
        return;
    };
    let mut naps = bed.naps();
    for nap in &mut naps {
        nap.context.timeout = TIMEOUT;
    }
    let reports = bed.run(&naps, until_all_sleep(&naps)).await;
    for (nap, report) in naps.iter().zip(reports) {
        let is_over = matches!(report.outcome, Outcome::TimedOut { .. });
        assert!(is_over, "{:?}: {}", nap.sleeps, say(&report));
        nap.check_gone();
    }
}

async fn check_worker_killed(start: Start) {
    let Some(bed) = Bed::new(start) else {
        return;
    };
    let naps = bed.naps();
    let runs = naps
        .iter()
        .map(|nap| json!([nap.context.job.to_string(), nap.playbook]));
    let role = json!({
        "project": bed.stage.project(),
        "runtime": bed.stage.settings.runtime_dir,
        "ansible": bed.stage.settings.playbook_command,
        "is_warm": start == Start::Warm,
        "runs": runs.collect::<Vec<Value>>(),
    });
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ROLE, "--nocapture"])
        .env(ROLE_VARIABLE, role.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until_all_sleep(&naps).await;
    let runtime = &bed.stage.settings.runtime_dir;
    let is_warm = start == Start::Warm;
    // A busy fork server is not waited for.
    assert_eq!(is_warm, naps.iter().any(Nap::is_warm));
    assert_eq!(is_warm, !servers(runtime).is_empty());
    worker.kill().unwrap();
    for nap in &naps {
        until("nothing is left", || nap.alive().is_empty()).await;
    }
    until("the fork server is gone", || servers(runtime).is_empty()).await;
    worker.wait().unwrap();
}

#[tokio::test]
async fn works_when_it_is_told_to() {
    let Ok(role) = std::env::var(ROLE_VARIABLE) else {
        return;
    };
    let role: Value = serde_json::from_str(&role).unwrap();
    let text = |name: &str| role[name].as_str().unwrap();
    let is_warm = role["is_warm"].as_bool().unwrap();
    let start = if is_warm { Start::Warm } else { Start::Cold };
    let mut stage = furnished(Stage::new(), Path::new(text("ansible")), start);
    stage.settings.runtime_dir = text("runtime").into();
    stage.context.project = text("project").into();
    let action = Arc::new(PlaybookAction::new(stage.settings.clone()));
    if is_warm {
        warm_up(&stage, &action).await;
    }
    let runs = role["runs"].as_array().unwrap().iter().map(|run| {
        let mut context = stage.context.clone();
        context.job = run[0].as_str().unwrap().parse().unwrap();
        let call = StepCall::Playbook(call(run[1].as_str().unwrap()));
        action.run(call, context, stage.control())
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn a_cancelled_playbook_leaves_nothing_wherever_it_sleeps() {
    check_cancelled(Start::Cold).await;
}

#[tokio::test]
async fn a_playbook_that_takes_too_long_leaves_nothing_wherever_it_sleeps() {
    check_timed_out(Start::Cold).await;
}

#[tokio::test]
async fn a_killed_worker_leaves_nothing_wherever_its_playbook_sleeps() {
    check_worker_killed(Start::Cold).await;
}

#[tokio::test]
async fn a_cancelled_warm_playbook_leaves_nothing_wherever_it_sleeps() {
    check_cancelled(Start::Warm).await;
}

#[tokio::test]
async fn a_warm_playbook_that_takes_too_long_leaves_nothing_wherever_it_sleeps() {
    check_timed_out(Start::Warm).await;
}

#[tokio::test]
async fn a_killed_worker_leaves_nothing_wherever_its_warm_playbook_sleeps() {
    check_worker_killed(Start::Warm).await;
}
