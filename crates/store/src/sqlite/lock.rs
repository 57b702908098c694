//! Who owns a store, and who of an earlier owner still lives.
//!
//! `<store>.lock` is held exclusively by the one process that serves the
//! store and says which that is. The database is locked beside it, because it
//! may have a second name and the file beside it can be removed by hand.
//! `<store>.guards` is held shared by every
//! guard of a running step until all its descendants are dead: whoever gets
//! it exclusively knows that nothing of an earlier owner runs any more.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::{OpenError, failure::Failure};

/// How often a lock that others hold is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a lock of a process that has just died may linger.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Longest text of an owner that is read back.
const OWNER_MAX: u64 = 4096;

/// Held as long as this process serves the store.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    _beside: Flock<File>,
    /// SQLite's own locks are of another kind. They end with any descriptor
    /// of the file that is closed, so this one is closed after SQLite's.
    _database: Flock<File>,
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
    /// that is waited for. `database` is the file at `store`.
    pub(crate) async fn take(store: &Path, database: File, owner: &str) -> Result<Self, OpenError> {
        let owned = |by: String| OpenError::Owned {
            path: store.to_owned(),
            by,
        };
        let path = beside(store, ".lock");
        let mut beside = match exclusively(&path, open(&path)?, LETTING_GO).await? {
            Held::Mine(file) => file,
            Held::ByOthers(file) => return Err(owned(owner_of(&file))),
        };
        let database = match exclusively(store, database, LETTING_GO).await? {
            Held::Mine(file) => file,
            Held::ByOthers(file) => return Err(owned(holder_of(&file))),
        };
        write_owner(&mut beside, owner).map_err(|source| OpenError::of_file(&path, source))?;
        Ok(Self {
            _beside: beside,
            _database: database,
        })
    }
}

/// The file that a process owns, and where it was found.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Home {
    pub(crate) fn of(path: &Path, database: &File) -> io::Result<Self> {
        let metadata = database.metadata()?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// The database still has its name. Without one it ends with this
    /// process, and whatever is written to it.
    pub(crate) fn has_database(&self) -> Result<(), Failure> {
        let Some(found) = find(&self.path)? else {
            return Ok(());
        };
        if (found.dev(), found.ino()) == (self.device, self.inode) {
            return Ok(());
        }
        let path = self.path.display();
        Err(Failure::Broken(format!(
            "another file has taken the place of `{path}`"
        )))
    }

    /// As [`Home::has_database`], and the log that the last commit is in.
    pub(crate) fn has_everything(&self) -> Result<(), Failure> {
        self.has_database()?;
        find(&beside(&self.path, "-wal")).map(drop)
    }
}

/// `None` when it cannot be told.
fn find(path: &Path) -> Result<Option<std::fs::Metadata>, Failure> {
    match fs_err::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::Broken(error.to_string()))
        }
        Err(_) => Ok(None),
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

/// Who holds a lock on a file, as far as the kernel tells.
fn holder_of(file: &File) -> String {
    let unknown = || "another process".to_owned();
    let Ok(inode) = file.metadata().map(|it| it.ino()) else {
        return unknown();
    };
    let locks = fs_err::read_to_string("/proc/locks").unwrap_or_default();
    let pid = locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = *words else {
            return None;
        };
        let (_, found) = place.rsplit_once(':')?;
        (found.parse() == Ok(inode)).then_some(pid)
    });
    pid.map_or_else(unknown, |pid| format!("pid {pid}"))
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
