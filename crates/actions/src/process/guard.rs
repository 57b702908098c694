//! The guard: sees to it that nothing of a step outlives its worker.
//!
//! It runs no threads and no runtime. It waits for three things: a child that
//! ended, an order from the worker, and a moment on the boot-time clock. When
//! the worker's end of the pipe is closed, or the deadline passes, it kills
//! every descendant at once; as child subreaper it is the ancestor of all of
//! them, however often they forked. It holds the guards' lock until the last
//! of them is dead.

use std::{
    collections::HashSet,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
    time::Duration,
};

use fs_err::os::unix::fs::OpenOptionsExt;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time::clock_gettime,
    unistd::{Pid, dup2_stderr, read},
};

use super::{
    protocol::{Order, Report, Task},
    start, tree,
};

/// The argument that makes the binary a guard.
pub const ARGUMENT: &str = "guard-exec";

/// Runs as guard: the task comes on standard input, reports go to standard
/// output, and standard error becomes the program's output. To be called
/// before anything else, while there is one thread.
pub fn main() -> ExitCode {
    start::close_inherited();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the step's output as long as nothing runs.
            writeln!(io::stderr(), "lariat guard: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    // Whatever a terminal or a service manager sends is for the worker; the
    // guard ends with its pipe. Blocked signals stay pending for ever.
    SigSet::all().thread_block()?;
    prctl::set_child_subreaper(true)?;
    let mut orders = Orders::default();
    let Some(task) = orders.task()? else {
        return Ok(());
    };

    let result = match open_result(&task) {
        Ok(result) => result,
        Err(error) => return refuse(&error),
    };
    // Released when nothing is left.
    let _lock = match task.lock.as_deref().map(hold).transpose() {
        Ok(lock) => lock,
        Err(error) => return refuse(&error),
    };
    // A new owner may have counted the dead worker's guards while we waited.
    orders.receive(PollTimeout::ZERO)?;
    if orders.closed || now()? >= task.deadline_ms {
        report(&Report::Expired);
        report(&Report::Done { killed: false });
        return Ok(());
    }

    let program = match start::start(&task, &result) {
        Ok(pid) => pid,
        Err(reason) => {
            report(&Report::Unstartable { reason });
            return Ok(());
        }
    };
    drop(result);
    report(&Report::Started {
        pid: program.as_raw(),
    });
    // The worker waits for the end of the output: we may not hold it open.
    let null = fs_err::OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stderr(null.file())?;
    drop(null);

    let killed = Watch::new(&task, program, orders)?.until_nothing_is_left()?;
    report(&Report::Done { killed });
    Ok(())
}

/// The first file that is opened: number 3, which every shell can write.
fn open_result(task: &Task) -> io::Result<OwnedFd> {
    let file = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&task.result)?;
    Ok(file.into_file().into())
}

fn refuse(error: &io::Error) -> io::Result<()> {
    report(&Report::Unstartable {
        reason: format!("the guard cannot prepare the step: {error}"),
    });
    Ok(())
}

fn hold(path: &std::path::Path) -> io::Result<Flock<std::fs::File>> {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?
        .into_file();
    Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| errno.into())
}

/// Milliseconds on the boot-time clock.
pub(super) fn now() -> io::Result<i64> {
    let time = clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
    Ok(i64::try_from(Duration::from(time).as_millis()).unwrap_or(i64::MAX))
}

/// A worker that is gone reads no reports, and needs none.
fn report(report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line).and_then(|()| out.flush()).ok();
    }
}

/// The worker's pipe, taken apart into lines.
#[derive(Default)]
struct Orders {
    bytes: Vec<u8>,
    closed: bool,
}

impl Orders {
    /// Waits for the first line. `None`: the worker went away before.
    fn task(&mut self) -> io::Result<Option<Task>> {
        loop {
            if let Some(line) = self.line() {
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.closed {
                return Ok(None);
            }
            self.receive(PollTimeout::NONE)?;
        }
    }

    /// Reads what has come, waiting for it up to `wait`.
    fn receive(&mut self, wait: PollTimeout) -> io::Result<()> {
        let stdin = io::stdin();
        let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, wait) {
            Ok(0) | Err(Errno::EINTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut chunk = [0_u8; 16 * 1024];
        match read(stdin.as_fd(), &mut chunk) {
            Ok(0) => self.closed = true,
            Ok(len) => self
                .bytes
                .extend_from_slice(chunk.get(..len).unwrap_or_default()),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(_) => self.closed = true,
        }
        Ok(())
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        Some(self.bytes.drain(..=end).collect())
    }

    fn next(&mut self) -> Option<Order> {
        self.line()
            .and_then(|line| serde_json::from_slice(&line).ok())
    }
}

/// How far the end of the step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Everybody got the polite signal; who is left then is killed.
    Ending {
        kill_at: i64,
    },
    Killing,
}

/// A running program and everything below it.
struct Watch<'a> {
    task: &'a Task,
    program: Pid,
    program_ended: bool,
    phase: Phase,
    deadline: i64,
    /// Who got the polite signal.
    asked: HashSet<Pid>,
    /// It was not enough.
    killed: bool,
    /// Between two rounds of killing.
    pause_ms: i64,
    orders: Orders,
    children: SignalFd,
    timer: TimerFd,
}

