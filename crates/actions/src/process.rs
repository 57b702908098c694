//! Stub.
pub mod guard;
