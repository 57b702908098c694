//! Hostile text on a terminal: shown, never obeyed.

use std::{
    io::Read,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use serde_json::Value;
use testkit::process::wait_until;

use crate::harness::{BINARY, PATIENCE, Service, project};

/// Runs a command with a terminal for its output and returns what arrived.
fn on_a_terminal(url: &str, args: &[&str]) -> String {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let stderr: OwnedFd = terminal.slave.try_clone().unwrap();
    let mut child = Command::new(BINARY)
        .args(args)
        .env("LARIAT_URL", url)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::from(terminal.slave))
        .stderr(Stdio::from(stderr))
        .spawn()
        .unwrap();
    let mut bytes = Vec::new();
    let mut master = std::fs::File::from(terminal.master);
    let mut buffer = [0; 4096];
    // A terminal whose other side is closed answers EIO.
    while let Ok(count) = master.read(&mut buffer) {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
fn check_harmless(what: &str, printed: &str) {
    let bad = printed.chars().find(|c| {
        let is_break = matches!(c, '\n' | '\r' | '\t');
        (c.is_control() && !is_break)
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    });
    assert_eq!(None, bad, "{what}: {printed}");
}

#[tokio::test]
async fn no_value_of_the_corpus_is_obeyed_by_a_terminal() {
    let rules = "rules:\n  - name: echo\n    on: org.example.echo\n    when: msg.value == 'never'\n    run: {command: [cat]}\n  - name: cat\n    on: org.example.echo\n    run: {command: [cat]}\n";
    let project = project(rules, &[]);
    let service = Service::start(project.path()).await;
    let mut sent = Vec::new();
    for (number, (name, text)) in testkit::corpus::VALUES.iter().enumerate() {
        let value: Value = serde_json::from_str(text).unwrap();
        let body = serde_json::json!({ "value": value }).to_string();
        let id = format!("v{number}");
        service
            .lariat(&["publish", "org.example.echo", &body, "--id", &id])
            .await
            .expect(0);
        sent.push((name, value, id));
    }
    wait_until("all jobs have ended", PATIENCE, async || {
        let counts = &service.json(&["status"]).await["store"]["jobs"];
        counts["succeeded"] == sent.len()
    })
    .await;
    for (name, value, id) in &sent {
        let jobs = service.json(&["jobs", "list", "--event", id]).await;
        let job = jobs["items"][0]["id"].as_str().unwrap();
        for args in [
            &["events", "show", id][..],
            &["explain", id],
            &["explain", id, "--json"],
            &["jobs", "output", job],
        ] {
            check_harmless(name, &on_a_terminal(&service.url, args));
        }
        // What the event says stays what it was.
        let shown = on_a_terminal(&service.url, &["events", "show", id, "--json"]);
        check_harmless(name, &shown);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(*value, shown["body"]["value"], "{name}");
    }
    assert!(sent.len() >= 60, "{}", sent.len());
}
