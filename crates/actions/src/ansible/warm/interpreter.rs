//! Which Python runs an `ansible-playbook`, read from its first lines.
//!
//! A fork server is worth anything only when it does what the program would
//! have done. So the program must be the small script that every installation
//! of Ansible makes, which imports Ansible and calls it; whatever else stands
//! there is not looked through, and runs as it is.

use std::{
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
};

use crate::place;

/// Such scripts have a few hundred bytes; Ansible's own file has 30 KiB.
const LONGEST: u64 = 64 * 1024;

/// What an installation's script and Ansible's own file have in common.
const IMPORTS: [&str; 2] = ["ansible.cli.playbook", "from ansible.cli import"];

/// A Python, as the first line of a script asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::ansible) struct Interpreter {
    /// Not followed to its end: a virtual environment is known by its link.
    pub(in crate::ansible) program: PathBuf,
    /// Options such as `-s`.
    pub(in crate::ansible) flags: Vec<String>,
}

/// Why a playbook cannot be started by a fork server here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::ansible) enum NotPython {
    #[error("`{path}` cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    #[error(
        "`{path}` is not a Python script: name the `ansible-playbook` of an installation in `ansible.playbook_command`"
    )]
    OtherProgram { path: String },
    #[error("`{path}` asks for `{interpreter}`, which is not there")]
    Missing { path: String, interpreter: String },
    #[error(
        "`{path}` does more than to start Ansible: name the `ansible-playbook` of an installation in `ansible.playbook_command`"
    )]
    Wrapper { path: String },
}

/// The interpreter of a script; `search` is the PATH that it would run with.
pub(in crate::ansible) fn of(script: &Path, search: &str) -> Result<Interpreter, NotPython> {
    let path = || script.display().to_string();
    let unreadable = |error: std::io::Error| NotPython::Unreadable {
        path: path(),
        reason: error.to_string(),
    };
    let mut bytes = Vec::new();
    fs_err::File::open(script)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    // What is not text is an archive or a program.
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(NotPython::OtherProgram { path: path() });
    };
    let Some(words) = asked_for(text) else {
        return Err(NotPython::OtherProgram { path: path() });
    };
    let Some((program, flags)) = python(&words) else {
        return Err(NotPython::OtherProgram { path: path() });
    };
    if !IMPORTS.iter().any(|import| text.contains(import)) {
        return Err(NotPython::Wrapper { path: path() });
    }
    let found = if program.starts_with('/') {
        Some(PathBuf::from(&program)).filter(|program| place::is_executable(program))
    } else {
        place::on_path(search, &program)
    };
    let Some(found) = found else {
        return Err(NotPython::Missing {
            path: path(),
            interpreter: program,
        });
    };
    if !is_binary(&found) {
        // A shim that decides at every start which Python it is.
        return Err(NotPython::OtherProgram {
            path: found.display().to_string(),
        });
    }
    Ok(Interpreter {
        program: found,
        flags,
    })
}

/// The interpreter's words: of the first line, or of the second where a path
/// was too long for the first.
fn asked_for(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines();
    let first = lines.next()?.strip_prefix("#!")?.trim();
    if first == "/bin/sh" {
        return long_path(lines.next()?);
    }
    let mut words = first.split_ascii_whitespace().map(str::to_owned);
    let program = words.next()?;
    let rest: Vec<String> = words.collect();
    if Path::new(&program).file_name() != Some(OsStr::new("env")) {
        return Some([program].into_iter().chain(rest).collect());
    }
    let (first, others) = rest.split_first()?;
    match (first.as_str(), others) {
        // Without `-S` the rest of the line is one name.
        ("-S", [_, ..]) => Some(others.to_vec()),
        (name, []) if !name.starts_with('-') => Some(rest),
        (_, _) => None,
    }
}

/// `'''exec' /a/long/path/python "$0" "$@"`: what installers write instead of
/// a first line that the kernel would cut off.
fn long_path(line: &str) -> Option<Vec<String>> {
    let rest = line.strip_prefix("'''exec' ")?;
    let program = rest.strip_suffix(r#" "$0" "$@""#)?;
    let bare = program
        .strip_prefix('"')
        .and_then(|program| program.strip_suffix('"'));
    match bare {
        Some(bare) if !bare.contains(['"', '\\', '$', '`']) => Some(vec![bare.to_owned()]),
        Some(_) => None,
        None => Some(program.split(' ').map(str::to_owned).collect()),
    }
}

/// Takes a command apart when it is a Python with options that say how it
/// looks for modules, and nothing else.
fn python(words: &[String]) -> Option<(String, Vec<String>)> {
    let (program, flags) = words.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    let version = name.strip_prefix("python")?;
    let is_python = version.chars().all(|c| c.is_ascii_digit() || c == '.');
    let are_known = flags.iter().all(|flag| {
        flag.strip_prefix('-').is_some_and(|letters| {
            !letters.is_empty() && letters.chars().all(|c| "sPEIBOu".contains(c))
        })
    });
    (is_python && are_known).then(|| (program.clone(), flags.to_vec()))
}

fn is_binary(program: &Path) -> bool {
    let mut start = [0; 4];
    fs_err::File::open(program)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start == *b"\x7fELF")
}

#[cfg(test)]
mod tests;
