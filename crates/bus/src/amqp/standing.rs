//! How a link stands: what people read, and one line in the log for each
//! change.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use model::{
    clock::Clock,
    link::{LinkState, LinkStatus},
};
use tracing::{debug, info, warn};

use super::settings::HostPort;

/// The status of one source or sink.
pub(super) struct Standing {
    /// `source` or `sink`, and its name.
    what: &'static str,
    name: String,
    clock: Arc<dyn Clock>,
    status: Mutex<LinkStatus>,
    messages: AtomicU64,
    /// What was logged of the peer's words and has not got better since.
    told: Mutex<Option<String>>,
}

impl Standing {
    pub(super) fn new(what: &'static str, name: String, clock: Arc<dyn Clock>) -> Self {
        let status = LinkStatus {
            state: LinkState::Connecting,
            since: clock.now(),
            peer: None,
            detail: None,
            messages: 0,
            losses: 0,
        };
        Self {
            what,
            name,
            clock,
            status: Mutex::new(status),
            messages: AtomicU64::new(0),
            told: Mutex::new(None),
        }
    }

    pub(super) fn get(&self) -> LinkStatus {
        let mut status = self.lock().clone();
        status.messages = self.messages.load(Ordering::Relaxed);
        status
    }

    pub(super) fn count(&self, messages: usize) {
        self.messages
            .fetch_add(u64::try_from(messages).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn connecting(&self) {
        let mut status = self.lock();
        self.turn(&mut status, LinkState::Connecting);
    }

    pub(super) fn connected(&self, peer: &HostPort) {
        let mut status = self.lock();
        let was = status.state;
        self.turn(&mut status, LinkState::Connected);
        status.peer = Some(peer.to_string());
        status.detail = None;
        drop(status);
        if was != LinkState::Connected {
            let (what, name) = (self.what, &self.name);
            info!(link = %name, %peer, "{what} `{name}` is connected to `{peer}`");
        }
    }

    pub(super) fn blocked(&self, reason: &str) {
        let mut status = self.lock();
        let is_news = status.state != LinkState::Blocked;
        self.turn(&mut status, LinkState::Blocked);
        status.detail = Some(format!("the broker takes nothing: {reason}"));
        drop(status);
        if is_news {
            let (what, name) = (self.what, &self.name);
            warn!(link = %name, reason, "{what} `{name}`: the broker takes nothing: {reason}");
        }
    }

    /// A connection that stood is gone.
    pub(super) fn lost(&self, cause: &str) {
        let mut status = self.lock();
        self.turn(&mut status, LinkState::Waiting);
        status.peer = None;
        status.detail = Some(cause.to_owned());
        status.losses += 1;
        drop(status);
        let (what, name) = (self.what, &self.name);
        warn!(link = %name, cause, "{what} `{name}` lost its connection: {cause}");
    }

    /// An attempt failed. Said again only when the cause is another.
    pub(super) fn waiting(&self, cause: &str) {
        let mut status = self.lock();
        let is_news = status.detail.as_deref() != Some(cause);
        self.turn(&mut status, LinkState::Waiting);
        status.detail = Some(cause.to_owned());
        drop(status);
        let (what, name) = (self.what, &self.name);
        if is_news {
            warn!(link = %name, cause, "{what} `{name}` waits: {cause}");
        } else {
            debug!(link = %name, cause, "{what} `{name}` still waits: {cause}");
        }
    }

    /// What the peer said last, connected as we are.
    pub(super) fn said(&self, text: &str) {
        self.lock().detail = Some(text.to_owned());
        let before = self.told().replace(text.to_owned());
        if before.as_deref() != Some(text) {
            let (what, name) = (self.what, &self.name);
            warn!(link = %name, said = text, "{what} `{name}`: {text}");
        }
    }

    /// It went well again.
    pub(super) fn clear(&self) {
        *self.told() = None;
        let mut status = self.lock();
        if status.state == LinkState::Connected {
            status.detail = None;
        }
    }

    pub(super) fn closed(&self) {
        let mut status = self.lock();
        if status.state == LinkState::Closed {
            return;
        }
        self.turn(&mut status, LinkState::Closed);
        status.peer = None;
        status.detail = None;
        drop(status);
        let (what, name) = (self.what, &self.name);
        info!(link = %name, "{what} `{name}` is closed");
    }

    /// Between tries it connects and waits in turn: away is since the first.
    fn turn(&self, status: &mut LinkStatus, state: LinkState) {
        let is_away = |state| matches!(state, LinkState::Connecting | LinkState::Waiting);
        if status.state != state && !(is_away(status.state) && is_away(state)) {
            status.since = self.clock.now();
        }
        status.state = state;
    }

    fn told(&self) -> MutexGuard<'_, Option<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, LinkStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
