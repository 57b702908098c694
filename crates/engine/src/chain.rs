//! What an event comes of, and all that came of it.
//!
//! The way up is followed as far as the history reaches: what retention has
//! removed is named and has nothing else to say. Then everything is read level
//! by level, up to a bound.

use std::collections::HashSet;

use model::{
    clock::Timestamp,
    event::{Cause, MAX_HOPS},
    id::EventId,
    ports::{
        StoreError,
        chain::{Link, LinkJob},
    },
    topic::Topic,
};

use crate::shared::Shared;

/// Events in one answer.
const MOST_EVENTS: usize = 1_000;
/// Jobs in one answer.
const MOST_JOBS: usize = 5_000;

/// The chain that an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub root: EventId,
    /// The root first, and every other behind its cause.
    pub events: Vec<ChainEvent>,
    /// There is more than is shown.
    pub is_cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEvent {
    pub id: EventId,
    /// Absent: the event is not in the history any more.
    pub about: Option<About>,
    pub cause: Option<Cause>,
    pub jobs: Vec<LinkJob>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub topic: Topic,
    pub accepted: Timestamp,
    pub source: String,
}

/// `None`: nothing is known of such an event.
pub(crate) async fn chain(shared: &Shared, of: &EventId) -> Result<Option<Chain>, StoreError> {
    let root = root(shared, of).await?;
    let chains = &shared.parts.chains;
    let mut seen: HashSet<EventId> = HashSet::from([root.id.clone()]);
    let mut level = vec![root.id.clone()];
    let mut events = vec![root];
    let mut is_cut = false;
    while !level.is_empty() && !is_cut {
        let room = MOST_EVENTS.saturating_sub(events.len());
        let mut found = chains.follow_ups(&level, room + 1).await?;
        is_cut = found.len() > room;
        found.truncate(room);
        // A claim from outside may go in a circle.
        found.retain(|link| seen.insert(link.id.clone()));
        level = found.iter().map(|link| link.id.clone()).collect();
        events.extend(found.into_iter().map(follow_up));
    }
    if events.len() == 1 && events.iter().all(|event| event.about.is_none()) {
        return Ok(None);
    }
    let ids: Vec<EventId> = events.iter().map(|event| event.id.clone()).collect();
    let jobs = chains.jobs_of(&ids, MOST_JOBS).await?;
    is_cut |= jobs.len() == MOST_JOBS;
    for job in jobs {
        if let Some(event) = events.iter_mut().find(|event| event.id == job.event) {
            event.jobs.push(job);
        }
    }
    Ok(Some(Chain {
        root: ids.into_iter().next().unwrap_or_else(|| of.clone()),
        events,
        is_cut,
    }))
}

/// The first event of the chain, as far as it is known.
async fn root(shared: &Shared, of: &EventId) -> Result<ChainEvent, StoreError> {
    let mut id = of.clone();
    let mut seen = HashSet::new();
    // A failure at the end of a chain is told behind it.
    for _ in 0..=MAX_HOPS + 1 {
        seen.insert(id.clone());
        let Some(found) = shared.parts.history.event(&id).await? else {
            break;
        };
        let event = found.event;
        let up = event.cause.as_ref().map(|cause| cause.event.clone());
        match up.filter(|up| !seen.contains(up)) {
            Some(up) => id = up,
            None => {
                return Ok(ChainEvent {
                    id,
                    about: Some(About {
                        topic: event.topic,
                        accepted: event.accepted,
                        source: event.source,
                    }),
                    cause: event.cause,
                    jobs: Vec::new(),
                });
            }
        }
    }
    Ok(ChainEvent {
        id,
        about: None,
        cause: None,
        jobs: Vec::new(),
    })
}

fn follow_up(link: Link) -> ChainEvent {
    let Link {
        id,
        topic,
        accepted,
        source,
        cause,
    } = link;
    ChainEvent {
        id,
        about: Some(About {
            topic,
            accepted,
            source,
        }),
        cause: Some(cause),
        jobs: Vec::new(),
    }
}
