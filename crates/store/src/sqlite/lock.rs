//! Who owns a store, and who of an earlier owner still lives.
//!
//! `<store>.lock` is held exclusively by the one process that serves the
//! store and says which that is. `<store>.guards` is held shared by every
//! guard of a running step until all its descendants are dead: whoever gets
//! it exclusively knows that nothing of an earlier owner runs any more.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::OpenError;

/// How often a lock that others hold is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a lock of a process that has just died may linger.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Longest text of an owner that is read back.
const OWNER_MAX: u64 = 4096;

/// Held as long as this process serves the store.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    _file: Flock<File>,
}

/// `store.db` → `store.db.lock`.
pub(crate) fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn open(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::of_file(path, source))
}

impl OwnerLock {
    /// Takes the lock, or says who has it. A child that a killed owner had
    /// just forked holds it for the moment until it executes its program:
    /// that is waited for.
    pub(crate) async fn take(store: &Path, owner: &str) -> Result<Self, OpenError> {
        let path = beside(store, ".lock");
        let mut file = match exclusively(&path, open(&path)?, LETTING_GO).await? {
            Held::Mine(file) => file,
            Held::ByOthers(file) => {
                return Err(OpenError::Owned {
                    path: store.to_owned(),
                    by: owner_of(&file),
                });
            }
        };
        write_owner(&mut file, owner).map_err(|source| OpenError::of_file(&path, source))?;
        Ok(Self { _file: file })
    }
}

fn write_owner(file: &mut File, owner: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(owner.as_bytes())
}

fn owner_of(file: &File) -> String {
    let mut text = Vec::new();
    match file.take(OWNER_MAX).read_to_end(&mut text) {
        Ok(_) if !text.is_empty() => String::from_utf8_lossy(&text).trim().to_owned(),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

/// Waits until nothing of an earlier owner runs, at most `patience`. Says
/// whether that is so. The lock is given back at once: what starts from now
/// on holds it shared.
pub(crate) async fn earlier_guards_are_gone(
    store: &Path,
    patience: Duration,
) -> Result<bool, OpenError> {
    let path = beside(store, ".guards");
    match exclusively(&path, open(&path)?, patience).await? {
        Held::Mine(_lock) => Ok(true),
        Held::ByOthers(_) => Ok(false),
    }
}

/// A lock file after it was tried for a while.
enum Held {
    Mine(Flock<File>),
    ByOthers(File),
}

/// Locks a file, waiting up to `patience` for those who hold it.
async fn exclusively(path: &Path, mut file: File, patience: Duration) -> Result<Held, OpenError> {
    let waited = tokio::time::sleep(patience);
    tokio::pin!(waited);
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Held::Mine(lock)),
            Err((file, Errno::EWOULDBLOCK)) => file,
            Err((_, errno)) => return Err(OpenError::of_file(path, errno.into())),
        };
        tokio::select! {
            () = &mut waited => return Ok(Held::ByOthers(file)),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
