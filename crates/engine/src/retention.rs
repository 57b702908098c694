//! Removes what is older than it is to be kept, in small steps.
//!
//! A wall clock that jumps forward must not empty the history, so after a
//! jump retention waits until the clock has been steady for a while.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{
    clock::{BootTime, Timestamp},
    ports::{Cutoffs, Pruned, StoreError},
};

use crate::{
    lease::between,
    settings::Retention,
    shared::Shared,
    tasks::{Policy, Task},
    telemetry::{ClockJumped, HistoryPruned, StoreFailed},
};

/// Of each kind, in one transaction.
const STEP: usize = 500;
/// Between two steps, for those who wait to write.
const BREATH: Duration = Duration::from_millis(20);
/// How far wall and boot clock may part between two rounds.
const TOLERATED: Duration = Duration::from_secs(60);
/// How long a clock must be steady after a jump.
const SETTLES: Duration = Duration::from_secs(60 * 60);

/// What was last seen of both clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    wall: Timestamp,
    boot: BootTime,
    /// When the wall clock last jumped.
    jumped: Option<BootTime>,
}

/// By how much the wall clock moved by itself since `before`, in milliseconds.
fn drift(before: &Seen, wall: Timestamp, boot: &BootTime) -> i64 {
    let passed = i64::try_from(between(&before.boot, boot).as_millis()).unwrap_or(i64::MAX);
    let moved = wall.as_millis().saturating_sub(before.wall.as_millis());
    moved.saturating_sub(passed)
}

/// Looks at the clocks; says what is remembered, and the jump if there was one.
fn look(before: Option<&Seen>, wall: Timestamp, boot: BootTime) -> (Seen, Option<i64>) {
    let Some(before) = before else {
        let jumped = None;
        return (Seen { wall, boot, jumped }, None);
    };
    let by = drift(before, wall, &boot);
    let is_jump = u128::from(by.unsigned_abs()) > TOLERATED.as_millis();
    let jumped = if is_jump {
        Some(boot.clone())
    } else {
        before.jumped.clone()
    };
    (Seen { wall, boot, jumped }, is_jump.then_some(by))
}

impl Seen {
    fn is_settled(&self) -> bool {
        match &self.jumped {
            Some(jumped) => between(jumped, &self.boot) >= SETTLES,
            None => true,
        }
    }
}

fn cutoffs(retention: &Retention, now: Timestamp) -> Cutoffs {
    let Retention {
        events,
        output,
        dead,
    } = *retention;
    Cutoffs {
        events: now.minus(events),
        output: now.minus(output),
        dead: now.minus(dead),
    }
}

pub(crate) fn start(shared: &Arc<Shared>) {
    let task = Task {
        name: "retention",
        owner: "retention",
        policy: Policy::CutAfterDrain,
    };
    let own = Arc::clone(shared);
    let clock = &shared.parts.clock;
    let (first, _) = look(None, clock.now(), clock.boot());
    let seen = Arc::new(Mutex::new(first));
    shared.tasks.rounds(task, move || {
        let shared = Arc::clone(&own);
        let seen = Arc::clone(&seen);
        async move {
            tokio::time::sleep(shared.parts.settings.prune_every).await;
            if is_believable(&shared, &seen)
                && let Err(error) = prune(&shared).await
            {
                StoreFailed {
                    what: "remove what is old",
                    error: &error,
                }
                .emit();
            }
            ControlFlow::Continue(())
        }
    });
}

fn is_believable(shared: &Shared, seen: &Mutex<Seen>) -> bool {
    let clock = &shared.parts.clock;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, jump) = look(Some(&seen), clock.now(), clock.boot());
    *seen = now;
    if let Some(by_millis) = jump {
        ClockJumped { by_millis }.emit();
    }
    seen.is_settled()
}

/// Removes everything that is older than it is to be kept.
async fn prune(shared: &Shared) -> Result<(), StoreError> {
    let parts = &shared.parts;
    let cutoffs = cutoffs(&parts.settings.retention, parts.clock.now());
    loop {
        let pruned = parts.upkeep.prune(&cutoffs, STEP).await?;
        if pruned == Pruned::default() {
            return Ok(());
        }
        HistoryPruned(pruned).emit();
        tokio::time::sleep(BREATH).await;
    }
}

#[cfg(test)]
mod tests;
