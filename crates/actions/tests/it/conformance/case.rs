//! The playbooks of the matrix and how each is called, as data: a line in
//! `projects/conformance.json` for each case, a file in the project beside it
//! for each playbook.

use std::path::{Path, PathBuf};

use model::{action::PlaybookCall, json::Object};
use nix::unistd::geteuid;
use serde::Deserialize;
use testkit::tools;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The name with `.yml` unless it says another.
    playbook: Option<String>,
    pub(crate) exit: i32,
    inventory: Vec<String>,
    limit: Option<String>,
    tags: Vec<String>,
    skip_tags: Vec<String>,
    check: bool,
    diff: bool,
    forks: Option<u32>,
    verbosity: u8,
    vault_password_files: Vec<String>,
    vars: Object,
    /// Its hosts do not wait for each other: lines come in any order.
    pub(crate) unordered: bool,
    /// Only root may do what it does.
    as_root: bool,
}

impl Case {
    pub(crate) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn with_inventory(mut self, source: &str) -> Self {
        self.inventory.push(source.to_owned());
        self
    }

    /// The call, for a run that leaves what it makes in `work`.
    pub(crate) fn call(&self, work: &Path) -> PlaybookCall {
        let own = self.playbook.clone();
        let mut inventory = self.inventory.clone();
        if inventory.is_empty() {
            inventory.push("hosts".to_owned());
        }
        let mut vars = self.vars.clone();
        vars.insert("work".to_owned(), work.display().to_string().into());
        PlaybookCall {
            playbook: own.unwrap_or_else(|| format!("{}.yml", self.name)),
            inventory,
            limit: self.limit.clone(),
            tags: self.tags.clone(),
            skip_tags: self.skip_tags.clone(),
            check: self.check,
            diff: self.diff,
            forks: self.forks,
            verbosity: self.verbosity,
            vault_password_files: self.vault_password_files.clone(),
            vars,
            ..PlaybookCall::default()
        }
    }
}

/// All of them; what cannot run here is left out by name.
pub(crate) fn all() -> Vec<Case> {
    let text = fs_err::read_to_string(projects().join("conformance.json")).unwrap();
    let mut cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    cases.retain(|case| {
        let is_possible = !case.as_root || geteuid().is_root();
        if !is_possible {
            tools::skip(&format!("the case `{}` needs root", case.name));
        }
        is_possible
    });
    cases
}

/// The case of a name.
#[track_caller]
pub(crate) fn named(name: &str) -> Case {
    let found = all().into_iter().find(|case| case.name == name);
    found.unwrap_or_else(|| panic!("there is no case `{name}`"))
}

fn projects() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects")
}

/// A copy of the project, which tests may change.
pub(crate) fn copy_project(to: &Path) {
    copy(&projects().join("conformance"), to);
}

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
}
