//! Days on which everything goes wrong around a playbook that starts warm.
//! Each run ends with an outcome of its own, nothing is left of it, and the
//! next one is none the wiser. What becomes of fork servers that are killed,
//! stopped or idle is in `warm.rs`.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use model::clock::Clock;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::{
    disk::SmallDisk,
    tools::{self, Ansible},
};
use tokio::time::Instant;

use crate::{
    playbook::call,
    stage::{Stage, SystemClock, say, until},
    warm::{FINE, PLAY, Warm, server},
};

/// A callback of the project, in the first process of a run.
const CALLBACK: &str = "\
import os, signal, time
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'aggregate'
    CALLBACK_NAME = 'bad'
    CALLBACK_NEEDS_ENABLED = False
    def v2_playbook_on_play_start(self, play):
        if play.get_name() == 'bad':
";

/// A filter of the project, in the process of a task.
const FILTER: &str = "\
import os, signal, time
def bad(value):
";

/// Where a project's code runs.
#[derive(Debug, Clone, Copy)]
enum Place {
    Callback,
    Filter,
}

/// A plugin that does something to its process, and how that must end. It
/// ends in the same way cold.
struct Ruin {
    place: Place,
    code: &'static str,
    end: &'static str,
}

const RUINS: [Ruin; 10] = [
    ruin(
        Place::Callback,
        "os._exit(7)",
        "code 7 | failed (Worthwhile): exit code 7: the playbook failed",
    ),
    ruin(
        Place::Callback,
        "os._exit(0)",
        "code 0 | succeeded: exit code 0",
    ),
    ruin(
        Place::Callback,
        "os.kill(os.getpid(), signal.SIGKILL)",
        "signal 9 | failed (Worthwhile): ended by signal 9 (KILL)",
    ),
    ruin(Place::Callback, "os.chdir('/')", FINE_TWO),
    ruin(
        Place::Callback,
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
        "code ",
    ),
    ruin(Place::Callback, "os.closerange(0, 1024)", "code "),
    ruin(
        Place::Callback,
        "[signal.signal(number, signal.SIG_IGN) for number in (1, 2, 3, 15)]; time.sleep(600)",
        "signal 9 | timed out, killed true",
    ),
    ruin(
        Place::Callback,
        "os.setpgid(0, 0); os.kill(os.getpid(), signal.SIGSTOP)",
        "signal 15 | timed out, killed false",
    ),
    ruin(
        Place::Callback,
        "os.system('setsid sleep 600 >/dev/null 2>&1 &')",
        FINE_TWO,
    ),
    ruin(Place::Filter, "os._exit(3)", "code "),
];

const FINE_TWO: &str = "code 0 | succeeded: hosts 1, tasks ok 2, changed 1";

const fn ruin(place: Place, code: &'static str, end: &'static str) -> Ruin {
    Ruin { place, code, end }
}

impl Ruin {
    fn write(&self, stage: &Stage) {
        let (callback, filter) = match self.place {
            Place::Callback => (self.code, "pass"),
            Place::Filter => ("pass", self.code),
        };
        stage.write(
            "callback_plugins/bad.py",
            &format!("{CALLBACK}            {callback}\n"),
        );
        stage.write(
            "filter_plugins/bad.py",
            &format!("{FILTER}    {filter}\n    return value\nclass FilterModule:\n    def filters(self):\n        return {{'bad': bad}}\n"),
        );
    }
}

/// With a lease that outlasts the test.
fn warm(which: Ansible) -> Option<Warm> {
    let warm = Warm::new(which)?;
    let end = SystemClock.boot().plus(Duration::from_secs(1800));
    warm.stage.deadline.send_replace(end);
    Some(warm)
}

/// A fork server that is ready for runs that may take a few seconds.
async fn ready(which: Ansible) -> Option<Warm> {
    let mut warm = warm(which)?;
    warm.stage.context.grace = Duration::from_millis(500);
    warm.stage.write(
        "bad.yml",
        &PLAY.replace("- hosts", "- name: bad\n  hosts").replace(
            "tasks:\n",
            "tasks:\n    - command: 'true'\n    - debug: {msg: \"{{ 'x' | bad }}\"}\n",
        ),
    );
    assert_eq!(FINE, say(&warm.play().await));
    warm.until_ready().await;
    Some(warm)
}

