//! The tokens that this process knows, and what it notes about their use.
//!
//! The store belongs to this process alone, so what was read when it started,
//! changed along with every change since, is what the store holds. A revoked
//! token lets nobody in from the moment that its revocation is answered.
//!
//! Uses and refusals are noted by [`Access::keep_notes`], beside the requests
//! and coarsely: nobody can make the store busy by asking.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use model::{
    audit::{AuditAction, AuditDraft},
    clock::Timestamp,
    id::{Principal, TokenId},
    ports::{
        StoreError,
        access::{Audit, Created, KeptToken, Revoked, TokenDraft, Tokens},
    },
    token::{Secret, Standing, Token},
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::gate::Caller;

/// Between two notes.
const PAUSE: Duration = Duration::from_secs(60);

/// Who may come in.
pub(crate) struct Access {
    tokens: Arc<dyn Tokens>,
    audit: Arc<dyn Audit>,
    known: RwLock<Arc<HashMap<TokenId, KeptToken>>>,
    /// Held while the store and `known` are changed together.
    changing: AsyncMutex<()>,
    notes: Mutex<Notes>,
    noted: Notify,
}

#[derive(Debug, Default)]
struct Notes {
    uses: HashMap<TokenId, Timestamp>,
    refused: u64,
    /// Where the last refused request came from.
    refused_from: Option<IpAddr>,
}

/// Why a secret lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("this service knows no such token")]
    Unknown,
    #[error("token `{name}` expired at {at}; an admin can make another")]
    Expired { name: String, at: Timestamp },
    #[error("token `{name}` was revoked at {at}")]
    Revoked { name: String, at: Timestamp },
}

impl Access {
    pub(crate) async fn load(
        tokens: Arc<dyn Tokens>,
        audit: Arc<dyn Audit>,
    ) -> Result<Self, StoreError> {
        let known = by_id(tokens.all().await?);
        Ok(Self {
            tokens,
            audit,
            known: RwLock::new(Arc::new(known)),
            changing: AsyncMutex::new(()),
            notes: Mutex::default(),
            noted: Notify::new(),
        })
    }

    fn known(&self) -> Arc<HashMap<TokenId, KeptToken>> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read_again(&self) -> Result<(), StoreError> {
        let known = Arc::new(by_id(self.tokens.all().await?));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Whether requests need no token. They do as soon as there is one, also
    /// when it has ended: revoking the last token opens nothing.
    pub(crate) fn is_open(&self) -> bool {
        self.known().is_empty()
    }

    /// The token that a secret is of.
    pub(crate) fn admit(&self, secret: &Secret, now: Timestamp) -> Result<Token, Refused> {
        let known = self.known();
        let kept = known.get(&secret.id()).ok_or(Refused::Unknown)?;
        if !kept.hash.is(&secret.hash()) {
            return Err(Refused::Unknown);
        }
        let token = &kept.token;
        let name = token.name.to_string();
        match token.standing(now) {
            Standing::Live => {
                self.note(|notes| {
                    notes.uses.insert(secret.id(), now);
                });
                Ok(token.clone())
            }
            Standing::Expired => {
                let at = token.expires.unwrap_or(now);
                Err(Refused::Expired { name, at })
            }
            Standing::Revoked => {
                let at = token.revoked.as_ref().map_or(now, |(at, _)| *at);
                Err(Refused::Revoked { name, at })
            }
        }
    }

    /// Whether who was let in would be again: an answer may last longer than
    /// the token that it was given to.
    pub(crate) fn still_admits(&self, caller: &Caller, now: Timestamp) -> bool {
        let known = self.known();
        match caller {
            Caller::Anyone => known.is_empty(),
            Caller::Known(token) => known
                .get(&token.id)
                .is_some_and(|kept| kept.token.standing(now) == Standing::Live),
        }
    }

    /// A request came with a secret that lets nobody in.
    pub(crate) fn refuse(&self, from: Option<IpAddr>) {
        self.note(|notes| {
            notes.refused += 1;
            notes.refused_from = from;
        });
    }

    fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        self.noted.notify_one();
    }

    pub(crate) async fn create(&self, draft: TokenDraft) -> Result<Created, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let created = self.tokens.create(draft).await?;
        self.read_again().await?;
        Ok(created)
    }

    pub(crate) async fn revoke(&self, id: &TokenId, by: &Principal) -> Result<Revoked, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let revoked = self.tokens.revoke(id, by).await?;
        self.read_again().await?;
        Ok(revoked)
    }

    /// As the store has them, newest first.
    pub(crate) async fn all(&self) -> Result<Vec<Token>, StoreError> {
        let kept = self.tokens.all().await?;
        Ok(kept.into_iter().map(|kept| kept.token).collect())
    }

    /// Writes down what was noted, at once and then once a minute.
    pub(crate) async fn keep_notes(&self) -> std::convert::Infallible {
        loop {
            self.noted.notified().await;
            self.write_notes().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn write_notes(&self) {
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let uses: Vec<_> = notes.uses.into_iter().collect();
        if !uses.is_empty()
            && let Err(error) = self.tokens.used(&uses).await
        {
            tracing::debug!("the last use of tokens was not noted: {error}");
        }
        if notes.refused > 0
            && let Err(error) = self
                .audit
                .record(refusals(&notes.refused_from, notes.refused))
                .await
        {
            let count = notes.refused;
            tracing::warn!("{count} requests with a bad token are not in the audit: {error}");
        }
    }
}

fn refusals(from: &Option<IpAddr>, count: u64) -> AuditDraft {
    let from = from.map_or_else(|| "unknown".to_owned(), |from| from.to_string());
    AuditDraft {
        by: Principal("api".to_owned()),
        action: AuditAction::LoginFailed,
        target: from,
        detail: Some(match count {
            1 => "1 request with a bad token".to_owned(),
            _ => format!("{count} requests with a bad token, the last from there"),
        }),
    }
}

fn by_id(kept: Vec<KeptToken>) -> HashMap<TokenId, KeptToken> {
    kept.into_iter()
        .map(|kept| (kept.token.id.clone(), kept))
        .collect()
}
