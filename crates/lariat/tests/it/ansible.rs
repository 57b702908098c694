//! The main job with real Ansible: from `init` to the playbook's output.

use testkit::{
    TempProject,
    tools::{Ansible, ansible},
};

use crate::harness::{Service, example, run};

#[tokio::test]
async fn init_serve_publish_runs_the_playbook() {
    let Some(playbook) = ansible(Ansible::Newest) else {
        return;
    };
    let dir = TempProject::new(&[]);
    let project = dir.join("p");
    run(&["init", project.to_str().unwrap()], &[])
        .await
        .expect(0);
    let service = Service::start_with_ansible(&project, &playbook).await;
    let ran = service
        .lariat(&[
            "publish",
            "org.example.hello",
            r#"{"name": "world"}"#,
            "--id",
            "first",
            "--wait",
        ])
        .await
        .expect(0);
    assert!(ran.stdout.starts_with("first\n"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("hello world, event first says"),
        "{}",
        ran.stdout
    );
    service
        .lariat(&["explain", "first"])
        .await
        .expect(0)
        .says("hello  fired");
}

#[tokio::test]
async fn a_missing_ansible_fails_the_job_with_the_remedy() {
    let project = example("hello");
    let service = Service::start_with(project.path(), &[], &[("PATH", "/usr/bin/nowhere")]).await;
    service
        .lariat(&["publish", "org.example.hello", "--id", "h", "--wait"])
        .await
        .expect(5)
        .says("ansible-playbook");
    let jobs = service.json(&["jobs", "list"]).await;
    assert_eq!("unstartable", jobs["items"][0]["attempts"][0]["outcome"]);
    let status = service.lariat(&["status"]).await.expect(0);
    status.says("ansible-playbook").says("install");
}
