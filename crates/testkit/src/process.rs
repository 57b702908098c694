//! The real program as a child of a test: started, waited for, stopped,
//! killed; and a search through all processes for what it may have left.
//!
//! Whatever a test starts here is killed when its value is dropped.

use std::{
    ffi::OsStr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// What a started program says on standard error when it serves.
const LISTENING: &str = "listening on ";

/// A running program whose standard error is kept.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stderr: Arc<Mutex<String>>,
}

impl Program {
    /// Starts `program`; its standard output goes nowhere.
    pub fn start<S: AsRef<OsStr>>(program: &Path, args: &[S], env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{}`: {error}", program.display()));
        let pipe = child.stderr.take().expect("it is piped");
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stderr);
        // Somebody reads to the end, or the program stops when it talks.
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { child, stderr }
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The URL that it serves, from its line `listening on http://…` or the
    /// entry of a log that says so.
    pub async fn wait_listening(&mut self, deadline: Duration) -> String {
        let start = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            let said = self.stderr();
            // The last line may still be being written.
            let complete = said.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let rest = complete.lines().find_map(|line| {
                let (before, rest) = line.split_once(LISTENING)?;
                (before.trim().is_empty() || before.ends_with('"')).then_some(rest)
            });
            if let Some(url) = rest.and_then(|rest| rest.split('"').next()) {
                return url.to_owned();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before it listened; it said:\n{said}");
            }
            assert!(
                start.elapsed() < deadline,
                "it does not listen after {deadline:?}; it said:\n{said}"
            );
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("nobody has waited for its end")
    }

    /// Sends SIGSTOP, SIGCONT, SIGTERM, SIGHUP, SIGKILL, …
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end.
    pub async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!(
                "it has not ended after {deadline:?}; it said:\n{}",
                self.stderr()
            ),
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// Processes that have `marker` in a word of their command line or in their
/// environment, in order of their ids. This process is never among them.
///
/// A marker that is unique to a test, such as a random file name, proves that
/// nothing was left behind.
pub fn processes_with(marker: &str) -> Vec<u32> {
    let me = std::process::id();
    let mut found: Vec<u32> = fs_err::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != me)
        .filter(|pid| {
            ["cmdline", "environ"]
                .iter()
                .any(|file| has(*pid, file, marker))
        })
        .filter(|pid| !is_zombie(*pid))
        .collect();
    found.sort_unstable();
    found
}

fn has(pid: u32, file: &str, marker: &str) -> bool {
    // A process of somebody else, or one that has just ended, is not ours.
    let Ok(bytes) = fs_err::read(format!("/proc/{pid}/{file}")) else {
        return false;
    };
    bytes
        .split(|byte| *byte == 0)
        .any(|word| String::from_utf8_lossy(word).contains(marker))
}

/// Dead, and only not yet waited for.
fn is_zombie(pid: u32) -> bool {
    fs_err::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    })
}

/// Waits until `condition` holds; panics with its name at the deadline.
pub async fn wait_until(name: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    loop {
        tick.tick().await;
        if condition().await {
            return;
        }
        assert!(
            start.elapsed() < deadline,
            "after {deadline:?} it still is not so that {name}"
        );
    }
}

/// Waits until no process has `marker` any more; panics with what is left.
pub async fn wait_gone(marker: &str, deadline: Duration) {
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        let left = processes_with(marker);
        if left.is_empty() {
            return;
        }
        assert!(
            start.elapsed() < deadline,
            "after {deadline:?} these processes are left of `{marker}`: {left:?}"
        );
    }
}

#[cfg(test)]
mod tests;
