//! Whether another user can read a file, by owners and modes.
//!
//! What this process may not look at itself is not judged: the private files
//! of an account are hidden from the service where all is well.

use std::{
    ffi::CString,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use model::account::SystemUser;
use nix::unistd::{Gid, getgrouplist};

const READ: u32 = 0o4;
const ENTER: u32 = 0o1;

/// What can be said about a user and a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Granted {
        by_everybody: bool,
    },
    Missing,
    /// This file or directory keeps the user out.
    Denied {
        at: PathBuf,
    },
    /// We may not look.
    Hidden,
}

/// Whether `user` can read the file at an absolute path.
pub(super) fn reading(path: &Path, user: &SystemUser) -> Reading {
    let real = match fs_err::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Reading::Hidden,
        Err(_) => return Reading::Missing,
    };
    let who = Who::new(user);
    let mut by_everybody = true;
    for at in real.ancestors() {
        let Ok(found) = fs_err::metadata(at) else {
            return Reading::Hidden;
        };
        let is_file = at == real;
        if is_file && !found.is_file() {
            return Reading::Missing;
        }
        let wanted = if is_file { READ } else { ENTER };
        if !who.may(&found, wanted) {
            return Reading::Denied { at: at.to_owned() };
        }
        by_everybody &= found.mode() & wanted != 0;
    }
    Reading::Granted { by_everybody }
}

/// A user with all of its groups.
struct Who {
    uid: u32,
    groups: Vec<Gid>,
}

impl Who {
    fn new(user: &SystemUser) -> Self {
        let gid = Gid::from_raw(user.gid);
        let groups = CString::new(user.name.as_str())
            .ok()
            .and_then(|name| getgrouplist(&name, gid).ok());
        Self {
            uid: user.uid,
            groups: groups.unwrap_or_else(|| vec![gid]),
        }
    }

    /// The first class that fits decides, as in the kernel.
    fn may(&self, found: &Metadata, wanted: u32) -> bool {
        let shift = if found.uid() == self.uid {
            6
        } else if self.groups.contains(&Gid::from_raw(found.gid())) {
            3
        } else {
            0
        };
        found.mode() >> shift & wanted == wanted
    }
}
