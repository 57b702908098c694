//! Who descends from whom, read from `/proc`.
//!
//! A single look is never the truth: processes fork while we read. Callers
//! look again until nobody is left.

use std::{
    collections::{HashMap, HashSet},
    io::Read,
    os::unix::fs::MetadataExt,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// One line of the table of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// It has ended and waits to be reaped.
    pub(super) is_dead: bool,
}

/// All processes that can be seen now.
pub(super) fn processes() -> Vec<Process> {
    let Ok(entries) = fs_err::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // Whoever ended since is simply not there any more.
        if let Some(process) = stat(pid) {
            found.push(process);
        }
    }
    found
}

fn stat(pid: i32) -> Option<Process> {
    let mut text = Vec::with_capacity(512);
    fs_err::File::open(format!("/proc/{pid}/stat"))
        .ok()?
        .read_to_end(&mut text)
        .ok()?;
    parse_stat(pid, &text)
}

/// The name in parentheses may hold anything, parentheses included, so the
/// fields begin after the last one.
fn parse_stat(pid: i32, text: &[u8]) -> Option<Process> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        group,
        session,
        is_dead: matches!(state, "Z" | "X" | "x"),
    })
}

/// Everybody below `root` who is alive, at any depth.
pub(super) fn descendants(root: Pid) -> Vec<Pid> {
    descendants_in(&processes(), vec![root.as_raw()])
}

fn descendants_in(all: &[Process], roots: Vec<i32>) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut open = roots;
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).into_iter().flatten() {
            open.push(child.pid);
            if !child.is_dead {
                found.push(Pid::from_raw(child.pid));
            }
        }
    }
    found
}

/// The children of `parent` who are alive.
pub(super) fn children(parent: Pid) -> Vec<Pid> {
    processes()
        .into_iter()
        .filter(|process| process.parent == parent.as_raw() && !process.is_dead)
        .map(|process| Pid::from_raw(process.pid))
        .collect()
}

/// The process groups of everybody below `root`, that of `root` excepted: a
/// signal to a group reaches those of its members that are just being forked.
/// No group of ours has members of others, since the guard leads a session.
pub(super) fn groups_below(root: Pid) -> Vec<Pid> {
    let all = processes();
    let below: HashSet<i32> = descendants_in(&all, vec![root.as_raw()])
        .into_iter()
        .map(Pid::as_raw)
        .collect();
    let groups: HashSet<i32> = all
        .iter()
        .filter(|process| below.contains(&process.pid) && process.group != root.as_raw())
        .map(|process| process.group)
        .collect();
    groups.into_iter().map(Pid::from_raw).collect()
}

/// Everybody alive whom `is_ours` knows by a variable of the environment they
/// began with, or who is of the session, and everybody below them: what can
/// still be found when the guard that was their ancestor is gone.
pub(super) fn marked(session: Option<i32>, is_ours: impl Fn(&[u8]) -> bool) -> Vec<Pid> {
    let own = Pid::this().as_raw();
    let mut all = processes();
    // Neither we nor, through us, what we run.
    all.retain(|process| process.pid != own);
    let roots: Vec<i32> = all
        .iter()
        .filter(|process| session == Some(process.session) || has_variable(process.pid, &is_ours))
        .map(|process| process.pid)
        .collect();
    let living = all
        .iter()
        .filter(|process| roots.contains(&process.pid) && !process.is_dead)
        .map(|process| Pid::from_raw(process.pid));
    let mut found: HashSet<Pid> = living.collect();
    found.extend(descendants_in(&all, roots));
    found.into_iter().collect()
}

fn has_variable(pid: i32, is_ours: impl Fn(&[u8]) -> bool) -> bool {
    fs_err::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(is_ours))
}

/// The user that a process runs as. Absent: it is gone.
pub(super) fn owner(pid: Pid) -> Option<u32> {
    let found = fs_err::metadata(format!("/proc/{pid}")).ok()?;
    Some(found.uid())
}

/// Sends `signal` to each. Who is gone, or not ours to signal, is skipped.
pub(super) fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // The next look tells who is still there.
        kill(*pid, signal).ok();
    }
}

/// Kills each group as a whole.
pub(super) fn kill_groups(groups: &[Pid]) {
    for group in groups {
        killpg(*group, Signal::SIGKILL).ok();
    }
}

#[cfg(test)]
mod tests;
