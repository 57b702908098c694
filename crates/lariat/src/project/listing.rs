//! Lists the paths that steps may name: playbooks, inventories, and whatever
//! else a project keeps beside them.
//!
//! Left out are hidden directories, the rules and their tests, what Ansible finds
//! by itself (roles, collections) and the store: none of them is named by a
//! step, and none may change the revision of the rules.

use std::path::{Path, PathBuf};

use model::diagnostic::Diagnostic;

use crate::project::finding;

const MOST_ENTRIES: usize = 100_000;
const DEEPEST: usize = 24;
/// Directories that no step names.
const SKIPPED: [&str; 7] = [
    "rules",
    "tests",
    "roles",
    "collections",
    "catalog",
    "__pycache__",
    "node_modules",
];

pub(super) struct Listing<'p> {
    root: &'p Path,
    store: &'p Path,
    paths: Vec<String>,
    seen: usize,
}

impl<'p> Listing<'p> {
    pub(super) fn new(root: &'p Path, store: &'p Path) -> Self {
        Self {
            root,
            store,
            paths: Vec::new(),
            seen: 0,
        }
    }

    /// Paths relative to the project, sorted.
    pub(super) fn read(mut self, findings: &mut Vec<Diagnostic>) -> Vec<String> {
        let mut parents = vec![self.root.to_owned()];
        if let Err(message) = self.directory(self.root, "", &mut parents) {
            findings.push(finding("", message, None));
        }
        self.paths.sort_unstable();
        self.paths
    }

    /// `parents` are the real directories that are being listed: a link to one
    /// of them would go round for ever.
    fn directory(
        &mut self,
        real: &Path,
        prefix: &str,
        parents: &mut Vec<PathBuf>,
    ) -> Result<(), String> {
        // What cannot be read cannot be named by a step either.
        let Ok(entries) = fs_err::read_dir(real) else {
            return Ok(());
        };
        for entry in entries.filter_map(Result::ok) {
            self.seen += 1;
            if self.seen > MOST_ENTRIES {
                return Err(format!(
                    "the project `{}` has more than {MOST_ENTRIES} files",
                    self.root.display()
                ));
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Ok(found) = fs_err::canonicalize(entry.path()) else {
                continue;
            };
            let path = format!("{prefix}{name}");
            if !found.starts_with(self.root) || self.is_of_store(&found) {
                continue;
            }
            let Ok(metadata) = fs_err::metadata(&found) else {
                continue;
            };
            if metadata.is_file() {
                if !is_litter(name) {
                    self.paths.push(path);
                }
                continue;
            }
            let is_skipped = name.starts_with('.') || SKIPPED.contains(&name);
            let is_deeper = metadata.is_dir() && !is_skipped && parents.len() < DEEPEST;
            if is_deeper && !parents.contains(&found) {
                parents.push(found.clone());
                let listed = self.directory(&found, &format!("{path}/"), parents);
                parents.pop();
                listed?;
            }
        }
        Ok(())
    }

    /// The store's file and what stands beside it under longer names.
    fn is_of_store(&self, path: &Path) -> bool {
        let Some(store) = self.store.file_name().and_then(|name| name.to_str()) else {
            return false;
        };
        path.parent() == self.store.parent()
            && path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(store))
    }
}

/// What editors and tools leave lying about.
fn is_litter(name: &str) -> bool {
    name.starts_with(".git")
        || name.ends_with('~')
        || name.ends_with(".swp")
        || name.ends_with(".pyc")
        || name.ends_with(".retry")
        || name == "ansible.log"
}
