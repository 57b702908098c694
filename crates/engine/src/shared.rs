//! What the tasks of one engine share.
//!
//! The phase only moves forward: serving, draining, stopped.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::{
    clock::Timestamp,
    diagnostic::Diagnostic,
    job::StepKind,
    ports::{Action, StoreError},
};
use rules::RuleSet;
use tokio::sync::{Mutex, Notify, watch};

use crate::{engine::EngineParts, lease::Held, revisions::Revisions, tasks::Tasks};

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
    pub(crate) revisions: Revisions,
    /// The jobs that run here.
    pub(crate) held: Arc<Held>,
    pub(crate) tasks: Tasks,
    pub(crate) phase: watch::Sender<Phase>,
    /// One reload at a time.
    pub(crate) reloading: Mutex<()>,
    /// Asks for recovery before its time has come.
    pub(crate) recover_now: Notify,
    /// What the actions miss here.
    pub(crate) notices: ArcSwap<Vec<Diagnostic>>,
    pub(crate) started: Timestamp,
}

impl Shared {
    pub(crate) fn new(parts: EngineParts, rules: Arc<RuleSet>) -> Self {
        let started = parts.clock.now();
        Self {
            parts,
            rules: ArcSwap::new(rules),
            revisions: Revisions::default(),
            held: Arc::default(),
            tasks: Tasks::default(),
            phase: watch::Sender::new(Phase::Serving),
            reloading: Mutex::new(()),
            recover_now: Notify::new(),
            notices: ArcSwap::default(),
            started,
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
