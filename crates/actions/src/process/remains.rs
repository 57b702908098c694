//! What a step of another user may leave when its guard is killed, and the way
//! to end it: a guard of that user, since nobody else can see it.
//!
//! The worker writes this down before the step begins, beside the lock that
//! says that the worker lives.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use model::account::Account;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
    unistd::{Pid, geteuid},
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    descriptors,
    orphans::Orphans,
    protocol::{Report, Sweep, User, Work},
    spawn::{self, How},
    tree,
};
use crate::settings::ActionSettings;

/// Longer than a guard takes to give up.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remains {
    user: User,
    directory: PathBuf,
    how: How,
}

impl Remains {
    /// `None`: the step runs as our own user, and is ours to end.
    pub(crate) fn of(
        account: Option<&Account>,
        directory: &Path,
        settings: &ActionSettings,
    ) -> Result<Option<Self>, String> {
        let Some(account) = account else {
            return Ok(None);
        };
        if account.user.uid == geteuid().as_raw() {
            return Ok(None);
        }
        Ok(Some(Self {
            user: User::from(&account.user),
            directory: directory.to_owned(),
            how: How::of(Some(account), settings)?,
        }))
    }

    /// Ends it, and says how many processes there were.
    pub(super) async fn end(self, session: Option<i32>) -> usize {
        let ended = tokio::task::spawn_blocking(move || self.sweep(session)).await;
        match ended {
            Ok(Ok(orphans)) => orphans.found,
            Ok(Err(error)) => {
                warn!(%error, "what a step of another user left could not be ended");
                0
            }
            Err(_) => 0,
        }
    }

    /// Kills what its guard should have ended by now. A guard that is the
    /// user's own, as that of a forked run is, cannot end what became root;
    /// where we are root, we can. The guard's number is what it said itself:
    /// it counts for a process below us that is this user's.
    pub(super) fn strike_below(&self, guard: i32) {
        let guard = Pid::from_raw(guard);
        let is_its_guard = tree::owner(guard) == Some(self.user.uid)
            && tree::descendants(Pid::this()).contains(&guard);
        if geteuid().is_root() && is_its_guard {
            tree::signal_all(&tree::descendants(guard), Signal::SIGKILL);
        }
    }

    /// The same, waiting for it, for a step of a process that is gone.
    pub(crate) fn end_now(&self) -> io::Result<Orphans> {
        self.sweep(None)
    }

    fn sweep(&self, session: Option<i32>) -> io::Result<Orphans> {
        let said = self.ask(&Work::Sweep(Sweep {
            user: self.user.clone(),
            directory: self.directory.clone(),
            session,
        }))?;
        let swept = said.into_iter().find_map(|report| match report {
            Report::Swept { found, left } => Some(Orphans { found, left }),
            Report::Ready { .. }
            | Report::Started { .. }
            | Report::Unstartable { .. }
            | Report::Exited { .. }
            | Report::Leftovers { .. }
            | Report::Expired
            | Report::Done { .. } => None,
        });
        swept.ok_or_else(|| {
            io::Error::other(match &self.how.sudoers {
                Some(line) => spawn::refused(line),
                None => "the guard said nothing".to_owned(),
            })
        })
    }

    /// Lets its guard go on that was stopped.
    pub(super) async fn wake(&self, guard: i32) {
        let remains = self.clone();
        let work = Work::Wake {
            user: self.user.clone(),
            guard,
        };
        let asked = tokio::task::spawn_blocking(move || remains.ask(&work)).await;
        if let Ok(Err(error)) = asked {
            warn!(%error, "a guard of another user could not be reached");
        }
    }

    /// What a guard of the user says to it.
    fn ask(&self, work: &Work) -> io::Result<Vec<Report>> {
        let (orders, theirs) = UnixStream::pair()?;
        let mut child = self.start(theirs.into())?;
        let mut line = serde_json::to_vec(work)?;
        line.push(b'\n');
        let sent = descriptors::send(orders.as_fd(), &line, &[]);
        let said = sent.and_then(|_| hear(&mut child));
        // One that has said nothing in all that time is not waited for.
        if said.is_err() {
            child.kill().ok();
        }
        child.wait()?;
        let said = said?;
        let reports = said.lines().map(serde_json::from_str);
        Ok(reports.filter_map(Result::ok).collect())
    }

    fn start(&self, orders: OwnedFd) -> io::Result<Child> {
        #[expect(clippy::disallowed_methods, reason = "this is `actions::process`")]
        let mut command = Command::new(&self.how.program);
        command
            .args(&self.how.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(orders))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }
}

/// Everything that a guard says.
fn hear(child: &mut Child) -> io::Result<String> {
    let mut said = String::new();
    let Some(reports) = &mut child.stdout else {
        return Ok(said);
    };
    let until = Instant::now() + PATIENCE;
    let mut chunk = [0_u8; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut ready = [PollFd::new(reports.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut ready, wait)? == 0 {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        let len = reports.read(&mut chunk)?;
        if len == 0 {
            return Ok(said);
        }
        said.push_str(&String::from_utf8_lossy(
            chunk.get(..len).unwrap_or_default(),
        ));
    }
}
