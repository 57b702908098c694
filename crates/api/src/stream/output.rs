//! `GET /api/v1/jobs/{id}/output/stream`: what a job prints, as it prints it.
//!
//! A message holds bytes of one attempt. Characters are not cut in two; bytes
//! that are not UTF-8 travel as base64.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use model::{
    id::JobId,
    ports::{Output, OutputQuery, StoreError},
};
use serde::Serialize;

use super::{
    Guest, LAST_EVENT_ID,
    job::{At, JobStream, Part, Seen, seen},
    message,
};
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
    let seen = match seen(&headers, &mut params) {
        Seen::Nothing => None,
        Seen::Until(at) => Some(at),
        Seen::Everything => {
            params.finish()?;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
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
    let printed = JobStream::new(Arc::clone(&app), following, (id, at), Printed { step });
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

/// The output of a job.
struct Printed {
    step: Option<usize>,
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

impl Part for Printed {
    async fn next(
        &mut self,
        app: &App,
        job: &JobId,
        at: At,
    ) -> Result<Option<(Vec<Bytes>, At)>, StoreError> {
        let query = OutputQuery {
            job: job.clone(),
            attempt: Some(at.attempt),
            step: self.step,
            offset: at.offset,
            max: CHUNK,
        };
        let output = app.engine.history().output(&query).await?;
        let Some(Output { bytes, is_open, .. }) = output else {
            return Ok(None);
        };
        let bytes = whole_characters(&bytes, is_open);
        if bytes.is_empty() {
            return Ok(None);
        }
        let chunk = Chunk {
            attempt: at.attempt,
            offset: at.offset,
            content: match std::str::from_utf8(bytes) {
                Ok(text) => Content::Text(text),
                Err(_) => Content::Base64(STANDARD.encode(bytes)),
            },
        };
        let behind = At {
            offset: at.offset + bytes.len() as u64,
            ..at
        };
        let message = message(Some(&behind.to_string()), "output", &chunk);
        Ok(Some((vec![message], behind)))
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

#[cfg(test)]
mod tests;
