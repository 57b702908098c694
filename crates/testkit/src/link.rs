//! Sources, sinks and a broker in memory, for engines under paused time.
//!
//! [`MemoryBroker`] is one queue with the meaning that RabbitMQ gives it: what
//! is not acknowledged on a connection is delivered again when that is gone,
//! marked as redelivered. Every [`MemorySource`] is one instance's connection
//! to it, and dies with its process by the same plan as the store does.

mod broker;
mod sink;
mod source;

pub use self::{
    broker::{MemoryBroker, Notes},
    sink::MemorySink,
    source::MemorySource,
};
