//! The private directory of one running step: what it reads and writes beside
//! its pipes. Only the service's user may look into it, and it is gone when
//! the step has ended. What a dead process left behind is swept at start: its
//! locks are free. Where its guard was killed too, that includes processes.

use std::{
    fs::{File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{self, Path, PathBuf},
};

use fs_err::os::unix::fs::OpenOptionsExt;
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;
use tracing::warn;

use crate::process;

const PREFIX: &str = "step-";
const LOCK: &str = ".lock";

/// Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    dir: TempDir,
    /// Says that we live.
    _lock: Flock<File>,
}

impl RunDir {
    pub(crate) fn create(runtime_dir: &Path) -> io::Result<Self> {
        make_private(runtime_dir)?;
        // No sweep between the directory and its lock.
        let _guard = lock(&runtime_dir.join(LOCK), FlockArg::LockShared)?;
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(runtime_dir)?;
        let lock = lock(&dir.path().join(LOCK), FlockArg::LockExclusive)?;
        Ok(Self { dir, _lock: lock })
    }

    /// A new file that only we may read.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?
            .write_all(bytes)?;
        Ok(path)
    }

    pub(crate) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.dir.path().join(name);
        make_private(&path)?;
        Ok(path)
    }
}

/// What a step wrote to its result descriptor.
#[derive(Debug)]
pub(crate) struct ResultFile {
    pub(crate) path: PathBuf,
    /// Opened before the step began: a link put in its place changes nothing.
    file: fs_err::File,
}

/// The most that a step may say as its result.
pub(crate) const RESULT_MAX: u64 = 1024 * 1024;

impl ResultFile {
    pub(crate) fn create(dir: &RunDir) -> io::Result<Self> {
        let path = dir.file("result", b"")?;
        let file = fs_err::File::open(&path)?;
        Ok(Self { path, file })
    }

    /// `None` when it is longer than [`RESULT_MAX`].
    pub(crate) fn read(self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.file.take(RESULT_MAX + 1).read_to_end(&mut bytes)?;
        let is_short = u64::try_from(bytes.len()).is_ok_and(|len| len <= RESULT_MAX);
        Ok(is_short.then_some(bytes))
    }
}

/// Ends what still runs of steps whose process is gone, and removes their
/// directories. For the owner of the store only, before it runs anything.
pub fn sweep(runtime_dir: &Path) {
    let swept = path::absolute(runtime_dir).and_then(|dir| try_sweep(&dir));
    if let Err(error) = swept {
        warn!(%error, "what earlier steps left could not be removed");
    }
}

fn try_sweep(runtime_dir: &Path) -> io::Result<()> {
    make_private(runtime_dir)?;
    let _guard = lock(&runtime_dir.join(LOCK), FlockArg::LockExclusive)?;
    let mut dead = Vec::new();
    for entry in fs_err::read_dir(runtime_dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let is_dead = match lock(&entry.path().join(LOCK), FlockArg::LockExclusiveNonblock) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        if is_dead {
            dead.push(entry.path());
        }
    }
    let orphans = process::end_orphans(&dead);
    if orphans.left > 0 {
        return Err(io::Error::other(format!(
            "{} processes of earlier steps cannot be ended",
            orphans.left
        )));
    }
    if orphans.found > 0 {
        warn!(
            processes = orphans.found,
            "processes of earlier steps, whose guards were killed, were ended"
        );
    }
    for dir in dead {
        fs_err::remove_dir_all(dir)?;
    }
    Ok(())
}

fn make_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot create the directory `{}`: {error}", path.display()),
            )
        })
}

fn lock(path: &Path, how: FlockArg) -> io::Result<Flock<File>> {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    Flock::lock(file.into_file(), how).map_err(|(_, errno)| errno.into())
}

#[cfg(test)]
mod tests;
