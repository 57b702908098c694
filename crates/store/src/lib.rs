//! Where events, verdicts, jobs and everything about them are kept.
//!
//! Implements the ports of `model` on SQLite. Nothing of the database's
//! client appears in a signature outside this crate.

mod sqlite;

pub use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
