//! What a real playbook did to hosts, as people and programs see it, and what
//! `no_log` hides, which is nowhere.

use std::path::Path;

use testkit::{
    TempProject,
    tools::{self, Ansible},
};

use crate::harness::{Service, client};

/// In a file of its own: Ansible quotes a playbook where it fails.
const SECRET: &str = "hunter2-in-no-log";

const PLAYBOOK: &str = r#"
- name: web servers
  hosts: web1,web2
  gather_facts: false
  vars_files: [secret.yml]
  tasks:
    - {name: look, command: "true", changed_when: false}
    - {name: write <b>it</b>, command: "true", when: inventory_hostname == 'web1'}
    - {name: hide, command: "ls {{ secret }}", no_log: true, ignore_errors: true, changed_when: false}
    - {name: keep, set_stats: {data: {token: "{{ secret }}"}}, no_log: true}
    - {name: say, set_stats: {data: {built: 3}}}
- name: databases
  hosts: db1
  gather_facts: false
  tasks:
    - {name: copy the schema, command: "ls /no/room/there"}
"#;

fn project() -> TempProject {
    TempProject::new(&[
        ("lariat.yml", "{}\n"),
        (
            "rules/r.yml",
            "rules:\n  - name: deploy\n    on: org.example.deploy\n    retry: {attempts: 1}\n    run: {playbook: deploy.yml, inventory: hosts}\n",
        ),
        ("deploy.yml", PLAYBOOK),
        ("secret.yml", "secret: hunter2-in-no-log\n"),
        (
            "hosts",
            "web1 ansible_connection=local\nweb2 ansible_connection=local\ndb1 ansible_connection=local\n",
        ),
    ])
}

#[tokio::test]
async fn results_are_shown_wherever_jobs_are_and_secrets_nowhere() {
    for which in Ansible::ENDS {
        let Some(playbook) = tools::ansible(which) else {
            continue;
        };
        let project = project();
        let service = Service::start_with_ansible(project.path(), &playbook).await;
        let publish = ["publish", "org.example.deploy", "--wait"];
        let printed = service.lariat(&publish).await.expect(5);
        let jobs = service.json(&["jobs", "list"]).await;
        let id = jobs["items"][0]["id"].as_str().unwrap().to_owned();

        let shown = service.lariat(&["jobs", "show", &id]).await.expect(0);
        for text in [
            "failed  db1  copy the schema: ",
            "/no/room/there",
            "web1  5   1        0       0            0        0        1",
            "web2  4   0        0       0            1        0        1",
            "hide             ignored  web1, web2",
        ] {
            assert!(
                shown.stdout.contains(text),
                "{which:?}: `{text}`: {}",
                shown.stdout
            );
        }
        let whole = service.json(&["jobs", "show", &id]).await;
        let kinds = |kind: &str| {
            let tasks = whole["tasks"].as_array().unwrap().iter();
            tasks.filter(|event| event["kind"] == kind).count()
        };
        assert_eq!((kinds("play"), kinds("task"), kinds("result")), (2, 6, 11));
        assert_eq!(kinds("recap"), 3);
        let listed = ["jobs", "tasks", &id, "--status", "failed", "--host", "db1"];
        let listed = service
            .lariat(&listed)
            .await
            .expect(0)
            .says("copy the schema");
        assert!(!listed.stdout.contains("web1"), "{}", listed.stdout);
        let followed = service
            .lariat(&["jobs", "tasks", &id, "--follow"])
            .await
            .expect(0);
        let followed = followed.says("play web servers").says("hidden by no_log");

        let page = |path: String| {
            let url = format!("{}{path}", service.url);
            async move {
                client()
                    .get(url)
                    .send()
                    .await
                    .unwrap()
                    .text()
                    .await
                    .unwrap()
            }
        };
        let home = page("/".to_owned()).await;
        for text in ["3 hosts", "failed db1", "changed web1"] {
            assert!(home.contains(text), "{which:?}: `{text}`: {home}");
        }
        let job = page(format!("/jobs/{id}")).await;
        assert!(job.contains("write &lt;b&gt;it&lt;/b&gt;"), "{job}");
        let output = page(format!("/api/v1/jobs/{id}/output")).await;
        assert!(output.contains("TASK [hide]"), "{output}");

        let said = [
            printed.stdout,
            shown.stdout,
            followed.stdout,
            whole.to_string(),
            home,
            job,
            output,
        ];
        for text in said {
            assert!(!text.contains(SECRET), "{which:?}: {text}");
        }
        holds_no_secret(project.path());
        drop(service);
    }
}

/// Looks into the store's files, as they are on the disk.
fn holds_no_secret(project: &Path) {
    let mut looked_at = 0;
    for entry in fs_err::read_dir(project).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("lariat.db") || !path.is_file() {
            continue;
        }
        looked_at += 1;
        let bytes = fs_err::read(&path).unwrap();
        let found = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
    assert!(looked_at >= 2, "the store and its log are there");
}
