//! A running step's output on its way into the store.
//!
//! `write` returns when the bytes are kept, so a flood is as fast as the
//! store. When the lease is gone the bytes are dropped: they are not ours.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{
    id::LeaseId,
    ports::{Fenced, OutputSink},
};

use crate::{
    shared::{Shared, is_transient},
    telemetry::RecordFailed,
};

/// How long a store that does not take output holds up the step that writes.
const PATIENCE: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The output of one step of one attempt.
pub(crate) struct StoredOutput {
    shared: Arc<Shared>,
    lease: LeaseId,
    step: usize,
    /// The lease is gone, or the store takes no more.
    is_closed: AtomicBool,
}

impl StoredOutput {
    pub(crate) fn new(shared: Arc<Shared>, lease: LeaseId, step: usize) -> Self {
        Self {
            shared,
            lease,
            step,
            is_closed: AtomicBool::new(false),
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for StoredOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredOutput")
            .field("lease", &self.lease)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl OutputSink for StoredOutput {
    async fn write(&self, bytes: Vec<u8>) {
        let begun = tokio::time::Instant::now();
        let mut pause = FIRST_PAUSE;
        while !self.is_closed.load(Ordering::Relaxed) {
            let kept = self
                .shared
                .parts
                .queue
                .append_output(&self.lease, self.step, bytes.clone())
                .await;
            match kept {
                Ok(Fenced::Recorded) => {
                    self.shared.followers.changed(&self.lease.job);
                    return;
                }
                Ok(Fenced::Stale) => {
                    self.close();
                    self.shared.held.lose(&self.lease);
                }
                Err(error) => {
                    let is_final = !is_transient(&error) || begun.elapsed() >= PATIENCE;
                    if is_final {
                        self.close();
                        RecordFailed {
                            lease: &self.lease,
                            what: "output",
                            error: &error,
                            is_final,
                        }
                        .emit();
                    } else {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_secs(2));
                    }
                }
            }
        }
    }
}
