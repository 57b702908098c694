//! Who may ask, and who did what: tokens and the audit.

use async_trait::async_trait;

use crate::{
    audit::{AuditDraft, AuditEntry, AuditQuery},
    clock::Timestamp,
    id::{Principal, TokenId, TokenName},
    page::Page,
    ports::StoreError,
    token::{Role, SecretHash, Token},
};

/// Tokens that a store keeps at most, those that ended included.
pub const MOST_TOKENS: usize = 1_000;

/// A token before it is kept.
#[derive(Debug, Clone)]
pub struct TokenDraft {
    pub id: TokenId,
    pub hash: SecretHash,
    pub name: TokenName,
    pub role: Role,
    pub expires: Option<Timestamp>,
    pub by: Principal,
}

/// A token with what lets one in.
#[derive(Debug, Clone)]
pub struct KeptToken {
    pub token: Token,
    pub hash: SecretHash,
}

/// Answer to a request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    Done(Token),
    /// A token of that name was not revoked yet.
    NameTaken,
    /// There are [`MOST_TOKENS`] that have not ended.
    Full,
}

/// Answer to a request to revoke a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    Done(Token),
    /// It had been revoked before, and stays as it was.
    Before(Token),
    NotFound,
}

/// Keeps tokens. There are few of them, so they are read all at once.
///
/// Contract:
/// - `a_token_is_kept_as_a_hash_and_read_back`
/// - `a_name_is_free_again_when_its_token_is_revoked`
/// - `a_token_is_revoked_once`
/// - `the_last_use_of_a_token_only_moves_forward`
/// - `a_full_store_forgets_the_tokens_that_ended_first`
/// - `what_is_done_to_tokens_is_in_the_audit`
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Keeps a token and notes it in the audit, in one transaction.
    async fn create(&self, draft: TokenDraft) -> Result<Created, StoreError>;

    /// All of them, newest first; also those that ended.
    async fn all(&self) -> Result<Vec<KeptToken>, StoreError>;

    /// Revokes a token and notes it in the audit, in one transaction.
    async fn revoke(&self, id: &TokenId, by: &Principal) -> Result<Revoked, StoreError>;

    /// Notes when tokens were used last. One that is not there is passed over.
    async fn used(&self, uses: &[(TokenId, Timestamp)]) -> Result<(), StoreError>;
}

/// Keeps what was done and by whom. What [`Tokens`] and
/// [`JobControl`](crate::ports::JobControl) do is in it by their own
/// transactions.
///
/// Contract:
/// - `the_audit_is_filtered_and_paged`
/// - `what_people_do_to_jobs_and_dead_letters_is_in_the_audit`
/// - `what_changed_nothing_is_not_in_the_audit`
/// - `retention_forgets_what_was_done_a_year_ago`
#[async_trait]
pub trait Audit: Send + Sync {
    async fn record(&self, draft: AuditDraft) -> Result<(), StoreError>;
    async fn entries(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, StoreError>;
}
