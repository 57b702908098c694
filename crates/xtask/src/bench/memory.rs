//! Resident memory of an idle server, as the kernel counts it.

use anyhow::{Context, Result};

use super::{client::Client, print_row, server, server::Server};

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

fn resident(pid: u32) -> Result<f64> {
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
