//! The command line of `ansible-playbook` and what it names, the same for a
//! run that starts one and for a run in a process that waits for it.
//!
//! Nothing secret stands in it: everybody on the machine can read it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use model::action::{PlaybookCall, StepContext};

use super::{
    config, inventory,
    secrets::{self, Secrets},
    vars,
};
use crate::{place, run_dir::RunDir};

/// The private files that a command line names.
#[derive(Debug)]
pub(super) struct Private {
    vars: PathBuf,
    /// Of the hosts that the step names itself.
    inventory: Option<PathBuf>,
    /// By vault id.
    vault: Vec<(String, PathBuf)>,
    private_key: Option<PathBuf>,
    connection_password: Option<PathBuf>,
    become_password: Option<PathBuf>,
}

impl Private {
    pub(super) fn write(
        call: &PlaybookCall,
        context: &StepContext,
        secrets: Secrets,
        dir: &RunDir,
    ) -> io::Result<Self> {
        let text = vars::write(context, &call.vars)?;
        let vars = dir.file("vars.yml", text.as_bytes())?;
        let inventory = if call.hosts.is_empty() {
            None
        } else {
            let text = inventory::write(&call.hosts);
            // The ending tells Ansible how to read it.
            Some(dir.file("inventory.yml", text.as_bytes())?)
        };
        let account = context.account.as_ref();
        // Those of an account are files that its user reads by itself.
        let mut vault: Vec<(String, PathBuf)> = account
            .iter()
            .flat_map(|account| &account.vault)
            .map(|secret| (secret.id.clone(), secret.file.clone()))
            .collect();
        for (index, (id, secret)) in secrets.vault.into_iter().enumerate() {
            vault.push((id, dir.file(&format!("vault-{index}"), &secret)?));
        }
        let optional = |name: &str, bytes: Option<Vec<u8>>| {
            bytes.map(|bytes| dir.file(name, &bytes)).transpose()
        };
        let private_key = optional(
            "private-key",
            secrets.private_key.map(secrets::with_line_end),
        )?;
        Ok(Self {
            vars,
            inventory,
            vault,
            private_key: private_key.or_else(|| account?.ssh_key.clone()),
            connection_password: optional("connection-password", secrets.connection_password)?,
            become_password: optional("become-password", secrets.become_password)?,
        })
    }
}

/// The listing was taken earlier; a link may have been put in since.
pub(super) fn check_places(call: &PlaybookCall, project: &Path) -> Result<(), String> {
    let inside = |what: &str, path: &str| {
        place::inside(project, path)
            .map(drop)
            .map_err(|error| format!("{what}: {error}"))
    };
    inside("playbook", &call.playbook)?;
    for source in &call.inventory {
        if !source.ends_with(',') {
            inside("inventory", source)?;
        }
    }
    for file in &call.vault_password_files {
        inside("vault password file", file)?;
    }
    for directory in &call.collections {
        inside("collections", directory)?;
    }
    Ok(())
}

/// The variables that the step sets: its own, and those that its keys stand
/// for. Ansible has no option for the path of collections.
pub(super) fn add_settings(
    environment: &mut BTreeMap<String, String>,
    call: &PlaybookCall,
    project: &Path,
    home: &Path,
) {
    const COLLECTIONS: &str = "ANSIBLE_COLLECTIONS_PATH";
    environment.extend(call.env.clone());
    if call.collections.is_empty() {
        return;
    }
    let ours: Vec<String> = call
        .collections
        .iter()
        .map(|directory| project.join(directory).display().to_string())
        .collect();
    let given = environment.get(COLLECTIONS).map(String::as_str);
    let path = config::collections_path(project, home, given, &ours.join(":"));
    environment.insert(COLLECTIONS.to_owned(), path);
}

/// Each value is joined to its option with `=`, so none can be taken for an
/// option itself.
pub(super) fn of(call: &PlaybookCall, program: &Path, private: &Private) -> Vec<String> {
    let mut argv = vec![program.display().to_string()];
    let mut option = |name: &str, value: &dyn std::fmt::Display| {
        argv.push(format!("--{name}={value}"));
    };
    for source in &call.inventory {
        option("inventory", source);
    }
    if let Some(file) = &private.inventory {
        option("inventory", &file.display());
    }
    if let Some(limit) = &call.limit {
        option("limit", limit);
    }
    if !call.tags.is_empty() {
        option("tags", &call.tags.join(","));
    }
    if !call.skip_tags.is_empty() {
        option("skip-tags", &call.skip_tags.join(","));
    }
    if let Some(forks) = call.forks {
        option("forks", &forks);
    }
    if let Some(task) = &call.start_at_task {
        option("start-at-task", task);
    }
    for file in &call.vault_password_files {
        option("vault-password-file", file);
    }
    for (id, file) in &private.vault {
        option("vault-id", &format!("{id}@{}", file.display()));
    }
    for (name, value) in [
        ("user", &call.connection.user),
        ("connection", &call.connection.plugin),
        ("become-user", &call.escalation.user),
        ("become-method", &call.escalation.method),
    ] {
        if let Some(value) = value {
            option(name, value);
        }
    }
    if let Some(seconds) = call.connection.timeout {
        option("timeout", &seconds);
    }
    for (name, file) in [
        ("private-key", &private.private_key),
        ("connection-password-file", &private.connection_password),
        ("become-password-file", &private.become_password),
    ] {
        if let Some(file) = file {
            option(name, &file.display());
        }
    }
    for (flag, is_given) in [
        ("--check", call.check),
        ("--diff", call.diff),
        ("--flush-cache", call.flush_cache),
        ("--force-handlers", call.force_handlers),
        ("--become", call.escalation.always),
    ] {
        if is_given {
            argv.push(flag.to_owned());
        }
    }
    if call.verbosity > 0 {
        argv.push(format!(
            "-{}",
            "v".repeat(usize::from(call.verbosity.min(6)))
        ));
    }
    argv.push(format!("--extra-vars=@{}", private.vars.display()));
    argv.push("--".to_owned());
    argv.push(call.playbook.clone());
    argv
}
