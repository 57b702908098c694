//! Reads: see [`History`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    event::RecordedEvent,
    id::{DeadLetterId, EventId, JobId},
    job::Job,
    page::{Cursor, DeadQuery, EventQuery, JobQuery, List, Page, Position},
    ports::{DeadLetter, DeadState, History, Output, OutputQuery, StoreError},
    verdict::StoredVerdict,
};

use super::{MemoryStore, state::EventRow};

#[async_trait]
impl History for MemoryStore {
    async fn end(&self, list: List) -> Result<Cursor, StoreError> {
        self.enter().await?;
        // All lists are counted together here.
        match list {
            List::Events | List::Jobs | List::DeadLetters | List::Audit => {
                Ok(Cursor(self.lock().last_seq))
            }
        }
    }

    async fn events(&self, query: &EventQuery) -> Result<Page<RecordedEvent>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        Ok(page(
            &state.events,
            query.position,
            query.limit,
            |seq, row| is_asked_for(row, query).then(|| recorded(seq, row)),
        ))
    }

    async fn event(&self, id: &EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let Some(seq) = state.event_seqs.get(id) else {
            return Ok(None);
        };
        let row = state.events.get(seq);
        Ok(row.map(|row| recorded(*seq, row)))
    }

    async fn verdicts(&self, event: &EventId) -> Result<Vec<StoredVerdict>, StoreError> {
        self.enter().await?;
        Ok(self
            .lock()
            .verdicts
            .values()
            .filter(|verdict| verdict.event_id == *event)
            .cloned()
            .collect())
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        Ok(page(&state.jobs, query.position, query.limit, |_, row| {
            let is_asked_for = query.event.as_ref().is_none_or(|it| *it == row.event_id)
                && query.rule.as_ref().is_none_or(|it| *it == row.rule)
                && query.state.is_none_or(|it| it == row.state)
                && is_within(row.created, query.since, query.until);
            is_asked_for.then(|| state.show(row))
        }))
    }

    async fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        Ok(state.job(id).map(|row| state.show(row)))
    }

    async fn output(&self, query: &OutputQuery) -> Result<Option<Output>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let Some(job) = state.job(&query.job) else {
            return Ok(None);
        };
        let attempt = match query.attempt {
            None => job.attempts.last(),
            Some(number) => {
                let found = job
                    .attempts
                    .iter()
                    .find(|attempt| attempt.record.number == number);
                if found.is_none() {
                    return Ok(None);
                }
                found
            }
        };
        let Some(attempt) = attempt else {
            return Ok(Some(Output {
                attempt: 0,
                bytes: Vec::new(),
                next: query.offset,
                is_open: !job.state.is_ended(),
            }));
        };
        let all: Vec<u8> = attempt
            .output
            .iter()
            .filter(|(step, _)| query.step.is_none_or(|it| it == **step))
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect();
        let from = usize::try_from(query.offset)
            .unwrap_or(usize::MAX)
            .min(all.len());
        let to = from.saturating_add(query.max).min(all.len());
        Ok(Some(Output {
            attempt: attempt.record.number,
            bytes: all[from..to].to_vec(),
            next: query.offset + (to - from) as u64,
            is_open: attempt.record.finished.is_none() || to < all.len(),
        }))
    }

    async fn dead_letters(&self, query: &DeadQuery) -> Result<Page<DeadLetter>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        Ok(page(
            &state.dead,
            query.position,
            query.limit,
            |_, letter| {
                let is_asked_for = query.kind.is_none_or(|it| it == letter.content.kind)
                    && (query.rule.is_none() || query.rule == letter.content.rule)
                    && letter.state == query.state.unwrap_or(DeadState::Open);
                is_asked_for.then(|| letter.clone())
            },
        ))
    }

    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, StoreError> {
        self.enter().await?;
        Ok(self
            .lock()
            .dead
            .values()
            .find(|letter| letter.id == *id)
            .cloned())
    }
}

fn recorded(seq: i64, row: &EventRow) -> RecordedEvent {
    RecordedEvent {
        event: row.event.clone(),
        revision: row.revision.clone(),
        place: Cursor(seq),
    }
}

fn is_asked_for(row: &EventRow, query: &EventQuery) -> bool {
    let event = &row.event;
    query
        .topic
        .as_ref()
        .is_none_or(|it| it.matches(&event.topic))
        && query.source.as_ref().is_none_or(|it| *it == event.source)
        && query.severity.is_none_or(|it| it == event.severity)
        && is_within(event.accepted, query.since, query.until)
}

fn is_within(at: Timestamp, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}

/// Cuts one page out of a list; `pick` gives the rows that were asked for.
pub(super) fn page<Row, Item>(
    rows: &BTreeMap<i64, Row>,
    position: Position,
    limit: usize,
    pick: impl Fn(i64, &Row) -> Option<Item>,
) -> Page<Item> {
    let picked = |(seq, row): (&i64, &Row)| pick(*seq, row).map(|item| (*seq, item));
    match position {
        Position::Newest => older(rows.iter().rev().filter_map(picked), limit),
        Position::Before(Cursor(end)) => older(rows.range(..end).rev().filter_map(picked), limit),
        Position::After(Cursor(start)) => {
            let newer = rows.range(start.saturating_add(1)..).filter_map(picked);
            let taken: Vec<(i64, Item)> = newer.take(limit).collect();
            let next = taken.last().map_or(start, |(seq, _)| *seq);
            Page {
                items: taken.into_iter().map(|(_, item)| item).collect(),
                next: Some(Cursor(next)),
            }
        }
    }
}

fn older<Item>(picked: impl Iterator<Item = (i64, Item)>, limit: usize) -> Page<Item> {
    let mut taken: Vec<(i64, Item)> = picked.take(limit.saturating_add(1)).collect();
    let has_more = taken.len() > limit;
    taken.truncate(limit);
    let next = taken
        .last()
        .filter(|_| has_more)
        .map(|(seq, _)| Cursor(*seq));
    Page {
        items: taken.into_iter().map(|(_, item)| item).collect(),
        next,
    }
}
