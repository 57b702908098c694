//! The worker's side: starts a guard for a program, moves its deadline on with
//! the lease, passes on requests to stop, and carries the output away.
//!
//! Dropping the future is safe at any moment: the guard's pipe closes with it.
#![expect(
    unsafe_code,
    reason = "a guard begins its session between fork and exec"
)]

use std::{future::pending, io, pin::pin, process::ExitStatus, process::Stdio, time::Duration};

use model::{
    action::{StepContext, StepControl, Stop},
    clock::{BootTime, Clock},
    id::Principal,
    job::Exit,
};
use nix::{sys::signal::Signal, unistd::setsid};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{oneshot, watch},
    time::sleep,
};
use tracing::warn;

use super::{
    End, Ended, Program, guard, output,
    protocol::{Order, Report, Task},
    tree,
};
use crate::settings::ActionSettings;

/// The variable that marks everything of a step, for the day when its guard
/// is gone.
const MARK: &str = "LARIAT_LEASE";

/// Runs a program until it has ended and nothing of it is left.
pub(crate) async fn run(
    program: Program,
    context: &StepContext,
    control: StepControl,
    settings: &ActionSettings,
) -> Ended {
    let mark = format!("{}/{}/{}", context.job, context.attempt, context.step);
    let clock = settings.clock.as_ref();
    let deadline = guard_deadline(&control.deadline.borrow().clone(), clock);
    let mut environment = program.environment;
    environment.insert(MARK.to_owned(), mark.clone());
    let task = Task {
        program: program.program,
        argv: program.argv,
        environment,
        directory: program.directory,
        stdin: program.stdin,
        result: program.result,
        lock: settings.guard_lock.clone(),
        detach: program.detach,
        grace_ms: millis(context.grace),
        deadline_ms: deadline,
    };
    let started = start(&task, settings);
    let (mut child, orders, reports, out) = match started {
        Ok(started) => started,
        Err(reason) => {
            return Ended {
                end: End::Unstartable { reason },
                exit: None,
                leftovers: 0,
            };
        }
    };

    let (over, is_over) = oneshot::channel();
    let mut steering = Steering {
        guard: child.id().and_then(|pid| i32::try_from(pid).ok()),
        child: &mut child,
        orders: Some(orders),
        reports,
        mark: format!("{MARK}={mark}"),
        stop: control.stop,
        deadline: control.deadline,
        clock,
        context,
        state: State::default(),
    };
    let mut pump = pin!(output::pump(
        out,
        control.output.as_ref(),
        context.output_cap,
        is_over
    ));
    let mut pump_is_done = false;
    let ended = {
        let mut steer = pin!(steering.steer(&task));
        loop {
            tokio::select! {
                ended = &mut steer => break ended,
                () = &mut pump, if !pump_is_done => pump_is_done = true,
            }
        }
    };
    // Nobody keeps the output of a lease that is gone.
    if !pump_is_done && ended.end != End::LeaseLost {
        over.send(()).ok();
        pump.await;
    }
    ended
}

type Started = (
    Child,
    ChildStdin,
    Lines<BufReader<ChildStdout>>,
    tokio::process::ChildStderr,
);

fn start(task: &Task, settings: &ActionSettings) -> Result<Started, String> {
    for (index, argument) in task.argv.iter().enumerate() {
        if argument.contains('\0') {
            return Err(format!(
                "argument {index} contains a NUL character, which no program can be given: take the value from the event on standard input"
            ));
        }
    }
    for (name, value) in &task.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!(
                "the environment variable {name:?} cannot be set: names have no `=`, and neither names nor values have NUL characters"
            ));
        }
    }
    #[expect(clippy::disallowed_methods, reason = "this is `actions::process`")]
    let mut command = Command::new(&settings.guard);
    command
        .arg(guard::ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: one system call, which touches no memory.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(io::Error::from)) };
    let mut child = command.spawn().map_err(|error| {
        format!(
            "the guard `{}` cannot be started: {error}",
            settings.guard.display()
        )
    })?;
    let (Some(orders), Some(reports), Some(out)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("the guard was started without its pipes".to_owned());
    };
    Ok((child, orders, BufReader::new(reports).lines(), out))
}

