//! Every task of the engine, with a name, an owner and a policy.
//!
//! This is the only place that starts tasks. A panic never leaves a task: it
//! is logged here, a loop goes on with its next round, and a job's attempt
//! gets it as a value (see [`caught`]). What an ended task owned is dropped
//! before [`Tasks::stop`] returns.

use std::{any::Any, future::Future, ops::ControlFlow, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::telemetry::TaskPanicked;

/// How long [`Tasks::stop`] waits for tasks that are inside a computation.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// Before a loop that panicked begins its next round.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// What becomes of a task when the engine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Runs on while the engine drains, and is cut when it has.
    CutAfterDrain,
    /// Draining waits for it; only stopping cuts it.
    AwaitOnDrain,
    /// Runs on until the awaited ones have ended, is told to finish then (see
    /// [`Tasks::finish`]) and waited for.
    FinishLast,
}

/// What a task is called in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) name: &'static str,
    /// The file that started it.
    pub(crate) owner: &'static str,
    pub(crate) policy: Policy,
}

/// A computation ended by panicking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panicked {
    pub(crate) message: String,
}

/// The tasks of one engine.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    awaited: TaskTracker,
    finishing: TaskTracker,
    background: TaskTracker,
    /// Tells what finishes after the awaited ones that they have ended.
    finish: CancellationToken,
    /// Cut what runs on while draining.
    drained: CancellationToken,
    stopped: CancellationToken,
}

impl Tasks {
    pub(crate) fn spawn(&self, task: Task, future: impl Future<Output = ()> + Send + 'static) {
        let (tracker, cut) = match task.policy {
            Policy::CutAfterDrain => (&self.background, self.drained.clone()),
            Policy::AwaitOnDrain => (&self.awaited, self.stopped.clone()),
            Policy::FinishLast => (&self.finishing, self.stopped.clone()),
        };
        let guarded = async move {
            if let Some(Err(panicked)) = cut.run_until_cancelled(caught(future)).await {
                TaskPanicked { task, panicked }.emit();
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that starts tasks"
        )]
        tokio::spawn(tracker.track_future(guarded));
    }

    /// Runs rounds until one says `Break`. A round that panics is followed by
    /// the next one a little later.
    pub(crate) fn rounds<F, R>(&self, task: Task, mut round: F)
    where
        F: FnMut() -> R + Send + 'static,
        R: Future<Output = ControlFlow<()>> + Send + 'static,
    {
        self.spawn(task, async move {
            loop {
                match caught(round()).await {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return,
                    Err(panicked) => {
                        TaskPanicked { task, panicked }.emit();
                        tokio::time::sleep(AFTER_PANIC).await;
                    }
                }
            }
        });
    }

    /// Cancelled when a task of policy `FinishLast` is to finish.
    pub(crate) fn finish(&self) -> CancellationToken {
        self.finish.clone()
    }

    /// Waits until every awaited task has ended and what comes after them has
    /// finished, or the engine was stopped: then the answer is `false`.
    pub(crate) async fn drain(&self) -> bool {
        self.awaited.close();
        let all_ended = async {
            self.awaited.wait().await;
            self.finish.cancel();
            self.finishing.close();
            self.finishing.wait().await;
        };
        self.stopped.run_until_cancelled(all_ended).await.is_some()
    }

    /// Cuts what runs in the background, after draining.
    pub(crate) async fn end(&self) {
        self.drained.cancel();
        self.background.close();
        self.background.wait().await;
    }

    /// Cuts everything; returns when it is gone.
    pub(crate) async fn stop(&self) {
        self.stopped.cancel();
        self.finish.cancel();
        self.drained.cancel();
        self.awaited.close();
        self.finishing.close();
        self.background.close();
        let gone = async {
            self.awaited.wait().await;
            self.finishing.wait().await;
            self.background.wait().await;
        };
        if tokio::time::timeout(STOP_WAIT, gone).await.is_err() {
            tracing::warn!("some tasks did not end in time; the process ends without them");
        }
    }
}

/// Runs a future and gives its panic as a value.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(future)
        .catch_unwind()
        .await
        .map_err(|payload| Panicked::from_payload(payload.as_ref()))
}

/// Does something short and gives its panic as a value.
pub(crate) fn caught_here<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|payload| Panicked::from_payload(payload.as_ref()))
}

/// Runs a computation that takes long on the pool for such work.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Ok(value),
        Err(error) => Err(match error.try_into_panic() {
            Ok(payload) => Panicked::from_payload(payload.as_ref()),
            Err(_cancelled) => Panicked {
                message: "the process is ending".to_owned(),
            },
        }),
    }
}

impl Panicked {
    fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self { message }
    }
}
