//! What is left of a step of another user when its guard was killed: only a
//! guard of that user can see it, and end it.

use super::{
    identity::{Identity, acting},
    private,
};
use crate::process::{
    orphans::end_orphans,
    protocol::{Report, Sweep},
};

pub(super) fn sweep(sweep: &Sweep) -> Report {
    let identity = match Identity::of(Some(&sweep.user)) {
        Ok(identity) => identity,
        Err(reason) => return Report::Unstartable { reason },
    };
    let orphans = end_orphans(std::slice::from_ref(&sweep.directory));
    if orphans.left == 0 {
        // Nobody minds a directory that stays, who is not there.
        acting(identity.as_ref(), || private::remove(&sweep.directory)).ok();
    }
    Report::Swept {
        found: orphans.found,
        left: orphans.left,
    }
}
