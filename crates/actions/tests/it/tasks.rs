//! What real playbooks tell about their tasks, on the oldest and the newest
//! Ansible: every status, what `no_log` hides, and what else may write there.

use std::{collections::BTreeMap, time::Duration};

use model::{
    action::{PlaybookCall, Stop},
    clock::Clock,
    id::Principal,
    task::{HostRecap, TaskEvent, TaskEventKind, TaskResult, TaskStatus},
};
use testkit::tools::Ansible;

use crate::{
    playbook::{self, BOTH, call},
    stage::{Stage, SystemClock, say},
};

/// No play here takes as long as this, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(300);

/// In a file of its own: Ansible quotes a playbook where it fails.
const SECRET: &str = "hunter2";

const HOSTS: &str = "a ansible_connection=local\nb ansible_connection=local\n\
    gone ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n";

/// As for every playbook, with time for long plays.
fn stage(which: Ansible) -> Option<Stage> {
    let mut stage = playbook::stage(which)?;
    stage.context.timeout = PATIENCE;
    let deadline = SystemClock.boot().plus(PATIENCE);
    stage.deadline.send_replace(deadline);
    Some(stage)
}

/// Runs a playbook and gives what it told.
async fn told(which: Ansible, play: &str, call: PlaybookCall) -> Option<(Stage, Vec<TaskEvent>)> {
    let stage = stage(which)?;
    stage.write("hosts", HOSTS);
    stage.write("play.yml", play);
    stage.playbook(call).await;
    let told = stage.tasks.events();
    assert!(!told.is_empty(), "{which:?}: {}", stage.output.text());
    Some((stage, told))
}

fn results(told: &[TaskEvent]) -> Vec<&TaskResult> {
    told.iter()
        .filter_map(|event| match event {
            TaskEvent::Result(result) => Some(result),
            TaskEvent::Play(_)
            | TaskEvent::Task(_)
            | TaskEvent::Recap(_)
            | TaskEvent::LeftOut { .. } => None,
        })
        .collect()
}

/// The results of a task, by host.
fn of<'a>(told: &'a [TaskEvent], task: &str) -> BTreeMap<&'a str, &'a TaskResult> {
    let results = results(told).into_iter();
    let results = results.filter(|result| result.task == task);
    results
        .map(|result| (result.host.as_str(), result))
        .collect()
}

#[track_caller]
fn check(told: &[TaskEvent], task: &str, expect: &[(&str, TaskStatus)]) {
    let found: Vec<(&str, TaskStatus)> = of(told, task)
        .into_iter()
        .map(|(host, result)| (host, result.status))
        .collect();
    assert_eq!(found, expect, "{task}: {told:#?}");
}

const STATUSES: &str = r#"
- name: first
  hosts: a,b
  gather_facts: false
  tasks:
    - {name: fine, command: "true", changed_when: false}
    - {name: different, command: "true"}
    - {name: skips, command: "true", when: inventory_hostname == 'b'}
    - {name: ignores, command: "ls /nowhere-at-all", ignore_errors: true}
    - block:
        - {name: fails inside, fail: {msg: "went \u001b[31mwrong"}, when: inventory_hostname == 'a'}
      rescue:
        - {name: rescues, debug: {msg: "in rescue"}}
    - {name: loops, command: "{{ item }}", loop: ["true", "ls /nowhere", "true"], ignore_errors: true}
    - {name: delegates, command: "true", delegate_to: localhost}
    - {name: tries, command: "false", retries: 3, delay: 0, register: r, until: r.rc == 0, ignore_errors: true}
    - {name: waits, command: "true", async: 20, poll: 1, notify: handles}
    - {name: lets go, command: "true", async: 20, poll: 0}
    - {include_tasks: more.yml}
  handlers:
    - {name: handles, command: "true"}
- name: second
  hosts: all
  gather_facts: false
  tasks:
    - {name: reaches, ping: }
    - {name: gives up, fail: {msg: for good}, when: inventory_hostname == 'a'}
"#;

