//! A playbook in an `ansible-playbook` of its own: nothing is kept between
//! runs. A warm runner would stand beside this file and offer the same.

use std::{
    collections::BTreeMap,
    path::{self, Path, PathBuf},
};

use model::action::{PlaybookCall, StepContext};

use super::{
    arguments::{self, Private},
    config,
    secrets::Secrets,
};
use crate::{place, process::Program, settings::ActionSettings, step::StepFiles};

const CALLBACK: &str = include_str!("lariat_result.py");

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

/// Everything that `ansible-playbook` is started with.
pub(super) fn prepare(
    (call, secrets): (&PlaybookCall, Secrets),
    context: &StepContext,
    files: &StepFiles,
    settings: &ActionSettings,
) -> Result<Program, String> {
    let program = find(settings)?;
    let project = fs_err::canonicalize(&context.project).map_err(|error| error.to_string())?;
    arguments::check_places(call, &project)?;

    let own = |error: std::io::Error| format!("the step's private files: {error}");
    let private = Private::write(call, context, secrets, &files.dir).map_err(own)?;
    let plugins = files.dir.directory("callback").map_err(own)?;
    files
        .dir
        .file("callback/lariat_result.py", CALLBACK.as_bytes())
        .map_err(own)?;
    let temp = files.dir.directory("tmp").map_err(own)?;

    let mut environment = files.environment(settings);
    arguments::add_settings(&mut environment, call, &project, files.home(settings));
    add_installation(&mut environment, &program);
    add_ansible(&mut environment, &project, files.home(settings), &plugins);
    environment.insert("ANSIBLE_LOCAL_TEMP".to_owned(), temp.display().to_string());
    // Connections that stay open are this step's alone: what is left of them
    // dies with it, and another step must not have been using them.
    let sockets = files.dir.directory("ssh").map_err(own)?;
    if sockets.as_os_str().len() <= LONGEST_CONTROL_DIR {
        environment.insert(
            "ANSIBLE_SSH_CONTROL_PATH_DIR".to_owned(),
            sockets.display().to_string(),
        );
    }
    files.identify(&mut environment, context);
    Ok(Program {
        argv: arguments::of(call, &program, &private),
        program,
        environment,
        directory: project,
        stdin: PathBuf::from("/dev/null"),
        result: Some(files.result_descriptor()?),
        tasks: None,
        private: files.dir.private(),
        detach: false,
    })
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
