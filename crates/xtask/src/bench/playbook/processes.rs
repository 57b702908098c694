//! A process and everything below it.

use std::collections::HashMap;

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{SLEEP, wait};

/// The process first.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs_err::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// MiB of all together, when so many playbooks are in their task.
pub(super) fn share_of_all(root: u32, playbooks: usize) -> Result<f64> {
    wait("all playbooks", || {
        let asleep = tree(root)
            .into_iter()
            .filter(|pid| {
                fs_err::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == SLEEP)
            })
            .count();
        Ok(asleep >= playbooks)
    })?;
    let mut kib = 0.0;
    for pid in tree(root) {
        kib += share(pid).unwrap_or(0.0);
    }
    Ok(kib / 1024.0)
}

/// KiB; what is shared counts in parts.
fn share(pid: u32) -> Result<f64> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .context("no Pss")?;
    Ok(kib.trim().parse()?)
}

/// Kills everything below a process.
pub(super) fn end_all(root: u32) {
    for pid in tree(root).into_iter().skip(1) {
        if let Ok(pid) = i32::try_from(pid) {
            // Who has ended since needs no signal.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}
