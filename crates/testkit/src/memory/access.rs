//! Tokens and the audit: see [`Tokens`] and [`Audit`].

use async_trait::async_trait;
use model::{
    audit::{AuditAction, AuditDraft, AuditEntry, AuditQuery},
    clock::Timestamp,
    id::{Principal, TokenId},
    page::Page,
    ports::{
        StoreError,
        access::{Audit, Created, KeptToken, MOST_TOKENS, Revoked, TokenDraft, Tokens},
    },
    token::{Standing, Token},
};

use super::{MemoryStore, history::page, state::State};

#[async_trait]
impl Tokens for MemoryStore {
    async fn create(&self, draft: TokenDraft) -> Result<Created, StoreError> {
        self.enter().await?;
        let now = self.now().wall;
        let mut state = self.lock();
        let mut tokens = state.tokens.values();
        if tokens.any(|kept| kept.token.revoked.is_none() && kept.token.name == draft.name) {
            return Ok(Created::NameTaken);
        }
        if state.tokens.len() >= MOST_TOKENS {
            let ended = state
                .tokens
                .iter()
                .find(|(_, kept)| kept.token.standing(now) != Standing::Live)
                .map(|(seq, _)| *seq);
            match ended {
                Some(seq) => drop(state.tokens.remove(&seq)),
                None => return Ok(Created::Full),
            }
        }
        let token = Token {
            id: draft.id,
            name: draft.name,
            role: draft.role,
            created: now,
            created_by: draft.by,
            expires: draft.expires,
            last_used: None,
            revoked: None,
        };
        let kept = KeptToken {
            token: token.clone(),
            hash: draft.hash,
        };
        let seq = state.next_seq();
        state.tokens.insert(seq, kept);
        let entry = AuditDraft {
            by: token.created_by.clone(),
            action: AuditAction::TokenCreate,
            target: token.name.to_string(),
            detail: Some(token.described()),
        };
        state.record(entry, now);
        Ok(Created::Done(token))
    }

    async fn all(&self) -> Result<Vec<KeptToken>, StoreError> {
        self.enter().await?;
        Ok(self.lock().tokens.values().rev().cloned().collect())
    }

    async fn revoke(&self, id: &TokenId, by: &Principal) -> Result<Revoked, StoreError> {
        self.enter().await?;
        let now = self.now().wall;
        let mut state = self.lock();
        let mut tokens = state.tokens.values_mut();
        let Some(kept) = tokens.find(|kept| kept.token.id == *id) else {
            return Ok(Revoked::NotFound);
        };
        if kept.token.revoked.is_some() {
            return Ok(Revoked::Before(kept.token.clone()));
        }
        kept.token.revoked = Some((now, by.clone()));
        let token = kept.token.clone();
        let entry = AuditDraft {
            by: by.clone(),
            action: AuditAction::TokenRevoke,
            target: token.name.to_string(),
            detail: Some(token.described()),
        };
        state.record(entry, now);
        Ok(Revoked::Done(token))
    }

    async fn used(&self, uses: &[(TokenId, Timestamp)]) -> Result<(), StoreError> {
        self.enter().await?;
        let mut state = self.lock();
        for (id, at) in uses {
            let mut tokens = state.tokens.values_mut();
            if let Some(kept) = tokens.find(|kept| kept.token.id == *id) {
                kept.token.last_used = kept.token.last_used.max(Some(*at));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Audit for MemoryStore {
    async fn record(&self, draft: AuditDraft) -> Result<(), StoreError> {
        self.enter().await?;
        let now = self.now().wall;
        self.lock().record(draft, now);
        Ok(())
    }

    async fn entries(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        Ok(page(
            &state.audit,
            query.position,
            query.limit,
            |_, entry| {
                let content = &entry.content;
                let is_asked_for = query.by.as_ref().is_none_or(|it| *it == content.by)
                    && query.action.is_none_or(|it| it == content.action)
                    && query.since.is_none_or(|since| since <= entry.at)
                    && query.until.is_none_or(|until| entry.at < until);
                is_asked_for.then(|| entry.clone())
            },
        ))
    }
}

impl State {
    /// Puts something into the audit.
    pub(crate) fn record(&mut self, content: AuditDraft, at: Timestamp) {
        let seq = self.next_seq();
        self.audit.insert(seq, AuditEntry { at, content });
    }
}
