//! What SQLite's errors mean to a caller.
//!
//! A failed transaction answers every caller in it, so a failure here can be
//! copied; [`StoreError`] is made of it once for each of them.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    str::FromStr,
};

use model::ports::StoreError;

use super::lock::beside;

/// Why a transaction or a read failed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Full(String),
    ReadOnly(String),
    /// The disk, the file system or the connection: what one call met, the
    /// others in the transaction meet too.
    Broken(String),
    /// Only the statement that met it.
    Statement(String),
    Corrupt(String),
    Closed,
}

impl Failure {
    /// Whether the whole transaction is to be given up.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Full(_) | Self::ReadOnly(_) | Self::Broken(_) | Self::Closed => true,
            Self::Statement(_) | Self::Corrupt(_) => false,
        }
    }

    /// The same, or what the disk itself says it is: for a file system that
    /// became read-only, or a quota that is used up, SQLite knows no more than
    /// that writing failed.
    pub(crate) fn named_by_the_disk(self, store: &Path) -> Self {
        let Self::Broken(text) = self else {
            return self;
        };
        match try_to_write(store).map_err(|error| error.kind()) {
            Err(io::ErrorKind::ReadOnlyFilesystem) => Self::ReadOnly(text),
            Err(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::Full(text),
            Ok(()) | Err(_) => Self::Broken(text),
        }
    }

    /// Something read from the store that this version does not understand.
    pub(crate) fn corrupt(what: impl fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}

/// Writes a page beside the store and removes it again.
fn try_to_write(store: &Path) -> io::Result<()> {
    let path = beside(store, ".probe");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .and_then(|mut file| file.write_all(&[0; 4096]).and_then(|()| file.sync_data()));
    // It is not there when it could not be made.
    fs::remove_file(&path).ok();
    written
}

/// SQLite's primary result codes, the low byte of what it reports.
mod code {
    pub(super) const BUSY: i64 = 5;
    pub(super) const READONLY: i64 = 8;
    pub(super) const IOERR: i64 = 10;
    pub(super) const CORRUPT: i64 = 11;
    pub(super) const FULL: i64 = 13;
    pub(super) const CANTOPEN: i64 = 14;
    pub(super) const NOTADB: i64 = 26;
    /// Extended: the shared memory beside the file could not grow, which is
    /// what a full disk looks like from there.
    pub(super) const IOERR_SHMSIZE: i64 = 4874;
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        match &error {
            sqlx::Error::Database(from_sqlite) => {
                let code = from_sqlite
                    .code()
                    .and_then(|code| i64::from_str(&code).ok())
                    .unwrap_or(0);
                match (code, code & 0xff) {
                    (code::IOERR_SHMSIZE, _) | (_, code::FULL) => Self::Full(text),
                    (_, code::READONLY) => Self::ReadOnly(text),
                    (_, code::BUSY | code::IOERR | code::CANTOPEN) => Self::Broken(text),
                    (_, code::CORRUPT | code::NOTADB) => Self::Corrupt(text),
                    _ => Self::Statement(text),
                }
            }
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_) => Self::Corrupt(text),
            sqlx::Error::RowNotFound => Self::Statement(text),
            _ => Self::Broken(text),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full(text) => Self::Full(text.into()),
            Failure::ReadOnly(text) => Self::ReadOnly(text.into()),
            Failure::Broken(text) => Self::Unreachable(text.into()),
            Failure::Statement(text) => Self::Failed(text.into()),
            Failure::Corrupt(what) => Self::Corrupt { what },
            Failure::Closed => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests;
