//! The command line of `ansible-playbook`, the same for a run that starts one
//! and for a run in a process that waits for it.
//!
//! Nothing secret stands in it: everybody on the machine can read it.

use std::path::Path;

use model::action::PlaybookCall;

use crate::place;

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
    Ok(())
}

/// Each value is joined to its option with `=`, so none can be taken for an
/// option itself.
pub(super) fn of(call: &PlaybookCall, program: &Path, extra_vars: &Path) -> Vec<String> {
    let mut argv = vec![program.display().to_string()];
    for source in &call.inventory {
        argv.push(format!("--inventory={source}"));
    }
    if let Some(limit) = &call.limit {
        argv.push(format!("--limit={limit}"));
    }
    if !call.tags.is_empty() {
        argv.push(format!("--tags={}", call.tags.join(",")));
    }
    if !call.skip_tags.is_empty() {
        argv.push(format!("--skip-tags={}", call.skip_tags.join(",")));
    }
    if call.check {
        argv.push("--check".to_owned());
    }
    if call.diff {
        argv.push("--diff".to_owned());
    }
    if let Some(forks) = call.forks {
        argv.push(format!("--forks={forks}"));
    }
    if call.verbosity > 0 {
        argv.push(format!(
            "-{}",
            "v".repeat(usize::from(call.verbosity.min(6)))
        ));
    }
    for file in &call.vault_password_files {
        argv.push(format!("--vault-password-file={file}"));
    }
    argv.push(format!("--extra-vars=@{}", extra_vars.display()));
    argv.push("--".to_owned());
    argv.push(call.playbook.clone());
    argv
}
