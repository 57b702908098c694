//! `cargo xtask bench`: figures as ratios, both sides measured in one run.
//!
//! Absolute times of a shared machine say little; each row pairs Lariat with
//! the bare limit, alternating, and prints the median of the ratios.

mod amqp;
mod broker;
mod client;
mod matching;
mod memory;
mod playbook;
mod server;
mod streams;

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::{run_with, target};
use client::Client;
use server::Server;

const ROWS: [&str; 9] = [
    "intake",
    "group-commit",
    "amqp",
    "amqp-memory",
    "memory",
    "streams",
    "start",
    "match",
    "playbook",
];

/// Rules of the project that is measured, and how many fire for an event.
const RULES: usize = 1_000;
const FIRING: usize = 10;

/// Arrays of events that one round sends, and events in an array.
const ARRAYS: usize = 100;
const EVENTS: usize = 100;
const ROUNDS: usize = 5;

pub(crate) fn bench(rows: &[String]) -> Result<()> {
    for row in rows {
        if !ROWS.contains(&row.as_str()) {
            bail!("no row `{row}`; there are {}", ROWS.join(", "));
        }
    }
    let wanted = |row: &str| rows.is_empty() || rows.iter().any(|name| name == row);
    println!("building in release mode");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--quiet"]);
    if rows != ["match"] {
        build.args(["--bin", "lariat", "--example", "bare_insert"]);
    }
    if wanted("match") {
        build.arg("--example=matching");
    }
    if wanted("amqp") || wanted("amqp-memory") {
        build.args(broker::EXAMPLES.map(|name| format!("--example={name}")));
    }
    run_with(&mut build)?;
    println!("{:<34} {:>10} {:>10}  measured", "row", "goal", "here");
    if wanted("intake") {
        intake()?;
    }
    if wanted("group-commit") {
        group_commit()?;
    }
    if wanted("amqp") {
        amqp::intake()?;
    }
    if wanted("amqp-memory") {
        memory::under_load()?;
    }
    if wanted("memory") {
        memory::memory()?;
    }
    if wanted("streams") {
        streams::streams()?;
    }
    if wanted("start") {
        start()?;
    }
    if wanted("match") {
        matching::matching()?;
    }
    if wanted("playbook") {
        playbook::playbook()?;
    }
    Ok(())
}

fn print_row(name: &str, goal: &str, here: &str, measured: &str) {
    println!("{name:<34} {goal:>10} {here:>10}  {measured}");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Events per second through HTTP against rows per second through bare sqlx:
/// the same events, verdicts and jobs in the same transactions.
fn intake() -> Result<()> {
    let project = server::project(RULES, FIRING)?;
    let server = Server::start(&project)?;
    let mut client = Client::connect(&server.address)?;
    let mut ratios = Vec::new();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let sent = send_arrays(&mut client, round)?;
        let floor = bare_insert([ARRAYS, EVENTS, FIRING])?;
        // The first round warms both sides up.
        if round > 0 {
            ratios.push(sent / floor);
            ours.push(sent);
            bare.push(floor);
        }
    }
    let measured = format!(
        "{:.0} events/s over HTTP, {:.0} events/s bare sqlx; {RULES} rules, {FIRING} fire; ratios {}",
        median(&mut ours),
        median(&mut bare),
        spread(&mut ratios),
    );
    print_row(
        "HTTP intake, arrays of 100",
        "≥ 0.5",
        &format!("{:.2}", median(&mut ratios)),
        &measured,
    );
    Ok(())
}

fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    match (values.first(), values.last()) {
        (Some(least), Some(most)) => format!("{least:.2} to {most:.2}"),
        (None, _) | (_, None) => "none".to_owned(),
    }
}

fn send_arrays(client: &mut Client, round: usize) -> Result<f64> {
    let bodies: Vec<String> = (0..ARRAYS)
        .map(|array| {
            let events: Vec<String> = (0..EVENTS)
                .map(|event| server::event(&format!("bench-{round}-{array}-{event}")))
                .collect();
            format!("[{}]", events.join(","))
        })
        .collect();
    let start = std::time::Instant::now();
    for body in &bodies {
        client.post("/api/v1/events", body)?;
    }
    let count = u32::try_from(ARRAYS * EVENTS).context("count")?;
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// Events per second of the bare loop, from the store's own example: so many
/// transactions, events in each, and jobs for each event.
fn bare_insert(numbers: [usize; 3]) -> Result<f64> {
    let dir = tempfile::tempdir_in(target())?;
    let output = Command::new(target().join("release/examples/bare_insert"))
        .arg(dir.path().join("bare.db"))
        .args(numbers.map(|number| number.to_string()))
        .output()
        .context("cannot start the bare loop")?;
    if !output.status.success() {
        bail!(
            "the bare loop failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim()
        .parse()
        .with_context(|| format!("the bare loop printed {text:?}"))
}

/// Events per accepting transaction with 64 clients that send one at a time.
fn group_commit() -> Result<()> {
    const CLIENTS: usize = 64;
    const EACH: usize = 50;
    let project = server::project(RULES, 0)?;
    let server = Server::start(&project)?;
    let before = commits(&server)?;
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let address = server.address.clone();
                scope.spawn(move || -> Result<()> {
                    let mut client = Client::connect(&address)?;
                    for event in 0..EACH {
                        let body = server::event(&format!("group-{number}-{event}"));
                        client.post("/api/v1/events", &body)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(())
    })?;
    let after = commits(&server)?;
    let (commits, events) = (after.0 - before.0, after.1 - before.1);
    print_row(
        "group commit, 64 clients",
        "≥ 16",
        &format!("{:.1}", events / commits),
        &format!("{events:.0} events in {commits:.0} commits"),
    );
    Ok(())
}

fn commits(server: &Server) -> Result<(f64, f64)> {
    let status = Client::connect(&server.address)?.get("/api/v1/status")?;
    let status: Value = serde_json::from_str(&status)?;
    let number = |key: &str| {
        status["store"][key]
            .as_f64()
            .with_context(|| format!("status has no store.{key}"))
    };
    Ok((number("accept_commits")?, number("accepted_events")?))
}

/// From the start of the process to a `ready` answer.
fn start() -> Result<()> {
    let project = server::project(1, 0)?;
    let mut times = Vec::new();
    for _ in 0..=ROUNDS {
        let begin = std::time::Instant::now();
        let server = Server::start(&project)?;
        Client::connect(&server.address)?.get("/healthz/ready")?;
        times.push(begin.elapsed());
        drop(server);
    }
    let mut millis: Vec<f64> = times
        .iter()
        .skip(1)
        .map(|time| Duration::as_secs_f64(time) * 1_000.0)
        .collect();
    print_row(
        "start to ready",
        "≤ 100 ms",
        &format!("{:.0} ms", median(&mut millis)),
        &format!(
            "median of {ROUNDS}, existing store, 1 rule; {} ms",
            spread(&mut millis)
        ),
    );
    Ok(())
}
