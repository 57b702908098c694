//! How often one token, or one address without a token, may ask.
//!
//! Each has a bucket that fills at an even rate. Only the moment at which it
//! will be full again is kept, so a bucket that is full needs no memory.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use model::id::TokenId;
use tokio::time::Instant;

use crate::problem::{Answer, Problem, ProblemCode};

/// So many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: NonZeroU32,
    pub per: Duration,
}

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Token(TokenId),
    Address(IpAddr),
}

/// Buckets that are not full; more than these at once are forgotten, rather
/// than that strangers fill the memory.
const MOST_BUCKETS: usize = 50_000;

#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Option<Rate>,
    full_at: Mutex<HashMap<Who, Instant>>,
}

impl Limiter {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            full_at: Mutex::default(),
        }
    }

    /// Counts a request, or refuses it.
    pub(crate) fn count(&self, who: Who) -> Answer<()> {
        let limit = match &who {
            Who::Token(_) => "requests_per_token",
            Who::Address(_) => "requests_per_address",
        };
        self.take(who, Instant::now()).map_err(|wait| {
            let seconds = wait.as_secs() + 1;
            let message = format!(
                "this is more often than `limits.{limit}` in lariat.yml allows; again in {seconds} s"
            );
            Problem::new(ProblemCode::TooManyRequests, message).retry_after(wait)
        })
    }

    /// Counts a request, or says how long to wait with it.
    fn take(&self, who: Who, now: Instant) -> Result<(), Duration> {
        let Some(Rate { count, per }) = self.rate else {
            return Ok(());
        };
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MOST_BUCKETS && !full_at.contains_key(&who) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MOST_BUCKETS {
                full_at.clear();
            }
        }
        let before = full_at.get(&who).copied().unwrap_or(now).max(now);
        let after = before + per / count.get();
        let missing = after.duration_since(now);
        if missing > per {
            return Err(missing - per);
        }
        full_at.insert(who, after);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