/// The next run is warm, and as if nothing had happened.
async fn check_next(warm: &Warm, what: &str) {
    let (before, _) = warm.counts();
    assert_eq!(FINE, say(&warm.play().await), "after {what}");
    assert_eq!(
        before + 1,
        warm.counts().0,
        "after {what}: {:?}",
        warm.starts()
    );
    assert_eq!(Vec::<i32>::new(), warm.stage.alive(), "after {what}");
}

#[tokio::test]
async fn a_playbook_that_ruins_its_process_ruins_no_other() {
    for which in Ansible::ENDS {
        let Some(mut warm) = ready(which).await else {
            continue;
        };
        for ruin in &RUINS {
            ruin.write(&warm.stage);
            let is_slow = ruin.end.contains("timed out");
            let timeout = if is_slow { 5 } else { 60 };
            warm.stage.context.timeout = Duration::from_secs(timeout);
            let mut ends = Vec::new();
            for cold in [true, false] {
                let mut call = call("bad.yml");
                call.cold = cold;
                let report = warm.run(call).await;
                assert_eq!(Vec::<i32>::new(), warm.stage.alive(), "{}", ruin.code);
                ends.push(say(&report));
            }
            assert!(
                ends[0].starts_with(ruin.end),
                "{which:?}: {}: {ends:?}",
                ruin.code
            );
            assert_eq!(ends[0], ends[1], "{which:?}: {}, - cold, + warm", ruin.code);
            warm.stage.context.timeout = Duration::from_secs(60);
            check_next(&warm, ruin.code).await;
        }
    }
}

/// Everything of the stage's job but its guard, whose environment is empty.
fn first_of(stage: &Stage) -> Pid {
    let first = stage.alive().into_iter().min().expect("a run is there");
    Pid::from_raw(first)
}

#[tokio::test]
async fn a_run_that_is_killed_or_whose_guard_is_killed_leaves_nothing() {
    let Some(warm) = ready(Ansible::Newest).await else {
        return;
    };
    let play = format!("{PLAY}    - command: sleep 1000\n");
    warm.stage.write("sleep.yml", &play);
    for is_guard in [false, true] {
        let (report, ()) = tokio::join!(warm.run(call("sleep.yml")), async {
            until("the task runs", || is_asleep(&warm.stage)).await;
            let run = first_of(&warm.stage);
            let pid = if is_guard { parent(run) } else { run };
            kill(pid, Signal::SIGKILL).unwrap();
        });
        let expect = if is_guard {
            "- | failed (Worthwhile): the guard of the step ended"
        } else {
            "signal 9 | failed (Worthwhile): ended by signal 9 (KILL)"
        };
        let said = say(&report);
        assert!(said.starts_with(expect), "{said}");
        check_next(&warm, &said).await;
    }
}

fn is_asleep(stage: &Stage) -> bool {
    stage.alive().iter().any(|pid| {
        fs_err::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x001000\x00")
    })
}

fn parent(pid: Pid) -> Pid {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    Pid::from_raw(line.unwrap().trim().parse().unwrap())
}

#[tokio::test]
async fn a_run_without_memory_fails_and_its_server_goes_on() {
    let Some(warm) = ready(Ansible::Newest).await else {
        return;
    };
    let pid = server(&warm.stage).expect("there is a server");
    let limit = |bytes: &str| {
        let done = Command::new("prlimit")
            .args([format!("--pid={pid}"), format!("--as={bytes}:")])
            .status();
        assert!(done.unwrap().success());
    };
    let status = fs_err::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    // Less than a process has in all, so that every new page is refused.
    limit(&(pages * 4096).to_string());
    let said = say(&warm.play().await);
    assert!(said.contains("failed (Worthwhile)"), "{said}");
    assert_eq!(Vec::<i32>::new(), warm.stage.alive());
    limit("unlimited");
    check_next(&warm, &said).await;
    assert_eq!(Some(pid), server(&warm.stage));
}