#[tokio::test]
async fn every_status_is_told() {
    use TaskStatus::{Changed, Failed, Ignored, Ok, Rescued, Skipped, Unreachable};

    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write("hosts", HOSTS);
        stage.write("play.yml", STATUSES);
        stage.write("more.yml", "- {name: included, command: \"true\"}\n");
        let report = stage.playbook(call("play.yml")).await;
        let told = stage.tasks.events();
        let told = told.as_slice();
        check(told, "fine", &[("a", Ok), ("b", Ok)]);
        check(told, "different", &[("a", Changed), ("b", Changed)]);
        check(told, "skips", &[("a", Skipped), ("b", Changed)]);
        check(told, "ignores", &[("a", Ignored), ("b", Ignored)]);
        check(told, "fails inside", &[("a", Rescued), ("b", Skipped)]);
        check(told, "rescues", &[("a", Ok)]);
        check(told, "loops", &[("a", Ignored), ("b", Ignored)]);
        check(told, "waits", &[("a", Changed), ("b", Changed)]);
        check(told, "included", &[("a", Changed), ("b", Changed)]);
        check(told, "handles", &[("a", Changed), ("b", Changed)]);
        check(
            told,
            "reaches",
            &[("a", Ok), ("b", Ok), ("gone", Unreachable)],
        );
        check(told, "gives up", &[("a", Failed), ("b", Skipped)]);

        let message = |task: &str| of(told, task)["a"].message.clone().unwrap_or_default();
        assert!(message("ignores").contains("/nowhere-at-all"), "{told:#?}");
        assert_eq!(message("fails inside"), "went \u{fffd}[31mwrong");
        assert_eq!(message("rescues"), "in rescue");
        assert_eq!(message("fine"), "", "what the plain output does not show");
        assert!(message("lets go").starts_with("goes on as job "));
        let unreachable = of(told, "reaches")["gone"].message.clone().unwrap();
        assert!(unreachable.contains("Connection refused"), "{unreachable}");

        let items = of(told, "loops")["a"].items.clone().unwrap();
        assert_eq!(
            (items.changed, items.failed, items.failures.len()),
            (2, 1, 1)
        );
        assert_eq!(items.failures[0].item.as_deref(), Some("ls /nowhere"));
        assert_eq!(
            of(told, "delegates")["b"].delegated_to.as_deref(),
            Some("localhost")
        );
        assert_eq!(of(told, "tries")["b"].tries, Some(3));
        assert!(of(told, "handles")["a"].handler);
        assert!(of(told, "fine")["a"].duration_ms.is_some());
        let includes = of(told, "include_tasks")["a"].message.clone().unwrap();
        assert!(
            includes.starts_with("included: ") && includes.ends_with("/more.yml"),
            "{includes}"
        );

        // As Ansible counts: a change of what is ignored is one, too.
        let a = HostRecap {
            ok: 13,
            changed: 9,
            failed: 1,
            skipped: 1,
            rescued: 1,
            ignored: 3,
            ..HostRecap::of("a")
        };
        let b = HostRecap {
            ok: 13,
            changed: 10,
            skipped: 2,
            ignored: 3,
            ..HostRecap::of("b")
        };
        let gone = HostRecap {
            unreachable: 1,
            ..HostRecap::of("gone")
        };
        let recaps = [a, b, gone].map(TaskEvent::Recap);
        assert_eq!(told[told.len() - 3..], recaps, "{which:?}");
        let kinds = |kind| told.iter().filter(|event| event.kind() == kind).count();
        assert_eq!(kinds(TaskEventKind::Play), 2);
        assert!(say(&report).starts_with("code 4"), "{which:?}");
    }
}

const HIDDEN: &str = r#"
- hosts: a
  gather_facts: false
  vars: {hide: true, show: false}
  vars_files: [secret.yml]
  tasks:
    - {name: fails, command: "ls {{ secret }}", no_log: true, ignore_errors: true}
    - {name: by template, command: "ls {{ secret }}", no_log: "{{ hide }}", ignore_errors: true}
    - {name: not hidden, command: "ls visible", no_log: "{{ show }}", ignore_errors: true}
    - {name: prints, debug: {msg: "{{ secret }}"}, no_log: true}
    - {name: loops, command: "ls {{ item }}", loop: ["{{ secret }}"], no_log: true, ignore_errors: true}
    - name: some items
      command: "ls {{ item.value }}"
      loop: [{value: "{{ secret }}", hide: true}, {value: visible, hide: false}]
      no_log: "{{ item.hide }}"
      ignore_errors: true
    - {name: writes, copy: {content: "{{ secret }}", dest: "{{ playbook_dir }}/file"}, diff: true, no_log: true}
    - {name: parameter, user: {name: nobody, password: "{{ secret }}", bogus: 1}, ignore_errors: true, no_log: true}
    - {name: set, set_stats: {data: {token: "{{ secret }}", "key{{ 1 }}": "{{ secret }}"}}, no_log: true}
    - {name: set in a loop, set_stats: {data: {other: "{{ item }}"}}, loop: ["{{ secret }}"], no_log: "{{ hide }}"}
    - {name: set openly, set_stats: {data: {built: 3}}}
    - {name: tries, command: "ls {{ secret }}", no_log: true, retries: 2, delay: 0, register: r, until: r.rc == 0, ignore_errors: true}
    - {name: waits, command: "ls {{ secret }}", async: 20, poll: 1, no_log: true, ignore_errors: true}
