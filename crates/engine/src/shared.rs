//! What the tasks of one engine share.
//!
//! The phase only moves forward: serving, draining, stopped.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::{
    account::Grants,
    clock::Timestamp,
    diagnostic::Diagnostic,
    id::{EventId, SourceName},
    job::StepKind,
    ports::{Action, StoreError},
    route::Route,
};
use rules::RuleSet;
use tokio::sync::{Mutex, Notify, Semaphore, watch};

use crate::{
    engine::EngineParts,
    lease::Held,
    lifecycle::Listeners,
    meter::{Cache, Meter},
    outbox::Sender,
    reload::Sound,
    revisions::Revisions,
    source::{self, Feed},
    stream::{Live, follow::Followers},
    tasks::Tasks,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    Draining,
    Stopped,
}

pub(crate) struct Shared {
    pub(crate) parts: EngineParts,
    /// The rules in force.
    pub(crate) rules: ArcSwap<RuleSet>,
    /// Who may run as whom, as it was when those rules were checked.
    pub(crate) grants: ArcSwap<Grants>,
    pub(crate) revisions: Revisions,
    /// The jobs that run here.
    pub(crate) held: Arc<Held>,
    pub(crate) tasks: Tasks,
    pub(crate) meter: Meter,
    /// For gauges.
    pub(crate) scraped: Cache,
    pub(crate) routes: Arc<[Route]>,
    pub(crate) feeds: Vec<Arc<Feed>>,
    pub(crate) senders: Vec<Arc<Sender>>,
    /// Held by a claim, and by whoever must not have a job begun meanwhile.
    pub(crate) begins: Semaphore,
    pub(crate) phase: watch::Sender<Phase>,
    /// One reload at a time.
    pub(crate) reloading: Mutex<()>,
    /// Asks for recovery before its time has come.
    pub(crate) recover_now: Notify,
    pub(crate) listeners: Listeners,
    /// What the actions miss here.
    pub(crate) notices: ArcSwap<Vec<Diagnostic>>,
    /// What streams of events share.
    pub(crate) live: Live,
    /// Who follows a job.
    pub(crate) followers: Arc<Followers>,
    pub(crate) started: Timestamp,
}

impl Shared {
    /// With what the tasks of the sources begin with.
    pub(crate) fn new(parts: EngineParts, checked: Sound) -> (Self, Vec<source::Start>) {
        let started = parts.clock.now();
        let (feeds, starts) = source::feeds(&parts.sources, &parts.settings.worker);
        let senders = parts.sinks.iter().map(Sender::new).collect();
        let shared = Self {
            routes: parts.routes.clone().into(),
            feeds,
            senders,
            begins: Semaphore::new(1),
            parts,
            rules: ArcSwap::from_pointee(checked.rules.rules),
            grants: ArcSwap::from_pointee(checked.grants),
            revisions: Revisions::default(),
            held: Arc::default(),
            tasks: Tasks::default(),
            meter: Meter::default(),
            scraped: Cache::default(),
            phase: watch::Sender::new(Phase::Serving),
            reloading: Mutex::new(()),
            recover_now: Notify::new(),
            listeners: Listeners::default(),
            notices: ArcSwap::default(),
            live: Live::new(),
            followers: Arc::default(),
            started,
        };
        for feed in &shared.feeds {
            shared.meter.source(feed.source.name().as_str());
        }
        for sender in &shared.senders {
            shared.meter.sink(sender.sink.name());
        }
        (shared, starts)
    }

    pub(crate) fn feed(&self, name: &SourceName) -> Option<&Arc<Feed>> {
        self.feeds.iter().find(|feed| feed.source.name() == name)
    }

    /// Whether jobs of deliveries may be begun now.
    pub(crate) fn may_begin_deliveries(&self) -> bool {
        let now = self.parts.clock.boot();
        let mut custodies = self.feeds.iter().filter_map(|feed| feed.custody.as_ref());
        custodies.all(|custody| custody.may_begin(&now))
    }

    /// A job of an event has changed: its delivery may be due.
    pub(crate) fn changed(&self, event: &EventId) {
        for custody in self.feeds.iter().filter_map(|feed| feed.custody.as_ref()) {
            custody.changed(event);
        }
    }

    /// Some jobs have changed, and it is not known of which events.
    pub(crate) fn changed_somewhere(&self) {
        for custody in self.feeds.iter().filter_map(|feed| feed.custody.as_ref()) {
            custody.changed_somewhere();
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves to a later phase; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let moves = *now < phase;
            if moves {
                *now = phase;
            }
            moves
        });
    }

    pub(crate) fn action(&self, kind: StepKind) -> Option<&Arc<dyn Action>> {
        self.parts
            .actions
            .iter()
            .find(|action| action.kind() == kind)
    }
}

/// Whether the same call may work later.
pub(crate) fn is_transient(error: &StoreError) -> bool {
    match error {
        StoreError::Full(_)
        | StoreError::ReadOnly(_)
        | StoreError::Unreachable(_)
        | StoreError::Deadline { .. }
        | StoreError::Failed(_) => true,
        StoreError::Closed | StoreError::Corrupt { .. } => false,
    }
}
