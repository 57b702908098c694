//! What a project contains and what is around it, and how names in rules
//! resolve against it: files, the sinks of `lariat.yml`, granted accounts.
//!
//! A name reaches a file only through this list, so whatever an event says,
//! nothing outside the project and nothing unlisted can be named.

use std::collections::BTreeSet;

use model::{account::Grants, id::SinkName, suggest::nearest};

/// Longest name that is looked up, in bytes.
const MAX_NAME: usize = 1_024;
/// In a project with more files than this, no similar name is looked for.
const MAX_SUGGEST: usize = 5_000;

/// Files of the project, sorted; directories are implied by what is in them.
#[derive(Debug)]
pub(crate) struct Listing {
    paths: Vec<String>,
    /// Absent: whatever rules name is taken as it is.
    around: Option<Surroundings>,
}

/// What rules may name beside the files of the project.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// All sinks of `lariat.yml`.
    pub sinks: BTreeSet<SinkName>,
    /// Absent: which accounts are granted is not known here, and any name of
    /// one is taken as it is.
    pub grants: Option<Grants>,
}

/// Why a text cannot be a name of a file in the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_NAME} bytes")]
    TooLong,
    #[error("it is absolute; names are relative to the project")]
    Absolute,
    #[error("it leaves the project with `..`")]
    Escapes,
    #[error("a part of it is empty or `.`")]
    EmptyPart,
    #[error("it starts with `-`")]
    Dash,
    #[error("it contains {0:?}")]
    Character(char),
}

impl NameError {
    /// Whether the name would lead out of the project.
    pub(crate) fn is_escape(self) -> bool {
        match self {
            Self::Absolute | Self::Escapes => true,
            Self::Empty | Self::TooLong | Self::EmptyPart | Self::Dash | Self::Character(_) => {
                false
            }
        }
    }
}

/// Whether `name` is a relative path of plain parts.
pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    if name.starts_with(['/', '~']) {
        return Err(NameError::Absolute);
    }
    if name.split('/').any(|part| part == "..") {
        return Err(NameError::Escapes);
    }
    if let Some(found) = name.chars().find(|c| c.is_control() || *c == '\\') {
        return Err(NameError::Character(found));
    }
    if name.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(NameError::EmptyPart);
    }
    if name.starts_with('-') {
        return Err(NameError::Dash);
    }
    Ok(())
}

/// A path as people write it: `./a/` is `a`.
pub(crate) fn plain_path(text: &str) -> &str {
    let text = text.strip_prefix("./").unwrap_or(text);
    text.strip_suffix('/').unwrap_or(text)
}

impl Listing {
    pub(crate) fn new(paths: &[String]) -> Self {
        let mut paths = paths.to_vec();
        paths.sort_unstable();
        paths.dedup();
        Self {
            paths,
            around: None,
        }
    }

    /// The same, in these surroundings.
    pub(crate) fn within(self, around: Surroundings) -> Self {
        Self {
            around: Some(around),
            ..self
        }
    }

    /// Whether there is such a sink, as far as it is known which there are.
    pub(crate) fn has_sink(&self, name: &SinkName) -> bool {
        let around = self.around.as_ref();
        around.is_none_or(|around| around.sinks.contains(name))
    }

    pub(crate) fn sinks(&self) -> impl Iterator<Item = &str> {
        let around = self.around.iter();
        around
            .flat_map(|around| &around.sinks)
            .map(SinkName::as_str)
    }

    /// What is granted, as far as it is known.
    pub(crate) fn grants(&self) -> Option<&Grants> {
        self.around.as_ref()?.grants.as_ref()
    }

    pub(crate) fn has_file(&self, path: &str) -> bool {
        self.paths
            .binary_search_by(|known| known.as_str().cmp(path))
            .is_ok()
    }

    pub(crate) fn has_directory(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        let at = self
            .paths
            .partition_point(|known| known.as_str() < inside.as_str());
        self.paths
            .get(at)
            .is_some_and(|known| known.starts_with(&inside))
    }

    /// The path of a playbook: in `playbooks/` first, then from the project.
    pub(crate) fn playbook(&self, name: &str) -> Option<String> {
        let inside = format!("playbooks/{name}");
        if self.has_file(&inside) {
            return Some(inside);
        }
        self.has_file(name).then(|| name.to_owned())
    }

    /// A name in the listing that was probably meant.
    pub(crate) fn similar(&self, name: &str) -> Option<&str> {
        if self.paths.len() > MAX_SUGGEST {
            return None;
        }
        let in_playbooks = self
            .paths
            .iter()
            .filter_map(|path| path.strip_prefix("playbooks/"));
        nearest(
            name,
            in_playbooks.chain(self.paths.iter().map(String::as_str)),
        )
    }
}

#[cfg(test)]
mod tests;
