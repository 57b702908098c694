//! The private directory of one running step: what it reads and writes beside
//! its pipes. Only its user may look into it, and it is gone when the step has
//! ended. What a dead process left behind is swept at start: its locks are
//! free. Where its guard was killed too, that includes processes.
//!
//! A step that runs as another user could not read what the service's has
//! written: what it needs is noted here, and its guard makes it. In the
//! directory of the service then lies nothing but who could end the step.

use std::{
    fs::{File, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, PermissionsExt},
    },
    path::{self, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fs_err::os::unix::fs::OpenOptionsExt;
use model::account::Account;
use nix::{
    fcntl::{Flock, FlockArg},
    unistd::geteuid,
};
use tempfile::TempDir;
use tracing::warn;
use uuid::Uuid;

use crate::{
    process::{self, Orphans, Private, PrivateFile, Remains},
    settings::ActionSettings,
};

const PREFIX: &str = "step-";
const LOCK: &str = ".lock";
/// How a step of another user is ended whose guard is gone.
const REMAINS: &str = "remains.json";

/// Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    dir: TempDir,
    /// What the guard makes, where the step is another user's.
    elsewhere: Option<Mutex<Private>>,
    /// Says that we live.
    _lock: Flock<File>,
}

impl RunDir {
    pub(crate) fn create(
        settings: &ActionSettings,
        account: Option<&Account>,
    ) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the step's private files: {error}");
        let mut made = Self::make(&settings.runtime_dir).map_err(failed)?;
        let Some(account) = account.filter(|account| account.user.uid != geteuid().as_raw()) else {
            return Ok(made);
        };
        let path = place_of(account);
        if let Some(remains) = Remains::of(Some(account), &path, settings)? {
            let json = serde_json::to_vec(&remains).map_err(|error| error.to_string())?;
            made.file(REMAINS, &json).map_err(failed)?;
        }
        made.elsewhere = Some(Mutex::new(Private {
            path,
            ..Private::default()
        }));
        Ok(made)
    }

    fn make(runtime_dir: &Path) -> io::Result<Self> {
        make_private(runtime_dir)?;
        // No sweep between the directory and its lock.
        let _guard = lock(&runtime_dir.join(LOCK), FlockArg::LockShared)?;
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(runtime_dir)?;
        let lock = lock(&dir.path().join(LOCK), FlockArg::LockExclusive)?;
        Ok(Self {
            dir,
            elsewhere: None,
            _lock: lock,
        })
    }

    /// What the guard has to make, if it has to.
    pub(crate) fn private(&self) -> Option<Private> {
        self.elsewhere.as_ref().map(|noted| held(noted).clone())
    }

    /// A new file that only the step's user may read.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        if let Some(noted) = &self.elsewhere {
            let mut noted = held(noted);
            noted.files.push(PrivateFile {
                name: name.to_owned(),
                base64: STANDARD.encode(bytes),
            });
            return Ok(noted.path.join(name));
        }
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
        if let Some(noted) = &self.elsewhere {
            let mut noted = held(noted);
            noted.directories.push(name.to_owned());
            return Ok(noted.path.join(name));
        }
        let path = self.dir.path().join(name);
        make_private(&path)?;
        Ok(path)
    }
}

/// Nothing that is done under this lock panics.
fn held(noted: &Mutex<Private>) -> MutexGuard<'_, Private> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the private directory of a step of this account is. Nobody has to
/// guess it: nobody else may look into the directory that it is in.
fn place_of(account: &Account) -> PathBuf {
    let mut name = Uuid::new_v4().simple().to_string();
    // Sockets lie below it, whose paths may not be long.
    name.truncate(16);
    PathBuf::from(format!("/tmp/lariat-{}", account.user.uid)).join(format!("{PREFIX}{name}"))
}

/// What a step wrote to its result descriptor. The file has no name: only who
/// is handed the descriptor can reach it.
#[derive(Debug)]
pub(crate) struct ResultFile(File);

/// The most that a step may say as its result.
pub(crate) const RESULT_MAX: u64 = 1024 * 1024;

impl ResultFile {
    pub(crate) fn create(settings: &ActionSettings) -> io::Result<Self> {
        tempfile::tempfile_in(&settings.runtime_dir).map(Self)
    }

    /// For the program.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.try_clone().map(OwnedFd::from)
    }

    /// `None` when it is longer than [`RESULT_MAX`].
    pub(crate) fn read(self) -> io::Result<Option<Vec<u8>>> {
        // The program has moved the place where both of us write.
        let mut file = self.0;
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        file.take(RESULT_MAX + 1).read_to_end(&mut bytes)?;
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
    let mut orphans = process::end_orphans(&dead, None);
    for dir in &dead {
        let found = end_elsewhere(dir)?;
        orphans.found += found.found;
        orphans.left += found.left;
    }
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

/// Ends what is left of a step of another user.
fn end_elsewhere(dir: &Path) -> io::Result<Orphans> {
    let json = match fs_err::read(dir.join(REMAINS)) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Orphans::default()),
        Err(error) => return Err(error),
    };
    let remains: Remains = serde_json::from_slice(&json)?;
    remains.end_now()
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
