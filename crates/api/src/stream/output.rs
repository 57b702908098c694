//! `GET /api/v1/jobs/{id}/output/stream`: what a job prints, as it prints it.
//!
//! A message holds bytes of one attempt. The id of a message is the attempt
//! and the offset behind those bytes, so a client that comes back goes on with
//! the next byte. Characters are not cut in two; bytes that are not UTF-8
//! travel as base64.

use std::{collections::VecDeque, fmt, ops::ControlFlow, str::FromStr, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use engine::Following;
use model::{
    id::JobId,
    job::{Job, JobState},
    ports::{Output, OutputQuery, StoreError},
};
use serde::Serialize;

use super::{DropReason, Dropped, Guest, LAST_EVENT_ID, Source, last_event_id, message};
use crate::{
    app::{App, Shared},
    gate::Caller,
    jobs,
    problem::{Answer, Problem},
    query::Params,
    routes::{self, Segment},
};

/// Bytes of output in one message.
const CHUNK: usize = 256 * 1024;

/// A wake-up makes it fast, looking again makes it right.
const POLL: Duration = Duration::from_secs(1);

/// The id of the last message: a client that comes back with it is told that
/// there is nothing to come back for.
const END: &str = "end";

pub(crate) async fn listen(
    app: Shared,
    caller: Caller,
    id: Segment,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let mut params = Params::new(&uri, &["attempt", "step", "offset"], app.now());
    let attempt = params.number::<u32>("attempt");
    let step = params.number::<usize>("step");
    let offset = params.number::<u64>("offset").unwrap_or(0);
    let last = last_event_id(&headers, &mut params);
    let seen = match last.as_deref() {
        None => None,
        Some(END) => {
            params.finish()?;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        Some(text) => match text.parse::<At>() {
            Ok(at) => Some(at),
            Err(error) => {
                params.refuse(LAST_EVENT_ID, error.to_string());
                None
            }
        },
    };
    let id: JobId = routes::id(id, "job")?;
    let following = app.engine.follow(&id);
    let job = app.engine.history().job(&id).await?;
    let job = job.ok_or_else(|| Problem::not_found("job", &id))?;
    let newest = job.attempts.last().map_or(0, |attempt| attempt.number);
    let (at, named_by) = match seen {
        Some(at) => (at, LAST_EVENT_ID),
        None => {
            let attempt = attempt.unwrap_or(newest);
            (At { attempt, offset }, "offset")
        }
    };
    if named_by == "offset" && at.attempt > newest {
        let name = format_args!("{id}/{}", at.attempt);
        return Err(Problem::not_found("attempt", &name));
    }
    if at.attempt > newest || !reaches(&app, (&id, step), at).await? {
        let message = "lies beyond what there is of the output";
        params.refuse(named_by, message.to_owned());
    }
    params.finish()?;
    if let Some(step) = step
        && at.attempt > 0
        && !jobs::is_step(&app, (&id, at.attempt), step).await?
    {
        let name = format_args!("{id}/{}/{step}", at.attempt);
        return Err(Problem::not_found("step", &name));
    }
    let place = app.streams.place()?;
    let printed = Printed {
        app: Arc::clone(&app),
        following,
        job: id,
        step,
        at,
        seen: None,
    };
    let guest = Guest {
        app: Arc::clone(&app),
        caller,
    };
    Ok(app.streams.answer(printed, guest, place))
}

/// Whether there are that many bytes.
async fn reaches(app: &App, (job, step): (&JobId, Option<usize>), at: At) -> Answer<bool> {
    let Some(last) = at.offset.checked_sub(1) else {
        return Ok(true);
    };
    let query = OutputQuery {
        job: job.clone(),
        attempt: Some(at.attempt),
        step,
        offset: last,
        max: 1,
    };
    let output = app.engine.history().output(&query).await?;
    Ok(output.is_some_and(|output| !output.bytes.is_empty()))
}

/// A place in the output of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    attempt: u32,
    offset: u64,
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("is not an id that a stream of this output has given")]
struct AtError;

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

/// The output of a job, from a place on.
struct Printed {
    app: Arc<App>,
    following: Following,
    job: JobId,
    step: Option<usize>,
    at: At,
    /// The job as it was before the output was read that is being given.
    seen: Option<Seen>,
}

struct Seen {
    state: JobState,
    reason: Option<String>,
    attempts: Vec<u32>,
}

impl From<Job> for Seen {
    fn from(job: Job) -> Self {
        Self {
            state: job.state,
            reason: job.reason,
            attempts: job.attempts.iter().map(|one| one.number).collect(),
        }
    }
}

#[derive(Serialize)]
struct Chunk<'a> {
    attempt: u32,
    offset: u64,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'a> {
    Text(&'a str),
    Base64(String),
}

#[derive(Serialize)]
struct End {
    state: JobState,
    reason: Option<String>,
    attempt: u32,
}

impl Printed {
    async fn look(
        &mut self,
        messages: &mut VecDeque<Bytes>,
    ) -> Result<ControlFlow<Option<Dropped>>, StoreError> {
        loop {
            let changed = self.following.changed();
            // The state is read before the output: what an ended job has
            // printed is all there.
            if self.seen.is_none() {
                match self.app.engine.history().job(&self.job).await? {
                    Some(job) => self.seen = Some(job.into()),
                    None => return Ok(ControlFlow::Break(Some(self.gone()))),
                }
            }
            if let Some(chunk) = self.chunk().await? {
                messages.push_back(chunk);
                return Ok(ControlFlow::Continue(()));
            }
            let Some(seen) = self.seen.take() else {
                continue;
            };
            let later = seen.attempts.iter().find(|it| **it > self.at.attempt);
            if let Some(later) = later {
                self.at = At {
                    attempt: *later,
                    offset: 0,
                };
                self.seen = Some(seen);
                continue;
            }
            if is_over(seen.state) {
                let end = End {
                    state: seen.state,
                    reason: seen.reason,
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

    /// The next bytes of the attempt, if there are any now.
    async fn chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let query = OutputQuery {
            job: self.job.clone(),
            attempt: Some(self.at.attempt),
            step: self.step,
            offset: self.at.offset,
            max: CHUNK,
        };
        let output = self.app.engine.history().output(&query).await?;
        let Some(Output { bytes, is_open, .. }) = output else {
            return Ok(None);
        };
        let bytes = whole_characters(&bytes, is_open);
        if bytes.is_empty() {
            return Ok(None);
        }
        let chunk = Chunk {
            attempt: self.at.attempt,
            offset: self.at.offset,
            content: match std::str::from_utf8(bytes) {
                Ok(text) => Content::Text(text),
                Err(_) => Content::Base64(STANDARD.encode(bytes)),
            },
        };
        self.at.offset += bytes.len() as u64;
        Ok(Some(message(Some(&self.at.to_string()), "output", &chunk)))
    }

    fn gone(&self) -> Dropped {
        Dropped {
            reason: DropReason::Gone,
            detail: format!("job `{}` is not there any more", self.job),
        }
    }
}

impl Source for Printed {
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

/// Without the beginning of a character whose end is still to come.
fn whole_characters(bytes: &[u8], is_open: bool) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if is_open && error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).unwrap_or(bytes)
        }
        Ok(_) | Err(_) => bytes,
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