"#;

#[tokio::test]
async fn what_no_log_hides_is_nowhere() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write("hosts", HOSTS);
        stage.write("play.yml", HIDDEN);
        stage.write("secret.yml", &format!("secret: {SECRET}\n"));
        let report = stage.playbook(call("play.yml")).await;
        let told = stage.tasks.events();
        let all = serde_json::to_string(&told).unwrap();
        assert!(!all.contains(SECRET), "{which:?}: {all}");
        let result = serde_json::to_string(&report.result).unwrap();
        assert_eq!(result, r#"{"built":3}"#, "{which:?}");
        let output = stage.output.text();
        assert!(!output.contains(SECRET), "{which:?}: {output}");
        assert!(say(&report).starts_with("code 0"), "{which:?}: {output}");
        for task in [
            "fails",
            "by template",
            "prints",
            "loops",
            "writes",
            "tries",
            "waits",
        ] {
            let result = of(&told, task)["a"];
            assert!(result.censored, "{which:?}: {task}");
            assert_eq!((&result.message, &result.diff), (&None, &None), "{task}");
        }
        let shown = of(&told, "not hidden")["a"];
        assert!(!shown.censored, "{which:?}");
        assert!(
            shown.message.as_ref().unwrap().contains("visible"),
            "{which:?}"
        );
        let items = of(&told, "some items")["a"].items.clone().unwrap();
        let items: Vec<_> = items
            .failures
            .iter()
            .map(|it| (it.censored, it.item.is_some()))
            .collect();
        assert_eq!(items, [(true, false), (false, true)], "{which:?}");
    }
}

#[tokio::test]
async fn a_difference_is_told_where_it_was_asked_for() {
    const PLAY: &str = r#"
- hosts: a
  gather_facts: false
  tasks:
    - {name: one, copy: {content: "old\n", dest: "{{ playbook_dir }}/one"}, diff: false}
    - {name: one again, copy: {content: "new\n", dest: "{{ playbook_dir }}/one"}}
    - {name: both, copy: {content: "{{ item }}\n", dest: "{{ playbook_dir }}/{{ item }}"}, loop: [x, y]}
    - {name: much, copy: {content: "{{ 'line\n' * 40000 }}", dest: "{{ playbook_dir }}/much"}}
    - {name: too much, copy: {content: "{{ 'line\n' * 400000 }}", dest: "{{ playbook_dir }}/more"}}
"#;
    for which in BOTH {
        let asked = PlaybookCall {
            diff: true,
            ..call("play.yml")
        };
        let Some((_, told)) = told(which, PLAY, asked).await else {
            continue;
        };
        let diff = |task: &str| of(&told, task)["a"].diff.clone();
        assert_eq!(diff("one"), None, "{which:?}");
        let one = diff("one again").unwrap();
        assert!(one.contains("-old\n+new\n"), "{which:?}: {one}");
        let both = diff("both").unwrap();
        assert!(
            both.contains("+x\n") && both.contains("+y\n"),
            "{which:?}: {both}"
        );
        assert!(diff("much").unwrap().len() <= 16 * 1024);
        assert!(diff("too much").unwrap().len() <= 16 * 1024);

        let Some((_, told)) = self::told(which, PLAY, call("play.yml")).await else {
            continue;
        };
        assert!(results(&told).iter().all(|result| result.diff.is_none()));
    }
}

