//! Reads a project from its directory: the rules' text, the paths that steps
//! may name, and the git commit.
//!
//! Nothing outside the directory is read or listed: a symbolic link that
//! leaves it is refused for a rule file and left out of the listing. Sizes and
//! counts are bounded, so a wrong directory is an error and not a full memory.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use model::{
    account::Grants,
    diagnostic::{Diagnostic, Level},
    ports::{ProjectSource, ProjectText},
};
use rules::Surroundings;

use crate::{
    config::{self, Config, accounts},
    project::{files::Files, listing::Listing},
};

pub(crate) mod files;
mod git;
mod listing;

const RULES: &str = "rules";

/// A project in a directory.
#[derive(Debug, Clone)]
pub(crate) struct DirectoryProject {
    /// Absolute, without symbolic links.
    root: PathBuf,
    /// The store's file, which is no part of the project.
    store: PathBuf,
    /// What `lariat.yml` said when the service started.
    started: Option<Arc<Config>>,
    /// A directory of rule files that stand in place of the project's.
    drafts: Option<PathBuf>,
    /// Absent: nothing runs, and accounts are taken as rules name them.
    accounts: Option<accounts::Place>,
}

impl DirectoryProject {
    /// `root` must be canonical.
    pub(crate) fn new(root: PathBuf, store: PathBuf) -> Self {
        Self {
            root,
            store,
            started: None,
            drafts: None,
            accounts: None,
        }
    }

    /// For a service that was started with this configuration.
    pub(crate) fn started_with(self, config: Config) -> Self {
        Self {
            started: Some(Arc::new(config)),
            ..self
        }
    }

    /// With the rule files of this directory, which must be canonical, instead
    /// of the project's own.
    pub(crate) fn with_drafts(self, drafts: PathBuf) -> Self {
        Self {
            drafts: Some(drafts),
            ..self
        }
    }

    /// Where accounts are granted in this file.
    pub(crate) fn with_accounts(self, accounts: accounts::Place) -> Self {
        Self {
            accounts: Some(accounts),
            ..self
        }
    }

    /// Which accounts are granted now, as far as it is known.
    pub(crate) fn granted(&self) -> accounts::Loaded {
        match &self.accounts {
            Some(place) => place.load(&self.root),
            None => accounts::Loaded::unknown(),
        }
    }

    /// Checks the rules as they are now, in these surroundings, or says
    /// everything that is wrong: a file that cannot be read does not hide what
    /// is wrong with the others.
    pub(crate) fn checked(&self, around: Surroundings) -> Result<rules::Checked, Vec<Diagnostic>> {
        let (text, mut findings) = self.read_now();
        let Some(text) = text else {
            return Err(findings);
        };
        match rules::check(Arc::new(text), around) {
            Ok(checked) if findings.is_empty() => return Ok(checked),
            Ok(checked) => findings.extend(checked.warnings),
            Err(more) => findings.extend(more),
        }
        Err(findings)
    }

    /// The text as far as it can be read.
    pub(crate) fn text(&self) -> Option<ProjectText> {
        self.read_now().0
    }

    /// The text as far as it can be read, and what cannot be. No text when it
    /// is not known which files there are: many would seem to be missing.
    fn read_now(&self) -> (Option<ProjectText>, Vec<Diagnostic>) {
        let mut findings = Vec::new();
        let listing = Listing::new(&self.root, &self.store).read(&mut findings);
        let is_listed = findings.is_empty();
        let files = self.rule_files(&mut findings);
        let text = is_listed.then(|| ProjectText {
            files,
            listing,
            commit: git::commit(&self.root),
        });
        (text, findings)
    }

    /// The whole text, when `lariat.yml` is sound too: what could not be
    /// started is not put in force by a reload either. A project that is gone,
    /// or not mounted, is no project without rules.
    fn read_sound(&self) -> Result<ProjectText, Vec<Diagnostic>> {
        let loaded = config::load(&self.root);
        let is_sound = !loaded.has_errors();
        if let (Some(text), unreadable) = self.read_now()
            && is_sound
            && unreadable.is_empty()
        {
            return Ok(text);
        }
        let around = Surroundings {
            sinks: loaded.config.sink_names(),
            // What is wrong with the grants is reported by who asks for them.
            grants: self.granted().grants,
        };
        let mut findings = loaded.findings;
        findings.extend(self.checked(around).err().unwrap_or_default());
        Err(findings)
    }

    fn rule_files(&self, findings: &mut Vec<Diagnostic>) -> BTreeMap<String, String> {
        match &self.drafts {
            Some(drafts) => Files::new(drafts).yaml((drafts, RULES), findings),
            // A project without rules is one whose rules are yet to come.
            None => Files::new(&self.root).yaml((&self.root.join(RULES), RULES), findings),
        }
    }
}

fn finding(file: &str, message: String, hint: Option<String>) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        hint,
        ..Diagnostic::without_place(Level::Error, "unreadable-file", message)
    }
}

#[async_trait]
impl ProjectSource for DirectoryProject {
    async fn read(&self) -> Result<ProjectText, Vec<Diagnostic>> {
        let project = self.clone();
        match tokio::task::spawn_blocking(move || project.read_sound()).await {
            Ok(text) => text,
            Err(error) => Err(vec![finding("", error.to_string(), None)]),
        }
    }

    async fn grants(&self) -> Result<Grants, Vec<Diagnostic>> {
        let project = self.clone();
        // Users are looked up, maybe over a network.
        let loaded = tokio::task::spawn_blocking(move || project.granted()).await;
        let loaded = loaded.map_err(|error| vec![finding("", error.to_string(), None)])?;
        loaded.grants.ok_or(loaded.findings)
    }

    async fn notices(&self) -> Vec<Diagnostic> {
        let Some(started) = &self.started else {
            return Vec::new();
        };
        let changed = config::load(&self.root).config.changes(started);
        if changed.is_empty() {
            return Vec::new();
        }
        let keys: Vec<String> = changed.iter().map(|key| format!("`{key}`")).collect();
        let message = format!("changes of {} are taken at the next start", keys.join(", "));
        vec![Diagnostic {
            file: config::FILE.to_owned(),
            ..Diagnostic::without_place(Level::Warning, "next-start", message)
        }]
    }
}

#[cfg(test)]
mod tests;
