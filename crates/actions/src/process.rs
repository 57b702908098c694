//! Child processes: the only place that starts one, and the only unsafe code.
//!
//! A step's program never runs as our direct child. Between it and the worker
//! stands a *guard*: this binary started again, single-threaded, as session
//! leader and child subreaper, which knows until when the program may live.
//! [`supervise`] is the worker's side, [`guard`] the other one, [`protocol`]
//! what they say to each other.
//!
//! The invariant: when a worker is gone, stopped, or past its deadline,
//! nothing of its steps goes on running.

mod answer;
mod descriptors;
pub mod guard;
mod keep;
pub(crate) mod message;
mod orphans;
mod outbox;
mod output;
mod pipes;
mod plain;
mod protocol;
mod remains;
mod spawn;
mod start;
mod supervise;
mod task;
mod tree;

use std::{collections::BTreeMap, os::fd::OwnedFd, path::PathBuf};

use model::{id::Principal, job::Exit};

pub use answer::{AnswerError, answer};
pub(crate) use keep::{Kept, keep};
pub(crate) use orphans::{Orphans, end_orphans};
pub(crate) use pipes::{GuardEnds, GuardPipes, pipes};
pub use plain::{Finished, PlainError};
pub(crate) use plain::{Plain, as_typed};
pub(crate) use protocol::{Private, PrivateFile};
pub(crate) use remains::Remains;
pub(crate) use spawn::shared_name;
pub(crate) use supervise::{run, run_warm};

/// A program with everything that it is started with.
#[derive(Debug)]
pub(crate) struct Program {
    /// Absolute.
    pub(crate) program: PathBuf,
    /// With the program's own name in front.
    pub(crate) argv: Vec<String>,
    /// The whole environment; the guard adds the
    /// numbers of descriptors.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    /// Becomes standard input.
    pub(crate) stdin: PathBuf,
    /// An empty file, open for reading and writing; the program finds it by
    /// `LARIAT_RESULT_FD`.
    pub(crate) result: Option<OwnedFd>,
    /// Takes what happens while it happens; the program finds it by
    /// `LARIAT_TASKS_FD`.
    pub(crate) tasks: Option<OwnedFd>,
    /// What the guard makes for it, where the worker's own is out of reach.
    pub(crate) private: Option<Private>,
    /// What it leaves running is not ended.
    pub(crate) detach: bool,
}

/// How a supervised program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Exited,
    /// It never ran.
    Unstartable { reason: String },
    /// It took too long.
    TimedOut { killed: bool },
    /// Somebody asked for it.
    Cancelled { by: Principal },
    /// Its worker was told that the lease is gone.
    LeaseLost,
    /// The deadline passed without being moved on.
    Expired,
    /// The guard ended before its work was done.
    GuardLost { how: String, survivors: usize },
}

/// How a supervised program ended, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) exit: Option<Exit>,
    /// Processes that it left running and that were ended.
    pub(crate) leftovers: usize,
}

impl Ended {
    fn unstartable(reason: String) -> Self {
        Self {
            end: End::Unstartable { reason },
            exit: None,
            leftovers: 0,
        }
    }
}

#[cfg(test)]
mod tests;
