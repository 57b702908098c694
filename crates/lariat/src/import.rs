//! `lariat import`: projects out of other systems' configuration.
//!
//! Nothing is guessed silently: what cannot be carried over is printed and
//! stands in the project's NOTES.md with its reason. Nothing is overwritten,
//! and nothing is written before everything has been read.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use fs_err::os::unix::fs::OpenOptionsExt;
use model::diagnostic::{Diagnostic, Level};
use serde_json::json;

use crate::{
    args::ImportLoopabull,
    config::mask,
    console::Console,
    exit::Exit,
    failure::{Failure, cannot_find},
    import::{found::Found, project::Written},
};

mod found;
mod loopabull;
mod names;
mod notes;
mod project;
mod scalar;

/// Far more than a person writes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// `lariat import loopabull FILE [--into DIR]`.
pub(crate) fn run(command: &ImportLoopabull, console: &mut Console) -> Result<(), Failure> {
    let file = &command.file;
    let text = read(file)?;
    let shown = file.display().to_string();
    let config = match loopabull::read(&shown, &text) {
        Ok(config) => config,
        Err(findings) => {
            let findings = without_secrets(&text, findings);
            if command.json.json {
                console.json(&json!({ "diagnostics": findings }))?;
                return Err(Failure::Told(Exit::Configuration));
            }
            let colour = console.colours_talk();
            console.rendered(&rules::render::diagnostics(&findings, colour));
            return Err(Failure::Told(Exit::Configuration));
        }
    };
    let into = match &command.into {
        Some(dir) => dir.clone(),
        None => PathBuf::from(file.file_stem().unwrap_or_default()),
    };
    refuse_taken(&into)?;
    let beside = file.parent().unwrap_or(Path::new(""));
    let found = Found::look(&config, beside)
        .map_err(|error| Failure::unexpected(error).context("cannot read the playbooks"))?;
    let written = project::compose(&shown, &config, &found);
    write(&into, &written, &found).map_err(|error| {
        Failure::unexpected(error)
            .context("cannot write the project")
            .hint(format!("remove `{}` before you try again", into.display()))
    })?;
    let files = written.files.iter().map(|file| into.join(file.path));
    let playbooks = found.playbooks.iter();
    let playbooks = playbooks.map(|playbook| into.join("playbooks").join(&playbook.path));
    let files: Vec<String> = files
        .chain(playbooks)
        .map(|path| path.display().to_string())
        .collect();
    if command.json.json {
        return console.json(&json!({ "files": files, "remarks": written.remarks }));
    }
    for file in &files {
        console.line(file)?;
    }
    tell(&into, &written, console);
    Ok(())
}

fn read(file: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(Exit::Configuration, cannot_find(file, &error))
            .context("cannot read Loopabull's configuration")
    };
    let metadata = fs_err::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LARGEST_FILE {
        let message = format!("`{}` is not a file of at most 1 MiB", file.display());
        return Err(Failure::message(Exit::Configuration, message));
    }
    fs_err::read_to_string(file).map_err(unreadable)
}

/// Lines that are shown may hold a password.
fn without_secrets(text: &str, mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    for finding in &mut findings {
        mask::hide(text, finding);
        finding.level = Level::Error;
    }
    findings
}

fn refuse_taken(into: &Path) -> Result<(), Failure> {
    let shown = into.display();
    let refuse = |message: String| {
        Err(Failure::message(Exit::Usage, message)
            .hint("`--into DIR` names another directory, which need not be there yet"))
    };
    match fs_err::read_dir(into) {
        Ok(mut entries) => match entries.next() {
            Some(_) => refuse(format!("`{shown}` is not empty")),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(_) => refuse(format!("`{shown}` is there and is no directory of yours")),
    }
}

fn write(into: &Path, written: &Written, found: &Found) -> std::io::Result<()> {
    fs_err::create_dir_all(into)?;
    for file in &written.files {
        let path = into.join(file.path);
        above(&path)?;
        let mode = if file.is_secret { 0o600 } else { 0o666 };
        fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?
            .write_all(file.text.as_bytes())?;
    }
    fs_err::create_dir_all(into.join("playbooks"))?;
    for playbook in &found.playbooks {
        let path = into.join("playbooks").join(&playbook.path);
        above(&path)?;
        fs_err::copy(&playbook.source, path)?;
    }
    Ok(())
}

fn above(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs_err::create_dir_all)
}

fn tell(into: &Path, written: &Written, console: &mut Console) {
    console.say("\nwhat is not as it was (also in NOTES.md):");
    for remark in &written.remarks {
        console.say(&format!("  * {remark}"));
    }
    let project = crate::init::quoted(into);
    console.say(&format!(
        "\nlook at it, then:\n  lariat check --project {project}\n  lariat serve --project {project}"
    ));
}
