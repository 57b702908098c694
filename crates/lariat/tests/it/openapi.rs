//! Schemathesis asks a running service everything that its OpenAPI document
//! allows, and much that it does not.

use std::{path::Path, process::Stdio, time::Duration};

use testkit::tools;
use tokio::{process::Command, time::timeout};

use crate::harness::{Service, example, run};

/// Far more than the run is given.
const PATIENCE: Duration = Duration::from_secs(240);

/// Streams do not end by themselves, and a token that revokes itself would
/// end the conversation. Nobody can write into a schema which values go with
/// which, so valid ones may be refused; they are with a 400.
const ARGS: [&str; 19] = [
    "--seed=1",
    "--generation-database=none",
    "--phases=examples,coverage,fuzzing",
    "--max-examples=6",
    "--max-time=60",
    "--request-timeout=20",
    "--exclude-path-regex=stream$|revoke$",
    "--exclude-checks=positive_data_acceptance",
    "--continue-on-failure",
    "--no-color",
    "--warnings=off",
    "--suppress-health-check=all",
    "--checks=all",
    "--no-shrink",
    "--output-sanitize=true",
    "--output-truncate=true",
    "--workers=1",
    "--max-failures=20",
    "--wait-for-schema=10",
];

#[tokio::test]
async fn schemathesis_finds_no_fault_and_no_undocumented_status() {
    let Some(program) = tools::schemathesis() else {
        return;
    };
    let project = example("hello");
    let dir = project.path().to_str().unwrap();
    let create = [
        "token",
        "create",
        "--role",
        "admin",
        "--name",
        "root",
        "--project",
        dir,
    ];
    let secret = run(&create, &[]).await.expect(0).stdout;
    let service = Service::start(project.path()).await;
    for event in ["greeted", "again"] {
        let publish = ["publish", "org.example.hello", "--id", event];
        let env = [
            ("LARIAT_URL", service.url.as_str()),
            ("LARIAT_TOKEN", secret.trim()),
        ];
        run(&publish, &env).await.expect(0);
    }
    let found = schemathesis(&program, &service, secret.trim()).await;
    let output = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.status.success(), "{output}");
    assert!(output.contains("Operations:"), "{output}");
}

async fn schemathesis(program: &Path, service: &Service, secret: &str) -> std::process::Output {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(program)
        .current_dir(dir.path())
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", service.url))
        .args(["-H", &format!("Authorization: Bearer {secret}")])
        .args(ARGS)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = timeout(PATIENCE, child.wait_with_output()).await;
    ended.expect("it ends").unwrap()
}
