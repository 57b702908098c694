//! The audit: who changed what, when. Events are not in it: publishing one is
//! its own record.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, id::Principal, page::Position, ports::WordError};

/// How long what was done is known. Retention forgets it then.
pub const KEPT_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    TokenCreate,
    TokenRevoke,
    JobCancel,
    JobRetry,
    DeadRetry,
    DeadDiscard,
    Reload,
    /// Coarse: requests whose token was refused, at most one row a minute.
    LoginFailed,
}

impl AuditAction {
    pub const ALL: [Self; 8] = [
        Self::TokenCreate,
        Self::TokenRevoke,
        Self::JobCancel,
        Self::JobRetry,
        Self::DeadRetry,
        Self::DeadDiscard,
        Self::Reload,
        Self::LoginFailed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenCreate => "token_create",
            Self::TokenRevoke => "token_revoke",
            Self::JobCancel => "job_cancel",
            Self::JobRetry => "job_retry",
            Self::DeadRetry => "dead_retry",
            Self::DeadDiscard => "dead_discard",
            Self::Reload => "reload",
            Self::LoginFailed => "login_failed",
        }
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuditAction {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or(WordError {
                expected: "token_create, token_revoke, job_cancel, job_retry, dead_retry, \
                           dead_discard, reload, login_failed",
            })
    }
}

/// Something that was done, before it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    pub by: Principal,
    pub action: AuditAction,
    /// What it was done to: a token's name, an id, a revision, an address.
    pub target: String,
    /// What else is to be known, for people.
    pub detail: Option<String>,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub content: AuditDraft,
}

/// Which entries. `until` is exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    pub by: Option<Principal>,
    pub action: Option<AuditAction>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub position: Position,
    pub limit: usize,
}
