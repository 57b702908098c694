//! Reads files of a project, and nothing beside it: a symbolic link that
//! leaves the project, a pipe, or what is too large is refused.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use model::diagnostic::Diagnostic;

use crate::project::finding;

const LARGEST_FILE: u64 = 16 * 1024 * 1024;
const LARGEST_PROJECT: u64 = 64 * 1024 * 1024;
const MOST_FILES: usize = 10_000;

/// Files of one project, read one after the other.
#[derive(Debug)]
pub(crate) struct Files<'p> {
    /// Canonical; nothing outside of it is read.
    root: &'p Path,
    total: u64,
}

/// Why a file cannot be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) is_missing: bool,
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self {
            message: error.to_string(),
            hint: None,
            is_missing: error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

impl<'p> Files<'p> {
    pub(crate) fn new(root: &'p Path) -> Self {
        Self { root, total: 0 }
    }

    /// The YAML files of `directory`, which are shown as those of `shown`. A
    /// directory that is not there has none.
    pub(crate) fn yaml(
        &mut self,
        (directory, shown): (&Path, &str),
        findings: &mut Vec<Diagnostic>,
    ) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let entries = match fs_err::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return files,
            Err(error) => {
                findings.push(finding(shown, error.to_string(), None));
                return files;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    findings.push(finding(shown, error.to_string(), None));
                    return files;
                }
            };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let path = format!("{shown}/{}", name.to_string_lossy());
                let message = "the name of this file is not UTF-8".to_owned();
                findings.push(finding(&path, message, None));
                continue;
            };
            let is_yaml = name.ends_with(".yml") || name.ends_with(".yaml");
            if !is_yaml || name.starts_with('.') {
                continue;
            }
            let path = format!("{shown}/{name}");
            match self.text(&entry.path()) {
                Ok(text) => {
                    files.insert(path, text);
                }
                Err(refused) => findings.push(finding(&path, refused.message, refused.hint)),
            }
            if files.len() > MOST_FILES {
                let message = format!("there are more than {MOST_FILES} files");
                findings.push(finding(shown, message, None));
                return files;
            }
        }
        files
    }

    /// Where a path really leads, which is in the project.
    pub(crate) fn inside(&self, path: &Path) -> Result<PathBuf, Refused> {
        let real = fs_err::canonicalize(path)?;
        if real.starts_with(self.root) {
            return Ok(real);
        }
        Err(Refused {
            message: "this is a link that leaves the project".to_owned(),
            hint: Some("copy the file into the project".to_owned()),
            is_missing: false,
        })
    }

    pub(crate) fn bytes(&mut self, path: &Path) -> Result<Vec<u8>, Refused> {
        let refuse = |message: &str| Refused {
            message: message.to_owned(),
            hint: None,
            is_missing: false,
        };
        let real = self.inside(path)?;
        // A pipe would wait for a writer when it is opened.
        if !fs_err::metadata(&real)?.is_file() {
            return Err(refuse("this is not a file"));
        }
        let mut bytes = Vec::new();
        fs_err::File::open(&real)?
            .take(LARGEST_FILE + 1)
            .read_to_end(&mut bytes)?;
        self.total += bytes.len() as u64;
        if bytes.len() as u64 > LARGEST_FILE || self.total > LARGEST_PROJECT {
            return Err(refuse(
                "files like this are larger than 16 MiB each or 64 MiB together",
            ));
        }
        Ok(bytes)
    }

    pub(crate) fn text(&mut self, path: &Path) -> Result<String, Refused> {
        String::from_utf8(self.bytes(path)?).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            Refused {
                message: format!("line {} is not UTF-8", line + 1),
                hint: None,
                is_missing: false,
            }
        })
    }
}
