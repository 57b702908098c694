//! Parts of a playbook step: the hosts that it names itself, how they are
//! reached, and where its secrets stand.

use std::{fmt, path::PathBuf};

use crate::json::Object;

/// Hosts of a step, as Ansible's own inventories group them. Names are of
/// `[A-Za-z0-9_.:-]` and never start with `-`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostGroup {
    /// Absent: the hosts belong to no group but `all`.
    pub name: Option<String>,
    /// Each once, with its own variables.
    pub hosts: Vec<(String, Object)>,
    /// Variables of all of them.
    pub vars: Object,
}

/// How tasks become another user where they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Escalation {
    /// Every task does, also one that does not ask for it.
    pub always: bool,
    pub user: Option<String>,
    pub method: Option<String>,
    pub password: Option<SecretPlace>,
}

/// How hosts are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connection {
    pub user: Option<String>,
    /// The name of a connection plugin.
    pub plugin: Option<String>,
    /// Seconds.
    pub timeout: Option<u32>,
    pub private_key: Option<SecretPlace>,
    pub password: Option<SecretPlace>,
}

/// A secret that opens what was encrypted under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultIdentity {
    /// Letters, digits, `_`, `.` and `-`.
    pub id: String,
    pub secret: SecretPlace,
}

/// Where a secret stands: what it says is read when the step begins.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// Absolute.
    File(PathBuf),
    /// A variable of the service's environment.
    Variable(String),
    /// What a program prints, started in the project.
    Command(Vec<String>),
}

impl fmt::Debug for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "env {name}"),
            // Its arguments may be secret themselves.
            Self::Command(argv) => write!(f, "command {:?}", argv.first()),
        }
    }
}
