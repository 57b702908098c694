//! The guard against programs that will not end, and against its own death.

use std::{path::Path, process::Stdio, time::Duration};

use model::{
    action::{CommandCall, Stop},
    id::{JobId, Principal},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    stage::{Stage, alive, say, script_call, until},
    worker::{ROLE_VARIABLE, RUNTIME_VARIABLE, TEST_NAME},
};

/// Runs a script that is to be ended for its time; nothing may be left of it.
async fn check_timeout(script: &str, grace_ms: u64, expect: &str) {
    let mut stage = Stage::new();
    stage.context.timeout = Duration::from_millis(500);
    stage.context.grace = Duration::from_millis(grace_ms);
    let report = stage.script(script).await;
    assert_eq!(expect, say(&report), "output: {}", stage.output.text());
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_asked_to_end() {
    check_timeout("sleep 1000", 20_000, "signal 15 | timed out, killed false").await;
}

#[tokio::test]
async fn a_program_may_use_its_grace_to_tidy_up() {
    check_timeout(
        "trap 'exit 7' TERM; while :; do sleep 0.05; done",
        20_000,
        "code 7 | timed out, killed false",
    )
    .await;
}

#[tokio::test]
async fn a_program_that_ignores_the_polite_signal_is_killed() {
    check_timeout(
        "trap '' TERM; while :; do sleep 0.05; done",
        100,
        "signal 9 | timed out, killed true",
    )
    .await;
}

#[tokio::test]
async fn a_stopped_program_is_woken_to_end() {
    check_timeout(
        "kill -STOP $$; sleep 1000",
        20_000,
        "signal 15 | timed out, killed false",
    )
    .await;
}

#[tokio::test]
async fn a_program_that_closed_its_output_is_still_watched() {
    check_timeout(
        "exec >&- 2>&-; sleep 1000",
        20_000,
        "signal 15 | timed out, killed false",
    )
    .await;
}

#[tokio::test]
async fn daemons_that_ignore_everything_end_with_the_program() {
    check_timeout(
        "trap '' TERM HUP INT; for i in 1 2 3; do (setsid sh -c 'while :; do sleep 0.05; done' &) ; done; while :; do sleep 0.05; done",
        100,
        "signal 9 | timed out, killed true",
    )
    .await;
}

#[tokio::test]
async fn a_process_that_forks_and_exits_in_turn_is_caught() {
    let script = "exec python3 -c '
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    while True:
        if os.fork():
            os._exit(0)
time.sleep(1000)
'";
    check_timeout(script, 100, "signal 9 | timed out, killed true").await;
}

#[tokio::test]
async fn many_processes_that_fork_are_caught() {
    let script = "exec python3 -c '
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for level in range(7):
    os.fork()
while True:
    if os.fork() == 0:
        time.sleep(0.05)
        os._exit(0)
    time.sleep(0.1)
'";
    check_timeout(script, 100, "signal 9 | timed out, killed true").await;
}

#[tokio::test]
async fn what_a_program_leaves_running_is_ended() {
    let stage = Stage::new();
    let report = stage
        .script("(setsid sleep 1000 &) ; sleep 1000 & echo done")
        .await;
    assert_eq!(
        "code 0 | succeeded: exit code 0; processes it left were ended: 2",
        say(&report)
    );
    assert_eq!("done\n", stage.output.text());
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn what_is_left_is_killed_when_it_ignores_the_polite_signal() {
    let mut stage = Stage::new();
    stage.context.grace = Duration::from_millis(100);
    let report = stage
        .script("(trap '' TERM; setsid sh -c 'while :; do sleep 0.05; done' &) ; exit 3")
        .await;
    assert!(
        say(&report).starts_with("code 3 | failed (Worthwhile): exit code 3; processes it left"),
        "{}",
        say(&report)
    );
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn what_is_detached_stays() {
    let stage = Stage::new();
    let report = stage
        .command(CommandCall {
            detach: true,
            ..script_call("setsid sleep 1000 >&- 2>&- & echo $!")
        })
        .await;
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
    let left = stage.alive();
    assert_eq!(1, left.len(), "{left:?}");
    for pid in left {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_step_names_who_asked() {
    let stage = Stage::new();
    let (report, ()) = tokio::join!(stage.script("echo on; sleep 1000"), async {
        until("the program runs", || stage.output.text() == "on\n").await;
        let by = Principal("a person".to_owned());
        stage.stop.send_replace(Some(Stop::Cancel(by)));
    });
    assert_eq!("signal 15 | cancelled by a person", say(&report));
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn a_step_that_was_cancelled_before_it_began_does_not_go_on() {
    let stage = Stage::new();
    let by = Principal("a person".to_owned());
    stage.stop.send_replace(Some(Stop::Cancel(by)));
    let report = stage.script("sleep 1000").await;
    assert_eq!("signal 15 | cancelled by a person", say(&report));
}

#[tokio::test]
async fn a_lost_lease_kills_at_once() {
    let stage = Stage::new();
    let script = "trap '' TERM; (setsid sleep 1000 &) ; echo on; while :; do sleep 0.05; done";
    let (report, ()) = tokio::join!(stage.script(script), async {
        until("the program runs", || stage.output.text() == "on\n").await;
        stage.stop.send_replace(Some(Stop::LeaseLost));
    });
    assert_eq!(
        "signal 9 | failed (Worthwhile): killed: the lease of the job was lost",
        say(&report)
    );
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn a_deadline_that_is_not_moved_on_kills_everything() {
    let stage = Stage::for_job(JobId::generate(), Duration::from_millis(500));
    let script = "trap '' TERM; (setsid sleep 1000 &) ; while :; do sleep 0.05; done";
    let report = stage.script(script).await;
    assert_eq!(
        "signal 9 | failed (Worthwhile): killed: the lease of the job was not renewed in time",
        say(&report)
    );
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn a_deadline_that_is_moved_on_lets_it_live() {
    use model::clock::Clock;

    let stage = Stage::for_job(JobId::generate(), Duration::from_secs(1));
    let began = crate::stage::SystemClock.boot();
    let (report, ()) = tokio::join!(
        stage.script("echo on; read x; sleep 1.5; echo off"),
        async {
            until("the program runs", || stage.output.text() == "on\n").await;
            stage
                .deadline
                .send_replace(began.plus(Duration::from_secs(60)));
        }
    );
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
    assert_eq!("on\noff\n", stage.output.text());
}

#[tokio::test]
async fn a_deadline_in_the_past_starts_nothing() {
    let stage = Stage::for_job(JobId::generate(), Duration::ZERO);
    let report = stage.script("echo started").await;
    assert_eq!(
        "- | failed (Worthwhile): killed: the lease of the job was not renewed in time",
        say(&report)
    );
    assert_eq!("", stage.output.text());
}

#[tokio::test]
async fn a_killed_guard_is_replaced_by_its_worker() {
    let stage = Stage::new();
    let script = "echo $PPID; (setsid sleep 1000 &) ; sleep 1000";
    let (report, ()) = tokio::join!(stage.script(script), async {
        until("the program runs", || {
            stage.output.text().ends_with('\n') && stage.alive().len() >= 3
        })
        .await;
        let guard: i32 = stage.output.text().trim().parse().unwrap();
        kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    });
    let said = say(&report);
    assert!(
        said.starts_with("- | failed (Worthwhile): the guard of the step ended by signal 9; "),
        "{said}"
    );
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn a_guard_that_its_step_has_stopped_is_woken_to_end_it() {
    let mut stage = Stage::new();
    stage.context.grace = Duration::from_millis(100);
    let script = "kill -STOP $PPID; echo on; sleep 1000";
    let (report, ()) = tokio::join!(stage.script(script), async {
        until("the program runs", || stage.output.text() == "on\n").await;
        let by = Principal("a person".to_owned());
        stage.stop.send_replace(Some(Stop::Cancel(by)));
    });
    assert_eq!("signal 15 | cancelled by a person", say(&report));
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn the_guards_lock_is_held_until_nothing_is_left() {
    use nix::fcntl::{Flock, FlockArg};

    let stage = Stage::new();
    let lock = stage.settings.guard_lock.clone().unwrap();
    let try_lock = || {
        let file = std::fs::File::create(&lock).unwrap();
        Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
    };
    let (report, ()) = tokio::join!(stage.script("echo on; sleep 1000"), async {
        until("the program runs", || stage.output.text() == "on\n").await;
        assert!(!try_lock(), "the lock is free while a program runs");
        stage.stop.send_replace(Some(Stop::LeaseLost));
    });
    assert!(report.result.is_none());
    assert!(try_lock(), "the lock is held after the end");
}

#[tokio::test]
async fn dropping_a_step_ends_it() {
    let stage = Stage::new();
    tokio::select! {
        report = stage.script("(setsid sleep 1000 &) ; echo on; sleep 1000") => {
            panic!("it ended: {}", say(&report));
        }
        () = until("the program runs", || stage.output.text() == "on\n") => {}
    }
    until("nothing is left", || stage.alive().is_empty()).await;
}

/// Starts a process that works as a worker, and waits for its step.
async fn worker(job: &JobId, lease_ms: u64) -> std::process::Child {
    worker_in(job, lease_ms, Path::new("")).await
}

/// The same, with its runtime directory in a place that outlives it.
async fn worker_in(job: &JobId, lease_ms: u64, runtime_dir: &Path) -> std::process::Child {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST_NAME, "--nocapture"])
        .env(ROLE_VARIABLE, format!("{job} {lease_ms}"))
        .env(RUNTIME_VARIABLE, runtime_dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the step of the worker runs", || alive(job).len() >= 3).await;
    child
}

#[tokio::test]
async fn a_killed_worker_leaves_nothing_running() {
    let job = JobId::generate();
    let mut child = worker(&job, 600_000).await;
    child.kill().unwrap();
    until("nothing is left", || alive(&job).is_empty()).await;
    child.wait().unwrap();
}

#[tokio::test]
async fn a_stopped_worker_leaves_nothing_running_past_its_lease() {
    let job = JobId::generate();
    let mut child = worker(&job, 1_500).await;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    until("nothing is left", || alive(&job).is_empty()).await;
    kill(pid, Signal::SIGKILL).unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn what_a_worker_and_its_guard_left_when_both_were_killed_is_ended_at_the_next_start() {
    let job = JobId::generate();
    let runtime = tempfile::tempdir().unwrap();
    let mut child = worker_in(&job, 600_000, runtime.path()).await;
    let worker = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let guards = children(worker);
    assert_eq!(1, guards.len(), "{guards:?}");
    // Stopped first: neither may act on the death of the other.
    for pid in [&[worker][..], &guards].concat() {
        kill(pid, Signal::SIGSTOP).unwrap();
    }
    for pid in [&guards[..], &[worker]].concat() {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    child.wait().unwrap();
    assert!(!alive(&job).is_empty(), "nothing to be found");

    let another = Stage::new();
    let (report, ()) = tokio::join!(
        another.script("echo on; read x; read x; sleep 1000"),
        async {
            until("another's program runs", || another.output.text() == "on\n").await;
            actions::sweep(runtime.path());
            assert_eq!(Vec::<i32>::new(), alive(&job));
            assert_ne!(
                Vec::<i32>::new(),
                another.alive(),
                "another's are left alone"
            );
            another.stop.send_replace(Some(Stop::LeaseLost));
        }
    );
    assert!(say(&report).starts_with("signal 9"), "{}", say(&report));
    let left: Vec<_> = fs_err::read_dir(runtime.path())
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| name != ".lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn children(parent: Pid) -> Vec<Pid> {
    let text = fs_err::read_dir(format!("/proc/{parent}/task"))
        .unwrap()
        .map(|task| fs_err::read_to_string(task.unwrap().path().join("children")).unwrap());
    let pids: String = text.collect();
    pids.split_ascii_whitespace()
        .map(|pid| Pid::from_raw(pid.parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_program_gets_no_files_of_its_worker() {
    // A copy stays open in the programs that are started.
    let secret = tempfile::tempfile().unwrap();
    let copy = nix::unistd::dup(&secret).unwrap();
    let stage = Stage::new();
    let report = stage.script("ls /proc/$$/fd").await;
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
    let open: Vec<String> = stage.output.text().lines().map(str::to_owned).collect();
    assert_eq!(vec!["0", "1", "2", "3"], open, "3 is the result");
    drop(copy);
}
