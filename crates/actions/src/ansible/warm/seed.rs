//! What a fork server is made of: everything about a run that is the same for
//! the next one of its kind.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use model::{account::Account, id::AccountName};

use super::{
    interpreter::{self, Interpreter, NotPython},
    stamp::{self, Watched},
};
use crate::ansible::{cold::Recipe, config};

/// Stands for the private directory of a run. No variable can hold it.
const PRIVATE: &str = "\0";

/// Runs that have these in common may have the same server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The `ansible-playbook`.
    pub(super) program: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) account: Option<AccountName>,
    /// Of that account.
    uid: Option<u32>,
    /// Without what differs from run to run.
    environment: BTreeMap<String, String>,
}

#[cfg(test)]
impl Key {
    /// One of many.
    pub(super) fn of_test(number: u64) -> Self {
        Self {
            program: PathBuf::from("/opt/ansible-playbook"),
            directory: PathBuf::from(format!("/project-{number}")),
            account: None,
            uid: None,
            environment: BTreeMap::new(),
        }
    }
}

/// A kind of run.
#[derive(Debug, Clone)]
pub(super) struct Seed {
    pub(super) key: Key,
    pub(super) account: Option<Arc<Account>>,
}

impl Seed {
    pub(super) fn new(recipe: &Recipe) -> Self {
        let private = recipe.private.to_string_lossy();
        let environment = recipe
            .environment
            .iter()
            .filter(|(name, _)| !name.starts_with("LARIAT_"))
            .map(|(name, value)| (name.clone(), value.replace(private.as_ref(), PRIVATE)))
            .collect();
        let account = recipe.account.clone();
        Self {
            key: Key {
                program: recipe.program.clone(),
                directory: recipe.directory.clone(),
                account: account.as_ref().map(|account| account.name.clone()),
                uid: account.as_ref().map(|account| account.user.uid),
                environment,
            },
            account,
        }
    }

    /// The environment of a process with this private directory.
    pub(super) fn environment(&self, private: &Path) -> BTreeMap<String, String> {
        let private = private.to_string_lossy();
        let environment = self.key.environment.iter();
        environment
            .map(|(name, value)| (name.clone(), value.replace(PRIVATE, &private)))
            .collect()
    }

    pub(super) fn interpreter(&self) -> Result<Interpreter, NotPython> {
        let path = self.variable("PATH").unwrap_or_default();
        interpreter::of(&self.key.program, path)
    }

    /// All that a server will hold in memory or depend on, as it is now.
    pub(super) fn watched(&self) -> Watched {
        let Key {
            program, directory, ..
        } = &self.key;
        let home = PathBuf::from(self.variable("HOME").unwrap_or("/"));
        let mut watched = Watched::default();
        watched.add_texts(config::candidates(directory, &home));
        watched.add([program.clone()]);
        if let Ok(Interpreter { program, flags: _ }) = self.interpreter() {
            let venv = program.ancestors().nth(2);
            watched.add(venv.map(|venv| venv.join("pyvenv.cfg")));
            watched.add([program]);
        }
        watched.add(
            ["", "collections/", "roles/"]
                .iter()
                .flat_map(|place| ["yml", "yaml"].map(|end| format!("{place}requirements.{end}")))
                .map(|name| directory.join(name)),
        );
        let given = ["ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_COLLECTIONS_PATHS"]
            .into_iter()
            .find_map(|name| self.variable(name));
        for path in config::collections(directory, &home, given) {
            watched.add(stamp::collections(&path));
        }
        watched
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.key.environment.get(name).map(String::as_str)
    }
}
