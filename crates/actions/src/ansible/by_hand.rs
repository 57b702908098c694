//! A playbook by hand: what a step would run, for the person who types it. It
//! is the same command line with the same private files, in the person's own
//! environment, and nothing of it is recorded.

use std::{collections::BTreeMap, time::Duration};

use model::{
    action::{PlaybookCall, StepContext},
    job::Exit,
};
use tempfile::TempDir;

use super::{
    arguments::{self, Private},
    cold, config,
    secrets::{self, Secrets},
};
use crate::{
    process::{Finished, Plain, PlainError, as_typed},
    settings::ActionSettings,
    step::StepFiles,
};

/// A playbook that is ready to be run by hand. Its private files are gone when
/// this is dropped.
#[derive(Debug)]
pub struct ByHand {
    plain: Plain,
    _files: StepFiles,
    _dir: TempDir,
}

/// What Ansible says about a playbook that it only looks at.
#[derive(Debug)]
pub struct Looked {
    pub is_fine: bool,
    /// Everything that it printed.
    pub text: String,
}

impl ByHand {
    /// Reads the step's secrets, as the person who asks.
    pub async fn new(
        call: &PlaybookCall,
        context: StepContext,
        settings: &ActionSettings,
    ) -> Result<Self, String> {
        let secrets = secrets::read(call, &context, settings).await?;
        Self::with((call, secrets), context, settings)
    }

    /// Without secrets, for looking at the playbook only.
    pub fn without_secrets(
        call: &PlaybookCall,
        context: StepContext,
        settings: &ActionSettings,
    ) -> Result<Self, String> {
        Self::with((call, Secrets::default()), context, settings)
    }

    fn with(
        (call, secrets): (&PlaybookCall, Secrets),
        context: StepContext,
        settings: &ActionSettings,
    ) -> Result<Self, String> {
        let own = |error: std::io::Error| format!("the private files: {error}");
        let program = cold::find(settings)?;
        let project = fs_err::canonicalize(&context.project).map_err(|error| error.to_string())?;
        arguments::check_places(call, &project)?;
        let dir = tempfile::tempdir().map_err(own)?;
        let settings = ActionSettings {
            runtime_dir: dir.path().join("run"),
            ..settings.clone()
        };
        let context = StepContext {
            account: None,
            ..context
        };
        let files = StepFiles::create(&settings, &context)?;
        let private = Private::write(call, &context, secrets, &files.dir).map_err(own)?;
        let mut environment = BTreeMap::new();
        arguments::add_settings(&mut environment, call, &project, &settings.home);
        if let Some(config) = config::of_project(&project) {
            environment.insert("ANSIBLE_CONFIG".to_owned(), config.display().to_string());
        }
        files.identify(&mut environment, &context);
        Ok(Self {
            plain: Plain {
                argv: arguments::of(call, &program, &private),
                program,
                environment,
                directory: project,
            },
            _files: files,
            _dir: dir,
        })
    }

    /// With more options for `ansible-playbook`, behind those of the step.
    #[must_use]
    pub fn with_options(mut self, options: &[String]) -> Self {
        let argv = &mut self.plain.argv;
        let end = argv.iter().rposition(|word| word == "--");
        let end = end.unwrap_or(argv.len());
        argv.splice(end..end, options.iter().cloned());
        self
    }

    /// As it could be typed.
    pub fn command_line(&self) -> String {
        let Plain {
            argv,
            environment,
            directory,
            ..
        } = &self.plain;
        as_typed(directory, environment, argv)
    }

    /// Runs it with the terminal.
    pub async fn run(&self) -> Result<Finished, PlainError> {
        self.plain.in_foreground().await
    }

    /// Has Ansible look at it without running anything of it.
    pub async fn look(&self, patience: Duration) -> Result<Looked, PlainError> {
        let printed = self.plain.printed(patience).await?;
        Ok(Looked {
            is_fine: printed.exit == Exit::Code(0),
            text: printed.text,
        })
    }
}
