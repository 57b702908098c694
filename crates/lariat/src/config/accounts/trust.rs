//! Whether only root can have written a file: root owns it and nobody else may
//! write to it, and the same holds for every directory and link on the way to
//! it. A directory where everybody may write, such as `/tmp`, is allowed when
//! it is sticky: what root has there only root can replace.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::Metadata,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

use nix::libc;

/// Far more than a person writes.
const LARGEST: u64 = 1024 * 1024;
/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

const WRITE_OF_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why a file does not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum Distrust {
    #[error("there is no such file")]
    Missing,
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("it is not a file of at most 1 MiB")]
    NotAFile,
    #[error("it is not UTF-8")]
    NotText,
    #[error("`{}` belongs to user {owner}: whoever owns it could grant accounts", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error("`{}` can be written by others than root (mode {mode:04o}), who could grant accounts", path.display())]
    Writable { path: PathBuf, mode: u32 },
}

impl Distrust {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing-file",
            Self::Unreadable(_) | Self::NotAFile | Self::NotText => "unreadable-file",
            Self::Owner { .. } | Self::Writable { .. } => "unsafe-file",
        }
    }

    pub(super) fn hint(&self, file: &Path) -> Option<String> {
        match self {
            Self::Missing => Some("`--accounts` or LARIAT_ACCOUNTS names it".to_owned()),
            Self::Unreadable(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let file = file.display();
                Some(format!(
                    "the user of the service has to read it: `chmod 644 {file}`, or `chgrp` it and `chmod 640`"
                ))
            }
            Self::Owner { path, .. } => Some(format!("`chown root {}`", path.display())),
            Self::Writable { path, .. } => Some(format!("`chmod go-w {}`", path.display())),
            Self::Unreadable(_) | Self::NotAFile | Self::NotText => None,
        }
    }
}

fn unreadable(error: io::Error) -> Distrust {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Distrust::Missing,
        _ => Distrust::Unreadable(error),
    }
}

/// The text of a file that only root can have written.
pub(super) fn read(path: &Path) -> Result<String, Distrust> {
    let real = follow(path)?;
    // Nothing on the way can be replaced, so this is what was looked at. A
    // pipe must not keep us waiting.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(real)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(Distrust::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| Distrust::NotText)
}

/// Where an absolute path leads, link by link, each part of it looked at.
fn follow(path: &Path) -> Result<PathBuf, Distrust> {
    let mut rest: VecDeque<OsString> = names(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    check(&at, &look(&at)?, rest.is_empty())?;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(name);
        let found = look(&next)?;
        if found.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(Distrust::Unreadable(io::Error::from_raw_os_error(
                    libc::ELOOP,
                )));
            }
            // A link has no mode of its own; whose it is counts where others
            // may make links.
            check_owner(&next, &found)?;
            let target = fs_err::read_link(&next).map_err(unreadable)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for name in names(&target).into_iter().rev() {
                rest.push_front(name);
            }
            continue;
        }
        check(&next, &found, rest.is_empty())?;
        at = next;
    }
    Ok(at)
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect()
}

fn look(path: &Path) -> Result<Metadata, Distrust> {
    fs_err::symlink_metadata(path).map_err(unreadable)
}

fn check_owner(path: &Path, found: &Metadata) -> Result<(), Distrust> {
    if found.uid() == 0 {
        return Ok(());
    }
    Err(Distrust::Owner {
        path: path.to_owned(),
        owner: found.uid(),
    })
}

fn check(path: &Path, found: &Metadata, is_last: bool) -> Result<(), Distrust> {
    check_owner(path, found)?;
    let mode = found.mode() & 0o7777;
    let is_sticky = !is_last && found.is_dir() && mode & STICKY != 0;
    if mode & WRITE_OF_OTHERS != 0 && !is_sticky {
        return Err(Distrust::Writable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}
