//! A process that is there already: forked by a fork server, waiting at a gate
//! for what it is to become.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    sys::{
        socket::{setsockopt, sockopt::SendTimeout},
        time::TimeVal,
    },
    unistd::{Pid, setpgid},
};

use super::given::Given;
use crate::process::{
    descriptors, message,
    protocol::{Opening, Task},
    start,
};

/// One that has not read its message by then never will.
const PATIENCE_SECS: i64 = 10;
/// The number of the first descriptor of a program beside its three.
const FIRST: RawFd = 3;

/// The arguments after `guard-exec`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adopted {
    pid: Pid,
    pub(super) gate: RawFd,
}

impl Adopted {
    /// `None`: there is nobody to adopt.
    pub(super) fn read(mut arguments: impl Iterator<Item = OsString>) -> io::Result<Option<Self>> {
        const USAGE: &str = "the arguments are `--adopt PID --gate FD`, or none";
        let Some(first) = arguments.next() else {
            return Ok(None);
        };
        let words: Option<Vec<String>> = std::iter::once(first)
            .chain(arguments)
            .map(|word| word.into_string().ok())
            .collect();
        let numbers = match words.unwrap_or_default().as_slice() {
            [adopt, pid, gate, fd] if adopt == "--adopt" && gate == "--gate" => {
                pid.parse::<i32>().ok().zip(fd.parse::<RawFd>().ok())
            }
            _ => None,
        };
        match numbers {
            Some((pid, gate)) if pid > 1 && gate > 2 => Ok(Some(Self {
                pid: Pid::from_raw(pid),
                gate,
            })),
            Some(_) | None => Err(io::Error::other(USAGE)),
        }
    }
}

/// The open gate and who waits at it.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) pid: Pid,
    pub(super) socket: OwnedFd,
}

impl Gate {
    pub(super) fn of(adopted: Adopted) -> io::Result<Self> {
        Ok(Self {
            pid: adopted.pid,
            socket: start::inherited(adopted.gate)?,
        })
    }

    /// Lets the waiting process go on as the program. It is a child of ours
    /// that has not yet become anything.
    pub(super) fn open(self, task: &Task, given: &Given) -> Result<Pid, String> {
        // A group as a whole is killed: it must not be the guard's own.
        let prepared = setpgid(self.pid, self.pid).map_err(io::Error::from);
        prepared
            .and_then(|()| self.tell(task, given))
            .map_err(|error| format!("the forked process {} is gone: {error}", self.pid))?;
        Ok(self.pid)
    }

    fn tell(&self, task: &Task, given: &Given) -> io::Result<()> {
        let (names, numbers): (Vec<_>, Vec<BorrowedFd<'_>>) = given.of_program().unzip();
        let mut environment = task.environment.clone();
        // It puts them there, whatever their numbers are here.
        for (number, variable) in (FIRST..).zip(names.iter().filter_map(|name| name.variable())) {
            environment.insert(variable.to_owned(), number.to_string());
        }
        let opening = Opening {
            argv: &task.argv,
            environment: &environment,
            directory: &task.directory,
            descriptors: &names,
        };
        let bytes = message::framed(&serde_json::to_vec(&opening)?)?;
        setsockopt(&self.socket, SendTimeout, &TimeVal::new(PATIENCE_SECS, 0))?;
        let mut sent = 0;
        while let Some(rest @ [_, ..]) = bytes.get(sent..) {
            let with_it = if sent == 0 { &numbers[..] } else { &[] };
            sent += descriptors::send(self.socket.as_fd(), rest, with_it)?;
        }
        Ok(())
    }
}
