//! What is left of steps when worker and guard were killed together: nobody
//! was there to see to it. Their private directories are left too, and every
//! process of a step began with the path of its event file, so they are found.

use std::{
    collections::HashSet,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::tree;

/// The variable that names a file in the private directory of a step.
const EVENT_FILE: &[u8] = b"LARIAT_EVENT_FILE=";
/// Longest wait for those who were killed to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills everything of the steps that these directories were made for, and of
/// the session, and waits for it. Says how many there were, and how many are
/// still there.
pub(crate) fn end_orphans(run_dirs: &[PathBuf], session: Option<i32>) -> Orphans {
    let mut orphans = Orphans::default();
    if run_dirs.is_empty() {
        return orphans;
    }
    let dirs: HashSet<&[u8]> = run_dirs
        .iter()
        .map(|dir| dir.as_os_str().as_bytes())
        .collect();
    let is_ours = |variable: &[u8]| {
        let file = variable.strip_prefix(EVENT_FILE).unwrap_or_default();
        let end = file.iter().rposition(|byte| *byte == b'/');
        end.and_then(|end| file.get(..end))
            .is_some_and(|dir| dirs.contains(dir))
    };
    let until = Instant::now() + PATIENCE;
    // Who is just starting another program shows no environment: one look at
    // which nobody is there does not count.
    let mut was_empty = false;
    loop {
        let left = tree::marked(session, is_ours);
        orphans.found = orphans.found.max(left.len());
        orphans.left = left.len();
        if (left.is_empty() && was_empty) || Instant::now() >= until {
            return orphans;
        }
        was_empty = left.is_empty();
        tree::signal_all(&left, Signal::SIGKILL);
        pause();
    }
}

/// Nobody tells us when somebody ends who is not our child.
#[expect(
    clippy::disallowed_methods,
    reason = "a process that is not our child can only be looked for again"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// How many processes there were that nobody watched.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orphans {
    pub(crate) found: usize,
    /// Not ours to kill, or not dead yet.
    pub(crate) left: usize,
}
