//! What an `ansible-playbook` is started with: its own files, its command line,
//! its environment. A run that a fork server starts is given exactly the same.

use std::{
    collections::BTreeMap,
    io,
    path::{self, Path, PathBuf},
    sync::Arc,
};

use model::{
    account::Account,
    action::{PlaybookCall, StepContext},
};

use super::{
    arguments::{self, Private},
    config,
    secrets::Secrets,
};
use crate::{place, process::Program, run_dir::RunDir, settings::ActionSettings, step::StepFiles};

const CALLBACK: &str = include_str!("../../../../ansible/callback/lariat_result.py");

/// A socket's path has at most 107 bytes. Ansible adds a name of 11, and ssh
/// one of 17 while it makes the socket.
const LONGEST_CONTROL_DIR: usize = 107 - 11 - 17;

/// Where `ansible-playbook` is, or what to do about it.
pub(super) fn find(settings: &ActionSettings) -> Result<PathBuf, String> {
    const REMEDY: &str = "install ansible-core (`apt install ansible-core`, or `pip install ansible-core`), or set `ansible.playbook_command`";
    let command = settings.playbook_command.as_str();
    if command.contains('/') {
        let path = path::absolute(command).map_err(|error| error.to_string())?;
        return if place::is_executable(&path) {
            Ok(path)
        } else {
            Err(format!(
                "`{command}`, set by `ansible.playbook_command`, is not there or not executable: {REMEDY}"
            ))
        };
    }
    place::on_path(&settings.path, command).ok_or_else(|| {
        format!(
            "`{command}` is not installed, or not on the path `{}`: {REMEDY}",
            settings.path
        )
    })
}

/// Everything that a playbook is started with, however it is started.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The `ansible-playbook`.
    pub(super) program: PathBuf,
    pub(super) argv: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: PathBuf,
    /// The directory of the run's own files.
    pub(super) private: PathBuf,
    pub(super) account: Option<Arc<Account>>,
}

impl Recipe {
    /// For one start.
    pub(super) fn program(&self, files: &StepFiles) -> Result<Program, String> {
        Ok(Program {
            program: self.program.clone(),
            argv: self.argv.clone(),
            environment: self.environment.clone(),
            directory: self.directory.clone(),
            stdin: PathBuf::from("/dev/null"),
            result: Some(files.result_descriptor()?),
            tasks: None,
            private: files.dir.private(),
            detach: false,
        })
    }
}

/// Writes the files of a run and says what it is started with.
pub(super) fn prepare(
    (call, secrets): (&PlaybookCall, Secrets),
    context: &StepContext,
    files: &StepFiles,
    settings: &ActionSettings,
) -> Result<Recipe, String> {
    let program = find(settings)?;
    let project = fs_err::canonicalize(&context.project).map_err(|error| error.to_string())?;
    arguments::check_places(call, &project)?;

    let own = |error: std::io::Error| format!("the step's private files: {error}");
    let private = Private::write(call, context, secrets, &files.dir).map_err(own)?;
    let Furniture {
        plugins,
        temp,
        sockets,
    } = furnish(&files.dir).map_err(own)?;

    let mut environment = files.environment(settings);
    arguments::add_settings(&mut environment, call, &project, files.home(settings));
    add_installation(&mut environment, &program);
    add_ansible(&mut environment, &project, files.home(settings), &plugins);
    environment.insert("ANSIBLE_LOCAL_TEMP".to_owned(), temp.display().to_string());
    // Connections that stay open are this step's alone: what is left of them
    // dies with it, and another step must not have been using them.
    if sockets.as_os_str().len() <= LONGEST_CONTROL_DIR {
        environment.insert(
            "ANSIBLE_SSH_CONTROL_PATH_DIR".to_owned(),
            sockets.display().to_string(),
        );
    }
    files.identify(&mut environment, context);
    Ok(Recipe {
        argv: arguments::of(call, &program, &private),
        program,
        environment,
        directory: project,
        private: files.place(),
        account: context.account.clone(),
    })
}

/// What the environment of every run names.
struct Furniture {
    plugins: PathBuf,
    temp: PathBuf,
    sockets: PathBuf,
}

/// Makes in a private directory what every run has there.
fn furnish(dir: &RunDir) -> io::Result<Furniture> {
    let plugins = dir.directory("callback")?;
    dir.file("callback/lariat_result.py", CALLBACK.as_bytes())?;
    Ok(Furniture {
        plugins,
        temp: dir.directory("tmp")?,
        sockets: dir.directory("ssh")?,
    })
}

/// The same for a process that runs no step: a fork server.
pub(super) fn furnish_bare(files: &StepFiles) -> Result<(), String> {
    let made = furnish(&files.dir);
    made.map(drop)
        .map_err(|error| format!("the private files of a fork server: {error}"))
}

/// What belongs to an installation of Ansible stands beside its program.
fn add_installation(environment: &mut BTreeMap<String, String>, program: &Path) {
    let Some(bin) = program.parent().filter(|bin| bin.is_absolute()) else {
        return;
    };
    let path = match environment.get("PATH") {
        Some(path) => format!("{}:{path}", bin.display()),
        None => bin.display().to_string(),
    };
    environment.insert("PATH".to_owned(), path);
}

fn add_ansible(
    environment: &mut BTreeMap<String, String>,
    project: &Path,
    home: &Path,
    plugins: &Path,
) {
    let given = environment.get("ANSIBLE_CALLBACK_PLUGINS").cloned();
    let callbacks = config::callback_plugins(project, home, given.as_deref(), plugins);
    if let Some(config) = config::of_project(project) {
        environment.insert("ANSIBLE_CONFIG".to_owned(), config.display().to_string());
    }
    for (name, value) in [
        ("ANSIBLE_CALLBACK_PLUGINS", callbacks.as_str()),
        ("ANSIBLE_NOCOLOR", "1"),
        ("ANSIBLE_FORCE_COLOR", "0"),
        ("PYTHONUNBUFFERED", "1"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
}
