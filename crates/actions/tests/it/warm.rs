//! Warm starts, on every Ansible that the tests have: when a fork server is
//! used, when it is not, and what becomes of runs when it goes wrong.

use std::{sync::Arc, time::Duration};

use actions::{PlaybookAction, WarmSettings};
use model::{
    action::{PlaybookCall, StepCall, StepReport},
    ports::Action,
    warm::{Starts, WarmState},
};
use testkit::tools::Ansible;

use crate::{
    playbook::{BOTH, call, stage},
    stage::{Stage, say, until},
};

/// One service for several runs.
struct Warm {
    stage: Stage,
    action: Arc<PlaybookAction>,
}

const PLAY: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n";

impl Warm {
    fn new(which: Ansible) -> Option<Self> {
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

    async fn run(&self, call: PlaybookCall) -> StepReport {
        let context = self.stage.context.clone();
        let control = self.stage.control();
        let call = StepCall::Playbook(call);
        self.action.run(call, context, control).await
    }

    async fn play(&self) -> StepReport {
        self.run(call("play.yml")).await
    }

    fn starts(&self) -> Starts {
        self.action.starts().unwrap()
    }

    fn counts(&self) -> (u64, u64) {
        let starts = self.starts();
        (starts.warm, starts.cold)
    }

    async fn until_ready(&self) {
        until("a fork server is ready", || {
            let starts = self.starts();
            let cold = starts.servers.iter().find_map(|one| one.reason.clone());
            assert_eq!(None, cold);
            starts
                .servers
                .iter()
                .any(|one| one.state == WarmState::Ready)
        })
        .await;
    }
}

const FINE: &str = "code 0 | succeeded: hosts 1, tasks ok 1, changed 1";

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
