//! How many files this process may have open: each connection is one.
//!
//! Systems start a process with a low limit that it may raise itself, since
//! old programs cannot deal with more.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What is open beside connections: the store, links, processes.
const OTHERS: u64 = 512;

/// Raises the limit to what so many connections need, as far as it may be.
pub(super) fn allow_connections(connections: usize) {
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS);
    let (now, most) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::debug!("cannot read the limit of open files: {error}");
            return;
        }
    };
    if now >= wanted {
        return;
    }
    let raised = wanted.min(most);
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, raised, most) {
        tracing::warn!("cannot raise the limit of open files to {raised}: {error}");
    } else if raised < wanted {
        tracing::warn!(
            "only {raised} files may be open at once, {wanted} would be needed for \
             `limits.streams` and all other connections"
        );
    }
}
