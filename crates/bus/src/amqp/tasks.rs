//! The only place in this crate that starts a task.
//!
//! A source or a sink owns its tasks: they end when it is dropped.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::{Instrument, debug_span};

/// A task that ends with the one who holds this.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    /// Waits for its end.
    pub(super) async fn ended(&mut self) {
        // A task that panicked has ended as well.
        (&mut self.0).await.unwrap_or_default();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a task under a name.
pub(super) fn start(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Task {
    let span = debug_span!("task", name);
    #[expect(
        clippy::disallowed_methods,
        reason = "`engine::tasks` is not available to this crate; the task is owned and aborted with its owner"
    )]
    Task(tokio::spawn(work.instrument(span)))
}
