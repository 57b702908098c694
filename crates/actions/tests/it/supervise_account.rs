//! Steps of another user than the service's: what they get, and that nothing
//! of them is left whatever dies. Each test runs with a service that is root,
//! and with ordinary users who may use `sudo`.
//!
//! The users are made by the tests, which takes root.

use std::{
    fs::Permissions,
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Once},
    time::Duration,
};

use model::{
    account::{Account, SystemUser, sudoers_line},
    id::JobId,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Stage, alive, say, until};

const ROLE_VARIABLE: &str = "LARIAT_TEST_ACCOUNT_WORKER";
const ROLE: &str = "supervise_account::works_for_an_account_when_it_is_told_to";
const GUARD: &str = env!("CARGO_BIN_EXE_lariat-guard");

/// A service whose `sudo` puts a terminal before what it starts.
const SERVICE: &str = "lariat-it-service";
/// One whose `sudo` does not.
const PLAIN: &str = "lariat-it-plain";
/// One whose `sudo` records what goes in and out.
const RECORDED: &str = "lariat-it-recorded";
/// Another service, which may run nothing as anybody.
const STRANGER: &str = "lariat-it-stranger";
const ACCOUNT: &str = "lariat-it-account";

/// Who the service runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Root,
    User(&'static str),
}

const ALL: [Service; 3] = [Service::Root, Service::User(SERVICE), Service::User(PLAIN)];

/// Makes the users and allows the one to run guards as the other. `false`: it
/// cannot be done here.
fn provide() -> bool {
    static MADE: Once = Once::new();
    if !geteuid().is_root() {
        testkit::tools::lacking("users are made by root only");
        return false;
    }
    if testkit::tools::sudo().is_none() {
        return false;
    }
    MADE.call_once(|| {
        for name in [SERVICE, PLAIN, RECORDED, STRANGER, ACCOUNT] {
            if User::from_name(name).unwrap().is_none() {
                let made = Command::new("/usr/sbin/useradd")
                    .args(["--system", "--create-home", "--user-group", name])
                    .output()
                    .unwrap();
                assert!(made.status.success(), "{made:?}");
            }
        }
        let guard = fs_err::canonicalize(GUARD).unwrap();
        let mut lines = format!(
            "Defaults:{SERVICE} use_pty\nDefaults:{PLAIN} !use_pty\nDefaults:{RECORDED} log_input, log_output\n"
        );
        for name in [SERVICE, PLAIN, RECORDED] {
            lines.push_str(&sudoers_line(name, ACCOUNT, &guard));
            lines.push('\n');
        }
        // One file for each place that tests are built in.
        let name = guard.display().to_string().replace(['/', '.'], "-");
        let file = PathBuf::from(format!("/etc/sudoers.d/lariat-it{name}"));
        let draft = &PathBuf::from(format!("{}~", file.display()));
        fs_err::write(draft, lines).unwrap();
        fs_err::set_permissions(draft, Permissions::from_mode(0o440)).unwrap();
        fs_err::rename(draft, file).unwrap();
    });
    true
}

fn account() -> Account {
    let user = User::from_name(ACCOUNT).unwrap().unwrap();
    Account {
        name: "someone".parse().unwrap(),
        user: SystemUser {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
        },
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        ssh_key: None,
        vault: Vec::new(),
        timeout: None,
    }
}

/// A worker in a process of its own, with one step.
struct Worker {
    job: JobId,
    service: Service,
    /// Everybody may look into it.
    project: TempDir,
    runtime: PathBuf,
    timeout: Duration,
    grace: Duration,
}

impl Worker {
    fn new(service: Service) -> Self {
        let project = tempfile::tempdir().unwrap();
        fs_err::set_permissions(project.path(), Permissions::from_mode(0o777)).unwrap();
        Self {
            job: JobId::generate(),
            service,
            runtime: project.path().join("run"),
            project,
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(20),
        }
    }

