//! AMQP 0-9-1, as RabbitMQ speaks it.

mod settings;

pub use settings::{
    AmqpConnection, AmqpSinkSettings, AmqpSourceSettings, AmqpTls, Auth, Declare, HostPort,
    Identity, QueueKind, QueueSettings, Secret,
};
