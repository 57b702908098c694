//! Starting playbooks: from an event until the first task runs, how many a
//! second, how much memory 25 of them take, and what a large directory beside
//! them costs. The same playbook, Ansible and Python for Lariat, for
//! `ansible-playbook` itself, and for ansible-rulebook where it can be
//! installed.

mod peer;
mod processes;

use std::{
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use self::peer::Rulebook;
use super::{client::Client, print_row, server::Server};
use crate::{run::target, services};

/// Says when its only task ran.
const TRIVIAL: &str = "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n    \
    - debug:\n        msg: \"AT {{ now(fmt='%s.%f') }}\"\n";
/// Runs as long as anybody wants to look at it.
const LASTING: &str = "- hosts: localhost\n  connection: local\n  gather_facts: false\n  \
    vars: {ansible_python_interpreter: '{{ ansible_playbook_python }}'}\n  tasks:\n    \
    - command: sleep 7654\n";
const SLEEP: &[u8] = b"sleep\x007654\x00";

const PLAYBOOK: &str = "bench.yml";

const STARTS: usize = 40;
const MANY: usize = 80;
const AT_ONCE: usize = 25;
/// Bytes beside the playbook, in files of a MiB.
const BESIDE: usize = 130;
const STARTS_BESIDE: usize = 15;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn playbook() -> Result<()> {
    let peer = peer::provide();
    let program = match &peer {
        Ok(peer) => peer.ansible_playbook(),
        Err(_) => services::any_ansible()?,
    };
    let why = peer.as_ref().err().map(|error| format!("{error:#}"));
    if let Some(why) = &why {
        println!("ansible-rulebook is not measured: {why}");
    }
    let peer = peer.as_ref().ok();
    starts(&program, peer)?;
    throughput(&program, peer)?;
    memory(&program, peer)?;
    beside(&program, peer)
}

/// A service whose only rule runs the playbook, with a fork server that is
/// ready.
struct Service {
    server: Server,
    client: Client,
    _project: TempDir,
    count: usize,
}

impl Service {
    fn start(program: &Path, text: &str, concurrency: usize) -> Result<Self> {
        let project = tempfile::tempdir_in(target())?;
        Self::start_in(project, program, (text, concurrency))
    }

    fn start_in(
        project: TempDir,
        program: &Path,
        (text, concurrency): (&str, usize),
    ) -> Result<Self> {
        let at = project.path();
        let config = format!(
            "store: sqlite:lariat.db\nworkers: {{concurrency: {concurrency}}}\n\
             ansible: {{playbook_command: {}}}\n",
            program.display()
        );
        fs_err::write(at.join("lariat.yml"), config)?;
        fs_err::create_dir_all(at.join("rules"))?;
        let rules = format!(
            "rules:\n  - name: bench\n    on: org.example.bench\n    \
             run: {{playbook: {PLAYBOOK}, inventory: 'localhost,'}}\n"
        );
        fs_err::write(at.join("rules/bench.yml"), rules)?;
        fs_err::write(at.join(PLAYBOOK), TRIVIAL)?;
        let server = Server::start(&project)?;
        let client = Client::connect(&server.address)?;
        let mut service = Self {
            server,
            client,
            _project: project,
            count: 0,
        };
        service.send(1)?;
        service.until_ended(1)?;
        service.until_ready()?;
        fs_err::write(service._project.path().join(PLAYBOOK), text)?;
        Ok(service)
    }

    /// Sends so many events at once; returns the id of the last.
    fn send(&mut self, count: usize) -> Result<String> {
        let mut id = String::new();
        let events: Vec<String> = (0..count)
            .map(|_| {
                self.count += 1;
                id = format!("bench-{}", self.count);
                format!(r#"{{"id":"{id}","topic":"org.example.bench","body":{{}}}}"#)
            })
            .collect();
        self.client
            .post("/api/v1/events", &format!("[{}]", events.join(",")))?;
        Ok(id)
    }

    fn status(&mut self) -> Result<Value> {
        Ok(serde_json::from_str(&self.client.get("/api/v1/status")?)?)
    }

    fn until_ready(&mut self) -> Result<()> {
        wait("a fork server that is ready", || {
            let status = self.status()?;
            let server = &status["playbooks"]["servers"][0];
            if server["state"] == "cold" {
                bail!("playbooks start cold: {}", server["reason"]);
            }
            Ok(server["state"] == "ready")
        })
    }

    fn until_ended(&mut self, count: usize) -> Result<()> {
        let count = u64::try_from(count)?;
        wait("the end of the jobs", || {
            let status = self.status()?;
            let jobs = &status["store"]["jobs"];
            if jobs["failed"].as_u64().unwrap_or(0) > 0 {
                bail!("a playbook failed");
            }
            Ok(jobs["succeeded"].as_u64().unwrap_or(0) >= count)
        })
    }

    /// Seconds from sending an event until its playbook's task ran.
    fn start_one(&mut self) -> Result<f64> {
        let begun = now()?;
        let event = self.send(1)?;
        self.until_ended(self.count)?;
        let jobs = self.client.get(&format!("/api/v1/jobs?event={event}"))?;
        let jobs: Value = serde_json::from_str(&jobs)?;
        let job = jobs["items"][0]["id"].as_str().context("no job")?;
        let output = self.client.get(&format!("/api/v1/jobs/{job}/output"))?;
        Ok(moment(&output)? - begun)
    }

    /// Playbooks that did not come from the fork server.
    fn cold(&mut self) -> Result<u64> {
        let status = self.status()?;
        let cold = status["playbooks"]["started_cold"].as_u64();
        // The one before it was ready.
        Ok(cold.context("no playbooks.started_cold")?.saturating_sub(1))
    }
}

fn wait(name: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > PATIENCE {
            bail!("{name} did not come within {PATIENCE:?}");
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn now() -> Result<f64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.as_secs_f64())
}

/// When the task ran, as the last of them says.
fn moment(output: &str) -> Result<f64> {
    let (_, rest) = output
        .rsplit_once("AT ")
        .with_context(|| format!("the playbook did not say when it ran: {output}"))?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    let number = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    Ok(number.parse()?)
}

/// `ansible-playbook` by itself.
fn start_cold(program: &Path, directory: &Path) -> Result<f64> {
    let begun = now()?;
    let output = Command::new(program)
        .args(["--inventory=localhost,", PLAYBOOK])
        .current_dir(directory)
        .env("ANSIBLE_NOCOLOR", "1")
        .output()
        .context("cannot start ansible-playbook")?;
    Ok(moment(&String::from_utf8_lossy(&output.stdout))? - begun)
}

/// Milliseconds of which so many hundredths are less.
fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last * percent).div_ceil(100);
    values.get(at).copied().unwrap_or(f64::NAN) * 1_000.0
}

