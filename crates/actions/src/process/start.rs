//! Starting the program inside the guard: what lies between fork and exec.
//!
//! The program gets a clean state: default signals, nothing blocked, no
//! descriptor but its own four, a process group of its own. It dies with the
//! guard.
#![expect(
    unsafe_code,
    reason = "the state of a child is set between fork and exec"
)]

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
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
    unistd::{Pid, fchdir, getppid},
};

use super::protocol::Task;

/// Closes every descriptor that the guard was not meant to inherit.
pub(super) fn close_inherited() {
    // SAFETY: the guard has opened nothing yet, so nothing that anybody still
    // uses is closed. The call touches no memory.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if closed == 0 {
        return;
    }
    // Kernels before 5.9.
    let Ok(entries) = fs_err::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // SAFETY: as above; closing one twice only answers EBADF.
        unsafe { libc::close(fd) };
    }
}

/// Starts the program. `result` stays open in it under the same number.
pub(super) fn start(task: &Task, result: &OwnedFd) -> Result<Pid, String> {
    let directory = open(
        &task.directory,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| {
        format!(
            "the directory `{}` cannot be entered: {}",
            task.directory.display(),
            errno.desc()
        )
    })?;
    let stdin = fs_err::File::open(&task.stdin).map_err(|error| error.to_string())?;
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
        .env("LARIAT_RESULT_FD", result.as_raw_fd().to_string())
        .stdin(Stdio::from(OwnedFd::from(stdin.into_file())))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .process_group(0);

    let guard = Pid::this();
    let result = result.as_raw_fd();
    let prepare = move || prepare(guard, &directory, result);
    // SAFETY: `prepare` makes system calls only; it allocates nothing and
    // takes no lock.
    unsafe { command.pre_exec(prepare) };
    let child = command
        .spawn()
        .map_err(|error| explain(&task.program, &error))?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    Ok(Pid::from_raw(pid))
}

/// Runs in the child, between fork and exec.
fn prepare(guard: Pid, directory: &OwnedFd, result: RawFd) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != guard {
        // The guard died before the line above.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    for signal in 1..=64 {
        // SAFETY: setting the default action calls no code of ours. KILL,
        // STOP and the numbers that libc keeps for itself answer EINVAL.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    fchdir(directory)?;
    // SAFETY: the descriptor is open in this process until exec.
    let result = unsafe { std::os::fd::BorrowedFd::borrow_raw(result) };
    fcntl(result, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
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

/// Why a program could not be started, with what to do about it.
fn explain(program: &Path, error: &io::Error) -> String {
    let program = program.display();
    match error.raw_os_error() {
        Some(libc::ENOENT) => format!(
            "`{program}` cannot be started: it, or the interpreter that its first line names, does not exist"
        ),
        Some(libc::EACCES) => {
            format!(
                "`{program}` may not be executed: `chmod +x` it, and see that its file system is not mounted `noexec`"
            )
        }
        Some(libc::E2BIG) => format!(
            "`{program}` cannot be started: arguments and environment are too long; large values are in the event on standard input"
        ),
        Some(_) | None => format!("`{program}` cannot be started: {error}"),
    }
}
