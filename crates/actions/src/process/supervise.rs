//! The worker's side: starts a guard for a program, moves its deadline on with
//! the lease, passes on requests to stop, and carries the output away.
//!
//! Dropping the future is safe at any moment: the guard's socket closes with it.

use std::{future::pending, pin::pin, process::ExitStatus, time::Duration};

use model::{
    action::{StepContext, StepControl, Stop},
    clock::{BootTime, Clock},
    id::Principal,
    job::Exit,
};
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe,
    process::Child,
    sync::{oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::warn;

use super::{
    End, Ended, Program, guard,
    outbox::Outbox,
    output,
    pipes::GuardPipes,
    protocol::{Leftovers, Order, Report, Work},
    remains::Remains,
    spawn::{self, Connection},
    task::{Prepared, Terms, millis},
    tree,
};
use crate::settings::ActionSettings;

/// The variable that marks everything of a step, for the day when its guard
/// is gone.
const MARK: &str = "LARIAT_LEASE";

/// Between what a guard was asked for and the doubt whether it can do it.
const SLACK: Duration = Duration::from_secs(3);

/// Runs a program until it has ended and nothing of it is left.
pub(crate) async fn run(
    program: Program,
    context: &StepContext,
    control: StepControl,
    settings: &ActionSettings,
) -> Ended {
    match spawn::guard(context.account.as_deref(), settings) {
        Ok(connection) => supervise(program, context, control, settings, connection).await,
        Err(reason) => Ended::unstartable(reason),
    }
}

/// The same, where a fork server has forked the program and its guard; they
/// have the other ends of these pipes. When the program is unstartable,
/// nothing of it has begun.
pub(crate) async fn run_warm(
    program: Program,
    context: &StepContext,
    control: StepControl,
    settings: &ActionSettings,
    pipes: GuardPipes,
) -> Ended {
    supervise(program, context, control, settings, Connection::made(pipes)).await
}

async fn supervise(
    mut program: Program,
    context: &StepContext,
    control: StepControl,
    settings: &ActionSettings,
    connection: Connection,
) -> Ended {
    let mark = format!("{}/{}/{}", context.job, context.attempt, context.step);
    let clock = settings.clock.as_ref();
    let deadline = guard_deadline(&control.deadline.borrow().clone(), clock);
    program.environment.insert(MARK.to_owned(), mark.clone());
    let account = context.account.as_deref();
    let remains = match &program.private {
        Some(private) => Remains::of(account, &private.path, settings),
        None => Ok(None),
    };
    let terms = Terms {
        account,
        lock: settings.guard_lock.as_deref(),
        control: None,
        leftovers: if program.detach {
            Leftovers::Stay
        } else {
            Leftovers::End
        },
        grace: context.grace,
        deadline_ms: Some(deadline),
    };
    let prepared = remains.and_then(|remains| Ok((remains, Prepared::new(program, terms)?)));
    let (remains, prepared) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => return Ended::unstartable(reason),
    };
    let mut orders = Outbox::new(connection.pipes.orders, prepared.descriptors);
    if let Err(error) = orders.push(&Work::Run(Box::new(prepared.task))) {
        return Ended::unstartable(error.to_string());
    }

    let (over, is_over) = oneshot::channel();
    let mut steering = Steering {
        guard: None,
        session: None,
        wake_at: None,
        child: connection.child,
        sudoers: connection.sudoers,
        orders,
        reports: BufReader::new(connection.pipes.reports).lines(),
        mark: format!("{MARK}={mark}"),
        remains,
        stop: control.stop,
        deadline: control.deadline,
        clock,
        context,
        state: State::default(),
    };
    let mut pump = pin!(output::pump(
        connection.pipes.output,
        control.output.as_ref(),
        context.output_cap,
        is_over
    ));
    let mut pump_is_done = false;
    let ended = {
        let mut steer = pin!(steering.steer());
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
    ready: bool,
    exit: Option<Exit>,
    leftovers: usize,
    expired: bool,
    asked: Option<Asked>,
}

struct Steering<'a> {
    guard: Option<i32>,
    /// The guard's own.
    session: Option<i32>,
    /// When a guard that was asked for an end should have come to it.
    wake_at: Option<Instant>,
    child: Option<Child>,
    sudoers: Option<String>,
    orders: Outbox,
    reports: Lines<BufReader<pipe::Receiver>>,
    mark: String,
    /// Where the step is another user's.
    remains: Option<Remains>,
    stop: watch::Receiver<Option<Stop>>,
    deadline: watch::Receiver<BootTime>,
    clock: &'a dyn Clock,
    context: &'a StepContext,
    state: State,
}

