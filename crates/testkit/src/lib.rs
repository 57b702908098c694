//! What tests of several crates share: the store in memory, the contract
//! suite that every store passes, a broker in memory, a clock to move by hand,
//! planned failures, and helpers to run the real program. Nothing here is part of the service,
//! and nothing here knows the engine.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this crate is test code: a panic is how it says that something is wrong, and it \
              starts programs and tasks as tests do"
)]

pub mod broker;
pub mod clock;
pub mod contract;
pub mod corpus;
pub mod disk;
pub mod fault;
pub mod link;
pub mod memory;
pub mod process;
pub mod project;
pub mod proxy;
pub mod told;
pub mod tools;

pub use self::{
    broker::{Broker, BrokerOptions, Vhost},
    clock::TestClock,
    fault::FaultPlan,
    memory::MemoryStore,
    process::Program,
    project::TempProject,
    proxy::Proxy,
};
