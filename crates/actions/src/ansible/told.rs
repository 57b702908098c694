//! What a playbook tells while it runs: from the descriptor of our callback
//! plugin to who keeps it.
//!
//! Anything below the playbook may write there, so nothing is believed but the
//! shape: a line is one of a few objects or it is nothing, texts are cut and
//! lose their control characters, and so much of it is kept and no more. The
//! worst that a forged line does is to be a wrong result of its own playbook.

mod line;

use std::{
    collections::{BTreeMap, HashSet},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    time::Duration,
};

use model::{
    clock::{Clock, Timestamp},
    ports::task::TaskSink,
    task::{HostRecap, TaskEvent, TaskResult, TaskStatus},
};
use nix::fcntl::{FcntlArg, fcntl};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::unix::pipe,
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use self::line::Line;
use crate::process::{End, Ended, Program};

/// What a step may tell.
mod limit {
    /// Bytes of a line; longer ones are nothing.
    pub(super) const LINE: usize = 64 * 1024;
    /// Plays, tasks and results that are kept.
    pub(super) const EVENTS: usize = 25_000;
    /// Results beyond these, of hosts that went no further.
    pub(super) const FATAL: usize = 1_000;
    /// Bytes of lines from which something is kept; recaps do not count.
    pub(super) const BYTES: usize = 16 << 20;
    /// Hosts that have a recap.
    pub(super) const HOSTS: usize = 10_000;
    /// Bytes after which nobody listens any more.
    pub(super) const READ: usize = 64 << 20;
}

/// Events that are handed on at once, and how long they are waited for.
const BATCH: usize = 500;
const BATCH_TIME: Duration = Duration::from_millis(100);
/// How long a pipe that somebody still holds open is read after the end.
const SILENCE: Duration = Duration::from_millis(200);
const LAST_CALL: Duration = Duration::from_secs(1);
/// Room for what is told while the store is busy, so that the play need not
/// wait for it.
const PIPE: i32 = 1 << 20;

/// Gives a program the end that it writes to, and keeps the other.
pub(super) fn listen_to(program: &mut Program) -> Result<Listener, String> {
    let made = channel().map_err(|error| format!("a pipe for the results of tasks: {error}"));
    let (theirs, listener) = made?;
    program.tasks = Some(theirs);
    Ok(listener)
}

fn channel() -> io::Result<(OwnedFd, Listener)> {
    let (sender, receiver) = pipe::pipe()?;
    // More room is a kindness of the system, not a need.
    if let Err(error) = fcntl(receiver.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE)) {
        debug!(%error, "a pipe stays as small as it is");
    }
    Ok((sender.into_blocking_fd()?, Listener { pipe: receiver }))
}

/// Our end.
#[derive(Debug)]
pub(super) struct Listener {
    pipe: pipe::Receiver,
}

impl Listener {
    /// Hands on what is told while `running` runs, and what is left after.
    pub(super) async fn while_running(
        self,
        running: impl Future<Output = Ended>,
        (sink, clock): (&dyn TaskSink, &dyn Clock),
    ) -> Ended {
        let (over, is_over) = oneshot::channel();
        let mut listening = pin!(listen(self.pipe, Telling::new(sink, clock), is_over));
        let mut has_heard_all = false;
        let ended = {
            let mut running = pin!(running);
            loop {
                tokio::select! {
                    ended = &mut running => break ended,
                    () = &mut listening, if !has_heard_all => has_heard_all = true,
                }
            }
        };
        // Nobody keeps what is told under a lease that is gone.
        if !has_heard_all && ended.end != End::LeaseLost {
            over.send(()).ok();
            listening.await;
        }
        ended
    }
}

/// Listens until the pipe ends, or shortly after `over`.
async fn listen(
    mut pipe: impl AsyncRead + Unpin,
    mut telling: Telling<'_>,
    over: oneshot::Receiver<()>,
) {
    let mut over = pin!(over);
    let mut last_call: Option<Instant> = None;
    let mut lines = Lines::default();
    let mut bytes = Vec::with_capacity(limit::LINE);
    let mut heard = 0;
    while heard <= limit::READ && last_call.is_none_or(|end| Instant::now() < end) {
        let now = Instant::now();
        let silence = last_call.map_or(now, |end| end.min(now + SILENCE));
        let due = telling.due();
        let read = tokio::select! {
            biased;
            _ = &mut over, if last_call.is_none() => {
                last_call = Some(now + LAST_CALL);
                continue;
            }
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                telling.hand_on().await;
                continue;
            }
            read = pipe.read_buf(&mut bytes) => read,
            () = sleep_until(silence), if last_call.is_some() => break,
        };
        let Ok(count @ 1..) = read else {
            break;
        };
        heard += count;
        lines.take(&bytes, |line| telling.hear(line));
        bytes.clear();
        if telling.is_full() {
            telling.hand_on().await;
        }
    }
    if heard > limit::READ {
        let mebibytes = limit::READ >> 20;
        warn!("a playbook told more than {mebibytes} MiB about its tasks; the rest is not heard");
    }
    telling.finish().await;
}

