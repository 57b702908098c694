//! The face of Lariat: HTTP API v1 and the page for people.
//!
//! `serve` answers on a listener that its caller opened. Everything that it
//! says is a type of `json`; everything that it does is a call of the engine.

pub mod json;
