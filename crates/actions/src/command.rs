//! Steps of kind `command`: a program with arguments, never a shell string.
//!
//! The event stands on standard input and in a private file. Where a value of
//! it stands among the arguments or in the environment it is one argument or
//! one variable, whatever it contains.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use model::{
    action::{CommandCall, StepCall, StepContext, StepControl, StepReport},
    diagnostic::Diagnostic,
    job::{Exit, Outcome, Retry, StepKind},
    ports::Action,
};

use crate::{
    place,
    process::{self, Ended, Program},
    settings::ActionSettings,
    step::{self, StepFiles},
};

/// Runs steps of kind `command`.
#[derive(Debug)]
pub struct CommandAction {
    settings: ActionSettings,
}

impl CommandAction {
    pub fn new(settings: ActionSettings) -> Self {
        Self {
            settings: settings.absolute(),
        }
    }

    fn prepare(
        &self,
        call: CommandCall,
        context: &StepContext,
        files: &StepFiles,
    ) -> Result<Program, String> {
        let mut environment = files.environment(&self.settings);
        environment.extend(call.env);
        let directory = directory(&context.project, call.chdir.as_deref())?;
        let name = call.argv.first().ok_or("the command is empty")?;
        let search = environment
            .get("PATH")
            .map_or(self.settings.path.as_str(), String::as_str);
        let program = find_program(&context.project, search, name)?;
        files.identify(&mut environment, context);
        Ok(Program {
            program,
            argv: call.argv,
            environment,
            directory,
            stdin: files.event.clone(),
            result: Some(files.result_descriptor()?),
            tasks: None,
            private: files.dir.private(),
            detach: call.detach,
        })
    }
}

fn directory(project: &Path, chdir: Option<&str>) -> Result<PathBuf, String> {
    let found = match chdir {
        Some(chdir) => place::inside(project, chdir).map_err(|error| format!("chdir: {error}"))?,
        None => fs_err::canonicalize(project).map_err(|error| error.to_string())?,
    };
    if found.is_dir() {
        Ok(found)
    } else {
        Err(format!("chdir: `{}` is not a directory", found.display()))
    }
}

/// The program of a command: a name without `/` is looked up on the path,
/// anything else in the project, unless it is absolute. Or why it cannot run.
pub fn find_program(project: &Path, search: &str, name: &str) -> Result<PathBuf, String> {
    if name.is_empty() || name.contains('\0') {
        return Err("the name of the program is empty or contains a NUL character".to_owned());
    }
    if !name.contains('/') {
        return place::on_path(search, name).ok_or_else(|| {
            format!("`{name}` was not found on the path `{search}`: install it, or name it with its path")
        });
    }
    let found = if name.starts_with('/') {
        PathBuf::from(name)
    } else {
        place::program_inside(project, name).map_err(|error| error.to_string())?
    };
    match fs_err::metadata(&found) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "`{name}` is not there: it was looked for as `{}`",
            found.display()
        )),
        Err(error) => Err(error.to_string()),
        Ok(found) if found.is_dir() => Err(format!("`{name}` is a directory")),
        Ok(_) if !place::is_executable(&found) => Err(format!(
            "`{name}` is not executable: `chmod +x {}`",
            found.display()
        )),
        Ok(_) => Ok(found),
    }
}

fn conclude(ended: &Ended, files: StepFiles, context: &StepContext) -> StepReport {
    if let Some(report) = step::interrupted(ended, context) {
        return report;
    }
    let Some(exit) = ended.exit else {
        return step::unstartable("the program ended without an exit status".to_owned());
    };
    let mut summary = step::describe(exit);
    let result = match step::read_result(files.result) {
        Ok(result) => result,
        Err(note) => {
            summary = format!("{summary}; {note}");
            None
        }
    };
    if ended.leftovers > 0 {
        summary = format!(
            "{summary}; processes it left were ended: {}",
            ended.leftovers
        );
    }
    let outcome = match exit {
        Exit::Code(0) => Outcome::Succeeded { summary },
        Exit::Code(_) | Exit::Signal(_) => Outcome::Failed {
            exit: Some(exit),
            summary,
            retry: Retry::Worthwhile,
        },
    };
    StepReport {
        outcome,
        exit: Some(exit),
        result,
    }
}

#[async_trait]
impl Action for CommandAction {
    fn kind(&self) -> StepKind {
        StepKind::Command
    }

    async fn run(&self, call: StepCall, context: StepContext, control: StepControl) -> StepReport {
        let StepCall::Command(call) = call else {
            return step::unstartable(format!("a {} step is not a command", call.kind()));
        };
        let files = match StepFiles::create(&self.settings, &context) {
            Ok(files) => files,
            Err(reason) => return step::unstartable(reason),
        };
        match self.prepare(call, &context, &files) {
            Ok(program) => {
                let ended = process::run(program, &context, control, &self.settings).await;
                conclude(&ended, files, &context)
            }
            Err(reason) => step::unstartable(reason),
        }
    }

    async fn preflight(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}
