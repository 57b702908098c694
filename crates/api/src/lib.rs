//! The face of Lariat: HTTP API v1 and the page for people.
//!
//! `serve` answers on a listener that its caller opened. Everything that it
//! says is a type of `json`; everything that it does is a call of the engine.
//! Where to look: `routes.rs` for what exists, `problem.rs` for what can be
//! wrong, `gate.rs` for who may ask, `server.rs` for connections, `page.rs`
//! for HTML.

pub mod json;

mod access;
mod app;
mod audit;
mod body;
mod crowd;
mod dead;
mod events;
mod gate;
mod jobs;
mod limits;
mod list;
mod metrics;
mod openapi;
mod page;
mod problem;
mod query;
mod routes;
mod server;
mod service;
mod settings;
mod stall;
mod stream;
mod tasks;
mod tls;
mod tokens;

pub use jobs::{NEXT_OFFSET, OUTPUT_ATTEMPT, OUTPUT_OPEN};
pub use limits::Rate;
pub use problem::ProblemCode;
pub use server::serve;
pub use settings::{ApiSettings, is_loopback};
pub use tls::{Tls, TlsError};