/// An installation of Ansible that can be taken apart: links to a real one,
/// with a Python and a program of its own.
fn installation(dir: &Path, real: &Path) {
    let real = real.parent().unwrap().parent().unwrap();
    let bin = dir.join("bin");
    fs_err::create_dir(&bin).unwrap();
    symlink(real.join("lib"), dir.join("lib")).unwrap();
    fs_err::copy(real.join("pyvenv.cfg"), dir.join("pyvenv.cfg")).unwrap();
    let python = fs_err::canonicalize(real.join("bin/python")).unwrap();
    symlink(python, bin.join("python")).unwrap();
    let text = fs_err::read_to_string(real.join("bin/ansible-playbook")).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    let own = format!("#!{}\n{rest}", bin.join("python").display());
    fs_err::write(bin.join("ansible-playbook"), own).unwrap();
    let mode = Permissions::from_mode(0o755);
    fs_err::set_permissions(bin.join("ansible-playbook"), mode).unwrap();
}

/// Runs until one is warm: servers that failed are not tried again at once.
async fn until_warm(warm: &Warm, fine: &str) {
    let limit = Instant::now() + Duration::from_secs(120);
    let (before, _) = warm.counts();
    while warm.counts().0 == before {
        assert!(
            Instant::now() < limit,
            "no run is warm: {:?}",
            warm.starts()
        );
        assert_eq!(fine, say(&warm.play().await));
    }
}

#[tokio::test]
async fn a_python_that_is_taken_away_and_brought_back() {
    let Some(real) = tools::ansible(Ansible::Newest) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    installation(dir.path(), &real);
    let Some(mut warm) = warm(Ansible::Newest) else {
        return;
    };
    let program = dir.path().join("bin/ansible-playbook");
    warm.stage.settings.playbook_command = program.display().to_string();
    warm.action = Arc::new(actions::PlaybookAction::new(warm.stage.settings.clone()));
    warm.stage
        .write("play.yml", &format!("{PLAY}    - debug: {{msg: x}}\n"));
    let fine = "code 0 | succeeded: hosts 1, tasks ok 1, changed 0";
    assert_eq!(fine, say(&warm.play().await));
    warm.until_ready().await;
    assert_eq!(fine, say(&warm.play().await));

    for part in ["bin/python", "lib"] {
        let (whole, away) = (dir.path().join(part), dir.path().join("away"));
        fs_err::rename(&whole, &away).unwrap();
        let said = say(&warm.play().await);
        assert!(
            said.contains("unstartable: ") || said.contains("failed ("),
            "without `{part}`: {said}"
        );
        assert_eq!(Vec::<i32>::new(), warm.stage.alive());
        fs_err::rename(&away, &whole).unwrap();
        // As it was, or with a new server.
        assert_eq!(fine, say(&warm.play().await), "with `{part}` again");
        until_warm(&warm, fine).await;
    }
}

#[tokio::test]
async fn a_full_disk_ends_a_run_and_not_the_next() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let Some(mut warm) = warm(Ansible::Newest) else {
        return;
    };
    warm.stage.settings.runtime_dir = disk.path().join("run");
    warm.action = Arc::new(actions::PlaybookAction::new(warm.stage.settings.clone()));
    // Ansible's own temporary directory is on that disk.
    warm.stage.write(
        "big.yml",
        &format!("{PLAY}    - copy: {{content: \"{{{{ 'x' * 4000000 }}}}\", dest: /dev/null}}\n"),
    );
    assert_eq!(FINE, say(&warm.play().await));
    warm.until_ready().await;
    for cold in [true, false] {
        let mut big = call("big.yml");
        big.cold = cold;
        let said = say(&warm.run(big).await);
        assert_eq!(
            "code 2 | failed (Worthwhile): exit code 2: failed on 1 of 1 hosts: here",
            said,
            "{}",
            warm.stage.output.text()
        );
        check_next(&warm, "a disk was filled").await;
    }

    // Full before it begins: nothing can be prepared, and that is said.
    let filler = disk.path().join("filler");
    let full = fs_err::write(&filler, vec![0; 4_000_000]);
    full.unwrap_err();
    let said = say(&warm.play().await);
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(Vec::<i32>::new(), warm.stage.alive());
    fs_err::remove_file(filler).unwrap();
    assert_eq!(FINE, say(&warm.play().await));
}