/// Writes to the descriptor itself, and closes it in the end.
const FORGER: &str = r#"
import os
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        number = int(os.environ["LARIAT_TASKS_FD"])
        for line in (
            b'{"event":"result","play":"p","task":"forged","host":"\\u001b[2Jevil","status":"ok"}',
            b'{"event":"recap","host":"a","ok":999,"changed":0,"unreachable":0,"failed":0,"skipped":0,"rescued":0,"ignored":0}',
            b'{"event":"result","play":"p","task":"forged","host":"x","status":"ok","job":"other"}',
            b'\xff\xfe\x00 not json', b'[' * 70000, b'{}', b'',
        ):
            while line:
                try:
                    line = line[os.write(number, line):]
                except BlockingIOError:
                    pass
            os.write(number, b'\n')
        return {"changed": False}
"#;

#[tokio::test]
async fn what_is_forged_is_at_worst_a_wrong_result_of_its_own() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write("hosts", HOSTS);
        stage.write("action_plugins/forge.py", FORGER);
        stage.write(
            "play.yml",
            "- hosts: a\n  gather_facts: false\n  tasks:\n    - {name: forges, forge: }\n    - {name: fails, command: \"false\"}\n",
        );
        let report = stage.playbook(call("play.yml")).await;
        assert_eq!(
            "code 2 | failed (Worthwhile): exit code 2: failed on 1 of 1 hosts: a",
            say(&report),
            "{which:?}: {}",
            stage.output.text()
        );
        let told = stage.tasks.events();
        let forged: Vec<&str> = of(&told, "forged").into_keys().collect();
        assert_eq!(forged, ["\u{fffd}[2Jevil"], "{which:?}: {told:#?}");
        check(&told, "fails", &[("a", TaskStatus::Failed)]);
    }
}

/// Waits until a task is told to have begun.
async fn until_begun(stage: &Stage, name: &str) {
    let limit = tokio::time::Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let is_it = |event: &TaskEvent| matches!(event, TaskEvent::Task(begun) if begun.task == name);
    while !stage.tasks.events().iter().any(is_it) {
        let output = stage.output.text();
        assert!(tokio::time::Instant::now() < limit, "`{name}`: {output}");
        tick.tick().await;
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_has_a_recap() {
    for which in BOTH {
        let Some(mut stage) = stage(which) else {
            continue;
        };
        stage.context.grace = Duration::from_millis(100);
        stage.write("hosts", HOSTS);
        stage.write(
            "play.yml",
            "- hosts: a\n  gather_facts: false\n  tasks:\n    - {name: changes, command: \"true\"}\n    - {name: sleeps, command: sleep 3000}\n",
        );
        let stop = async {
            until_begun(&stage, "sleeps").await;
            let by = Principal("a person".to_owned());
            stage.stop.send_replace(Some(Stop::Cancel(by)));
        };
        let (report, ()) = tokio::join!(stage.playbook(call("play.yml")), stop);
        assert!(
            say(&report).contains("cancelled by"),
            "{which:?}: {}",
            say(&report)
        );
        let told = stage.tasks.events();
        let expect = HostRecap {
            ok: 1,
            changed: 1,
            ..HostRecap::of("a")
        };
        assert_eq!(
            told.last(),
            Some(&TaskEvent::Recap(expect)),
            "{which:?}: {told:#?}"
        );
    }
}

/// A play on many hosts is told of to the last result: nothing is left out.
#[tokio::test]
async fn three_hundred_hosts_are_told_of_completely() {
    let Some(stage) = stage(Ansible::Newest) else {
        return;
    };
    let hosts: String = (0..300)
        .map(|n| format!("web{n} ansible_connection=local\n"))
        .collect();
    stage.write("hosts", &hosts);
    stage.write(
        "play.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - {name: one, debug: {msg: \"{{ inventory_hostname }}\"}}\n    - {name: two, set_fact: {x: 1}}\n",
    );
    let many = PlaybookCall {
        forks: Some(20),
        ..call("play.yml")
    };
    let report = stage.playbook(many).await;
    assert_eq!(
        "code 0 | succeeded: hosts 300, tasks ok 600, changed 0",
        say(&report)
    );
    let told = stage.tasks.events();
    assert_eq!(told.len(), 1 + 2 + 600 + 300);
    assert_eq!(of(&told, "one").len(), 300);
    assert_eq!(
        of(&told, "one")["web299"].message.as_deref(),
        Some("web299")
    );
}
