//! Sources and sinks that connect out.
//!
//! Each keeps its own connection, reconnects by itself, and hands over what
//! arrives or sends what it is given. It decides nothing about events: when a
//! delivery is acknowledged is the engine's to say.

pub mod amqp;
