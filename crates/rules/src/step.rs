//! Steps of a rule, and how they are rendered for a job.
//!
//! Rendering is done twice: as a rehearsal when the rule is judged, with what
//! is known of the event alone, and for good when a worker prepares the step.
//! Both go through the same code, so what a rehearsal accepts can only fail
//! later by what the job adds.

mod command;
mod field;
mod http;
mod playbook;
mod publish;
mod read;

use std::{sync::OnceLock, time::Duration};

use model::{
    action::StepCall,
    event::Event,
    id::JobId,
    job::{OnLost, StepKind},
    json::Object,
};
use serde_json::Value;

pub(crate) use field::{Field, Renderer, is_of_job};
pub use playbook::LiteralPlaybook;
pub(crate) use read::read_step;

use crate::listing::Listing;

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
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them at a time, and it is taken apart at once"
)]
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

/// What came of rendering a step that has no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoCall {
    /// A rehearsal that needs the job to know more.
    Later,
    /// The step does nothing, by its own rule.
    Skip(String),
    /// A file is not there. It may be there when the job runs.
    Missing(String),
    /// A value is undefined or not allowed where it stands.
    Bad(String),
}

/// A value of a step before there is a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rehearsed {
    Value(Value),
    /// It needs the job.
    Later,
    /// It cannot be computed.
    Bad(String),
}

impl NoCall {
    /// Says which key of the step it is about.
    fn of(self, key: &str) -> Self {
        match self {
            Self::Bad(message) => Self::Bad(format!("`{key}`: {message}")),
            Self::Later | Self::Skip(_) | Self::Missing(_) => self,
        }
    }
}

/// A checked step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) body: Body,
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) output_cap: u64,
    /// What the step itself says about being repeated.
    pub(crate) idempotent: Option<bool>,
    /// For a step in which nothing is computed: what every rehearsal gives.
    pub(crate) rehearsed: Option<OnceLock<Result<(), NoCall>>>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Playbook(Box<playbook::Playbook>),
    Command(Box<command::Command>),
    Publish(Box<publish::Publish>),
    Http(Box<http::Http>),
}

impl Body {
    /// Whether it renders the same for every event, in a rehearsal.
    pub(crate) fn is_fixed(&self) -> bool {
        match self {
            Self::Playbook(playbook) => playbook.is_fixed(),
            Self::Command(command) => command.is_fixed(),
            // The event itself is what they send.
            Self::Publish(_) | Self::Http(_) => false,
        }
    }
}

impl Step {
    pub(crate) fn kind(&self) -> StepKind {
        match self.body {
            Body::Playbook(_) => StepKind::Playbook,
            Body::Command(_) => StepKind::Command,
            Body::Publish(_) => StepKind::Publish,
            Body::Http(_) => StepKind::Http,
        }
    }

    /// The playbook, the command line, or what is published where, as the rule
    /// writes it.
    pub(crate) fn what(&self) -> String {
        match &self.body {
            Body::Playbook(playbook) => playbook.what(),
            Body::Command(command) => command.what(),
            Body::Publish(publish) => publish.what(),
            Body::Http(http) => http.what(),
        }
    }

    /// What becomes of a job that is interrupted here. The rule's word comes
    /// first, then the step's own, then what is usual for its kind.
    pub(crate) fn on_lost(&self, rule: Option<OnLost>) -> OnLost {
        match (rule, self.idempotent) {
            (Some(word), _) => word,
            (None, Some(true)) => OnLost::Retry,
            (None, Some(false)) => OnLost::Hold,
            (None, None) => self.kind().default_on_lost(),
        }
    }

    /// The variables of a playbook, as far as they are known without a job.
    pub(crate) fn rehearse_vars(&self, renderer: &Renderer<'_>) -> Vec<(String, Rehearsed)> {
        match &self.body {
            Body::Playbook(playbook) => playbook.rehearse_vars(renderer),
            Body::Command(_) | Body::Publish(_) | Body::Http(_) => Vec::new(),
        }
    }

    /// Renders it with what is known of the event alone.
    pub(crate) fn rehearse(
        &self,
        renderer: &Renderer<'_>,
        listing: &Listing,
    ) -> Result<(), NoCall> {
        let rehearse = || self.render(renderer, listing).map(drop);
        match &self.rehearsed {
            Some(rehearsed) => rehearsed.get_or_init(rehearse).clone(),
            None => rehearse(),
        }
    }

    pub(crate) fn render(
        &self,
        renderer: &Renderer<'_>,
        listing: &Listing,
    ) -> Result<StepCall, NoCall> {
        match &self.body {
            Body::Playbook(playbook) => playbook.render(renderer, listing),
            Body::Command(command) => command.render(renderer, listing),
            Body::Publish(publish) => publish.render(renderer),
            Body::Http(http) => http.render(renderer, listing),
        }
    }
}