    fn start(&self, script: &str) -> std::process::Child {
        let role = json!({
            "job": self.job.to_string(),
            "project": self.project.path(),
            "runtime": self.runtime,
            "script": script,
            "timeout_ms": u64::try_from(self.timeout.as_millis()).unwrap(),
            "grace_ms": u64::try_from(self.grace.as_millis()).unwrap(),
        });
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", ROLE, "--nocapture", "--quiet"])
            .env_clear()
            .env(ROLE_VARIABLE, role.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Service::User(name) = self.service {
            let user = User::from_name(name).unwrap().unwrap();
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.spawn().unwrap()
    }

    /// The step's report and its output.
    fn run(&self, script: &str) -> (String, String) {
        told(self.start(script).wait_with_output().unwrap())
    }

    /// Starts it and waits until the script has written to the file `on`.
    async fn until_on(&self, script: &str) -> std::process::Child {
        let child = self.start(script);
        until("the step is on", || !self.on().is_empty()).await;
        child
    }

    /// What the script has written to the file `on`.
    fn on(&self) -> String {
        fs_err::read_to_string(self.project.path().join("on")).unwrap_or_default()
    }

    /// Neither a process is left nor the private directory.
    fn check_gone(&self) {
        assert_eq!(Vec::<i32>::new(), alive(&self.job), "{:?}", self.service);
        let private = self.on();
        assert!(private.starts_with("/tmp/lariat-"), "{private}");
        assert!(!Path::new(private.trim()).exists(), "{private} is left");
    }
}

/// What a worker printed: its last line that is JSON.
fn told(output: Output) -> (String, String) {
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().find_map(|line| {
        let start = line.find("{\"report\"")?;
        serde_json::from_str::<Value>(line.get(start..)?).ok()
    });
    let said = said.unwrap_or_else(|| panic!("the worker said nothing: {text}"));
    let field = |name: &str| said[name].as_str().unwrap().to_owned();
    (field("report"), field("output"))
}

#[tokio::test]
async fn works_for_an_account_when_it_is_told_to() {
    let Ok(role) = std::env::var(ROLE_VARIABLE) else {
        return;
    };
    let role: Value = serde_json::from_str(&role).unwrap();
    let millis = |name: &str| Duration::from_millis(role[name].as_u64().unwrap());
    let text = |name: &str| role[name].as_str().unwrap();
    let mut stage = Stage::for_job(text("job").parse().unwrap(), Duration::from_secs(600));
    stage.settings.runtime_dir = text("runtime").into();
    stage.context.project = text("project").into();
    stage.context.account = Some(Arc::new(account()));
    stage.context.timeout = millis("timeout_ms");
    stage.context.grace = millis("grace_ms");
    let report = stage.script(text("script")).await;
    let output = stage.output.text();
    let said = json!({"report": say(&report), "output": output, "result": report.result});
    writeln!(std::io::stdout(), "{said}").unwrap();
}

#[tokio::test]
async fn a_step_of_an_account_runs_as_its_user_and_nobody_else() {
    if !provide() {
        return;
    }
    let uid = account().user.uid;
    for service in ALL {
        let worker = Worker::new(service);
        let script = "id -un; id -Gn; echo $HOME $USER $GREETING; umask; ls /proc/$$/fd; (: </dev/tty) 2>&- || echo no terminal;
            stat -c '%U %a' $LARIAT_EVENT_FILE ${LARIAT_EVENT_FILE%/*};
            dirname ${LARIAT_EVENT_FILE%/*}; head -c 7 $LARIAT_EVENT_FILE; head -c 7;
            env | grep -c SUDO; kill -9 $PPID || echo never
            echo '{\"a\": 1}' >&$LARIAT_RESULT_FD";
        // As root's child it cannot end its guard, as its own it could.
        let script = match service {
            Service::Root => script.to_owned(),
            Service::User(_) => script.replace("kill -9 $PPID ||", ""),
        };
        let (report, output) = worker.run(&script);
        assert_eq!(
            "code 0 | succeeded: exit code 0", report,
            "{service:?}: {output}"
        );
        let expected = format!(
            "{ACCOUNT}\n{ACCOUNT}\n/home/{ACCOUNT} {ACCOUNT} hello\n0022\n0\n1\n2\n3\nno terminal\n{ACCOUNT} 600\n{ACCOUNT} 700\n/tmp/lariat-{uid}\n{{\"id\":\"{{\"id\":\"0\n"
        );
        assert!(
            output.starts_with(&expected),
            "{service:?}: {output}\nexpected {expected}"
        );
        assert!(output.ends_with("never\n"), "{service:?}: {output}");
    }
}

#[tokio::test]
async fn a_step_of_an_account_that_takes_too_long_leaves_nothing_running() {
    if !provide() {
        return;
    }
    for service in ALL {
        let mut worker = Worker::new(service);
        worker.timeout = Duration::from_millis(1_500);
        worker.grace = Duration::from_millis(100);
        let (report, _) = worker.run(
            "trap '' TERM HUP; echo ${LARIAT_EVENT_FILE%/*} > on; (setsid sh -c 'while :; do sleep 0.05; done' &) ; while :; do sleep 0.05; done",
        );
        assert_eq!("signal 9 | timed out, killed true", report, "{service:?}");
        worker.check_gone();
    }
}

const SLEEPS: &str = "trap '' TERM HUP; (setsid sleep 1000 &) ; echo ${LARIAT_EVENT_FILE%/*} > on; sleep 1000; sleep 1000";

#[tokio::test]
async fn a_killed_worker_leaves_nothing_running_of_an_account() {
    if !provide() {
        return;
    }
    for service in ALL {
        let worker = Worker::new(service);
        let mut child = worker.until_on(SLEEPS).await;
        assert_ne!(Vec::<i32>::new(), alive(&worker.job));
        child.kill().unwrap();
        until("nothing is left", || alive(&worker.job).is_empty()).await;
        child.wait().unwrap();
        let private = worker.on();
        until("its directory is gone", || {
            !Path::new(private.trim()).exists()
        })
        .await;
    }
}

/// The guard of a step, which is the parent of its program.
fn guard_of(job: &JobId) -> Pid {
    let members = alive(job);
    let parent = |pid: i32| {
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(1)?.parse::<i32>().ok()
    };
    let parents = members.iter().filter_map(|pid| parent(*pid));
    let mut outside: Vec<i32> = parents.filter(|pid| !members.contains(pid)).collect();
    outside.sort_unstable();
    outside.dedup();
    assert_eq!(1, outside.len(), "{members:?} have {outside:?}");
    Pid::from_raw(outside[0])
}

#[tokio::test]
async fn a_killed_guard_of_an_account_is_replaced() {
    if !provide() {
        return;
    }
    for service in ALL {
        let worker = Worker::new(service);
        let child = worker.until_on(SLEEPS).await;
        kill(guard_of(&worker.job), Signal::SIGKILL).unwrap();
        let (report, _) = told(child.wait_with_output().unwrap());
        assert!(
            report.starts_with("- | failed (Worthwhile): the guard of the step ended by signal 9; processes it left were killed: "),
            "{service:?}: {report}"
        );
        worker.check_gone();
    }
}

#[tokio::test]
async fn a_stopped_guard_of_an_account_is_woken() {
    if !provide() {
        return;
    }
    for service in ALL {
        let mut worker = Worker::new(service);
        worker.timeout = Duration::from_secs(2);
        worker.grace = Duration::from_millis(100);
        let child = worker.until_on(SLEEPS).await;
        kill(guard_of(&worker.job), Signal::SIGSTOP).unwrap();
        let (report, _) = told(child.wait_with_output().unwrap());
        assert_eq!("signal 9 | timed out, killed true", report, "{service:?}");
        worker.check_gone();
    }
}

#[tokio::test]
async fn what_a_step_of_an_account_left_is_ended_at_the_next_start() {
    if !provide() {
        return;
    }
    for service in ALL {
        let worker = Worker::new(service);
        let mut child = worker.until_on(SLEEPS).await;
        let guard = guard_of(&worker.job);
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        // It may not act on the death of its guard.
        kill(pid, Signal::SIGSTOP).unwrap();
        for pid in [guard, pid] {
            kill(pid, Signal::SIGKILL).unwrap();
        }
        child.wait().unwrap();
        assert_ne!(Vec::<i32>::new(), alive(&worker.job), "{service:?}");
        // The next start is one step of the same service.
        let mut sweeper = Command::new(std::env::current_exe().unwrap());
        sweeper
            .args(["--exact", SWEEP_ROLE, "--nocapture"])
            .env(SWEEP_VARIABLE, &worker.runtime)
            .stdout(Stdio::null());
        if let Service::User(name) = service {
            let user = User::from_name(name).unwrap().unwrap();
            sweeper.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        assert!(sweeper.status().unwrap().success());
        worker.check_gone();
        let left: Vec<_> = fs_err::read_dir(&worker.runtime)
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .filter(|name| name != ".lock")
            .collect();
        assert!(left.is_empty(), "{service:?}: {left:?}");
    }
}

const SWEEP_VARIABLE: &str = "LARIAT_TEST_SWEEP";
const SWEEP_ROLE: &str = "supervise_account::sweeps_when_it_is_told_to";

#[test]
fn sweeps_when_it_is_told_to() {
    if let Some(runtime) = std::env::var_os(SWEEP_VARIABLE) {
        actions::sweep(Path::new(&runtime));
    }
}

#[tokio::test]
async fn without_the_right_a_step_says_which_line_would_allow_it() {
    if !provide() {
        return;
    }
    let worker = Worker::new(Service::User(STRANGER));
    let (report, output) = worker.run("echo started");
    let line = sudoers_line(STRANGER, ACCOUNT, &fs_err::canonicalize(GUARD).unwrap());
    assert_eq!(
        format!(
            "- | unstartable: `sudo` did not start the guard; this line in `/etc/sudoers.d/lariat` allows it: `{line}`"
        ),
        report
    );
    assert!(output.starts_with("sudo: "), "{output}");
}

#[tokio::test]
async fn a_sudo_that_records_input_is_told_of() {
    if !provide() {
        return;
    }
    let (report, output) = Worker::new(Service::User(RECORDED)).run("echo started");
    assert!(
        report.starts_with("- | unstartable: ") && report.contains("`Defaults !log_input`"),
        "{report}: {output}"
    );
}
