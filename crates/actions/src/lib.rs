//! Doing things: the steps of a job, those that start programs under a guard.
//!
//! An action turns a rendered step into a program, hands the event to it as
//! data, and lets [`process`] run it: supervised, with its output captured and
//! nothing of it left when the step has ended. What is worth retrying is
//! decided here; when and how often is the engine's.

mod ansible;
mod asked;
mod command;
mod http;
mod place;
pub mod process;
mod publish;
mod run_dir;
mod settings;
mod step;

pub use crate::{
    ansible::{ByHand, Looked, PlaybookAction},
    command::{CommandAction, find_program},
    http::HttpAction,
    process::guard,
    publish::PublishAction,
    run_dir::sweep,
    settings::{ActionSettings, DEFAULT_PATH, WarmSettings},
};
