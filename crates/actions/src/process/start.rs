//! Starting the program inside the guard: what lies between fork and exec.
//!
//! The program gets a clean state: default signals, nothing blocked, no
//! descriptor but its own, a process group of its own, and the user that it
//! is to run as. It dies with the guard.
#![expect(
    unsafe_code,
    reason = "the state of a child is set between fork and exec"
)]

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use model::job::Exit;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open},
    libc,
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        stat::{Mode, umask},
    },
    unistd::{Pid, fchdir, getppid, setpgid, setsid},
};

use super::{
    guard::{Given, Identity, acting},
    protocol::Task,
};

/// Closes every descriptor that the guard was not meant to inherit.
pub(super) fn close_inherited(but: Option<RawFd>) {
    let but = but.and_then(|fd| u32::try_from(fd).ok());
    let ranges = match but {
        Some(but) => [
            (3, but.saturating_sub(1)),
            (but.saturating_add(1), u32::MAX),
        ],
        None => [(3, u32::MAX), (u32::MAX, u32::MAX)],
    };
    let closed = ranges.iter().all(|(first, last)| {
        // SAFETY: the guard has opened nothing yet, so nothing that anybody
        // still uses is closed. The call touches no memory.
        first > last || unsafe { libc::syscall(libc::SYS_close_range, *first, *last, 0_u32) } == 0
    });
    if closed {
        return;
    }
    // Kernels before 5.9.
    let Ok(entries) = fs_err::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2 && u32::try_from(*fd).ok() != but)
        .collect();
    for fd in open {
        // SAFETY: as above; closing one twice only answers EBADF.
        unsafe { libc::close(fd) };
    }
}

/// Takes over a descriptor that this process was started with.
pub(super) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: only asks; a number that is not open answers EBADF.
    let flags = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    Errno::result(flags)?;
    // SAFETY: it is open, and nothing else in this process knows of it: all
    // others were closed at the start.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Leaves the session and the terminal of whoever started the guard, as far
/// as they are not its own, and hears of its children again if it was started
/// by somebody who did not want to.
pub(super) fn stand_alone() {
    // It leads one already, or a group of its own, which must do.
    setsid().ok();
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).ok();
    // `sudo` may have made a terminal: no program shall ask on it.
    if let Ok(terminal) = fs_err::File::open("/dev/tty") {
        // SAFETY: takes no argument and touches no memory.
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
    }
    // SAFETY: setting the default action calls no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Starts the program. What it is given stays open in it under the same
/// numbers.
pub(super) fn start(task: &Task, given: &Given, identity: Option<Identity>) -> Result<Pid, String> {
    // Nothing is opened for a program that its user could not open.
    let (directory, stdin) = acting(identity.as_ref(), || {
        Ok((open_directory(&task.directory), open_stdin(task, given)))
    })
    .map_err(|error| error.to_string())?;
    let (directory, stdin) = (directory?, stdin?);
    let output = || io::stderr().as_fd().try_clone_to_owned();
    let stdout = output().map_err(|error| error.to_string())?;
    let stderr = output().map_err(|error| error.to_string())?;

    let mut arguments = task.argv.iter();
    let name = arguments.next().ok_or("the command is empty")?;
    #[expect(clippy::disallowed_methods, reason = "this is `actions::process`")]
    let mut command = Command::new(&task.program);
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(&task.environment)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .process_group(0);
    let mut kept = Vec::new();
    for (name, descriptor) in given.of_program() {
        let number = descriptor.as_raw_fd();
        if let Some(variable) = name.variable() {
            command.env(variable, number.to_string());
        }
        kept.push(number);
    }

    let child = Child {
        guard: Pid::this(),
        directory,
        kept,
        identity,
    };
    // SAFETY: `prepare` makes system calls only; it allocates nothing and
    // takes no lock.
    unsafe { command.pre_exec(move || child.prepare()) };
    let user = task.user.as_ref().map(|user| user.name.as_str());
    let child = command
        .spawn()
        .map_err(|error| explain(&task.program, user, &error))?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    Ok(Pid::from_raw(pid))
}

fn open_directory(path: &Path) -> Result<OwnedFd, String> {
    open(
        path,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| {
        format!(
            "the directory `{}` cannot be entered: {}",
            path.display(),
            errno.desc()
        )
    })
}

fn open_stdin(task: &Task, given: &Given) -> Result<OwnedFd, String> {
    match &given.control {
        Some(control) => control.try_clone().map_err(|error| error.to_string()),
        None => match fs_err::File::open(&task.stdin) {
            Ok(file) => Ok(file.into_file().into()),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// What the child does for itself, between fork and exec.
struct Child {
    guard: Pid,
    directory: OwnedFd,
    kept: Vec<RawFd>,
    identity: Option<Identity>,
}

impl Child {
    fn prepare(&self) -> io::Result<()> {
        for signal in 1..=64 {
            // SAFETY: setting the default action calls no code of ours. KILL,
            // STOP and the numbers that libc keeps for itself answer EINVAL.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
        if let Some(identity) = &self.identity {
            identity.assume()?;
        }
        fchdir(&self.directory)?;
        for number in &self.kept {
            // SAFETY: the descriptor is open in this process until exec.
            let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        // Becoming another user forgets it.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != self.guard {
            // The guard died before the line above.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    }
}

/// Reaps one child that has ended. `None`: there are children, and all live.
pub(super) fn reap() -> Result<Option<(Pid, Exit)>, Errno> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    if Errno::result(pid)? == 0 {
        return Ok(None);
    }
    // By hand, since real-time signals have no name.
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    Ok(Some((Pid::from_raw(pid), exit)))
}

/// Why a program could not be started, with what to do about it. `user` is
/// whom it was to run as, where that is not the service's own user.
fn explain(program: &Path, user: Option<&str>, error: &io::Error) -> String {
    let program = program.display();
    match error.raw_os_error() {
        Some(libc::ENOENT) => format!(
            "`{program}` cannot be started: it, or the interpreter that its first line names, does not exist"
        ),
        Some(libc::EACCES) => match user {
            Some(user) => format!(
                "`{user}` may not execute `{program}`, or a directory on the way to it is closed to that user; or its file system is mounted `noexec`"
            ),
            None => format!(
                "`{program}` may not be executed: `chmod +x` it, and see that its file system is not mounted `noexec`"
            ),
        },
        Some(libc::E2BIG) => format!(
            "`{program}` cannot be started: arguments and environment are too long; large values are in the event on standard input"
        ),
        Some(_) | None => format!("`{program}` cannot be started: {error}"),
    }
}

#[cfg(test)]
mod tests;
