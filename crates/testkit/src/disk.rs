//! A small file system of its own, for disks that are full or read-only.

use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::tools::lacking;

/// Two MiB in memory, mounted until it is dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, said on standard error, where tests may not mount; in CI they
    /// have to.
    pub fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        match set(dir.path(), MsFlags::empty()) {
            Ok(()) => Some(Self(dir)),
            Err(errno) => {
                lacking(&format!("a file system cannot be mounted here: {errno}"));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Nobody may have a file of it open for writing.
    pub fn make_read_only(&self) {
        set(self.path(), MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY).unwrap();
    }
}

fn set(path: &Path, flags: MsFlags) -> nix::Result<()> {
    let kind = Some("tmpfs");
    mount(kind, path, kind, flags, Some("size=2m"))
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.path(), MntFlags::MNT_DETACH).unwrap();
    }
}
