//! Which Python a private environment is made with.
//!
//! No Python runs all versions of Ansible that are supported, so a machine
//! may need two. What is there is used, on PATH or below pyenv's directory;
//! none is installed but the system's own.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::run::find;

/// What an environment asks of its Python, as minor versions of Python 3.
pub(super) enum Wanted {
    /// Whatever `python3` is.
    Usual,
    /// `python3` when it is one of these, else the newest that is.
    Within(RangeInclusive<u8>),
    /// The oldest of these: an old program is tested on an old Python.
    OldestOf(RangeInclusive<u8>),
    /// The newest on this machine, since the newest program may need it.
    Newest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Python {
    pub(super) program: PathBuf,
    pub(super) minor: u8,
}

impl Wanted {
    /// The error says what is missing, for the list of what there is.
    pub(super) fn choose<'a>(&self, pythons: &'a [Python]) -> Result<&'a Python, String> {
        let newest = pythons.iter().max_by_key(|python| python.minor);
        let found = match self {
            Self::Usual => pythons.first(),
            Self::Newest => newest,
            Self::Within(minors) => pythons
                .first()
                .filter(|python| minors.contains(&python.minor))
                .or_else(|| {
                    let fitting = pythons.iter().filter(|one| minors.contains(&one.minor));
                    fitting.max_by_key(|python| python.minor)
                }),
            Self::OldestOf(minors) => {
                let fitting = pythons.iter().filter(|one| minors.contains(&one.minor));
                fitting.min_by_key(|python| python.minor)
            }
        };
        found.ok_or_else(|| match self {
            Self::Usual | Self::Newest => "needs Python 3".to_owned(),
            Self::Within(minors) | Self::OldestOf(minors) => format!(
                "needs a Python from 3.{} to 3.{}, on PATH or below pyenv",
                minors.start(),
                minors.end()
            ),
        })
    }
}

/// What can make environments on this machine, `python3` first.
pub(super) fn pythons() -> &'static [Python] {
    static PYTHONS: OnceLock<Vec<Python>> = OnceLock::new();
    PYTHONS.get_or_init(|| {
        let numbered = (9..30).map(|minor| format!("python3.{minor}"));
        let on_path = ["python3".to_owned()].into_iter().chain(numbered);
        let mut pythons: Vec<Python> = Vec::new();
        for program in on_path.filter_map(|name| find(&name)).chain(of_pyenv()) {
            let found = ask(&program);
            pythons.extend(found.filter(|new| pythons.iter().all(|old| old.minor != new.minor)));
        }
        pythons
    })
}

fn of_pyenv() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    let Some(versions) = root.or_else(home).map(|root| root.join("versions")) else {
        return Vec::new();
    };
    let Ok(entries) = fs_err::read_dir(versions) else {
        return Vec::new();
    };
    let programs = entries
        .flatten()
        .map(|entry| entry.path().join("bin/python3"));
    let mut programs: Vec<PathBuf> = programs.filter(|path| path.is_file()).collect();
    programs.sort();
    programs
}

/// `None`: it does not run, or cannot make environments.
pub(super) fn ask(program: &Path) -> Option<Python> {
    const SCRIPT: &str = "import sys, venv, ensurepip; print(*sys.version_info[:2])";
    let output = Command::new(program)
        .args(["-c", SCRIPT])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let minor = text.trim().strip_prefix("3 ")?.parse().ok()?;
    Some(Python {
        program: program.to_owned(),
        minor,
    })
}

#[cfg(test)]
mod tests;
