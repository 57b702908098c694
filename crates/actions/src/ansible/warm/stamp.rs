//! What a fork server holds in memory, as it stood on disk when it was read.
//!
//! A look at each file before a run costs less than a millisecond, and a
//! change is noticed before the run that it concerns. Nothing is looked at
//! that every run reads for itself: playbooks, roles, inventories.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// Collections, and files that a server names itself: far more than there are.
const MOST: usize = 4_000;

/// Files and directories, each as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Watched(Vec<(PathBuf, Look)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// It is not there, or not for us to see.
    Absent,
    /// Which file it is, when it was changed, and its size.
    Stat([i64; 6]),
    /// Small files are compared as a whole.
    Text([u8; 32]),
}

impl Watched {
    /// Adds files that are compared by when they were changed.
    pub(super) fn add(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths.into_iter().take(MOST) {
            let look = stat(&path);
            self.0.push((path, look));
        }
    }

    /// Adds files that are compared by what they say.
    pub(super) fn add_texts(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            let look = text(&path);
            self.0.push((path, look));
        }
    }

    /// Whether everything is as it was.
    pub(super) fn is_current(&self) -> bool {
        self.changed().is_none()
    }

    /// The first thing that is not as it was.
    pub(super) fn changed(&self) -> Option<&Path> {
        let mut all = self.0.iter();
        all.find(|(path, before)| match before {
            Look::Absent => stat(path) != Look::Absent,
            Look::Stat(_) => stat(path) != *before,
            Look::Text(_) => text(path) != *before,
        })
        .map(|(path, _)| path.as_path())
    }
}

fn stat(path: &Path) -> Look {
    // Links are followed: what they lead to is what is read.
    match fs_err::metadata(path) {
        Ok(found) => Look::Stat([
            found.dev().cast_signed(),
            found.ino().cast_signed(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime_nsec(),
            found.size().cast_signed(),
        ]),
        Err(_) => Look::Absent,
    }
}

fn text(path: &Path) -> Look {
    match fs_err::read(path) {
        Ok(bytes) => Look::Text(Sha256::digest(&bytes).into()),
        Err(_) => Look::Absent,
    }
}

/// The directories of the collections below a path, and what says their
/// versions: an installation changes one of these.
pub(super) fn collections(path: &Path) -> Vec<PathBuf> {
    let root = path.join("ansible_collections");
    let mut found = vec![root.clone()];
    for namespace in directories(&root) {
        for collection in directories(&namespace) {
            found.push(collection.join("MANIFEST.json"));
            found.push(collection.join("galaxy.yml"));
            found.push(collection);
        }
        found.push(namespace);
        if found.len() > MOST {
            break;
        }
    }
    found
}

/// In a fixed order, so that two looks can be compared.
fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(path) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests;
