//! How long to wait between two attempts.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(5);

/// Half a second, doubled each time up to five, each a quarter more or less so
/// that a fleet does not come back all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait before the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next.mul_f64(rand::random_range(0.75..1.25));
        self.next = (self.next * 2).min(MOST);
        wait
    }

    /// It worked: the next failure waits briefly again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests;
