//! The heart: takes events in, runs the jobs that their rules ask for, and
//! can say why.
//!
//! The engine knows the ports of `model` and the rules, and nothing of a
//! database, a socket or a child process. Where to look: `intake.rs` for an
//! event's way in over HTTP and `source.rs` for its way in from a broker,
//! `custody.rs` for what a broker holds until it is done, `outbox.rs` for
//! what goes on to sinks, `worker.rs` and `attempt.rs` for a job's way through,
//! `lease.rs` for what keeps two workers apart, `recovery.rs` for everything
//! that a crash leaves behind.

mod attempt;
mod chain;
mod control;
mod custody;
mod dead;
mod engine;
mod explain;
mod follow_up;
mod intake;
mod lease;
mod lifecycle;
mod meter;
mod outbox;
mod output;
mod recovery;
mod reload;
mod retention;
mod revisions;
mod settings;
mod shared;
mod shutdown;
mod source;
mod status;
mod stream;
mod tasks;
mod telemetry;
mod worker;

pub use chain::{About, Chain, ChainEvent};
pub use engine::{DeadRetry, Engine, EngineParts, NotReady, ReloadError, Reloaded, StartError};
pub use lifecycle::Listening;
pub use meter::Meter;
pub use reload::Sound;
pub use settings::{Retention, Settings};
pub use status::{BacklogReport, SinkReport, SourceReport, Status, StoreReport, WorkerReport};
pub use stream::{
    EventStream, Gap, ListenError, StreamEnd, StreamEvent, StreamFilter, StreamStart,
    follow::Following,
};
