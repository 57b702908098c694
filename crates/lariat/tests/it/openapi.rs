//! Schemathesis asks a running service everything that its OpenAPI document
//! allows, and much that it does not.

use std::{path::Path, process::Stdio, time::Duration};

use testkit::tools;
use tokio::{process::Command, time::timeout};

use crate::harness::{Service, example, run};

/// Far more than the run is given.
const PATIENCE: Duration = Duration::from_secs(240);

/// Every operation has its turn in the first seconds; what follows is chance.
/// Streams do not end by themselves. A token that revokes itself would end the
/// conversation, so that is asked by one of its own.
const MOST: [&str; 2] = ["--exclude-path-regex=stream$|revoke$", "--max-time=45"];
const REVOKE: [&str; 2] = ["--include-path-regex=revoke$", "--max-time=10"];
const STREAMS: usize = 3;

/// Nobody can write into a schema which values go with which, so valid ones
/// may be refused; they are with a 400.
const ARGS: [&str; 17] = [
    "--seed=1",
    "--generation-database=none",
    "--phases=examples,coverage,fuzzing",
    "--max-examples=6",
    "--request-timeout=20",
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
    let create = async |name: &str| {
        let token = ["token", "create", "--role", "admin", "--name", name];
        let create = [&token[..], &["--project", dir]].concat();
        run(&create, &[]).await.expect(0).stdout
    };
    let secret = create("root").await;
    let revoker = create("revoker").await;
    let service = Service::start(project.path()).await;
    for event in ["greeted", "again"] {
        let publish = ["publish", "org.example.hello", "--id", event];
        let env = [
            ("LARIAT_URL", service.url.as_str()),
            ("LARIAT_TOKEN", secret.trim()),
        ];
        run(&publish, &env).await.expect(0);
    }
    let most = schemathesis(&program, &service, (secret.trim(), &MOST)).await;
    let revoke = schemathesis(&program, &service, (revoker.trim(), &REVOKE)).await;
    // Everything that there is, except streams.
    assert_eq!(most.total, revoke.total);
    assert_eq!(most.total, most.tested + revoke.tested + STREAMS);
    assert_eq!(1, revoke.tested);
}

/// How many operations there are, and how many were tested without a fault.
struct Tested {
    total: usize,
    tested: usize,
}

async fn schemathesis(
    program: &Path,
    service: &Service,
    (secret, which): (&str, &[&str]),
) -> Tested {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(program)
        .current_dir(dir.path())
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", service.url))
        .args(["-H", &format!("Authorization: Bearer {secret}")])
        .args(ARGS)
        .args(which)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = timeout(PATIENCE, child.wait_with_output()).await;
    let found = ended.expect("it ends").unwrap();
    let output = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.status.success(), "{output}");
    let said = |before: &str| {
        let line = output
            .lines()
            .find_map(|line| line.trim().strip_prefix(before));
        line.unwrap_or_else(|| panic!("no `{before}` in {output}"))
    };
    let (_, total) = said("Selected: ").split_once('/').unwrap();
    Tested {
        total: total.parse().unwrap(),
        tested: said("Tested: ").parse().unwrap(),
    }
}
