//! The collection `lariat.lariat`, built and installed as people do it, against
//! a real service.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{
    TempProject,
    tools::{self, Ansible, ansible},
};
use tokio::process::Command;

use crate::harness::{PATIENCE, Service, path_with, run};

/// Runs a program of Ansible's to its end; what it printed.
async fn execute(program: &Path, args: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let running = Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .env("ANSIBLE_LOCALHOST_WARNING", "false")
        .env("PATH", path_with(program))
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(PATIENCE, running).await;
    let done = done.expect("Ansible ends").unwrap();
    let text = [done.stdout, done.stderr].concat();
    (
        done.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Where the collection is installed, with the Ansible at `playbook`.
async fn install(playbook: &Path, place: &TempProject) -> PathBuf {
    let galaxy = playbook.with_file_name("ansible-galaxy");
    let source = tools::workspace().join("ansible/collections/lariat/lariat");
    let (built, installed) = (place.join("built"), place.join("collections"));
    let words = |path: &Path| path.to_str().unwrap().to_owned();
    let build = [
        "collection",
        "build",
        &words(&source),
        "--output-path",
        &words(&built),
    ];
    let (is_fine, text) = execute(&galaxy, &build, &[]).await;
    assert!(is_fine, "{text}");
    let archive = fs_err::read_dir(&built).unwrap().next().unwrap().unwrap();
    let install = [
        "collection",
        "install",
        &words(&archive.path()),
        "-p",
        &words(&installed),
    ];
    let (is_fine, text) = execute(&galaxy, &install, &[]).await;
    assert!(is_fine, "{text}");
    installed
}

const RULES: &str = "rules:
  - name: told
    on: org.example.told
    run: {command: ['true']}
  - name: own
    on: org.example.own
    run:
      playbook: own.yml
      inventory: 'localhost,'
      collections: vendor
";

/// What the playbook of a rule makes of its own event.
const OWN: &str = "- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - set_stats:
        data: {topic: \"{{ lookup('lariat.lariat.event').topic }}\", body: \"{{ lookup('lariat.lariat.event').body }}\"}
";

const PLAY: &str = "- hosts: localhost
  gather_facts: false
  connection: local
  vars: {body: {n: 1.5, list: [a, null, true], text: '{% raw %}{{ 7 * 7 }}{% endraw %}'}}
  tasks:
    - lariat.lariat.publish: {topic: org.example.told, body: '{{ body }}', severity: warning, headers: {a: b}, idempotent: true}
      register: first
    - lariat.lariat.publish: {topic: org.example.told, body: '{{ body }}', severity: warning, headers: {a: b}, idempotent: true}
      register: again
    - lariat.lariat.publish: {topic: org.example.told, id: '{{ first.id }}'}
      register: conflict
      ignore_errors: true
    - lariat.lariat.publish: {topic: 'a b'}
      register: refused
      ignore_errors: true
    - lariat.lariat.publish: {topic: a.b, url: 'http://127.0.0.1:1'}
      register: unreachable
      ignore_errors: true
    - lariat.lariat.publish: {topic: a.b, body: [1]}
      register: checked
      check_mode: true
    - set_fact: {found: \"{{ lookup('lariat.lariat.event', first.id) }}\"}
    - set_fact: {missing: \"{{ lookup('lariat.lariat.event', 'none') }}\"}
      register: missing
      ignore_errors: true
    - set_fact: {nobody: \"{{ lookup('lariat.lariat.event') }}\"}
      register: nobody
      ignore_errors: true
    - copy:
        dest: \"{{ lookup('env', 'ANSWERS') }}\"
        content: \"{{ {'first': first, 'again': again, 'conflict': conflict, 'refused': refused, 'unreachable': unreachable, 'checked': checked, 'found': found, 'missing': missing, 'nobody': nobody} | to_json }}\"
";

#[tokio::test]
async fn events_are_published_and_looked_up_from_playbooks() {
    for which in Ansible::ENDS {
        let Some(playbook) = ansible(which) else {
            continue;
        };
        let project = TempProject::new(&[
            ("lariat.yml", ""),
            ("rules/all.yml", RULES),
            ("playbooks/own.yml", OWN),
            ("play.yml", PLAY),
        ]);
        let installed = install(&playbook, &project).await;
        let service = Service::start_with_ansible(project.path(), &playbook).await;
        let answers = project.join("answers.json");
        let env = [
            ("ANSIBLE_COLLECTIONS_PATH", installed.to_str().unwrap()),
            ("LARIAT_URL", service.url.as_str()),
            ("ANSWERS", answers.to_str().unwrap()),
        ];
        let play = project.join("play.yml");
        let args = ["-i", "localhost,", play.to_str().unwrap()];
        let (is_fine, text) = execute(&playbook, &args, &env).await;
        assert!(is_fine, "{which:?}: {text}");
        let said: Value = serde_json::from_str(&project.read("answers.json")).unwrap();
        let says = |what: &str, text: &str| {
            let message = said[what]["msg"].as_str().unwrap_or_default();
            assert!(message.contains(text), "{which:?} {what}: {}", said[what]);
        };
        let (first, again) = (&said["first"], &said["again"]);
        assert_eq!(
            json!([true, false]),
            json!([first["changed"], again["changed"]])
        );
        assert_eq!(
            json!([false, true]),
            json!([first["duplicate"], again["duplicate"]])
        );
        assert_eq!(first["id"], again["id"]);
        assert_eq!(first["jobs"], again["jobs"]);
        assert_eq!(1, first["jobs"].as_array().unwrap().len());
        says("conflict", "another event has the id");
        says("refused", "`topic`");
        says("unreachable", "cannot be reached");
        assert_eq!(
            json!([true, null]),
            json!([said["checked"]["changed"], said["checked"]["id"]])
        );
        assert_eq!(json!([1]), said["checked"]["event"]["body"]);
        says("missing", "there is no event `none`");
        says("nobody", "was not started by Lariat");
        let found = &said["found"];
        assert_eq!(
            json!({"n": 1.5, "list": ["a", null, true], "text": "{{ 7 * 7 }}"}),
            found["body"],
            "{which:?}"
        );
        assert_eq!(json!({"a": "b"}), found["headers"]);
        assert_eq!("warning", found["severity"]);
        let listed = service.json(&["events", "list"]).await;
        assert_eq!(1, listed["items"].as_array().unwrap().len(), "{listed}");

        // A step finds it among the project's own collections.
        fs_err::rename(&installed, project.join("vendor")).unwrap();
        let body = r#"{"say": "{{ 7 * 7 }}"}"#;
        service
            .lariat(&["publish", "org.example.own", body, "--id", "mine", "--wait"])
            .await
            .expect(0);
        let jobs = service.json(&["jobs", "list", "--rule", "own"]).await;
        assert_eq!(
            json!({"topic": "org.example.own", "body": {"say": "{{ 7 * 7 }}"}}),
            jobs["items"][0]["result"],
            "{which:?}"
        );
    }
}

#[tokio::test]
async fn a_service_with_tokens_is_asked_with_one() {
    let Some(playbook) = ansible(Ansible::Newest) else {
        return;
    };
    let project = TempProject::new(&[
        ("lariat.yml", ""),
        (
            "play.yml",
            "- hosts: localhost\n  gather_facts: false\n  connection: local\n  tasks:\n    \
             - lariat.lariat.publish: {topic: a.b, id: one, token: '{{ given }}'}\n    \
             - debug: {msg: \"{{ lookup('lariat.lariat.event', 'one', token=given).topic }} is there\"}\n",
        ),
    ]);
    let installed = install(&playbook, &project).await;
    let service = Service::start_with_ansible(project.path(), &playbook).await;
    let place = project.path().to_str().unwrap();
    let make = [
        "token",
        "create",
        "--name",
        "ci",
        "--role",
        "publisher",
        "--project",
        place,
    ];
    let token = run(&make, &[]).await.expect(0).stdout.trim().to_owned();
    let play = project.join("play.yml");
    let env = [
        ("ANSIBLE_COLLECTIONS_PATH", installed.to_str().unwrap()),
        ("LARIAT_URL", service.url.as_str()),
    ];
    for (given, is_fine, expect) in [
        ("", false, "status 401"),
        ("wrong", false, "status 401"),
        (token.as_str(), true, "a.b is there"),
    ] {
        let given_var = format!("given={given}");
        let args = [
            "-v",
            "-i",
            "localhost,",
            "-e",
            &given_var,
            play.to_str().unwrap(),
        ];
        let (ended, text) = execute(&playbook, &args, &env).await;
        assert_eq!(is_fine, ended, "{text}");
        assert!(text.contains(expect), "{text}");
        assert!(
            given.is_empty() || !text.contains(given),
            "the token is shown: {text}"
        );
    }
}
