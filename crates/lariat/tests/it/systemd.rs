//! The units for systemd, and what the service tells it.

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use testkit::process::wait_until;

use crate::harness::{BINARY, PATIENCE, Service, project};

const UNITS: [&str; 2] = ["lariat.service", "lariat@.service"];

/// Tenths, as `systemd-analyze security` gives them: 0 is best, 100 worst.
const MOST_EXPOSURE: u64 = 17;

fn units() -> PathBuf {
    testkit::tools::workspace().join("packaging/systemd")
}

fn analyze(args: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "`systemd-analyze` is needed in CI: {error}"
            );
            println!("skipped: there is no `systemd-analyze` here: {error}");
            None
        }
    }
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    // What they start is not installed here: this binary stands in for it.
    let dir = TempDir::new().unwrap();
    let accounts = fs_err::read_to_string(units().join("accounts.conf")).unwrap();
    for (unit, drop_in) in [
        (UNITS[0], None),
        (UNITS[1], None),
        (UNITS[0], Some(&accounts)),
        (UNITS[1], Some(&accounts)),
    ] {
        let original = fs_err::read_to_string(units().join(unit)).unwrap();
        assert!(original.contains("\nExecStart=/usr/bin/lariat serve "));
        let installed = dir.path().join(unit);
        fs_err::write(&installed, original.replace("/usr/bin/lariat", BINARY)).unwrap();
        if let Some(text) = drop_in {
            let beside = dir.path().join(format!("{unit}.d"));
            fs_err::create_dir(&beside).unwrap();
            fs_err::write(beside.join("accounts.conf"), text).unwrap();
        }
        let path = installed.to_str().unwrap();
        let Some(output) = analyze(&["verify", "--recursive-errors=no", path]) else {
            return;
        };
        assert_eq!("", text(&output), "{unit}");
        assert!(output.status.success(), "{unit}: {}", output.status);
    }
}

#[test]
fn the_units_leave_little_exposed() {
    for unit in UNITS {
        let path = units().join(unit);
        let threshold = MOST_EXPOSURE.to_string();
        let path = path.to_str().unwrap();
        let args = [
            "security",
            "--offline=true",
            "--threshold",
            &threshold,
            path,
        ];
        let Some(output) = analyze(&args) else {
            return;
        };
        let said = text(&output);
        let score = said.lines().find(|line| line.contains("exposure level"));
        println!("{}", score.unwrap_or(&said));
        assert!(score.is_some() && output.status.success(), "{said}");
    }
}

/// Whatever would keep sudo from its work for a service without capabilities
/// is switched off where accounts need it.
#[test]
fn the_drop_in_for_accounts_leaves_nothing_in_sudos_way() {
    let opened: Vec<(String, String)> = settings("accounts.conf");
    for (key, value) in settings(UNITS[0]) {
        // As systemd.exec(5) has it under `NoNewPrivileges=`.
        let implies = [
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "PrivateDevices",
            "ProtectClock",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "SystemCallArchitectures",
            "SystemCallFilter",
            "NoNewPrivileges",
        ];
        if !implies.contains(&key.as_str()) {
            continue;
        }
        let is_off = opened
            .iter()
            .any(|(other, value)| *other == key && ["", "no"].contains(&value.as_str()));
        assert!(is_off, "{key}={value}");
    }
}

