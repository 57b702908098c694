//! Stub.
use async_trait::async_trait;
use model::{
    action::{StepCall, StepContext, StepControl, StepReport},
    diagnostic::Diagnostic,
    job::{Outcome, StepKind},
    ports::Action,
};

use crate::settings::ActionSettings;

/// Runs steps of kind `command`.
#[derive(Debug)]
pub struct CommandAction;

impl CommandAction {
    pub fn new(_settings: ActionSettings) -> Self {
        Self
    }
}

#[async_trait]
impl Action for CommandAction {
    fn kind(&self) -> StepKind {
        StepKind::Command
    }

    async fn run(&self, _: StepCall, _: StepContext, _: StepControl) -> StepReport {
        StepReport {
            outcome: Outcome::Unstartable {
                reason: "not built yet".to_owned(),
            },
            exit: None,
            result: None,
        }
    }

    async fn preflight(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}
