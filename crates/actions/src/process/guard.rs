//! The guard: sees to it that nothing of a step outlives its worker.
//!
//! It runs no threads and no runtime. It waits for three things: a child that
//! ended, an order from the worker, and a moment on the boot-time clock. When
//! the worker's end of its socket is closed, or the deadline passes, it kills
//! every descendant at once; as child subreaper it is the ancestor of all of
//! them, however often they forked. It holds the guards' lock until the last
//! of them is dead.
//!
//! It is the only part of Lariat that runs as another user than the service,
//! or, where the service is root, makes a program do so.

mod gate;
mod given;
mod identity;
mod orders;
mod private;
mod swept;
mod watch;

use std::{
    io::{self, Write},
    os::fd::OwnedFd,
    process::ExitCode,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    poll::PollTimeout,
    sys::{prctl, signal::SigSet},
    time::clock_gettime,
    unistd::{Pid, dup2_stderr, getsid},
};

use self::{
    gate::{Adopted, Gate},
    orders::Orders,
    private::PrivateDir,
    watch::Watch,
};
pub(super) use self::{
    given::Given,
    identity::{Identity, acting},
};
use super::{
    protocol::{Report, Task, Work},
    start,
};

/// The argument that makes the binary a guard.
pub const ARGUMENT: &str = "guard-exec";

/// Runs as guard: the task comes on standard input, reports go to standard
/// output, and standard error becomes the program's output. To be called
/// before anything else, while there is one thread.
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(2);
    let served = Adopted::read(arguments).and_then(|adopted| {
        start::close_inherited(adopted.map(|adopted| adopted.gate));
        serve(adopted)
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the step's output as long as nothing runs.
            writeln!(io::stderr(), "lariat guard: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn serve(adopted: Option<Adopted>) -> io::Result<()> {
    // Whatever a terminal or a service manager sends is for the worker; the
    // guard ends with its socket. Blocked signals stay pending for ever.
    SigSet::all().thread_block()?;
    start::stand_alone();
    prctl::set_child_subreaper(true)?;
    let gate = adopted.map(Gate::of).transpose()?;
    let mut orders = Orders::default();
    let (work, descriptors) = match orders.work() {
        Ok(Some(work)) => work,
        Ok(None) => return Ok(()),
        Err(error) => {
            refuse(&error.to_string());
            return Ok(());
        }
    };
    let own = Pid::this();
    report(&Report::Ready {
        pid: own.as_raw(),
        session: getsid(None)
            .ok()
            .filter(|session| *session == own)
            .map(Pid::as_raw),
    });
    match work {
        Work::Run(task) => match Prepared::new(&task, descriptors) {
            Ok(prepared) => run(&task, prepared, gate, orders),
            Err(reason) => {
                refuse(&reason);
                Ok(())
            }
        },
        Work::Sweep(what) => {
            report(&swept::sweep(&what));
            Ok(())
        }
        Work::Wake { user, guard } => {
            report(&swept::wake(&user, guard));
            Ok(())
        }
    }
}

/// What a program needs before anything of it is there.
struct Prepared {
    given: Given,
    /// Released when nothing is left.
    _lock: Option<Flock<OwnedFd>>,
    identity: Option<Identity>,
}

impl Prepared {
    fn new(task: &Task, descriptors: Vec<OwnedFd>) -> Result<Self, String> {
        let mut given = Given::pair(&task.descriptors, descriptors)?;
        let identity = Identity::of(task.user.as_ref())?;
        let hold = |file| Flock::lock(file, FlockArg::LockShared);
        let lock = given.lock.take().map(hold).transpose();
        let lock = lock.map_err(|(_, errno)| format!("the guards' lock: {}", errno.desc()))?;
        Ok(Self {
            given,
            _lock: lock,
            identity,
        })
    }
}

/// Runs the program to the end of everything that comes of it.
fn run(task: &Task, prepared: Prepared, gate: Option<Gate>, mut orders: Orders) -> io::Result<()> {
    let Prepared {
        given,
        _lock,
        identity,
    } = prepared;
    // A new owner may have counted the dead worker's guards while we waited.
    orders.receive(PollTimeout::ZERO)?;
    let now = now()?;
    if orders.closed || task.deadline_ms.is_some_and(|deadline| now >= deadline) {
        report(&Report::Expired);
        report(&Report::Done { killed: false });
        return Ok(());
    }
    let wanted = task.private.as_ref();
    let private = wanted.map(|wanted| PrivateDir::make(wanted, identity.as_ref()));
    let private = match private.transpose() {
        Ok(private) => private,
        Err(error) => {
            refuse(&error.to_string());
            return Ok(());
        }
    };
    let started = match gate {
        Some(gate) => gate.open(task, &given),
        None => start::start(task, &given, identity.clone()),
    };
    let program = match started {
        Ok(pid) => pid,
        Err(reason) => {
            report(&Report::Unstartable { reason });
            return Ok(());
        }
    };
    drop(given);
    report(&Report::Started {
        pid: program.as_raw(),
    });
    // The worker waits for the end of the output: we may not hold it open.
    let null = fs_err::OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stderr(null.file())?;
    drop(null);

    let killed = Watch::new(task, program, orders)?.until_nothing_is_left()?;
    drop(private);
    report(&Report::Done { killed });
    Ok(())
}

fn refuse(reason: &str) {
    report(&Report::Unstartable {
        reason: format!("the guard cannot prepare the step: {reason}"),
    });
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
