//! One rule: on, when, run, and what to do when it goes wrong.

use std::time::Duration;

use model::{
    id::RuleName,
    job::{OnLost, RetryPolicy, StepKind},
    topic::TopicPattern,
};

use crate::step::{Prepared, RenderError, StepScope};

/// Whether a rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Live,
    Off,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Off => "off",
        }
    }
}

/// A step as lists and `check` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSummary {
    pub kind: StepKind,
    /// The playbook or the command line, templates unrendered.
    pub what: String,
    pub timeout: Duration,
    /// What becomes of a job that is interrupted in this step.
    pub on_lost: OnLost,
}

/// A checked rule.
#[derive(Debug)]
pub struct Rule {
    name: RuleName,
    file: String,
    line: usize,
    on: Vec<TopicPattern>,
    when: Option<String>,
    mode: Mode,
    retry: RetryPolicy,
    steps: Vec<StepSummary>,
}

impl Rule {
    pub fn name(&self) -> &RuleName {
        &self.name
    }

    /// Relative to the project.
    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn line(&self) -> usize {
        self.line
    }

    pub fn on(&self) -> &[TopicPattern] {
        &self.on
    }

    pub fn when(&self) -> Option<&str> {
        self.when.as_deref()
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn steps(&self) -> &[StepSummary] {
        &self.steps
    }

    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Renders a step for a job.
    pub fn prepare(&self, step: usize, _scope: &StepScope<'_>) -> Result<Prepared, RenderError> {
        Err(RenderError {
            message: format!("rule `{}` has no step {step}", self.name),
        })
    }
}
