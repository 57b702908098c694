//! What a running job gives, attempt by attempt, until the job has ended.
//!
//! The id of a message is the attempt and how much of what it gives lies before
//! the next message, so a client that comes back goes on where it was.

use std::{collections::VecDeque, fmt, ops::ControlFlow, str::FromStr, sync::Arc, time::Duration};

use axum::http::HeaderMap;
use bytes::Bytes;
use engine::Following;
use model::{
    id::JobId,
    job::{Job, JobState},
    ports::StoreError,
};
use serde::Serialize;

use super::{DropReason, Dropped, LAST_EVENT_ID, Source, last_event_id, message};
use crate::{app::App, query::Params};

/// A wake-up makes it fast, looking again makes it right.
const POLL: Duration = Duration::from_secs(1);

/// The id of the last message: a client that comes back with it is told that
/// there is nothing to come back for.
const END: &str = "end";

/// A place in what a job gives: so many bytes or events of an attempt lie
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) attempt: u32,
    pub(crate) offset: u64,
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("is not a place that was given of this")]
pub(crate) struct AtError;

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.offset)
    }
}

impl FromStr for At {
    type Err = AtError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        fn number<T: FromStr>(text: &str) -> Option<T> {
            let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            is_plain.then(|| text.parse().ok()).flatten()
        }
        let (attempt, offset) = text.split_once('.').ok_or(AtError)?;
        Ok(Self {
            attempt: number(attempt).ok_or(AtError)?,
            offset: number(offset).ok_or(AtError)?,
        })
    }
}

/// Where a client was that comes back.
pub(super) enum Seen {
    Nothing,
    Until(At),
    /// There is nothing to come back for.
    Everything,
}

pub(super) fn seen(headers: &HeaderMap, params: &mut Params) -> Seen {
    match last_event_id(headers, params).as_deref() {
        None => Seen::Nothing,
        Some(END) => Seen::Everything,
        Some(text) => match text.parse() {
            Ok(at) => Seen::Until(at),
            Err(error @ AtError) => {
                params.refuse(LAST_EVENT_ID, error.to_string());
                Seen::Nothing
            }
        },
    }
}

/// One of the things that jobs give.
pub(super) trait Part: Send + 'static {
    /// The next messages of this attempt, if there are any now, with the place
    /// behind them.
    fn next(
        &mut self,
        app: &App,
        job: &JobId,
        at: At,
    ) -> impl Future<Output = Result<Option<(Vec<Bytes>, At)>, StoreError>> + Send;
}

/// Part of what a job gives, from a place on.
pub(super) struct JobStream<P> {
    app: Arc<App>,
    following: Following,
    job: JobId,
    at: At,
    part: P,
    /// The job as it was before that was read which is being given.
    known: Option<Known>,
}

struct Known {
    state: JobState,
    reason: Option<String>,
    attempts: Vec<u32>,
}

impl From<Job> for Known {
    fn from(job: Job) -> Self {
        Self {
            state: job.state,
            reason: job.reason,
            attempts: job.attempts.iter().map(|one| one.number).collect(),
        }
    }
}

#[derive(Serialize)]
struct End {
    state: JobState,
    reason: Option<String>,
    attempt: u32,
}

impl<P: Part> JobStream<P> {
    pub(super) fn new(
        app: Arc<App>,
        following: Following,
        (job, at): (JobId, At),
        part: P,
    ) -> Self {
        Self {
            app,
            following,
            job,
            at,
            part,
            known: None,
        }
    }

    async fn look(
        &mut self,
        messages: &mut VecDeque<Bytes>,
    ) -> Result<ControlFlow<Option<Dropped>>, StoreError> {
        loop {
            let changed = self.following.changed();
            // The state is read before the rest: what an ended job has given
            // is all there.
            if self.known.is_none() {
                match self.app.engine.history().job(&self.job).await? {
                    Some(job) => self.known = Some(job.into()),
                    None => return Ok(ControlFlow::Break(Some(self.gone()))),
                }
            }
            let next = self.part.next(&self.app, &self.job, self.at).await?;
            if let Some((found, behind)) = next {
                self.at = behind;
                messages.extend(found);
                return Ok(ControlFlow::Continue(()));
            }
            let Some(known) = self.known.take() else {
                continue;
            };
            let later = known.attempts.iter().find(|it| **it > self.at.attempt);
            if let Some(later) = later {
                self.at = At {
                    attempt: *later,
                    offset: 0,
                };
                self.known = Some(known);
                continue;
            }
            if is_over(known.state) {
                let end = End {
                    state: known.state,
                    reason: known.reason,
                    attempt: self.at.attempt,
                };
                messages.push_back(message(Some(END), END, &end));
                return Ok(ControlFlow::Break(None));
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    fn gone(&self) -> Dropped {
        Dropped {
            reason: DropReason::Gone,
            detail: format!("job `{}` is not there any more", self.job),
        }
    }
}

impl<P: Part> Source for JobStream<P> {
    async fn next(&mut self, messages: &mut VecDeque<Bytes>) -> ControlFlow<Option<Dropped>> {
        match self.look(messages).await {
            Ok(flow) => flow,
            Err(error) => ControlFlow::Break(Some(Dropped::store(error))),
        }
    }

    fn place(&self) -> String {
        self.at.to_string()
    }
}

/// Whether nothing more happens to the job by itself.
fn is_over(state: JobState) -> bool {
    match state {
        JobState::Succeeded
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Held
        | JobState::Returned => true,
        JobState::Waiting
        | JobState::Queued
        | JobState::Running
        | JobState::Retrying
        | JobState::Delayed => false,
    }
}

#[cfg(test)]
mod tests;
