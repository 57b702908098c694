//! Warm starts, on every Ansible that the tests have: when a fork server is
//! used, when it is not, and what becomes of runs when it goes wrong.

use std::{
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use actions::{PlaybookAction, WarmSettings};
use model::{
    action::{PlaybookCall, StepCall, StepReport, Stop},
    id::Principal,
    ports::Action,
    warm::{Starts, WarmState},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use testkit::tools::Ansible;

use crate::{
    playbook::{BOTH, call, stage},
    stage::{Stage, say, until},
};

/// One service for several runs.
pub(crate) struct Warm {
    pub(crate) stage: Stage,
    pub(crate) action: Arc<PlaybookAction>,
}

pub(crate) const PLAY: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n";

impl Warm {
    pub(crate) fn new(which: Ansible) -> Option<Self> {
        Self::with(
            which,
            WarmSettings {
                max: 2,
                idle: Duration::from_secs(600),
            },
        )
    }

    fn with(which: Ansible, settings: WarmSettings) -> Option<Self> {
        let mut stage = stage(which)?;
        stage.settings.warm = Some(settings);
        stage.write("play.yml", &format!("{PLAY}    - command: 'true'\n"));
        let action = Arc::new(PlaybookAction::new(stage.settings.clone()));
        Some(Self { stage, action })
    }

    pub(crate) async fn run(&self, call: PlaybookCall) -> StepReport {
        let context = self.stage.context.clone();
        let control = self.stage.control();
        let call = StepCall::Playbook(call);
        self.action.run(call, context, control).await
    }

    pub(crate) async fn play(&self) -> StepReport {
        self.run(call("play.yml")).await
    }

    pub(crate) fn starts(&self) -> Starts {
        self.action.starts().unwrap()
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        let starts = self.starts();
        (starts.warm, starts.cold)
    }

    /// Why playbooks start cold.
    fn reasons(&self) -> Vec<String> {
        let servers = self.starts().servers.into_iter();
        servers.filter_map(|one| one.reason).collect()
    }

    /// A busy machine takes its time over the proof.
    pub(crate) async fn until_ready(&self) {
        let limit = Instant::now() + Duration::from_secs(180);
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            assert_eq!(Vec::<String>::new(), self.reasons());
            let servers = self.starts().servers;
            if servers.iter().any(|one| one.state == WarmState::Ready) {
                return;
            }
            assert!(Instant::now() < limit, "no fork server: {servers:?}");
            tick.tick().await;
        }
    }
}

pub(crate) const FINE: &str = "code 0 | succeeded: hosts 1, tasks ok 1, changed 1";

#[tokio::test]
async fn the_first_run_is_cold_and_those_after_the_proof_are_warm() {
    for which in BOTH {
        let Some(warm) = Warm::new(which) else {
            continue;
        };
        assert_eq!(FINE, say(&warm.play().await));
        assert_eq!((0, 1), warm.counts());
        warm.until_ready().await;
        for _ in 0..3 {
            let report = warm.play().await;
            assert_eq!(FINE, say(&report), "{}", warm.stage.output.text());
        }
        assert_eq!((3, 1), warm.counts(), "{which:?}: {:?}", warm.starts());
    }
}

/// The fork server of a stage; its runs have the same command line, and the
/// mark of their job.
pub(crate) fn server(stage: &Stage) -> Option<Pid> {
    let place = stage.settings.runtime_dir.display().to_string();
    let runs = stage.alive();
    fs_err::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| !runs.contains(pid))
        .find(|pid| {
            let line = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains(&place) && line.contains("lariat_warm.py")
        })
        .map(Pid::from_raw)
}

fn is_asleep(stage: &Stage) -> bool {
    stage.alive().iter().any(|pid| {
        fs_err::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x001000\x00")
    })
}

#[tokio::test]
async fn a_step_may_ask_for_a_cold_start() {
    let Some(warm) = Warm::new(Ansible::Newest) else {
        return;
    };
    let cold = PlaybookCall {
        cold: true,
        ..call("play.yml")
    };
    assert_eq!(FINE, say(&warm.run(cold).await));
    assert_eq!(Vec::<String>::new(), warm.reasons());
    assert_eq!((0, 1), warm.counts());
    assert_eq!(None, server(&warm.stage));
}

#[tokio::test]
async fn a_killed_server_is_replaced_and_its_runs_go_on() {
    let Some(warm) = Warm::new(Ansible::Newest) else {
        return;
    };
    warm.stage.write(
        "slow.yml",
        &format!("{PLAY}    - command: cat fifo\n    - command: 'true'\n"),
    );
    let fifo = warm.stage.project().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    warm.play().await;
    warm.until_ready().await;
    let (report, ()) = tokio::join!(warm.run(call("slow.yml")), async {
        until("the run reads", || {
            warm.stage.alive().iter().any(|pid| {
                fs_err::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line == b"cat\x00fifo\x00")
            })
        })
        .await;
        let pid = server(&warm.stage).expect("there is a server");
        kill(pid, Signal::SIGKILL).unwrap();
        until("the server is missed", || !warm.reasons().is_empty()).await;
        // Opened for both: nobody waits for a reader that is there.
        let mut end = fs_err::OpenOptions::new().write(true).open(&fifo).unwrap();
        std::io::Write::write_all(&mut end, b"x").unwrap();
    });
    let output = warm.stage.output.text();
    assert_eq!(
        "code 0 | succeeded: hosts 1, tasks ok 2, changed 2",
        say(&report),
        "{output}"
    );
    assert_eq!((1, 1), warm.counts());
    // The next one starts cold, and a new server with it.
    assert_eq!(FINE, say(&warm.play().await));
    warm.until_ready().await;
    assert_eq!(FINE, say(&warm.play().await));
    assert_eq!((2, 2), warm.counts());
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up() {
    let Some(warm) = Warm::new(Ansible::Newest) else {
        return;
    };
    warm.play().await;
    warm.until_ready().await;
    let pid = server(&warm.stage).expect("there is a server");
    kill(pid, Signal::SIGSTOP).unwrap();
    assert_eq!(FINE, say(&warm.play().await));
    assert_eq!((0, 2), warm.counts());
    until("the server is gone", || server(&warm.stage) != Some(pid)).await;
    warm.play().await;
    warm.until_ready().await;
    assert_eq!(FINE, say(&warm.play().await));
    assert_eq!((1, 3), warm.counts());
}

