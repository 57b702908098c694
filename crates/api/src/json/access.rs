//! Tokens and the audit as `/api/v1/tokens` and `/api/v1/audit` show them.

use model::{
    audit::{self, AuditAction},
    clock::Timestamp,
    id::{Principal, TokenId, TokenName},
    token::{self, Role},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Body of `POST /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    #[schemars(with = "schema::TokenName")]
    pub name: TokenName,
    #[schemars(with = "schema::Role")]
    pub role: Role,
    /// Absent: it does not end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Time>")]
    pub expires: Option<Timestamp>,
}

/// A token, without what lets one in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    #[schemars(with = "String")]
    pub id: TokenId,
    #[schemars(with = "schema::TokenName")]
    pub name: TokenName,
    #[schemars(with = "schema::Role")]
    pub role: Role,
    /// `live`, `expired` or `revoked`.
    pub state: String,
    #[schemars(with = "schema::Time")]
    pub created: Timestamp,
    #[schemars(with = "String")]
    pub created_by: Principal,
    #[schemars(with = "Option<schema::Time>")]
    pub expires: Option<Timestamp>,
    /// To the minute.
    #[schemars(with = "Option<schema::Time>")]
    pub last_used: Option<Timestamp>,
    #[schemars(with = "Option<schema::Time>")]
    pub revoked: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    pub token: Token,
    /// What requests are sent with. It is not kept and cannot be shown again.
    pub secret: String,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    #[schemars(with = "schema::Time")]
    pub at: Timestamp,
    #[schemars(with = "String")]
    pub by: Principal,
    #[schemars(with = "schema::AuditAction")]
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
