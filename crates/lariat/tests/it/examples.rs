//! Every example is a project that works.

use testkit::tools::{Ansible, ansible};

use crate::harness::{Service, example, examples, run};

#[tokio::test]
async fn every_example_passes_the_check() {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let project = example(&name);
        run(
            &["check", "--project", project.path().to_str().unwrap()],
            &[],
        )
        .await
        .expect(0);
        names.push(name);
    }
    for expected in ["deploy", "hello", "loopabull"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
}

#[tokio::test]
async fn loopabull_runs_the_playbook_named_like_the_topic() {
    for version in Ansible::ALL {
        let Some(playbook) = ansible(version) else {
            continue;
        };
        let project = example("loopabull");
        let service = Service::start_with_ansible(project.path(), &playbook).await;
        service
            .lariat(&[
                "publish",
                "org.example.compose.finished",
                r#"{"compose_id": "F-1", "mirrors": ["a", "b"]}"#,
                "--id",
                "c",
                "--wait",
            ])
            .await
            .expect(0)
            .says("syncing F-1 to a, b");
        let jobs = service.json(&["jobs", "list", "--event", "c"]).await;
        assert_eq!(
            r#"{"synced":"F-1"}"#,
            jobs["items"][0]["result"].to_string()
        );
        service
            .lariat(&[
                "publish",
                "org.example.git.receive",
                r#"{"commit": {"username": "mary", "repo": "rpms/x", "summary": "fix {{ it }}"}}"#,
                "--wait",
            ])
            .await
            .expect(0)
            .says("mary pushed to rpms/x: fix {{ it }}");
        service
            .lariat(&["publish", "org.example.no.playbook", "--id", "n", "--wait"])
            .await
            .expect(0);
        let verdict = service.json(&["explain", "n"]).await;
        assert_eq!("suppressed", verdict["items"][0]["verdict"]);
    }
}

#[tokio::test]
async fn deploy_runs_its_steps_in_order() {
    let Some(playbook) = ansible(Ansible::Newest) else {
        return;
    };
    let project = example("deploy");
    let service = Service::start_with_ansible(project.path(), &playbook).await;
    let body =
        r#"{"service": "web", "version": "1.2", "environment": "staging", "previous": "1.1"}"#;
    let ran = service
        .lariat(&[
            "publish",
            "org.example.release.published",
            body,
            "--id",
            "d",
            "--wait",
        ])
        .await
        .expect(0);
    let place = |text: &str| {
        ran.stdout
            .find(text)
            .unwrap_or_else(|| panic!("`{text}` is missing: {}", ran.stdout))
    };
    assert!(place("fetching web 1.2") < place("rolling out web 1.2"));
    assert!(place("rolling out web 1.2") < place("announcing "));
    let jobs = service.json(&["jobs", "list", "--event", "d"]).await;
    assert_eq!("web", jobs["items"][0]["key"]);
    assert_eq!(
        3,
        jobs["items"][0]["attempts"][0]["steps"]
            .as_array()
            .unwrap()
            .len()
    );
    service
        .lariat(&["publish", "org.example.release.withdrawn", body, "--wait"])
        .await
        .expect(0)
        .says("rolling out web 1.1");
}
