//! Follow-up events of steps, back into the intake.
//!
//! A follow-up is an event like any other: it is judged by the rules in force
//! and accepted durably before its step has succeeded. Two limits end what
//! would go on for ever: the hops of one branch, and the events of a chain.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use model::{
    event::{Cause, EventDraft, MAX_HOPS},
    id::EventId,
    ports::{
        AcceptError, StoreError,
        chain::{FollowUpError, FollowUps},
    },
};

use crate::{intake, shared::Shared};

/// The source of events that the engine makes.
pub(crate) const SOURCE: &str = "lariat";

/// What a running step hands its follow-ups to.
#[derive(Clone)]
pub(crate) struct Follower(pub(crate) Arc<Shared>);

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follower")
    }
}

#[async_trait]
impl FollowUps for Follower {
    async fn follow_up(&self, event: EventDraft) -> Result<(), FollowUpError> {
        if let Some(cause) = &event.cause {
            if cause.hops > MAX_HOPS {
                return Err(FollowUpError::TooManyHops);
            }
            if let Some(id) = &event.id
                && self.is_published(id, cause).await?
            {
                return Ok(());
            }
            if is_full(&self.0, &cause.event)
                .await
                .map_err(AcceptError::Store)?
            {
                let limit = self.0.parts.settings.chain_limit;
                return Err(FollowUpError::TooLong { limit });
            }
        }
        let accepted = intake::publish(&self.0, vec![event], SOURCE).await?;
        match accepted.into_iter().find(|one| one.conflict) {
            Some(one) => Err(FollowUpError::IdTaken { id: one.id }),
            None => Ok(()),
        }
    }
}

impl Follower {
    /// Whether an earlier try of the step has published its event. It may
    /// have had another body then: `attempt` can stand in it.
    async fn is_published(&self, id: &EventId, cause: &Cause) -> Result<bool, FollowUpError> {
        let known = self.0.parts.history.event(id).await;
        match known.map_err(AcceptError::Store)? {
            None => Ok(false),
            Some(known) => {
                let known = known.event;
                let is_ours = known.source == SOURCE
                    && known.cause.is_some_and(|other| other.event == cause.event);
                if is_ours {
                    Ok(true)
                } else {
                    Err(FollowUpError::IdTaken { id: id.clone() })
                }
            }
        }
    }
}

/// Whether the chain of an event takes no more follow-ups.
pub(crate) async fn is_full(shared: &Shared, event: &EventId) -> Result<bool, StoreError> {
    let limit = shared.parts.settings.chain_limit;
    Ok(shared.parts.chains.chain_length(event, limit).await? >= limit)
}
