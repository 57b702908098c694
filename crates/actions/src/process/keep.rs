//! A program that is kept running for the worker's own use: a fork server. Its
//! guard knows no deadline; it ends with its worker, or when it is told to.
//!
//! It holds no guards' lock: nobody waits for it to be gone.

use std::{io, pin::pin, time::Duration};

use model::account::Account;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    net::{UnixStream, unix::pipe},
    process::Child,
    sync::mpsc,
    time::timeout,
};

use super::{
    End, Ended, Program,
    outbox::Outbox,
    pipes,
    protocol::{Leftovers, Order, Report, Work},
    spawn,
    supervise::describe,
    task::{Prepared, Terms, millis},
};
use crate::settings::ActionSettings;

/// Longer lines of its output are cut into several.
const LONGEST_LINE: u64 = 8 * 1024;
/// How long its last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A kept program.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Our end of its standard input.
    pub(crate) control: UnixStream,
    pub(crate) handle: KeptHandle,
    /// To be driven until it says how the program ended.
    pub(crate) watch: KeptWatch,
}

/// Ends a kept program.
#[derive(Debug, Clone)]
pub(crate) struct KeptHandle(mpsc::UnboundedSender<Duration>);

impl KeptHandle {
    /// Asks it to end, and kills it when it is there after `grace`. The runs
    /// that it forked go on under their own guards.
    pub(crate) fn end(&self, grace: Duration) {
        // It may have ended by itself.
        self.0.send(grace).ok();
    }
}

/// Drives a kept program. When it is dropped, the program and all of its runs
/// are killed.
#[derive(Debug)]
pub(crate) struct KeptWatch {
    child: Option<Child>,
    sudoers: Option<String>,
    orders: Outbox,
    reports: Lines<BufReader<pipe::Receiver>>,
    output: BufReader<pipe::Receiver>,
    ends: mpsc::UnboundedReceiver<Duration>,
}

/// Starts a program that is kept. `program.stdin` is not used.
pub(crate) fn keep(
    program: Program,
    account: Option<&Account>,
    settings: &ActionSettings,
) -> Result<Kept, String> {
    let socket = |error: io::Error| format!("a socket for the program: {error}");
    let (control, theirs) = pipes::pair().map_err(socket)?;
    let prepared = Prepared::new(
        program,
        Terms {
            account,
            lock: None,
            control: Some(theirs),
            leftovers: Leftovers::Runs,
            grace: Duration::ZERO,
            deadline_ms: None,
        },
    )?;
    let connection = spawn::guard(account, settings)?;
    let mut orders = Outbox::new(connection.pipes.orders, prepared.descriptors);
    orders
        .push(&Work::Run(Box::new(prepared.task)))
        .map_err(|error| error.to_string())?;
    let (handle, ends) = mpsc::unbounded_channel();
    Ok(Kept {
        control,
        handle: KeptHandle(handle),
        watch: KeptWatch {
            child: connection.child,
            sudoers: connection.sudoers,
            orders,
            reports: BufReader::new(connection.pipes.reports).lines(),
            output: BufReader::new(connection.pipes.output),
            ends,
        },
    })
}

impl KeptWatch {
    /// Until the program has ended; each line that it writes goes to `log`.
    pub(crate) async fn run(mut self, mut log: impl FnMut(&str)) -> Ended {
        let mut line = Vec::new();
        let mut exit = None;
        let mut has_output = true;
        let mut is_ready = false;
        loop {
            tokio::select! {
                () = self.orders.flush() => {}
                Some(grace) = self.ends.recv() => {
                    let stop = Order::Stop { grace_ms: millis(grace) };
                    self.orders.push(&stop).ok();
                }
                read = read_line(&mut self.output, &mut line), if has_output => {
                    has_output = read.is_ok_and(|is_more| is_more);
                    tell(&mut line, &mut log);
                }
                report = self.reports.next_line() => {
                    let Ok(Some(report)) = report else {
                        break;
                    };
                    match serde_json::from_str(&report) {
                        Ok(Report::Ready { .. }) => is_ready = true,
                        Ok(Report::Exited { exit: how }) => exit = Some(how),
                        Ok(Report::Unstartable { reason }) => return Ended::unstartable(reason),
                        Ok(
                            Report::Started { .. }
                            | Report::Leftovers { .. }
                            | Report::Expired
                            | Report::Done { .. }
                            | Report::Swept { .. },
                        )
                        | Err(_) => {}
                    }
                }
            }
        }
        self.last_words(&mut line, &mut log).await;
        // Its reports have ended, so it has.
        let how = match &mut self.child {
            Some(child) => child.wait().await.map_or_else(|e| e.to_string(), describe),
            None => "without a word".to_owned(),
        };
        let end = match (exit, self.sudoers) {
            (Some(_), _) => End::Exited,
            (None, Some(line)) if !is_ready => End::Unstartable {
                reason: spawn::refused(&line),
            },
            (None, _) => End::GuardLost { how, survivors: 0 },
        };
        Ended {
            end,
            exit,
            leftovers: 0,
        }
    }

    async fn last_words(&mut self, line: &mut Vec<u8>, log: &mut impl FnMut(&str)) {
        let rest = async {
            while matches!(read_line(&mut self.output, line).await, Ok(true)) {
                tell(line, log);
            }
        };
        timeout(LAST_WORDS, pin!(rest)).await.ok();
    }
}

/// Adds to `line` up to its end. `false`: nothing comes any more. What was
/// read stays when this is dropped.
async fn read_line(output: &mut BufReader<pipe::Receiver>, line: &mut Vec<u8>) -> io::Result<bool> {
    let room = LONGEST_LINE.saturating_sub(line.len() as u64);
    let mut limited = output.take(room);
    Ok(limited.read_until(b'\n', line).await? > 0)
}

fn tell(line: &mut Vec<u8>, log: &mut impl FnMut(&str)) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    if !text.is_empty() {
        log(text);
    }
    line.clear();
}
