//! Steps of a rule, and how they are rendered for a job.

use std::time::Duration;

use model::{action::StepCall, event::Event, id::JobId, json::Object};

/// What a step's templates may name.
#[derive(Debug, Clone, Copy)]
pub struct StepScope<'a> {
    pub event: &'a Event,
    pub job: &'a JobId,
    pub attempt: u32,
    /// The result of the step before this one.
    pub result: Option<&'a Object>,
}

/// A step, ready to run or not to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    Run {
        call: StepCall,
        timeout: Duration,
        grace: Duration,
        output_cap: u64,
    },
    Skip {
        reason: String,
    },
}

/// Why a step cannot be rendered for a job. Trying again gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RenderError {
    pub message: String,
}
