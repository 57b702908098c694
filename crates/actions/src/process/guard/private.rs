//! The private directory of a step that runs as another user than its worker:
//! the worker could not hand its own over, so the guard makes one.
//!
//! All of a user's are in one directory that nobody else may look into; it is
//! looked at before it is used, since anybody can make one of that name.

use std::{
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Component, Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fs_err::os::unix::fs::OpenOptionsExt;
use nix::unistd::geteuid;

use super::identity::{Identity, acting};
use crate::process::protocol::Private;

/// Removed when it is dropped.
pub(super) struct PrivateDir<'a> {
    private: &'a Private,
    identity: Option<&'a Identity>,
}

impl<'a> PrivateDir<'a> {
    pub(super) fn make(private: &'a Private, identity: Option<&'a Identity>) -> io::Result<Self> {
        acting(identity, || make(private))?;
        Ok(Self { private, identity })
    }
}

impl Drop for PrivateDir<'_> {
    fn drop(&mut self) {
        // What cannot be removed is found by the sweep of the next start.
        acting(self.identity, || remove(&self.private.path)).ok();
    }
}

fn make(private: &Private) -> io::Result<()> {
    let parent = parent(&private.path)?;
    match directory(parent) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    check_own(parent)?;
    directory(&private.path)?;
    let made = fill(private);
    if made.is_err() {
        remove(&private.path).ok();
    }
    made
}

fn fill(private: &Private) -> io::Result<()> {
    for name in &private.directories {
        directory(&inside(&private.path, name)?)?;
    }
    for one in &private.files {
        let bytes = STANDARD.decode(&one.base64).map_err(io::Error::other)?;
        file(&inside(&private.path, &one.name)?)?.write_all(&bytes)?;
    }
    Ok(())
}

/// The directory that all private ones of the user are in.
fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .filter(|parent| parent.is_absolute())
        .ok_or_else(|| io::Error::other(format!("`{}` has no place", path.display())))
}

fn inside(path: &Path, name: &str) -> io::Result<PathBuf> {
    let is_plain = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if is_plain && !name.is_empty() {
        Ok(path.join(name))
    } else {
        Err(io::Error::other(format!(
            "`{name}` is not a name of a file"
        )))
    }
}

fn directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot create the directory `{}`: {error}", path.display()),
            )
        })
}

fn file(path: &Path) -> io::Result<fs_err::File> {
    fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Nobody else may have put it there, nor look into it, and it is no link.
fn check_own(path: &Path) -> io::Result<()> {
    let found = fs_err::symlink_metadata(path)?;
    let own = geteuid().as_raw();
    if found.is_dir() && found.uid() == own && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "`{}` is not a directory of user {own} with mode 0700: remove it",
        path.display()
    )))
}

/// Removes a private directory, if it is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    check_own(parent(path)?)?;
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
