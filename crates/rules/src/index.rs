//! Finds the rules that an event can make fire, without looking at the others.
//!
//! First by topic, then among the rules whose pattern matches by what their
//! conditions need of the content. What is found may still not hold, so the
//! caller evaluates it; what is not found cannot hold.

mod contents;
mod topics;

use model::{event::Event, topic::TopicPattern};

use self::{
    contents::{Bucket, Member},
    topics::Topics,
};
use crate::expr::Need;

/// What the index is to know of a rule.
#[derive(Debug)]
pub(crate) struct Entry<'r> {
    /// Ascending from entry to entry.
    pub(crate) number: u32,
    pub(crate) on: &'r [TopicPattern],
    /// Each of these must hold.
    pub(crate) needs: Vec<Need>,
}

#[derive(Debug)]
pub(crate) struct Index {
    topics: Topics,
    /// By the state in which a topic ends.
    buckets: Vec<Option<Bucket>>,
}

impl Index {
    pub(crate) fn new(entries: &[Entry<'_>]) -> Self {
        let mut topics = Topics::new();
        let mut members = Vec::with_capacity(entries.len());
        for entry in entries {
            for pattern in entry.on {
                members.push((topics.insert(pattern), entry));
            }
        }
        members.sort_by_key(|(state, entry)| (*state, entry.number));
        members.dedup_by_key(|(state, entry)| (*state, entry.number));
        let mut buckets = Vec::new();
        for same in members.chunk_by(|left, right| left.0 == right.0) {
            if let Some((state, _)) = same.first() {
                buckets.resize_with(*state as usize, || None);
                let members = same.iter().map(|(_, entry)| Member::new(entry)).collect();
                buckets.push(Some(Bucket::new(members)));
            }
        }
        Self { topics, buckets }
    }

    /// The numbers of all rules that the event can make fire, each once,
    /// ascending.
    pub(crate) fn find(&self, event: &Event) -> Vec<u32> {
        let mut found = Vec::new();
        for state in self.topics.find(&event.topic) {
            if let Some(Some(bucket)) = self.buckets.get(state as usize) {
                bucket.find(event, &mut found);
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests;