fn shown(values: &mut [f64]) -> String {
    let (half, most) = (quantile(values, 50), quantile(values, 99));
    format!("p50 {half:.0} ms, p99 {most:.0} ms")
}

fn fraction(part: f64) -> String {
    format!("1/{:.1}", 1.0 / part)
}

/// One after the other, all sides in turn.
fn starts(program: &Path, peer: Option<&Rulebook>) -> Result<()> {
    let mut service = Service::start(program, TRIVIAL, 2)?;
    let directory = tempfile::tempdir_in(target())?;
    fs_err::write(directory.path().join(PLAYBOOK), TRIVIAL)?;
    let mut running = peer.map(|peer| peer.start(TRIVIAL, &[])).transpose()?;
    let (mut warm, mut cold, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=STARTS {
        let ours = service.start_one()?;
        let alone = start_cold(program, directory.path())?;
        let other = running.as_mut().map(|peer| peer.start_one()).transpose()?;
        // The first round warms all sides up.
        if round > 0 {
            warm.push(ours);
            cold.push(alone);
            theirs.extend(other);
        }
    }
    let name = "event → first task";
    let against =
        |values: &mut [f64], ours: &mut [f64]| fraction(quantile(ours, 50) / quantile(values, 50));
    print_row(
        &format!("{name}, against cold"),
        "≤ 1/5",
        &against(&mut cold, &mut warm),
        &format!(
            "warm {}; `ansible-playbook` {}; {} of {STARTS} not warm",
            shown(&mut warm),
            shown(&mut cold),
            service.cold()?
        ),
    );
    match peer {
        Some(peer) => print_row(
            &format!("{name}, against rulebook"),
            "≤ 1/8",
            &against(&mut theirs, &mut warm),
            &format!("{} {}", peer.version, shown(&mut theirs)),
        ),
        None => not_measured(&format!("{name}, against rulebook"), "≤ 1/8"),
    }
    Ok(())
}

fn not_measured(name: &str, goal: &str) {
    print_row(name, goal, "-", "ansible-rulebook is not installed");
}

fn per_second(count: usize, took: Duration) -> Result<f64> {
    Ok(f64::from(u32::try_from(count)?) / took.as_secs_f64())
}

/// As many as there is to do, until all have ended.
fn throughput(program: &Path, peer: Option<&Rulebook>) -> Result<()> {
    let name = "trivial playbooks a second";
    let mut service = Service::start(program, TRIVIAL, 4)?;
    let start = Instant::now();
    service.send(MANY)?;
    service.until_ended(service.count)?;
    let ours = per_second(MANY, start.elapsed())?;
    drop(service);
    let Some(peer) = peer else {
        println!("{name}: {ours:.1}");
        not_measured(name, "≥ 5");
        return Ok(());
    };
    let mut running = peer.start(TRIVIAL, &["--execution-strategy", "parallel"])?;
    running.start_one()?;
    let start = Instant::now();
    running.send(AT_ONCE)?;
    running.until_ended(AT_ONCE + 1)?;
    let theirs = per_second(AT_ONCE, start.elapsed())?;
    print_row(
        name,
        "≥ 5",
        &format!("{:.1}", ours / theirs),
        &format!(
            "{ours:.1}/s of {MANY}, 4 jobs at once; {} in parallel {theirs:.1}/s of {AT_ONCE}",
            peer.version
        ),
    );
    Ok(())
}

/// What the kernel says of each process's share, summed up over the service
/// and everything below it.
fn memory(program: &Path, peer: Option<&Rulebook>) -> Result<()> {
    let name = "memory, 25 playbooks at once";
    let mut service = Service::start(program, LASTING, AT_ONCE)?;
    service.send(AT_ONCE)?;
    let ours = processes::share_of_all(service.server.pid(), AT_ONCE)?;
    let cold = service.cold()?;
    drop(service);
    let Some(peer) = peer else {
        println!("{name}: {ours:.0} MiB");
        not_measured(name, "≤ 1/3");
        return Ok(());
    };
    let mut running = peer.start(LASTING, &["--execution-strategy", "parallel"])?;
    running.send(AT_ONCE)?;
    let theirs = processes::share_of_all(running.pid(), AT_ONCE)?;
    print_row(
        name,
        "≤ 1/3",
        &fraction(ours / theirs),
        &format!(
            "PSS {ours:.0} MiB, {cold} of them not warm; {} {theirs:.0} MiB",
            peer.version
        ),
    );
    Ok(())
}

/// A project with much beside its playbook.
fn beside(program: &Path, peer: Option<&Rulebook>) -> Result<()> {
    let large = tempfile::tempdir_in(target())?;
    fill(large.path())?;
    let mut with = Service::start_in(large, program, (TRIVIAL, 2))?;
    let mut without = Service::start(program, TRIVIAL, 2)?;
    let (mut more, mut less) = (Vec::new(), Vec::new());
    for _ in 0..STARTS_BESIDE {
        more.push(with.start_one()?);
        less.push(without.start_one()?);
    }
    drop((with, without));
    let mut theirs = "not installed".to_owned();
    if let Some(peer) = peer {
        let mut running = peer.start(TRIVIAL, &[])?;
        // The first one warms it up.
        running.start_one()?;
        let small = running.start_one()?;
        fill(running.directory())?;
        let large = running.start_one()?;
        theirs = format!("{} {small:.1} s and {large:.1} s", peer.version);
    }
    print_row(
        "130 MB beside the playbook",
        "≤ 1.1",
        &format!("{:.2}", quantile(&mut more, 50) / quantile(&mut less, 50)),
        &format!(
            "first task with {}; without {}; ansible-rulebook: {theirs}",
            shown(&mut more),
            shown(&mut less)
        ),
    );
    Ok(())
}

fn fill(directory: &Path) -> Result<()> {
    let mebibyte = vec![b'x'; 1 << 20];
    let beside = directory.join("beside");
    fs_err::create_dir_all(&beside)?;
    for number in 0..BESIDE {
        fs_err::write(beside.join(format!("file-{number}")), &mebibyte)?;
    }
    Ok(())
}
