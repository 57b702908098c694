//! The vocabulary of Lariat: events, rules' verdicts, jobs, and the ports.
//!
//! Everything here is a value or a pure function over values, except
//! `ports.rs`, which names what the engine needs from the outside. This crate
//! knows no database, no socket, no clock and no child process.

pub mod account;
pub mod action;
pub mod audit;
pub mod clock;
pub mod custody;
pub mod diagnostic;
pub mod event;
pub mod fault;
pub mod flow;
pub mod id;
pub mod job;
pub mod json;
pub mod link;
pub mod page;
pub mod playbook;
pub mod ports;
pub mod route;
pub mod suggest;
pub mod task;
pub mod token;
pub mod topic;
pub mod verdict;
pub mod warm;
