//! Resident memory of a server, as the kernel counts it: idle, and while a
//! million events pass.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    RULES,
    amqp::Link,
    broker::{Broker, KIND},
    client::Client,
    print_row,
    server::{self, Server, Spec},
};

/// Events that pass, and how many of them before memory is looked at first.
const EVENTS: usize = 1_000_000;
const EARLY: usize = 100_000;

/// Messages that are published at once. At most twice as many wait.
const SLICE: usize = 25_000;

/// How long a slice may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What `smaps_rollup` and `status` say, in MiB.
pub(crate) fn memory() -> Result<()> {
    let project = server::project(1, 0)?;
    let server = Server::start(&project)?;
    let mut client = Client::connect(&server.address)?;
    client.get("/healthz/ready")?;
    let fresh = resident(server.pid())?;
    for number in 0..2_000 {
        client.post(
            "/api/v1/events",
            &server::event(&format!("memory-{number}")),
        )?;
    }
    let used = resident(server.pid())?;
    print_row(
        "memory, idle",
        "≤ 25 MiB",
        &format!("{fresh:.1} MiB"),
        &format!("resident after start; {used:.1} MiB after 2,000 events"),
    );
    Ok(())
}

/// A million events out of a queue that is filled while it is consumed. Nearly
/// all rules look at each, and one event in a thousand makes jobs, which end at
/// once.
pub(crate) fn under_load() -> Result<()> {
    let mut broker = Broker::start()?;
    let project = server::project_of(&Spec {
        rules: RULES,
        about_it: 10,
        also: " and event.body.sample == 0",
        command: "\"true\"",
        config: &broker.config(),
    })?;
    let server = Server::start(&project)?;
    let mut client = Client::connect(&server.address)?;
    let mut early = 0.0;
    let start = Instant::now();
    for sent in (0..EVENTS).step_by(SLICE) {
        settled(&mut client, sent.saturating_sub(SLICE))?;
        if sent == EARLY + SLICE {
            early = resident(server.pid())?;
        }
        broker.fill(SLICE)?;
    }
    settled(&mut client, EVENTS)?;
    broker.await_empty()?;
    let took = start.elapsed();
    let late = resident(server.pid())?;
    let status: Value = serde_json::from_str(&client.get("/api/v1/status")?)?;
    let store = &status["store"];
    if store["accepted_events"].as_u64() != u64::try_from(EVENTS).ok() {
        bail!("the store accepted {} events", store["accepted_events"]);
    }
    let size = store["size_bytes"]
        .as_f64()
        .context("no store.size_bytes")?;
    print_row(
        &format!("memory, 1,000,000 events ({KIND})"),
        "≤ +20 %",
        &format!("{:+.0} %", (late / early - 1.0) * 100.0),
        &format!(
            "{early:.1} MiB after the first 100,000, {late:.1} MiB at the end; store {:.0} MiB, {:.0} s",
            size / f64::from(1 << 20),
            took.as_secs_f64()
        ),
    );
    Ok(())
}

/// Waits until so many messages are settled.
fn settled(client: &mut Client, count: usize) -> Result<()> {
    let start = Instant::now();
    while Link::read(client)?.settled() < count {
        if start.elapsed() > PATIENCE {
            bail!("{count} messages are not settled after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

pub(super) fn resident(pid: u32) -> Result<f64> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .context("no VmRSS")?
        .trim()
        .parse()?;
    Ok(kib / 1024.0)
}
