//! Real playbooks, on the oldest and the newest Ansible.

use std::{os::unix::fs::symlink, path::PathBuf, time::Duration};

use model::{action::PlaybookCall, id::Principal, ports::Action};
use serde_json::{Value, json};
use testkit::tools::{self, Ansible};

use crate::stage::{Stage, say, until};

pub(crate) const BOTH: [Ansible; 2] = [Ansible::Oldest, Ansible::Newest];

/// A stage on which playbooks can run, or nothing where that Ansible is not.
pub(crate) fn stage(which: Ansible) -> Option<Stage> {
    let program: PathBuf = tools::ansible(which)?;
    let mut stage = Stage::new();
    stage.settings.playbook_command = program.display().to_string();
    stage.write("hosts", "here ansible_connection=local\n");
    Some(stage)
}

pub(crate) fn call(playbook: &str) -> PlaybookCall {
    PlaybookCall {
        playbook: playbook.to_owned(),
        inventory: vec!["hosts".to_owned()],
        ..PlaybookCall::default()
    }
}

const PLAY: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n";

/// Runs tasks on both; reports must say the same.
async fn check(tasks: &str, expect: &str) {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write("play.yml", &format!("{PLAY}{tasks}"));
        let report = stage.playbook(call("play.yml")).await;
        assert_eq!(expect, say(&report), "{which:?}: {}", stage.output.text());
    }
}

#[tokio::test]
async fn each_run_has_ssh_connections_of_its_own() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write(
            "play.yml",
            &format!("{PLAY}    - command: printenv ANSIBLE_SSH_CONTROL_PATH_DIR\n      register: it\n    - debug: {{msg: 'sockets={{{{ it.stdout }}}}'}}\n"),
        );
        let mut places = Vec::new();
        for _ in 0..2 {
            stage.playbook(call("play.yml")).await;
            let text = stage.output.text();
            let place = text.rsplit_once("sockets=").expect("it is printed").1;
            let place = place.split('"').next().unwrap().to_owned();
            assert!(!PathBuf::from(&place).exists(), "it is gone with its run");
            places.push(place);
        }
        assert_ne!(places[0], places[1], "{which:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_playbook_is_told() {
    check(
        "    - command: 'true'\n    - debug: {msg: x}\n",
        "code 0 | succeeded: hosts 1, tasks ok 2, changed 1",
    )
    .await;
    check(
        "    - command: 'false'\n",
        "code 2 | failed (Worthwhile): exit code 2: failed on 1 of 1 hosts: here",
    )
    .await;
    check(
        "    - ping:\n      vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}\n",
        "code 4 | failed (Worthwhile): exit code 4: unreachable 1 of 1 hosts: here",
    )
    .await;
    check(
        "    - {bad: [\n",
        "code 4 | failed (Pointless): exit code 4: the playbook, its variables or its inventory cannot be parsed",
    )
    .await;
}

#[tokio::test]
async fn what_set_stats_collects_is_the_result() {
    for which in BOTH {
        let Some(mut stage) = stage(which) else {
            continue;
        };
        stage.set_body(json!({"x": "{{ 1 + 1 }}"}));
        stage.write(
            "play.yml",
            &format!(
                "{PLAY}    - set_stats: {{data: {{built: [1, 2.5, null, true], said: '{{{{ msg.x }}}}'}}}}\n    - set_stats: {{data: {{more: {{a: ''}}}}}}\n"
            ),
        );
        let report = stage.playbook(call("play.yml")).await;
        assert_eq!(
            json!({"built": [1, 2.5, null, true], "said": "{{ 1 + 1 }}", "more": {"a": ""}}),
            report.result.map_or(Value::Null, Value::Object),
            "{which:?}: {}",
            stage.output.text()
        );
    }
}

#[tokio::test]
async fn the_projects_configuration_and_callbacks_count() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write(
            "ansible.cfg",
            "[defaults]\ncallback_plugins = mine\ninventory = hosts\n",
        );
        stage.write(
            "mine/shout.py",
            "from ansible.plugins.callback import CallbackBase\nclass CallbackModule(CallbackBase):\n    CALLBACK_VERSION = 2.0\n    CALLBACK_TYPE = 'aggregate'\n    CALLBACK_NAME = 'shout'\n    CALLBACK_NEEDS_ENABLED = False\n    def v2_playbook_on_stats(self, stats):\n        self._display.display('SHOUT')\n",
        );
        stage.write(
            "play.yml",
            &format!("{PLAY}    - set_stats: {{data: {{a: 1}}}}\n"),
        );
        let report = stage
            .playbook(PlaybookCall {
                inventory: Vec::new(),
                ..call("play.yml")
            })
            .await;
        let output = stage.output.text();
        assert!(output.contains("SHOUT"), "{which:?}: {output}");
        assert!(report.result.is_some(), "{which:?}: {output}");
    }
}

