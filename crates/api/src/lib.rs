//! The face of Lariat: HTTP API v1 and the page for people.
//!
//! `serve` answers on a listener that its caller opened. Everything that it
//! says is a type of `json`; everything that it does is a call of the engine.
//! Where to look: `routes.rs` for what exists, `problem.rs` for what can be
//! wrong, `server.rs` for connections, `page.rs` for HTML.

pub mod json;

mod server;
mod settings;

pub use server::serve;
pub use settings::{ApiSettings, is_loopback};
