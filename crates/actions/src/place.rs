//! Paths of a project, and programs on a search path.
//!
//! What the project names must lie inside it when it is used, not only when
//! it was listed: a symbolic link that leads out is refused.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("`{path}` is not a path inside the project: it may not be absolute nor contain `..`")]
    NotRelative { path: String },
    #[error("`{path}` leads out of the project through a symbolic link")]
    LeadsOut { path: String },
    #[error("`{path}` is not there")]
    Missing { path: String },
    #[error("`{path}` cannot be reached: {source}")]
    Unreachable { path: String, source: io::Error },
}

/// The real path of something in the project.
pub(crate) fn inside(project: &Path, path: &str) -> Result<PathBuf, PlaceError> {
    let relative = Path::new(path);
    let is_plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || path.contains('\0') || !is_plain {
        return Err(PlaceError::NotRelative {
            path: path.to_owned(),
        });
    }
    let real = |at: &Path| {
        fs_err::canonicalize(at).map_err(|source| {
            let path = path.to_owned();
            if source.kind() == io::ErrorKind::NotFound {
                PlaceError::Missing { path }
            } else {
                PlaceError::Unreachable { path, source }
            }
        })
    };
    let root = real(project)?;
    let found = real(&root.join(relative))?;
    if found.starts_with(&root) {
        Ok(found)
    } else {
        Err(PlaceError::LeadsOut {
            path: path.to_owned(),
        })
    }
}

/// A program of the project. The directory must lie inside it; the program
/// itself may be a link, as a virtual environment's `python` is one.
pub(crate) fn program_inside(project: &Path, path: &str) -> Result<PathBuf, PlaceError> {
    let relative = Path::new(path);
    match (
        relative.parent().and_then(Path::to_str),
        relative.file_name(),
    ) {
        (Some(""), Some(_)) => inside(project, path),
        (Some(directory), Some(name)) => Ok(inside(project, directory)?.join(name)),
        (_, _) => Err(PlaceError::NotRelative {
            path: path.to_owned(),
        }),
    }
}

/// The first executable file of that name on a search path.
pub(crate) fn on_path(search: &str, name: &str) -> Option<PathBuf> {
    search
        .split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| Path::new(directory).join(name))
        .find(|candidate| is_executable(candidate))
}

pub(crate) fn is_executable(path: &Path) -> bool {
    fs_err::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
