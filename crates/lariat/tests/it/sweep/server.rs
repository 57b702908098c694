//! One run of the real binary, as the sweep drives it.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::harness::client;

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
}

impl Server {
    /// An error with what it said when it ended before it listened, as a
    /// fault may make it.
    pub(crate) async fn start(project: &Path, args: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lariat"))
            .args(["serve", "--listen", "127.0.0.1:0", "--project"])
            .arg(project)
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.unwrap_or_default() {
            said.push_str(&line);
            said.push('\n');
            if let Some(url) = line.strip_prefix("listening on ") {
                let url = url.trim().to_owned();
                // Somebody must read on, or the server stops when it talks.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self {
                    child,
                    url,
                    client: client(),
                });
            }
        }
        let status = child.wait().await.unwrap();
        Err(format!("it ended with {status} and said:\n{said}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("the server runs");
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Whether it ended in time.
    pub(crate) async fn wait(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.child.wait())
            .await
            .is_ok()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        let answer = answer.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        answer.json().await.ok()
    }

    pub(crate) async fn only_job(&self, event: &str) -> String {
        let list = self.get(&format!("/api/v1/jobs?event={event}")).await;
        let list = list.expect("the list of jobs");
        list["items"][0]["id"].as_str().expect("a job").to_owned()
    }

    pub(crate) async fn wait_for_job(&self, job: &str, state: &str, patience: Duration) {
        let start = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let mut last = Value::Null;
        while start.elapsed() < patience {
            tick.tick().await;
            if let Some(found) = self.get(&format!("/api/v1/jobs/{job}")).await {
                if found["state"] == state {
                    return;
                }
                last = found;
            }
        }
        panic!("job {job} did not become {state}: {last:#}");
    }

    /// Every job there is, oldest first, once all have ended.
    pub(crate) async fn all_jobs_ended(&self, patience: Duration) -> Vec<Value> {
        let start = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tick.tick().await;
            let jobs = self.all_jobs().await;
            let open = jobs.iter().filter(|job| job["finished"].is_null()).count();
            if open == 0 || start.elapsed() > patience {
                return jobs;
            }
        }
    }

    async fn all_jobs(&self) -> Vec<Value> {
        let mut jobs = Vec::new();
        let mut path = "/api/v1/jobs?limit=500&since=30d".to_owned();
        loop {
            let page = self.get(&path).await.expect("a page of jobs");
            jobs.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next"].as_str() {
                Some(next) => path = format!("/api/v1/jobs?limit=500&since=30d&cursor={next}"),
                None => break,
            }
        }
        jobs.reverse();
        jobs
    }
}