#[tokio::test]
async fn a_changed_configuration_is_in_force_at_once() {
    let Some(warm) = Warm::new(Ansible::Newest) else {
        return;
    };
    let config = |colour: &str| {
        let text = format!("[defaults]\nansible_managed = {colour}\n");
        warm.stage.write("ansible.cfg", &text);
    };
    let show = format!(
        "{PLAY}    - set_stats: {{data: {{it: \"{{{{ lookup('config', 'DEFAULT_MANAGED_STR') }}}}\"}}}}\n"
    );
    warm.stage.write("show.yml", &show);
    let shown = async || {
        let report = warm.run(call("show.yml")).await;
        report.result.expect("there is a result")["it"].clone()
    };
    config("red");
    assert_eq!("red", shown().await);
    warm.until_ready().await;
    assert_eq!("red", shown().await);
    assert_eq!((1, 1), warm.counts());
    config("blue");
    assert_eq!("blue", shown().await);
    assert_eq!((1, 2), warm.counts());
    warm.until_ready().await;
    assert_eq!("blue", shown().await);
    assert_eq!((2, 2), warm.counts());
}

#[tokio::test]
async fn a_warm_run_is_ended_as_a_cold_one() {
    for which in BOTH {
        let Some(mut warm) = Warm::new(which) else {
            continue;
        };
        let play = format!("{PLAY}    - command: sleep 1000\n");
        warm.stage.write("sleep.yml", &play);
        warm.play().await;
        warm.until_ready().await;
        let (report, ()) = tokio::join!(warm.run(call("sleep.yml")), async {
            until("the task runs", || is_asleep(&warm.stage)).await;
            let by = Principal("a person".to_owned());
            warm.stage.stop.send_replace(Some(Stop::Cancel(by)));
        });
        let said = say(&report);
        assert!(said.ends_with("cancelled by a person"), "{which:?}: {said}");
        assert_eq!(Vec::<i32>::new(), warm.stage.alive());

        warm.stage.stop.send_replace(None);
        warm.stage.context.timeout = Duration::from_secs(4);
        warm.stage.context.grace = Duration::from_millis(500);
        let report = warm.run(call("sleep.yml")).await;
        assert!(say(&report).contains("timed out"), "{}", say(&report));
        assert_eq!(Vec::<i32>::new(), warm.stage.alive());
        assert_eq!((2, 1), warm.counts(), "{which:?}");
        assert!(server(&warm.stage).is_some(), "it does not die with a run");
    }
}

#[tokio::test]
async fn a_server_that_nobody_asks_ends() {
    let settings = WarmSettings {
        max: 1,
        idle: Duration::from_secs(1),
    };
    let Some(warm) = Warm::with(Ansible::Newest, settings) else {
        return;
    };
    warm.play().await;
    until("there was a server", || server(&warm.stage).is_some()).await;
    until("there is none", || {
        warm.starts().servers.is_empty() && server(&warm.stage).is_none()
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_of_a_service_that_is_gone() {
    let Some(warm) = Warm::new(Ansible::Newest) else {
        return;
    };
    let play = format!("{PLAY}    - command: sleep 1000\n");
    warm.stage.write("sleep.yml", &play);
    warm.play().await;
    warm.until_ready().await;
    let Warm { stage, action } = warm;
    let running = action.run(
        StepCall::Playbook(call("sleep.yml")),
        stage.context.clone(),
        stage.control(),
    );
    tokio::select! {
        report = running => panic!("{}", say(&report)),
        () = until("the task runs", || is_asleep(&stage)) => {}
    }
    drop(action);
    until("all are gone", || {
        stage.alive().is_empty() && server(&stage).is_none()
    })
    .await;
}

#[tokio::test]
async fn what_is_no_python_script_starts_cold_and_says_so() {
    let Some(mut warm) = Warm::new(Ansible::Newest) else {
        return;
    };
    let real = warm.stage.settings.playbook_command.clone();
    let wrapper = warm.stage.project().join("wrapper");
    fs_err::write(&wrapper, format!("#!/bin/sh\nexec {real} \"$@\"\n")).unwrap();
    fs_err::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
    warm.stage.settings.playbook_command = wrapper.display().to_string();
    warm.action = Arc::new(PlaybookAction::new(warm.stage.settings.clone()));
    for runs in 1..=2 {
        assert_eq!(FINE, say(&warm.play().await));
        assert_eq!((0, runs), warm.counts());
    }
    let reasons = warm.reasons();
    assert!(reasons[0].contains("is not a Python script"), "{reasons:?}");
}
