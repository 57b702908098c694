//! How playbooks are started, and how the fork servers stand that start them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::AccountName;

/// What an action says of the playbooks that it started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Starts {
    /// Whether fork servers are used at all.
    pub is_warm: bool,
    /// Since the service began: by a fork server, and by themselves.
    pub warm: u64,
    pub cold: u64,
    pub servers: Vec<WarmServer>,
}

/// The fork server of some playbooks, or why they have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WarmServer {
    /// The `ansible-playbook` whose place it takes.
    pub program: String,
    /// Absent: the service's own user.
    pub account: Option<AccountName>,
    /// Of Ansible and Python, when it has said so.
    pub version: Option<String>,
    pub state: WarmState,
    /// Why playbooks start cold, when they do.
    pub reason: Option<String>,
    /// Playbooks that it started.
    pub started: u64,
}

/// How a fork server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmState {
    /// It is starting, or being compared with a cold start.
    Proving,
    Ready,
    /// It is not used.
    Cold,
}

impl WarmState {
    pub const ALL: [Self; 3] = [Self::Proving, Self::Ready, Self::Cold];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proving => "proving",
            Self::Ready => "ready",
            Self::Cold => "cold",
        }
    }
}

impl fmt::Display for WarmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