/// `Key=value` lines of a unit.
fn settings(unit: &str) -> Vec<(String, String)> {
    let text = fs_err::read_to_string(units().join(unit)).unwrap();
    text.lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn both_units_differ_in_nothing_but_the_instance() {
    let single = settings("lariat.service");
    let template: Vec<(String, String)> = settings("lariat@.service")
        .into_iter()
        .filter(|(_, value)| value != "-/etc/lariat/%i.env")
        .map(|(key, value)| {
            let value = value
                .replace(", instance %i", "")
                .replace("847%i", "8470")
                .replace("lariat/%i/", "lariat/")
                .replace("lariat lariat/%i", "lariat");
            (key, value)
        })
        .collect();
    assert_eq!(single, template);
}

#[test]
fn the_manual_says_why_something_is_not_hardened() {
    let manual = fs_err::read_to_string(testkit::tools::workspace().join("docs/systemd.md"));
    let manual = manual.unwrap();
    let Some(output) = analyze(&[
        "security",
        "--offline=true",
        "--no-pager",
        units().join("lariat.service").to_str().unwrap(),
    ]) else {
        return;
    };
    let said = text(&output);
    let exposed = said.lines().filter_map(|line| line.strip_prefix('✗'));
    for line in exposed {
        let setting = line.split_whitespace().next().unwrap();
        let name = setting.split('=').next().unwrap();
        assert!(manual.contains(&format!("`{name}")), "`{name}` is missing");
    }
}

/// A manager that hears what the service says.
struct Manager {
    heard: Receiver<String>,
    all: Vec<String>,
    path: PathBuf,
    _dir: TempDir,
}

impl Manager {
    fn listen() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self {
            heard,
            all: Vec::new(),
            path,
            _dir: dir,
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// The next message with this line in it.
    #[track_caller]
    fn expect(&mut self, line: &str) -> String {
        let start = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(start.elapsed()) {
            let Ok(message) = self.heard.recv_timeout(left) else {
                break;
            };
            self.all.push(message.clone());
            if message.lines().any(|found| found == line) {
                return message;
            }
        }
        panic!("`{line}` was not said, but: {:#?}", self.all);
    }
}

const WAIT: &str = r#"#!/bin/sh
env > environment
echo started > started
while [ ! -e go ]; do sleep 0.02; done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_how_the_service_stands() {
    let project = project(
        "rules: [{name: wait, on: org.example.wait, run: {command: [bin/wait]}}]\n",
        &[("bin/wait", WAIT)],
    );
    let mut manager = Manager::listen();
    let socket = manager.path().to_str().unwrap().to_owned();
    let watchdog = Duration::from_secs(1);
    let env = [
        ("NOTIFY_SOCKET", socket.as_str()),
        ("WATCHDOG_USEC", &watchdog.as_micros().to_string()),
    ];
    let mut service = Service::start_with(project.path(), &[], &env).await;
    let ready = manager.expect("READY=1");
    assert!(ready.contains("STATUS=serving 1 rules"), "{ready}");

    // Every half of the time that it is given.
    manager.expect("WATCHDOG=1");
    let start = Instant::now();
    for _ in 0..4 {
        manager.expect("WATCHDOG=1");
    }
    assert!(start.elapsed() < 4 * watchdog, "{:?}", start.elapsed());

    service.program.signal(Signal::SIGHUP);
    let reloading = manager.expect("RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    manager.expect("READY=1");

    // A job that runs is waited for, and the watchdog is served meanwhile.
    let publish = ["publish", "org.example.wait"];
    service.lariat(&publish).await.expect(0);
    wait_until("the step has started", PATIENCE, async || {
        project.join("started").exists()
    })
    .await;
    service.program.signal(Signal::SIGTERM);
    let stopping = manager.expect("STOPPING=1");
    assert!(stopping.contains("waiting for 1 running job"), "{stopping}");
    for _ in 0..3 {
        manager.expect("WATCHDOG=1");
    }
    project.write("go", "");
    let status = service.program.wait(PATIENCE).await;
    assert_eq!(Some(0), status.code(), "{}", service.program.stderr());

    let inherited = project.read("environment");
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        assert!(!inherited.contains(name), "{inherited}");
    }
}

#[tokio::test]
async fn a_watchdog_of_another_process_is_not_served() {
    let project = project("rules: []\n", &[]);
    let mut manager = Manager::listen();
    let socket = manager.path().to_str().unwrap().to_owned();
    let env = [
        ("NOTIFY_SOCKET", socket.as_str()),
        ("WATCHDOG_USEC", "1000"),
        ("WATCHDOG_PID", "1"),
    ];
    let mut service = Service::start_with(project.path(), &[], &env).await;
    service.program.signal(Signal::SIGTERM);
    manager.expect("STOPPING=1");
    service.program.wait(PATIENCE).await;
    let pings = |all: &[String]| all.iter().filter(|said| said.contains("WATCHDOG")).count();
    assert_eq!(0, pings(&manager.all), "{:#?}", manager.all);
}

#[tokio::test]
async fn a_manager_that_is_gone_does_not_matter() {
    let project = project("rules: []\n", &[]);
    let env = [("NOTIFY_SOCKET", "/does/not/exist")];
    let mut service = Service::start_with(project.path(), &[], &env).await;
    service.program.signal(Signal::SIGTERM);
    let status = service.program.wait(PATIENCE).await;
    assert_eq!(Some(0), status.code(), "{}", service.program.stderr());
}
