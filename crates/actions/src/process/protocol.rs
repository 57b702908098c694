//! What a worker and a guard say to each other: one JSON value a line.
//!
//! Both sides are the same binary, so there is no version to agree on. The
//! worker's end of the pipe being closed is the strongest message of all.

use std::{collections::BTreeMap, path::PathBuf};

use model::job::Exit;
use serde::{Deserialize, Serialize};

/// The first line to a guard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) program: PathBuf,
    pub(super) argv: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: PathBuf,
    pub(super) stdin: PathBuf,
    pub(super) result: PathBuf,
    pub(super) lock: Option<PathBuf>,
    pub(super) detach: bool,
    /// Between the polite signal to leftovers and the kill.
    pub(super) grace_ms: u64,
    /// On this boot's clock.
    pub(super) deadline_ms: i64,
}

/// Every further line to a guard.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The deadline is this now.
    Deadline { at_ms: i64 },
    /// Polite signal, grace, kill.
    Stop { grace_ms: u64 },
    /// Kill at once.
    Kill,
}

/// A line from a guard.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    Started {
        pid: i32,
    },
    Unstartable {
        reason: String,
    },
    /// The program itself ended; others may be left.
    Exited {
        exit: Exit,
    },
    /// So many were left and got the polite signal.
    Leftovers {
        count: usize,
    },
    /// The deadline passed; everything is being killed.
    Expired,
    /// Nothing is left. `killed`: the polite signal was not enough.
    Done {
        killed: bool,
    },
}
