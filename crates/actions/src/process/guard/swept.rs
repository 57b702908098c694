//! What is left of a step of another user when its guard was killed or stopped:
//! only a guard of that user can see it, and end it.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    identity::{Identity, acting},
    private,
};
use crate::process::{
    orphans::end_orphans,
    protocol::{Report, Sweep, User},
};

pub(super) fn sweep(sweep: &Sweep) -> Report {
    let identity = match Identity::of(Some(&sweep.user)) {
        Ok(identity) => identity,
        Err(reason) => return Report::Unstartable { reason },
    };
    let orphans = end_orphans(std::slice::from_ref(&sweep.directory), sweep.session);
    if orphans.left == 0 {
        // Nobody minds a directory that stays, who is not there.
        acting(identity.as_ref(), || private::remove(&sweep.directory)).ok();
    }
    Report::Swept {
        found: orphans.found,
        left: orphans.left,
    }
}

/// Lets a stopped guard go on.
pub(super) fn wake(user: &User, guard: i32) -> Report {
    match Identity::of(Some(user)) {
        Ok(_) => {
            // It may have ended meanwhile.
            kill(Pid::from_raw(guard), Signal::SIGCONT).ok();
            Report::Done { killed: false }
        }
        Err(reason) => Report::Unstartable { reason },
    }
}
