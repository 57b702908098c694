//! From a program to what its guard is told.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use fs_err::os::unix::fs::OpenOptionsExt;
use model::account::Account;

use super::{
    Program,
    protocol::{Descriptor, Leftovers, Task, User},
};

/// A task and the descriptors that go with it.
pub(super) struct Prepared {
    pub(super) task: Task,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// How long a program may live, and what ends with it.
pub(super) struct Terms<'a> {
    pub(super) account: Option<&'a Account>,
    pub(super) lock: Option<&'a Path>,
    pub(super) control: Option<OwnedFd>,
    pub(super) leftovers: Leftovers,
    pub(super) grace: Duration,
    pub(super) deadline_ms: Option<i64>,
}

impl Prepared {
    pub(super) fn new(program: Program, terms: Terms<'_>) -> Result<Self, String> {
        check_texts(&program)?;
        let lock = terms.lock.map(open_lock).transpose();
        let lock = lock.map_err(|error| format!("the guards' lock: {error}"))?;
        let (names, descriptors) = [
            // The first is number 3, which every shell can write.
            (Descriptor::Result, program.result),
            (Descriptor::Tasks, program.tasks),
            (Descriptor::Control, terms.control),
            (Descriptor::Lock, lock),
        ]
        .into_iter()
        .filter_map(|(name, descriptor)| Some((name, descriptor?)))
        .unzip();
        let task = Task {
            program: program.program,
            argv: program.argv,
            environment: program.environment,
            directory: program.directory,
            stdin: program.stdin,
            descriptors: names,
            user: terms.account.map(|account| User::from(&account.user)),
            private: program.private,
            leftovers: terms.leftovers,
            grace_ms: millis(terms.grace),
            deadline_ms: terms.deadline_ms,
        };
        Ok(Self { task, descriptors })
    }
}

/// A description of its own for each guard: the lock that one of them puts on
/// it is held by nobody else.
fn open_lock(path: &Path) -> io::Result<OwnedFd> {
    let file: File = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?
        .into_file();
    Ok(file.into())
}

fn check_texts(program: &Program) -> Result<(), String> {
    for (index, argument) in program.argv.iter().enumerate() {
        if argument.contains('\0') {
            return Err(format!(
                "argument {index} contains a NUL character, which no program can be given: take the value from the event on standard input"
            ));
        }
    }
    for (name, value) in &program.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!(
                "the environment variable {name:?} cannot be set: names have no `=`, and neither names nor values have NUL characters"
            ));
        }
    }
    let paths: [&PathBuf; 3] = [&program.program, &program.directory, &program.stdin];
    if paths.iter().any(|path| path.to_str().is_none()) {
        return Err("the paths of the step are not UTF-8".to_owned());
    }
    Ok(())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