/// `deadline` on the clock that the guard reads. The guard's clock is read
/// first, so a pause between the two readings makes it earlier, never later.
fn guard_deadline(deadline: &BootTime, clock: &dyn Clock) -> i64 {
    let Ok(here) = guard::now() else {
        return 0;
    };
    let now = clock.boot();
    if deadline.has_passed(&now) {
        return 0;
    }
    here.saturating_add(deadline.millis - now.millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why it was asked to stop.
#[derive(Debug, Clone)]
enum Asked {
    TimedOut,
    Cancelled(Principal),
    LeaseLost,
}

/// What the guard said so far, and what it was asked for.
#[derive(Debug, Default)]
struct State {
    started: bool,
    exit: Option<Exit>,
    leftovers: usize,
    expired: bool,
    asked: Option<Asked>,
}

struct Steering<'a> {
    guard: Option<i32>,
    child: &'a mut Child,
    /// Absent once the guard does not read any more.
    orders: Option<ChildStdin>,
    reports: Lines<BufReader<ChildStdout>>,
    mark: String,
    stop: watch::Receiver<Option<Stop>>,
    deadline: watch::Receiver<BootTime>,
    clock: &'a dyn Clock,
    context: &'a StepContext,
    state: State,
}

impl Steering<'_> {
    async fn steer(&mut self, task: &Task) -> Ended {
        let first = serde_json::to_vec(task);
        match first {
            Ok(line) => self.send_line(line).await,
            Err(_) => {
                return self.ended(End::Unstartable {
                    reason: "the paths of the step are not UTF-8".to_owned(),
                });
            }
        }
        // What was asked for before we looked counts too.
        self.stop.mark_changed();
        let mut stop_is_open = true;
        let mut deadline_is_open = true;
        let mut timeout = pin!(sleep(self.context.timeout));
        loop {
            tokio::select! {
                line = self.reports.next_line() => match line {
                    Ok(Some(line)) => {
                        if let Some(end) = self.hear(&line) {
                            // The guard has nothing left to do but to end.
                            self.child.wait().await.ok();
                            return self.ended(end);
                        }
                    }
                    Ok(None) | Err(_) => return self.without_guard().await,
                },
                changed = changed(&mut self.stop, stop_is_open) => {
                    stop_is_open = changed;
                    let stop = self.stop.borrow_and_update().clone();
                    self.obey(stop).await;
                }
                changed = changed(&mut self.deadline, deadline_is_open) => {
                    deadline_is_open = changed;
                    let deadline = self.deadline.borrow_and_update().clone();
                    let at_ms = guard_deadline(&deadline, self.clock);
                    self.send(&Order::Deadline { at_ms }).await;
                }
                () = &mut timeout, if self.state.asked.is_none() && self.state.exit.is_none() => {
                    self.state.asked = Some(Asked::TimedOut);
                    let grace_ms = millis(self.context.grace);
                    self.send(&Order::Stop { grace_ms }).await;
                }
            }
        }
    }

    async fn obey(&mut self, stop: Option<Stop>) {
        match stop {
            None => {}
            Some(Stop::LeaseLost) => {
                self.state.asked = Some(Asked::LeaseLost);
                self.send(&Order::Kill).await;
            }
            Some(Stop::Cancel(by)) => {
                // A program that has ended by itself was not cancelled.
                if self.state.asked.is_none() && self.state.exit.is_none() {
                    self.state.asked = Some(Asked::Cancelled(by));
                }
                let grace_ms = millis(self.context.grace);
                self.send(&Order::Stop { grace_ms }).await;
            }
        }
    }

    /// Takes note of a report; says how it ended when this was the last.
    fn hear(&mut self, line: &str) -> Option<End> {
        match serde_json::from_str(line) {
            Ok(Report::Started { .. }) => self.state.started = true,
            Ok(Report::Unstartable { reason }) => return Some(End::Unstartable { reason }),
            Ok(Report::Exited { exit }) => self.state.exit = Some(exit),
            Ok(Report::Leftovers { count }) => self.state.leftovers = count,
            Ok(Report::Expired) => self.state.expired = true,
            Ok(Report::Done { killed }) => return Some(self.conclude(killed)),
            Err(error) => warn!(%error, "a guard said something that cannot be read"),
        }
        None
    }

    fn conclude(&self, killed: bool) -> End {
        match &self.state.asked {
            Some(Asked::LeaseLost) => End::LeaseLost,
            Some(Asked::Cancelled(by)) => End::Cancelled { by: by.clone() },
            Some(Asked::TimedOut) => End::TimedOut { killed },
            None if self.state.expired => End::Expired,
            None => End::Exited,
        }
    }

    fn ended(&self, end: End) -> Ended {
        Ended {
            end,
            exit: self.state.exit,
            leftovers: self.state.leftovers,
        }
    }

    /// The guard is gone and we are its stand-in: whatever carries the mark
    /// or is of its session has to end.
    async fn without_guard(&mut self) -> Ended {
        self.orders = None;
        let how = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        };
        let mut survivors = 0;
        loop {
            let left = tree::marked(self.guard, |variable| variable == self.mark.as_bytes());
            if left.is_empty() {
                break;
            }
            survivors = survivors.max(left.len());
            tree::signal_all(&left, Signal::SIGKILL);
            sleep(Duration::from_millis(10)).await;
        }
        let end = match &self.state.asked {
            Some(Asked::LeaseLost) => End::LeaseLost,
            Some(Asked::Cancelled(_) | Asked::TimedOut) | None => End::GuardLost { how, survivors },
        };
        self.ended(end)
    }

    async fn send(&mut self, order: &Order) {
        if let Ok(line) = serde_json::to_vec(order) {
            self.send_line(line).await;
        }
    }

    /// A guard that does not read any more is found out by its reports' end.
    async fn send_line(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        if let Some(orders) = &mut self.orders
            && orders.write_all(&line).await.is_err()
        {
            self.orders = None;
        }
    }
}

/// Waits for a change. `false`: there will be none.
async fn changed<T>(value: &mut watch::Receiver<T>, is_open: bool) -> bool {
    if !is_open {
        return pending().await;
    }
    value.changed().await.is_ok()
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;

    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("by signal {signal}"),
        (None, Some(code)) => format!("with exit code {code}"),
        (None, None) => "for an unknown reason".to_owned(),
    }
}
