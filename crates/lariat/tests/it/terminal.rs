//! The command line as a terminal, a pipe and a shell see it: what fits, what
//! is coloured, what moves, and how a command ends.

use std::{
    io::Read,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
};

use nix::{pty::Winsize, sys::signal::Signal};
use testkit::{Program, process::wait_until};

use crate::harness::{BINARY, PATIENCE, Service, project, run};

const RULES: &str = "
rules:
  - name: break-with-a-long-name
    on: org.example.break
    run: {command: [bin/break]}
    retry: {attempts: 1}
  - name: wait
    on: org.example.wait
    run: {command: [bin/wait]}
";

fn faces() -> testkit::TempProject {
    let programs = [
        ("bin/break", "#!/bin/sh\nexit 3\n"),
        ("bin/wait", "#!/bin/sh\nexec sleep 600\n"),
    ];
    project(RULES, &programs)
}

/// What a command prints on a terminal of this many columns.
fn on_a_terminal(columns: u16, args: &[&str], env: &[(&str, &str)]) -> String {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = nix::pty::openpty(&size, None).unwrap();
    let stderr: OwnedFd = terminal.slave.try_clone().unwrap();
    let mut command = Command::new(BINARY);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    let mut child = command
        .args(args)
        .env("TERM", "xterm")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::from(terminal.slave))
        .stderr(Stdio::from(stderr))
        .spawn()
        .unwrap();
    // The other side is held by the child alone from here on.
    drop(command);
    let mut bytes = Vec::new();
    let mut master = std::fs::File::from(terminal.master);
    let mut buffer = [0; 4096];
    // A terminal whose other side is closed answers EIO.
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    child.wait().unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_list_fits_the_terminal_and_is_whole_in_a_pipe() {
    let project = faces();
    let service = Service::start(project.path()).await;
    service
        .lariat(&["publish", "org.example.break", "--wait"])
        .await
        .expect(5);
    let url: &[(&str, &str)] = &[("LARIAT_URL", &service.url), ("NO_COLOR", "1")];
    for columns in [60, 80, 200] {
        for list in ["jobs", "events", "dead"] {
            let shown = on_a_terminal(columns, &[list, "list"], url);
            for line in shown.lines() {
                let width = line.trim_end().chars().count();
                let is_narrow = width <= usize::from(columns);
                assert!(is_narrow || columns == 60, "{columns}: {shown}");
            }
        }
    }
    let narrow = [url, &[("COLUMNS", "80")]].concat();
    let shown = on_a_terminal(200, &["jobs", "list"], &narrow);
    assert!(!shown.contains("TRIES"), "{shown}");
    let whole = run(&["jobs", "list"], &narrow).await.expect(0);
    for text in ["TRIES", "REASON", "break-with-a-long-name", "exit code 3"] {
        assert!(whole.stdout.contains(text), "{}", whole.stdout);
    }
}

#[tokio::test]
async fn colours_are_for_terminals_unless_somebody_says_otherwise() {
    let args = ["status", "--url", "http://127.0.0.1:1"];
    let is_coloured = |text: &str| text.contains("\u{1b}[");
    for (env, expected) in [
        (vec![], true),
        (vec![("NO_COLOR", "1")], false),
        (vec![("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false),
        (vec![("CLICOLOR", "0")], false),
        (vec![("TERM", "dumb")], false),
    ] {
        let shown = on_a_terminal(80, &args, &env);
        assert_eq!(expected, is_coloured(&shown), "{env:?}: {shown}");
    }
    for (flag, env, expected) in [
        ("auto", vec![], false),
        ("always", vec![], true),
        ("always", vec![("NO_COLOR", "1")], true),
        ("auto", vec![("CLICOLOR_FORCE", "1")], true),
        ("never", vec![("CLICOLOR_FORCE", "1")], false),
    ] {
        let args = [&args[..], &["--color", flag]].concat();
        let ran = run(&args, &env).await.expect(4);
        assert_eq!(expected, is_coloured(&ran.stderr), "{flag}, {env:?}");
    }
}

#[tokio::test]
async fn a_terminal_shows_what_is_waited_for_and_a_pipe_does_not() {
    let project = faces();
    let service = Service::start(project.path()).await;
    let url: &[(&str, &str)] = &[("LARIAT_URL", &service.url)];
    let publish = ["publish", "org.example.wait", "--wait", "--timeout", "1s"];
    let shown = on_a_terminal(80, &publish, url);
    assert!(shown.contains("waiting for job"), "{shown}");
    let ran = run(&publish, url).await.expect(4);
    assert!(!ran.stderr.contains("waiting for job"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_wrong_command_line_is_answered_like_every_error() {
    for (args, message, hint) in [
        (
            &["jobs", "lst"][..],
            "error: unrecognized subcommand `lst`",
            "hint: a similar subcommand exists: `list`",
        ),
        (
            &["jobs", "list", "--state", "runing"],
            "error: invalid value `runing` for `--state <STATE>`",
            "hint: a similar value exists: `running`",
        ),
        (
            &["publish"],
            "error: the following required arguments were not provided\n  <TOPIC>\n  usage: ",
            "hint: `--help`",
        ),
        (
            &["status", "--url", "\u{1b}[31m"],
            "error: `\\x1b[31m` is not a URL",
            "hint: a URL looks like",
        ),
        (
            &["\u{1b}]0;x\u{7}"],
            "error: unrecognized subcommand `",
            "hint: ",
        ),
    ] {
        let ran = run(args, &[]).await.expect(2);
        assert!(ran.stderr.starts_with(message), "{}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
        assert!(!ran.stderr.contains(['\u{1b}', '\u{7}']), "{}", ran.stderr);
        assert_eq!("", ran.stdout);
    }
}

#[tokio::test]
async fn what_is_printed_for_shells_and_readers_is_whole() {
    let shells = ["bash", "elvish", "fish", "powershell", "zsh"];
    for shell in shells {
        run(&["completions", shell], &[])
            .await
            .expect(0)
            .says("discard");
    }
    run(&["man"], &[]).await.expect(0).says("EXIT STATUS");
    let dir = testkit::TempProject::new(&[]);
    let path = dir.path().to_str().unwrap();
    run(&["man", "--dir", path], &[])
        .await
        .expect(0)
        .says("lariat-dead-retry.1");
    let page = fs_err::read_to_string(dir.path().join("lariat-dead-retry.1")).unwrap();
    assert!(page.starts_with(".ie") && page.contains("DEAD"), "{page}");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(BINARY)
        .args(["man"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (Some(0), ""),
        (output.status.code(), &*text(&output.stderr))
    );
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(BINARY)
        .arg("--help")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(Some(1), output.status.code());
    assert!(text(&output.stderr).starts_with("error: cannot write to standard output"));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_signal_ends_a_command_as_shells_expect() {
    let project = faces();
    let service = Service::start(project.path()).await;
    for (signal, number) in [(Signal::SIGINT, 2), (Signal::SIGTERM, 15)] {
        let env: &[(&str, &str)] = &[("LARIAT_URL", &service.url)];
        let args = ["publish", "org.example.wait", "--wait"];
        let mut client = Program::start(Path::new(BINARY), &args, env);
        wait_until("the job runs", PATIENCE, async || {
            let jobs = service.json(&["jobs", "list", "--state", "running"]).await;
            !jobs["items"].as_array().unwrap().is_empty()
        })
        .await;
        client.signal(signal);
        let status = client.wait(PATIENCE).await;
        // A shell makes 128 + N of it: 130 and 143.
        let ended = status.signal().or(status.code().map(|code| code - 128));
        assert_eq!(Some(number), ended, "{status:?}");
    }
}
