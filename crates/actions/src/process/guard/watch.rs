//! Waiting for the end of a program and of everything below it: a child that
//! ended, an order from the worker, a moment on the boot-time clock.

use std::{collections::HashSet, io, os::fd::AsFd, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, kill, killpg},
        signalfd::{SfdFlags, SignalFd},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    unistd::Pid,
};

use super::{now, orders::Orders, report};
use crate::process::{
    protocol::{Leftovers, Order, Report, Task},
    start, tree,
};

/// How long runs have, when the worker is gone, until their own guards have
/// ended them and taken away what they kept in files.
const RUNS_END_MS: i64 = 2_000;

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
pub(super) struct Watch<'a> {
    task: &'a Task,
    program: Pid,
    program_ended: bool,
    phase: Phase,
    /// Absent: as long as the worker lives.
    deadline: Option<i64>,
    /// Who got the polite signal.
    asked: HashSet<Pid>,
    /// It was not enough.
    killed: bool,
    /// Between two rounds of killing.
    pause_ms: i64,
    orders: Orders,
    /// When the worker was found to be gone.
    closed_at: Option<i64>,
    children: SignalFd,
    timer: TimerFd,
}

impl<'a> Watch<'a> {
    pub(super) fn new(task: &'a Task, program: Pid, orders: Orders) -> io::Result<Self> {
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
            closed_at: None,
            children,
            timer,
        })
    }

    /// Returns when every descendant is dead, or is left alive on purpose.
    pub(super) fn until_nothing_is_left(mut self) -> io::Result<bool> {
        loop {
            let alone = self.reap();
            if self.program_ended {
                if alone || self.leaves_others() {
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

    /// Whether those who are left now that the program has ended may stay.
    fn leaves_others(&self) -> bool {
        match self.task.leftovers {
            Leftovers::End => false,
            Leftovers::Stay => self.phase == Phase::Running,
            Leftovers::Runs => !self.orders.closed,
        }
    }

    /// Whether the program alone is ended: its runs are others' to end, for a
    /// while even when the worker is gone. Their guards hear of that, too.
    fn spares_runs(&self) -> bool {
        match self.task.leftovers {
            Leftovers::End | Leftovers::Stay => false,
            Leftovers::Runs => match self.closed_at {
                None => true,
                Some(closed_at) => {
                    now().is_ok_and(|now| now < closed_at.saturating_add(RUNS_END_MS))
                }
            },
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
    fn strike(&self) {
        if self.spares_runs() {
            if !self.program_ended {
                killpg(self.program, Signal::SIGKILL).ok();
                kill(self.program, Signal::SIGKILL).ok();
            }
            return;
        }
        let own = Pid::this();
        tree::kill_groups(&tree::groups_below(own));
        tree::signal_all(&tree::descendants(own), Signal::SIGKILL);
    }

    fn follow_orders(&mut self) -> io::Result<()> {
        while let Some(order) = self.orders.next() {
            match order {
                Order::Deadline { at_ms } => self.deadline = Some(at_ms),
                Order::Stop { grace_ms } => {
                    self.ask_to_end(grace_ms)?;
                }
                Order::Kill => self.phase = Phase::Killing,
            }
        }
        if self.orders.closed {
            self.phase = Phase::Killing;
            if self.closed_at.is_none() {
                self.closed_at = Some(now()?);
            }
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
        let all = if self.spares_runs() {
            vec![self.program]
        } else {
            tree::descendants(Pid::this())
        };
        self.ask(&all);
        Ok(all.len())
    }

    /// Who was just being forked was not seen, and its parent may be dead now.
    /// A child of one who lives is left alone: it may be what tidies up.
    fn ask_orphans(&mut self) {
        if self.spares_runs() {
            return;
        }
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
        if self.deadline.is_some_and(|deadline| now >= deadline) {
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
        let deadline = self.deadline.unwrap_or(i64::MAX);
        let next = match self.phase {
            Phase::Running => deadline,
            Phase::Ending { kill_at } => {
                self.ask_orphans();
                // Nobody tells us of orphans whose parent was not our child.
                let again = now()?.saturating_add(250);
                kill_at.min(deadline).min(again)
            }
            Phase::Killing => {
                self.strike();
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
