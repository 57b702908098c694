//! What stands on this machine beside Loopabull's configuration: playbooks
//! and `ansible.cfg`.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::import::{loopabull::Loopabull, names::Uses};

/// More files than playbooks have: somebody named the wrong directory.
const MOST_FILES: usize = 10_000;
/// Bytes of a file in which variables are looked for.
const LARGEST_TEXT: u64 = 1024 * 1024;

/// A file to be copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Playbook {
    pub(super) source: PathBuf,
    /// Below `playbooks/`.
    pub(super) path: String,
}

#[derive(Debug, Default)]
pub(super) struct Found {
    /// Everything in Loopabull's directory, in order.
    pub(super) playbooks: Vec<Playbook>,
    /// Where they are; absent when there is no such directory.
    pub(super) directory: Option<PathBuf>,
    /// Where `ansible.cfg` is and what it says.
    pub(super) ansible_cfg: Option<(PathBuf, String)>,
    pub(super) uses: Uses,
    /// What was not copied, and why.
    pub(super) skipped: Vec<String>,
}

impl Found {
    /// Relative paths start where Loopabull was started. That is not known, so
    /// the current directory is tried first, then the one of the file.
    pub(super) fn look(config: &Loopabull, beside: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        let directory = whole(&config.playbooks_dir, beside);
        if fs_err::metadata(&directory).is_ok_and(|metadata| metadata.is_dir()) {
            let root = fs_err::canonicalize(&directory)?;
            found.collect(&root, "", &mut vec![root.clone()])?;
            found.playbooks.sort_by(|a, b| a.path.cmp(&b.path));
            found.directory = Some(root);
        }
        for playbook in &found.playbooks {
            let is_small = fs_err::metadata(&playbook.source)
                .is_ok_and(|metadata| metadata.len() <= LARGEST_TEXT);
            if is_small && let Ok(text) = fs_err::read_to_string(&playbook.source) {
                found.uses.add(&text);
            }
        }
        let cfg = whole(&config.ansible_cfg, beside);
        if let Ok(text) = fs_err::read_to_string(&cfg) {
            found.ansible_cfg = Some((cfg, text));
        }
        Ok(found)
    }

    pub(super) fn has_playbook(&self, path: &str) -> bool {
        self.playbooks
            .binary_search_by(|playbook| playbook.path.as_str().cmp(path))
            .is_ok()
    }

    /// `above`: the directories that this one lies in, against links in circles.
    fn collect(&mut self, dir: &Path, prefix: &str, above: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs_err::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                let path = entry.path();
                self.skip(&path, "its name is not UTF-8");
                continue;
            };
            let (source, path) = (entry.path(), format!("{prefix}{name}"));
            // Links are followed: what they lead to is copied.
            let Ok(metadata) = fs_err::metadata(&source) else {
                self.skip(
                    &source,
                    "it is a link that leads nowhere, or cannot be read",
                );
                continue;
            };
            if metadata.is_dir() {
                let real = fs_err::canonicalize(&source)?;
                if name == ".git" {
                    continue;
                }
                if above.contains(&real) {
                    self.skip(&source, "it is a link to a directory that it lies in");
                    continue;
                }
                above.push(real);
                self.collect(&source, &format!("{path}/"), above)?;
                above.pop();
            } else if metadata.is_file() {
                if self.playbooks.len() >= MOST_FILES {
                    let message = format!("there are more than {MOST_FILES} files below it");
                    return Err(io::Error::other(message));
                }
                self.playbooks.push(Playbook { source, path });
            } else {
                self.skip(&source, "it is neither a file nor a directory");
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped
            .push(format!("`{}` was not copied: {why}.", path.display()));
    }
}

/// A path of the configuration as it is found from here.
pub(super) fn whole(path: &Path, beside: &Path) -> PathBuf {
    let other = beside.join(path);
    let is_there = |path: &Path| fs_err::metadata(path).is_ok();
    let chosen = if is_there(path) || !is_there(&other) {
        path
    } else {
        &other
    };
    std::path::absolute(chosen).unwrap_or_else(|_| chosen.to_owned())
}