/// Cuts bytes into lines, and leaves out those that are too long.
#[derive(Default)]
struct Lines {
    /// A line whose end has not come.
    begun: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.is_too_long |= self.begun.len() + piece.len() > limit::LINE;
            if !self.is_too_long {
                self.begun.extend_from_slice(piece);
            }
            if pieces.peek().is_some() {
                if !self.is_too_long && !self.begun.is_empty() {
                    each(&self.begun);
                }
                self.begun.clear();
                self.is_too_long = false;
            }
        }
    }
}

/// What was heard, on its way to who keeps it.
struct Telling<'a> {
    sink: &'a dyn TaskSink,
    clock: &'a dyn Clock,
    keeper: Keeper,
    batch: Vec<(Timestamp, TaskEvent)>,
    /// When the batch goes on, however small it is.
    due: Option<Instant>,
}

impl<'a> Telling<'a> {
    fn new(sink: &'a dyn TaskSink, clock: &'a dyn Clock) -> Self {
        Self {
            sink,
            clock,
            keeper: Keeper::default(),
            batch: Vec::new(),
            due: None,
        }
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    fn hear(&mut self, line: &[u8]) {
        let Some(event) = self.keeper.take(line) else {
            return;
        };
        self.batch.push((self.clock.now(), event));
        self.due.get_or_insert_with(|| Instant::now() + BATCH_TIME);
    }

    async fn hand_on(&mut self) {
        self.due = None;
        for part in std::mem::take(&mut self.batch).chunks(BATCH) {
            self.sink.tell(part.to_vec()).await;
        }
    }

    async fn finish(mut self) {
        let at = self.clock.now();
        let last = self.keeper.finish().into_iter().map(|event| (at, event));
        self.batch.extend(last);
        self.hand_on().await;
    }
}

/// Decides what is kept.
#[derive(Default)]
struct Keeper {
    events: usize,
    fatal: usize,
    bytes: usize,
    left_out: u64,
    /// What the results come to, for a run that does not get to its recap.
    counted: BTreeMap<String, HostRecap>,
    /// Hosts whose recap was told.
    told: HashSet<String>,
}

impl Keeper {
    /// The event of a line, if it is one and kept.
    fn take(&mut self, line: &[u8]) -> Option<TaskEvent> {
        let line: Line = match serde_json::from_slice(line) {
            Ok(line) => line,
            Err(error) => {
                debug!(%error, "a playbook told something that cannot be read");
                return None;
            }
        };
        match line.event()? {
            TaskEvent::LeftOut { count } => {
                self.left_out = self.left_out.saturating_add(count);
                None
            }
            TaskEvent::Recap(recap) => {
                let has_room = self.told.len() < limit::HOSTS;
                let is_new = has_room && self.told.insert(recap.host.clone());
                is_new.then_some(TaskEvent::Recap(recap))
            }
            TaskEvent::Result(result) => {
                self.count(&result);
                let event = TaskEvent::Result(result);
                let size = event_bytes(&event);
                self.keep(event, size)
            }
            event @ (TaskEvent::Play(_) | TaskEvent::Task(_)) => {
                let size = event_bytes(&event);
                self.keep(event, size)
            }
        }
    }

    fn keep(&mut self, event: TaskEvent, size: usize) -> Option<TaskEvent> {
        let is_fatal = event.status().is_some_and(TaskStatus::is_fatal);
        let fits = self.events < limit::EVENTS && self.bytes + size <= limit::BYTES;
        if fits {
            self.events += 1;
            self.bytes += size;
        } else if is_fatal && self.fatal < limit::FATAL {
            self.fatal += 1;
        } else {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        Some(event)
    }

    fn count(&mut self, result: &TaskResult) {
        if let Some(recap) = self.counted.get_mut(&result.host) {
            recap.count(result.status);
        } else if self.counted.len() < limit::HOSTS {
            let mut recap = HostRecap::of(result.host.clone());
            recap.count(result.status);
            self.counted.insert(result.host.clone(), recap);
        }
    }

    /// What there is to say at the end.
    fn finish(&mut self) -> Vec<TaskEvent> {
        let mut last = Vec::new();
        if self.told.is_empty() {
            let recaps = std::mem::take(&mut self.counted).into_values();
            last.extend(recaps.map(TaskEvent::Recap));
        }
        if self.left_out > 0 {
            last.push(TaskEvent::LeftOut {
                count: self.left_out,
            });
        }
        last
    }
}

/// About what an event takes where it is kept.
fn event_bytes(event: &TaskEvent) -> usize {
    const AROUND: usize = 200;
    let texts = match event {
        TaskEvent::Play(play) => play.play.len(),
        TaskEvent::Task(task) => task.play.len() + task.task.len() + task.action.len(),
        TaskEvent::Result(result) => {
            let said = [&result.message, &result.diff, &result.delegated_to];
            let items = result.items.iter().flat_map(|items| &items.failures);
            let said_of_items = items.flat_map(|one| [&one.item, &one.message]);
            let said = said.into_iter().chain(said_of_items).flatten();
            let said: usize = said.map(String::len).sum();
            result.play.len() + result.task.len() + result.host.len() + said
        }
        TaskEvent::Recap(recap) => recap.host.len(),
        TaskEvent::LeftOut { .. } => 0,
    };
    AROUND + texts
}

#[cfg(test)]
mod tests;
