//! What a throttle has let through: the places that it has given away.

use super::{plan::Throttle, steady::Tick};
use crate::id::JobId;

/// The newest places that a throttle has given away, for one rule and one
/// value of `by`. A place is when its job may begin, which may lie ahead.
///
/// Guards: of the places in any stretch as long as `per` there are at most
/// `limit`. A job that ends before it began gives its place back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// By place.
    taken: Vec<(Tick, JobId)>,
}

impl Window {
    /// At least as many places as the limit are wanted, the newest, and one
    /// more for each that may be given back.
    pub fn new(mut taken: Vec<(Tick, JobId)>) -> Self {
        taken.sort_by_key(|(place, _)| *place);
        Self { taken }
    }

    /// The first place at `begin` or later. `freed` are jobs that would give
    /// theirs back for it.
    pub fn place(&self, throttle: &Throttle, begin: Tick, freed: &[&JobId]) -> Tick {
        let limit = usize::try_from(throttle.limit.get()).unwrap_or(usize::MAX);
        let mut newest = self
            .taken
            .iter()
            .rev()
            .filter(|(_, job)| !freed.contains(&job));
        match newest.nth(limit - 1) {
            Some((place, _)) => begin.max(place.plus(throttle.per)),
            None => begin,
        }
    }

    /// Gives a place to a job.
    pub fn take(&mut self, place: Tick, job: JobId) {
        let at = self.taken.partition_point(|(other, _)| *other <= place);
        self.taken.insert(at, (place, job));
    }

    /// Takes the place of a job back.
    pub fn give_back(&mut self, job: &JobId) {
        self.taken.retain(|(_, other)| other != job);
    }
}