impl<'a> Watch<'a> {
    fn new(task: &'a Task, program: Pid, orders: Orders) -> io::Result<Self> {
        let children = SignalFd::with_flags(
            &SigSet::from(Signal::SIGCHLD),
            SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
        )?;
        let timer = TimerFd::new(
            ClockId::CLOCK_BOOTTIME,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )?;
        Ok(Self {
            task,
            program,
            program_ended: false,
            phase: Phase::Running,
            deadline: task.deadline_ms,
            asked: HashSet::new(),
            killed: false,
            pause_ms: 1,
            orders,
            children,
            timer,
        })
    }

    /// Returns when every descendant is dead, or is left alive on purpose.
    fn until_nothing_is_left(mut self) -> io::Result<bool> {
        loop {
            let alone = self.reap();
            if self.program_ended {
                let is_over = alone || (self.task.detach && self.phase == Phase::Running);
                if is_over {
                    return Ok(self.killed);
                }
                if self.phase == Phase::Running {
                    let count = self.ask_to_end(self.task.grace_ms)?;
                    report(&Report::Leftovers { count });
                }
            } else if alone {
                // Cannot be: the program is our child until it is reaped.
                return Err(io::Error::other("the program is not a child any more"));
            }
            self.follow_orders()?;
            self.look_at_the_clock()?;
            self.wait()?;
        }
    }

    /// Takes note of who ended. Says whether no child is left at all: since
    /// orphans become ours before their parent can be reaped, nothing is.
    fn reap(&mut self) -> bool {
        loop {
            match start::reap() {
                Ok(Some((pid, exit))) => {
                    if pid == self.program && !self.program_ended {
                        self.program_ended = true;
                        report(&Report::Exited { exit });
                    }
                }
                Ok(None) => return false,
                Err(Errno::EINTR) => {}
                // ECHILD.
                Err(_) => return true,
            }
        }
    }

    /// One round of killing: groups first, since they hold those too that
    /// are forked while we look.
    fn strike() {
        let own = Pid::this();
        tree::kill_groups(&tree::groups_below(own));
        tree::signal_all(&tree::descendants(own), Signal::SIGKILL);
    }

    fn follow_orders(&mut self) -> io::Result<()> {
        while let Some(order) = self.orders.next() {
            match order {
                Order::Deadline { at_ms } => self.deadline = at_ms,
                Order::Stop { grace_ms } => {
                    self.ask_to_end(grace_ms)?;
                }
                Order::Kill => self.phase = Phase::Killing,
            }
        }
        if self.orders.closed {
            self.phase = Phase::Killing;
        }
        Ok(())
    }

    fn ask_to_end(&mut self, grace_ms: u64) -> io::Result<usize> {
        let kill_at = now()?.saturating_add_unsigned(grace_ms);
        self.phase = match self.phase {
            Phase::Running => Phase::Ending { kill_at },
            Phase::Ending { kill_at: earlier } => Phase::Ending {
                kill_at: kill_at.min(earlier),
            },
            Phase::Killing => Phase::Killing,
        };
        let all = tree::descendants(Pid::this());
        self.ask(&all);
        Ok(all.len())
    }

    /// Who was just being forked was not seen, and its parent may be dead now.
    /// A child of one who lives is left alone: it may be what tidies up.
    fn ask_orphans(&mut self) {
        let mut orphans = tree::children(Pid::this());
        orphans.retain(|pid| !self.asked.contains(pid));
        self.ask(&orphans);
    }

    fn ask(&mut self, pids: &[Pid]) {
        tree::signal_all(pids, Signal::SIGTERM);
        // Who is stopped cannot act on it otherwise.
        tree::signal_all(pids, Signal::SIGCONT);
        self.asked.extend(pids);
    }

    fn look_at_the_clock(&mut self) -> io::Result<()> {
        if self.phase == Phase::Killing {
            return Ok(());
        }
        let now = now()?;
        if now >= self.deadline {
            report(&Report::Expired);
            self.phase = Phase::Killing;
        } else if let Phase::Ending { kill_at } = self.phase
            && now >= kill_at
        {
            self.killed = true;
            self.phase = Phase::Killing;
        }
        Ok(())
    }

    /// Waits for something to happen; kills first, when it is time to.
    fn wait(&mut self) -> io::Result<()> {
        let next = match self.phase {
            Phase::Running => self.deadline,
            Phase::Ending { kill_at } => {
                self.ask_orphans();
                // Nobody tells us of orphans whose parent was not our child.
                let again = now()?.saturating_add(250);
                kill_at.min(self.deadline).min(again)
            }
            Phase::Killing => {
                Self::strike();
                // Soon again: somebody may have forked while we looked. Less
                // and less often: somebody may be out of our reach.
                self.pause_ms = (self.pause_ms * 2).min(100);
                now()?.saturating_add(self.pause_ms)
            }
        };
        let at = TimeSpec::from_duration(Duration::from_millis(
            u64::try_from(next.max(1)).unwrap_or(1),
        ));
        self.timer.set(
            Expiration::OneShot(at),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME,
        )?;
        let stdin = io::stdin();
        let mut ready = vec![
            PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
        ];
        if !self.orders.closed {
            ready.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let has_orders = ready
            .get(2)
            .and_then(PollFd::revents)
            .is_some_and(|events| !events.is_empty());
        drop(ready);
        while let Ok(Some(_)) = self.children.read_signal() {}
        if has_orders {
            self.orders.receive(PollTimeout::ZERO)?;
        }
        Ok(())
    }
}
