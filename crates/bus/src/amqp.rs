//! AMQP 0-9-1, as RabbitMQ speaks it.
//!
//! [`AmqpSource`] consumes a queue and [`AmqpSink`] publishes to an exchange.
//! Each has a task that keeps its connection, so a broker that goes away is no
//! error of anybody who uses them. `docs/dev/adding-a-source.md` says what
//! another source has to do.

mod backoff;
mod connect;
mod contact;
mod fleet;
mod inbox;
mod pulse;
mod queue;
mod settings;
mod sieve;
mod sink;
mod source;
mod standing;
mod stream;
mod table;
mod tags;
mod tasks;
mod tls;
mod trial;
mod version;

pub use settings::{
    AmqpConnection, AmqpSinkSettings, AmqpSourceSettings, AmqpTls, Auth, Declare, HostPort,
    Identity, QueueKind, QueueSettings, Secret,
};
pub use sink::AmqpSink;
pub use source::AmqpSource;
pub use trial::{TrialError, Tried, try_sink, try_source};