impl Steering<'_> {
    async fn steer(&mut self) -> Ended {
        // What was asked for before we looked counts too.
        self.stop.mark_changed();
        let mut stop_is_open = true;
        let mut deadline_is_open = true;
        let mut timeout = pin!(sleep(self.context.timeout));
        loop {
            tokio::select! {
                () = self.orders.flush() => {}
                line = self.reports.next_line() => match line {
                    Ok(Some(line)) => {
                        if let Some(end) = self.hear(&line) {
                            // The guard has nothing left to do but to end.
                            self.reap().await;
                            return self.ended(end);
                        }
                    }
                    Ok(None) | Err(_) => return self.without_guard().await,
                },
                changed = changed(&mut self.stop, stop_is_open) => {
                    stop_is_open = changed;
                    let stop = self.stop.borrow_and_update().clone();
                    self.obey(stop);
                }
                changed = changed(&mut self.deadline, deadline_is_open) => {
                    deadline_is_open = changed;
                    let deadline = self.deadline.borrow_and_update().clone();
                    let at_ms = guard_deadline(&deadline, self.clock);
                    self.send(&Order::Deadline { at_ms });
                }
                () = at(self.wake_at), if self.wake_at.is_some() => self.wake().await,
                () = &mut timeout, if self.state.asked.is_none() && self.state.exit.is_none() => {
                    self.state.asked = Some(Asked::TimedOut);
                    self.ask_to_stop();
                }
            }
        }
    }

    fn ask_to_stop(&mut self) {
        let grace = self.context.grace;
        self.send(&Order::Stop {
            grace_ms: millis(grace),
        });
        self.wake_at = Some(Instant::now() + grace + SLACK);
    }

    /// A step may stop its own guard, which cannot refuse: whatever it was
    /// asked for, it does when it goes on.
    async fn wake(&mut self) {
        self.wake_at = Some(Instant::now() + SLACK);
        self.wake_sudo();
        match (self.guard, &self.remains) {
            (Some(guard), Some(remains)) => {
                remains.wake(guard).await;
                remains.strike_below(guard);
            }
            (Some(guard), None) => tree::signal_all(&[Pid::from_raw(guard)], Signal::SIGCONT),
            (None, _) => {}
        }
    }

    fn obey(&mut self, stop: Option<Stop>) {
        match stop {
            None => {}
            Some(Stop::LeaseLost) => {
                self.state.asked = Some(Asked::LeaseLost);
                self.send(&Order::Kill);
                self.wake_at = Some(Instant::now() + SLACK);
            }
            Some(Stop::Cancel(by)) => {
                // A program that has ended by itself was not cancelled.
                if self.state.asked.is_none() && self.state.exit.is_none() {
                    self.state.asked = Some(Asked::Cancelled(by));
                }
                self.ask_to_stop();
            }
        }
    }

    /// Takes note of a report; says how it ended when this was the last.
    fn hear(&mut self, line: &str) -> Option<End> {
        match serde_json::from_str(line) {
            Ok(Report::Ready { pid, session }) => {
                self.state.ready = true;
                self.guard = Some(pid);
                self.session = session;
            }
            Ok(Report::Started { .. } | Report::Swept { .. }) => {}
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

    /// `sudo` stops itself when its guard is stopped, and hears of nothing then.
    fn wake_sudo(&self) {
        let child = self.child.as_ref().and_then(Child::id);
        let sudo = child.filter(|_| self.sudoers.is_some());
        if let Some(Ok(pid)) = sudo.map(i32::try_from) {
            tree::signal_all(&[Pid::from_raw(pid)], Signal::SIGCONT);
        }
    }

    /// Says how the guard ended, if it is ours to hear of.
    async fn reap(&mut self) -> Option<ExitStatus> {
        self.wake_sudo();
        match &mut self.child {
            Some(child) => child.wait().await.ok(),
            None => None,
        }
    }

    /// The guard is gone and we are its stand-in: whatever carries the mark
    /// or is of its session has to end.
    async fn without_guard(&mut self) -> Ended {
        self.orders.close();
        let status = self.reap().await;
        if !self.state.ready
            && let Some(line) = &self.sudoers
            && status.is_some_and(|status| status.code() == Some(1))
        {
            let reason = spawn::refused(line);
            return self.ended(End::Unstartable { reason });
        }
        if !self.state.ready && self.child.is_none() {
            let reason = "the fork server gave it no guard".to_owned();
            return self.ended(End::Unstartable { reason });
        }
        let how = status.map_or_else(|| "without a word".to_owned(), describe);
        let mut survivors = match self.remains.take() {
            Some(remains) => remains.end(self.session).await,
            None => 0,
        };
        loop {
            let left = tree::marked(self.session, |variable| variable == self.mark.as_bytes());
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

    /// An order that cannot be written is one of no words: none is such.
    fn send(&mut self, order: &Order) {
        self.orders.push(order).ok();
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Waits for a change. `false`: there will be none.
async fn changed<T>(value: &mut watch::Receiver<T>, is_open: bool) -> bool {
    if !is_open {
        return pending().await;
    }
    value.changed().await.is_ok()
}

pub(super) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;

    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("by signal {signal}"),
        (None, Some(code)) => format!("with exit code {code}"),
        (None, None) => "for an unknown reason".to_owned(),
    }
}
