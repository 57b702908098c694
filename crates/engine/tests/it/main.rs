//! The engine whole, over ports in memory, with paused time.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

mod accounts;
mod chain;
mod contracts;
mod control;
mod dead;
mod fleet;
mod fleet_faults;
mod fleet_random;
mod harness;
mod leases;
mod metrics;
mod reload;
mod retry;
mod route;
mod shutdown;
mod source;
mod storms;
mod stream;
mod sweep;
mod trouble;
mod world;