#[tokio::test]
async fn every_option_reaches_ansible() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write(
            "play.yml",
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - {debug: {msg: 'one {{ ansible_check_mode }} {{ ansible_forks }} {{ mine }} {{ lariat.rule }}'}, tags: one}\n    - {debug: {msg: two}, tags: two}\n    - {debug: {msg: three}, tags: [one, three]}\n",
        );
        let mut call = PlaybookCall {
            inventory: vec!["alpha,beta,".to_owned()],
            limit: Some("alpha".to_owned()),
            tags: vec!["one".to_owned()],
            skip_tags: vec!["three".to_owned()],
            check: true,
            diff: true,
            forks: Some(3),
            verbosity: 1,
            ..call("play.yml")
        };
        call.vars.insert("mine".to_owned(), json!("my own"));
        call.vars.insert("event".to_owned(), json!("pretended"));
        let report = stage.playbook(call).await;
        let output = stage.output.text();
        assert_eq!(
            "code 0 | succeeded: hosts 1, tasks ok 1, changed 0",
            say(&report),
            "{which:?}: {output}"
        );
        assert!(
            output.contains("one True 3 my own a-rule"),
            "{which:?}: {output}"
        );
    }
}

#[tokio::test]
async fn a_cancelled_playbook_leaves_nothing_running() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write("play.yml", &format!("{PLAY}    - command: sleep 1000\n"));
        let (report, ()) = tokio::join!(stage.playbook(call("play.yml")), async {
            until("the task runs", || {
                stage.alive().iter().any(|pid| {
                    fs_err::read(format!("/proc/{pid}/cmdline"))
                        .is_ok_and(|line| line == b"sleep\x001000\x00")
                })
            })
            .await;
            let by = Principal("a person".to_owned());
            stage
                .stop
                .send_replace(Some(model::action::Stop::Cancel(by)));
        });
        let said = say(&report);
        assert!(said.ends_with("cancelled by a person"), "{which:?}: {said}");
        assert_eq!(Vec::<i32>::new(), stage.alive());
    }
}

#[tokio::test]
async fn a_playbook_that_hangs_is_ended() {
    let Some(mut stage) = stage(Ansible::Newest) else {
        return;
    };
    stage.context.timeout = Duration::from_secs(3);
    stage.context.grace = Duration::from_millis(500);
    stage.write(
        "play.yml",
        &format!("{PLAY}    - shell: trap '' TERM; while true; do sleep 0.1; done\n"),
    );
    let report = stage.playbook(call("play.yml")).await;
    let said = say(&report);
    assert!(said.contains("| timed out, killed "), "{said}");
    assert_eq!(Vec::<i32>::new(), stage.alive());
}

#[tokio::test]
async fn a_missing_ansible_says_how_to_get_it() {
    let mut stage = Stage::new();
    stage.write("play.yml", "[]");
    stage.settings.path = "/nowhere".to_owned();
    let remedy = "install ansible-core (`apt install ansible-core`, or `pip install ansible-core`), or set `ansible.playbook_command`";
    let reason =
        format!("`ansible-playbook` is not installed, or not on the path `/nowhere`: {remedy}");
    let report = stage.playbook(call("play.yml")).await;
    assert_eq!(format!("- | unstartable: {reason}"), say(&report));
    let found = actions::PlaybookAction::new(stage.settings.clone())
        .preflight()
        .await;
    assert_eq!(1, found.len());
    assert_eq!(format!("playbooks cannot run: {reason}"), found[0].message);

    stage.settings.playbook_command = "/nowhere/ansible-playbook".to_owned();
    let report = stage.playbook(call("play.yml")).await;
    assert_eq!(
        format!(
            "- | unstartable: `/nowhere/ansible-playbook`, set by `ansible.playbook_command`, is not there or not executable: {remedy}"
        ),
        say(&report)
    );
}

#[tokio::test]
async fn a_playbook_that_leads_out_of_the_project_is_refused() {
    let mut stage = Stage::new();
    stage.settings.playbook_command = "/bin/true".to_owned();
    symlink("/etc/passwd", stage.project().join("out.yml")).unwrap();
    stage.write("play.yml", "[]");
    let fine = PlaybookCall {
        inventory: Vec::new(),
        ..call("play.yml")
    };
    for (call, expect) in [
        (
            PlaybookCall {
                playbook: "out.yml".to_owned(),
                ..fine.clone()
            },
            "playbook: `out.yml` leads out of the project through a symbolic link",
        ),
        (
            PlaybookCall {
                playbook: "none.yml".to_owned(),
                ..fine.clone()
            },
            "playbook: `none.yml` is not there",
        ),
        (
            PlaybookCall {
                inventory: vec!["out.yml".to_owned()],
                ..fine.clone()
            },
            "inventory: `out.yml` leads out of the project through a symbolic link",
        ),
        (
            PlaybookCall {
                vault_password_files: vec!["out.yml".to_owned()],
                ..fine.clone()
            },
            "vault password file: `out.yml` leads out of the project through a symbolic link",
        ),
    ] {
        let report = stage.playbook(call).await;
        assert_eq!(format!("- | unstartable: {expect}"), say(&report));
    }
}
