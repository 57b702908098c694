//! What a running step prints, and what it tells about its tasks, on their way
//! into the store.
//!
//! A call returns when all is kept, so a flood is as fast as the store. When
//! the lease is gone what comes is dropped: it is not ours.

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
    clock::Timestamp,
    id::LeaseId,
    ports::{Fenced, OutputSink, StoreError, task::TaskSink},
    task::TaskEvent,
};

use crate::{
    shared::{Shared, is_transient},
    telemetry::RecordFailed,
};

/// How long a store that takes nothing holds up the step that writes.
const PATIENCE: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The way of one step of one attempt into the store.
struct Way {
    shared: Arc<Shared>,
    lease: LeaseId,
    step: usize,
    /// For the log.
    what: &'static str,
    /// The lease is gone, or the store takes no more.
    is_closed: AtomicBool,
}

impl Way {
    fn new(shared: Arc<Shared>, (lease, step): (LeaseId, usize), what: &'static str) -> Self {
        Self {
            shared,
            lease,
            step,
            what,
            is_closed: AtomicBool::new(false),
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Offers something to the store until it takes it, or no longer.
    async fn keep<A>(&self, offer: impl Fn() -> A + Send + Sync)
    where
        A: Future<Output = Result<Fenced, StoreError>> + Send,
    {
        let begun = tokio::time::Instant::now();
        let mut pause = FIRST_PAUSE;
        while !self.is_closed.load(Ordering::Relaxed) {
            match offer().await {
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
                            what: self.what,
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

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way")
            .field("lease", &self.lease)
            .field("step", &self.step)
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

/// The output of one step of one attempt.
#[derive(Debug)]
pub(crate) struct StoredOutput(Way);

impl StoredOutput {
    pub(crate) fn new(shared: Arc<Shared>, lease: LeaseId, step: usize) -> Self {
        Self(Way::new(shared, (lease, step), "output"))
    }
}

#[async_trait]
impl OutputSink for StoredOutput {
    async fn write(&self, bytes: Vec<u8>) {
        let Way {
            shared,
            lease,
            step,
            ..
        } = &self.0;
        let queue = &shared.parts.queue;
        let offer = || queue.append_output(lease, *step, bytes.clone());
        self.0.keep(offer).await;
    }
}

/// The task events of one step of one attempt.
#[derive(Debug)]
pub(crate) struct StoredTasks(Way);

impl StoredTasks {
    pub(crate) fn new(shared: Arc<Shared>, lease: LeaseId, step: usize) -> Self {
        Self(Way::new(shared, (lease, step), "results of tasks"))
    }
}

#[async_trait]
impl TaskSink for StoredTasks {
    async fn tell(&self, events: Vec<(Timestamp, TaskEvent)>) {
        let Way {
            shared,
            lease,
            step,
            ..
        } = &self.0;
        let log = &shared.parts.task_log;
        let offer = || log.append_tasks(lease, *step, events.clone());
        self.0.keep(offer).await;
    }
}
