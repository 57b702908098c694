//! The API over real connections: an engine with its store in memory, served
//! on a loopback port, and a client that writes the bytes of its requests
//! itself, so that it can also write wrong ones.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: a panic is how they fail, and the server runs beside them"
)]

mod harness;

mod cloudevents;
mod connections;
mod hostile;
mod links;
mod manual;
mod metrics;
mod pages;
mod refusals;
mod shapes;
mod smuggling;
mod streams;
mod tasks;
mod tls;
mod tokens;
