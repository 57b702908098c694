//! Tokens and the audit as `/api/v1/tokens` and `/api/v1/audit` show them.

use model::{
    audit::{self, AuditAction},
    clock::Timestamp,
    id::{Principal, TokenId, TokenName},
    token::{self, Role},
};
use serde::{Deserialize, Serialize};

/// Body of `POST /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    pub name: TokenName,
    pub role: Role,
    /// Absent: it does not end by itself.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// A token, without what lets one in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: TokenId,
    pub name: TokenName,
    pub role: Role,
    /// `live`, `expired` or `revoked`.
    pub state: String,
    pub created: Timestamp,
    pub created_by: Principal,
    pub expires: Option<Timestamp>,
    /// To the minute.
    pub last_used: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
    pub revoked_by: Option<Principal>,
}

impl Token {
    pub fn new(token: token::Token, now: Timestamp) -> Self {
        let state = token.standing(now).as_str().to_owned();
        let (revoked, revoked_by) = token.revoked.unzip();
        Self {
            id: token.id,
            name: token.name,
            role: token.role,
            state,
            created: token.created,
            created_by: token.created_by,
            expires: token.expires,
            last_used: token.last_used,
            revoked,
            revoked_by,
        }
    }
}

/// Answer to `POST /api/v1/tokens`: the only one that holds the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    pub token: Token,
    /// What requests are sent with. It is not kept and cannot be shown again.
    pub secret: String,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub by: Principal,
    pub action: AuditAction,
    /// What it was done to.
    pub target: String,
    pub detail: Option<String>,
}

impl From<audit::AuditEntry> for AuditEntry {
    fn from(entry: audit::AuditEntry) -> Self {
        let audit::AuditEntry { at, content } = entry;
        Self {
            at,
            by: content.by,
            action: content.action,
            target: content.target,
            detail: content.detail,
        }
    }
}
