//! What a worker, a guard and a fork server say to each other.
//!
//! # Worker and guard
//!
//! The guard's standard input is a Unix stream socket, its standard output a
//! pipe: one JSON value a line each way. Both sides are the same binary, so
//! there is no version to agree on. The worker's end of the socket being
//! closed is the strongest message of all.
//!
//! The first line is [`Work`]. Descriptors travel with its first byte, named
//! in their order by [`Task::descriptors`]: so another user's guard is given
//! files that the user could never open, and nothing else passes through
//! `sudo` but standard input, output and error.
//!
//! # Worker and fork server
//!
//! A fork server is a program under a guard of its own, with a Unix stream
//! socket as standard input. Each message, either way, is its length (4 bytes,
//! most significant first) and as many bytes of JSON; descriptors travel with
//! the first byte of the length.
//!
//! * The server says once `{"ready": {"pid", "python", "ansible", …}}`, or
//!   `{"unusable": "reason"}` and ends.
//! * The worker asks for a run with `{"run": N, "argv", "environment",
//!   "directory", "guard"}` and three descriptors: the guard's orders,
//!   reports and output. The first three are for information.
//! * The server closes its copies of them, then answers `{"run": N, "forked":
//!   PID}` or `{"run": N, "refused": "reason"}`.
//! * When its standard input ends, so does the server. Its runs go on: each
//!   has a guard that sees the worker by itself.
//!
//! For a run the server forks P. P leads a session, is child subreaper, makes
//! a socket pair (the *gate*), forks R, puts orders, reports and output at 0,
//! 1 and 2, and executes the guard, with an empty environment and nothing else
//! open: `guard-exec --adopt R --gate FD`. The guard does its work as ever,
//! but where it would start a program it writes one message to the gate,
//! framed like those above: `{"argv", "environment", "directory",
//! "descriptors"}`. R dies with P from its first moment on; it ends when the
//! gate does, and on the message becomes the program: the descriptors from 3
//! on in their order, nothing else open, standard input empty, output to P's
//! output, signals and mask default, mode mask 022, in the directory, with
//! this environment and no other, also in `/proc/PID/environ`.

use std::{collections::BTreeMap, path::PathBuf};

use model::{account::SystemUser, job::Exit};
use serde::{Deserialize, Serialize};

/// The first line to a guard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Work {
    Run(Box<Task>),
    /// No program: ends what is left of a step whose guard is gone.
    Sweep(Sweep),
    /// No program: lets another guard of the user go on that was stopped.
    Wake {
        user: User,
        guard: i32,
    },
}

/// A program to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) program: PathBuf,
    pub(super) argv: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: PathBuf,
    /// Becomes standard input, unless a descriptor does.
    pub(super) stdin: PathBuf,
    pub(super) descriptors: Vec<Descriptor>,
    /// Whom the program runs as; absent: whoever the guard runs as.
    pub(super) user: Option<User>,
    pub(super) private: Option<Private>,
    pub(super) leftovers: Leftovers,
    /// Between the polite signal to leftovers and the kill.
    pub(super) grace_ms: u64,
    /// On this boot's clock; absent: as long as the worker lives.
    pub(super) deadline_ms: Option<i64>,
}

/// What becomes of processes that the program leaves running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Leftovers {
    /// They end with it.
    End,
    /// They stay when it ends by itself.
    Stay,
    /// They are runs with guards of their own: they stay when it ends or is
    /// ended, and end with the worker.
    Runs,
}

/// What a descriptor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Descriptor {
    /// An empty file; the program finds it by `LARIAT_RESULT_FD`.
    Result,
    /// Takes what happens while it happens; the program finds it by
    /// `LARIAT_TASKS_FD`.
    Tasks,
    /// Becomes the program's standard input.
    Control,
    /// The guards' lock, held shared until nothing is left.
    Lock,
}

impl Descriptor {
    /// How the program finds it. `None`: it does not, or not by a number.
    pub(super) fn variable(self) -> Option<&'static str> {
        match self {
            Self::Result => Some("LARIAT_RESULT_FD"),
            Self::Tasks => Some("LARIAT_TASKS_FD"),
            Self::Control | Self::Lock => None,
        }
    }
}

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl From<&SystemUser> for User {
    fn from(user: &SystemUser) -> Self {
        Self {
            name: user.name.clone(),
            uid: user.uid,
            gid: user.gid,
        }
    }
}

/// A directory for the program alone, made and removed by its guard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Private {
    /// Directly in the directory that all steps of the user share.
    pub(crate) path: PathBuf,
    /// Names relative to the path, outer ones first.
    pub(crate) directories: Vec<String>,
    pub(crate) files: Vec<PrivateFile>,
}

/// A file that only its user may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrivateFile {
    /// Relative to the directory.
    pub(crate) name: String,
    pub(crate) base64: String,
}

/// Whose guard is gone, and what to know its processes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sweep {
    pub(super) user: User,
    /// Its private directory: every process of the step began with the path
    /// of a file in it.
    pub(super) directory: PathBuf,
    /// That the guard led, if it is known.
    pub(super) session: Option<i32>,
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
    /// It has read its work. The first line of every guard.
    Ready {
        pid: i32,
        /// The session that it leads, and nobody else's processes are in.
        session: Option<i32>,
    },
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
    /// The answer to [`Work::Sweep`].
    Swept {
        found: usize,
        /// Not ours to kill, or not dead yet.
        left: usize,
    },
}

/// What a guard writes to the gate of an adopted process.
#[derive(Debug, Serialize)]
pub(super) struct Opening<'a> {
    pub(super) argv: &'a [String],
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) directory: &'a std::path::Path,
    pub(super) descriptors: &'a [Descriptor],
}
