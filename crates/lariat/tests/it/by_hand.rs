//! Playbooks that a person starts: once more after a job, and looked at by
//! Ansible before any event comes.

use testkit::{
    TempProject,
    tools::{Ansible, ansible},
};

use crate::harness::{Service, path_with, run};

const RULES: &str = "rules:
  - name: greet
    on: org.example.#
    retry: {attempts: 1}
    run:
      - command: [printf, x]
      - playbook: greet.yml
        inventory: 'localhost,'
        vars: {name: '{{ msg.name }}', count: '{{ msg.count }}'}
";
const PLAY: &str = "- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - debug: {msg: \"{{ name }} is {{ count + 1 }} by {{ lookup('env', 'PERSON') }} for {{ lookup('env', 'LARIAT_EVENT_ID') }}\"}
    - fail: {msg: nobody}
      when: name == 'nobody'
";

/// The id of the job that an event made.
async fn job(service: &Service, body: &str, exit: i32) -> String {
    service
        .lariat(&["publish", "org.example.a", body, "--wait"])
        .await
        .expect(exit);
    let jobs = service.json(&["jobs", "list"]).await;
    jobs["items"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_job_is_run_again_by_hand_with_its_event() {
    for which in Ansible::ENDS {
        let Some(playbook) = ansible(which) else {
            continue;
        };
        let project = TempProject::new(&[
            ("lariat.yml", ""),
            ("rules/greet.yml", RULES),
            ("playbooks/greet.yml", PLAY),
        ]);
        let service = Service::start_with_ansible(project.path(), &playbook).await;
        let path = path_with(&playbook);
        let place = project.path().to_str().unwrap();
        let env = [
            ("PATH", path.as_str()),
            ("LARIAT_URL", &service.url),
            ("PERSON", "{{ me }}"),
        ];
        let rerun = async |id: &str, more: &[&str]| {
            let head = ["jobs", "rerun", id, "--local", "--project", place];
            run(&[&head, more].concat(), &env).await
        };
        let fine = job(&service, r#"{"name": "{{ x }}", "count": 1}"#, 0).await;
        let ran = rerun(&fine, &[]).await.expect(0);
        let ran = ran.says("ansible-playbook --inventory=localhost, --extra-vars=@");
        assert!(
            ran.stdout.contains("{{ x }} is 2 by {{ me }} for "),
            "{}",
            ran.stdout
        );
        assert!(!ran.stderr.contains("note:"), "{}", ran.stderr);
        rerun(&fine, &["--", "--list-tasks"])
            .await
            .expect(0)
            .says("play #1 (all)");

        let bad = job(&service, r#"{"name": "nobody", "count": 1}"#, 5).await;
        rerun(&bad, &[])
            .await
            .expect(5)
            .says("the playbook ended with exit code 2");
        rerun(&bad, &["--step", "0"])
            .await
            .expect(2)
            .says("step 0 of rule `greet` is no playbook");

        project.write(
            "rules/greet.yml",
            &RULES.replace("count: '{{ msg.count }}'", "count: 41"),
        );
        let changed = rerun(&fine, &[]).await.expect(0);
        let changed = changed.says("`greet` may say something else now");
        assert!(
            changed.stdout.contains("{{ x }} is 42 by"),
            "{}",
            changed.stdout
        );
        project.write("rules/greet.yml", &RULES.replace("greet\n", "other\n"));
        rerun(&fine, &[])
            .await
            .expect(3)
            .says("there is no rule `greet`");
        run(&["jobs", "rerun", &fine], &env)
            .await
            .expect(2)
            .says("--local");
    }
}

#[tokio::test]
async fn ansible_is_asked_about_playbooks_that_rules_name() {
    let rules = "rules:
  - {name: a, on: x.a, run: {playbook: fine.yml, hosts: [web], vars: {kind: '{{ msg.kind }}'}}}
  - {name: b, on: x.b, run: {playbook: wrong.yml, inventory: 'web,'}}
  - {name: c, on: x.c, run: {playbook: event.yml}}
  - {name: d, on: x.d, run: {playbook: '{{ msg.kind }}.yml'}}
";
    for which in Ansible::ENDS {
        let Some(playbook) = ansible(which) else {
            continue;
        };
        let project = TempProject::new(&[
            ("lariat.yml", ""),
            ("rules/a.yml", rules),
            (
                "playbooks/fine.yml",
                "- hosts: all\n  tasks: [{debug: {msg: x}}]\n",
            ),
            (
                "playbooks/wrong.yml",
                "- hosts: all\n  tasks:\n    - import_tasks: more.yml\n",
            ),
            (
                "playbooks/more.yml",
                "- debug: {msg: x}\n- debgu: {msg: x}\n",
            ),
            (
                "playbooks/event.yml",
                "- hosts: all\n  tasks: [{import_tasks: '{{ msg.kind }}.yml'}]\n",
            ),
        ]);
        let path = path_with(&playbook);
        let check = async |more: &[&str]| {
            let place = project.path().to_str().unwrap();
            let head = ["check", "--connect", "--project", place];
            run(&[&head, more].concat(), &[("PATH", &path)]).await
        };
        let said = check(&[]).await.expect(3);
        let said = said
            .says("playbooks/more.yml:2:3")
            .says("couldn't resolve module/action 'debgu'")
            .says("warning[playbook-unchecked]");
        for line in [
            "playbook `playbooks/fine.yml`  ok",
            "playbook `playbooks/wrong.yml`  failed",
            "playbook `playbooks/event.yml`  unchecked",
            "playbook `{{ msg.kind }}.yml`  computed",
        ] {
            assert!(said.stdout.contains(line), "{which:?}: {}", said.stdout);
        }
        project.write("playbooks/more.yml", "- debug: {msg: x}\n");
        let found = check(&["--json"]).await.expect(0).json();
        assert_eq!(true, found["ok"]);
        assert_eq!("ok", found["playbooks"][1]["came"]);
    }
}
