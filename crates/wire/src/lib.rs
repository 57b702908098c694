//! Bytes become events.
//!
//! Everything here is pure: it opens no socket, asks no clock and keeps
//! nothing. What arrives is hostile until it has passed through here, and what
//! comes out is a draft of an event that every other part may rely on.

pub mod amqp;
pub mod cloudevents;
pub mod event_json;

mod checked;
mod scan;
mod shown;
