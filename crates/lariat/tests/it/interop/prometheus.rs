//! What `/metrics` says, read by the parsers of Prometheus's client library.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use testkit::{TempProject, tools::prometheus};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::harness::{PATIENCE, Service, client};

/// The types of the families that a parser finds.
async fn parse(python: &Path, format: &str, text: &str) -> BTreeMap<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop/parse_metrics.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(format)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("the parser ends")
        .unwrap();
    assert!(
        output.status.success(),
        "{format}: {}\n{text}",
        output.status
    );
    let found = String::from_utf8(output.stdout).unwrap();
    found
        .lines()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn both_formats_are_read_by_prometheus() {
    let Some(python) = prometheus() else {
        return;
    };
    let project = TempProject::new(&[("lariat.yml", "")]);
    let service = Service::start(project.path()).await;
    service
        .lariat(&["publish", "org.example.a", "--wait"])
        .await
        .expect(0);
    for (format, accept) in [
        ("text", "text/plain"),
        ("openmetrics", "application/openmetrics-text; version=1.0.0"),
    ] {
        let request = client().get(format!("{}/metrics", service.url));
        let reply = request.header("Accept", accept).send().await.unwrap();
        let text = reply.text().await.unwrap();
        let found = parse(&python, format, &text).await;
        let kind = |name: &str| found.get(name).map(String::as_str);
        assert_eq!(Some("counter"), kind("lariat_events_accepted"), "{found:?}");
        assert_eq!(
            Some("histogram"),
            kind("lariat_accept_commit_seconds"),
            "{found:?}"
        );
        assert_eq!(Some("gauge"), kind("lariat_jobs"), "{found:?}");
        assert_eq!(Some("counter"), kind("process_cpu_seconds"), "{found:?}");
    }
}
