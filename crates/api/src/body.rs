//! Reads the body of a request: bounded in bytes, in time, and in what all
//! requests hold together.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    app::App,
    problem::{Answer, Problem, ProblemCode},
};

/// A body and its share of the memory that bodies may take.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) bytes: Bytes,
    _share: SemaphorePermit<'a>,
}

/// What one permit of the semaphore stands for.
pub(crate) const SHARE_BYTES: usize = 1024;

/// Bodies of requests that need none.
const SMALL: usize = 64 * 1024;

/// Reads a body that must be JSON by its content type.
pub(crate) async fn json(app: &App, request: Request) -> Answer<Received<'_>> {
    let (parts, body) = request.into_parts();
    check_content_type(&parts.headers)?;
    read(app, &parts.headers, body, app.settings.max_request_bytes).await
}

/// For requests that say everything in their address: an empty body, or `{}`
/// from clients that always send JSON.
pub(crate) async fn none(app: &App, request: Request) -> Answer<()> {
    let (parts, body) = request.into_parts();
    let received = read(app, &parts.headers, body, SMALL).await?;
    if received.bytes.is_empty() {
        return Ok(());
    }
    check_content_type(&parts.headers)?;
    if received.bytes.trim_ascii() == b"{}" {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::InvalidRequest,
        "this address takes no body; send none, or `{}`",
    ))
}

fn check_content_type(headers: &HeaderMap) -> Answer<()> {
    let refuse = |detail: &str| Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse("compressed bodies are not taken; send it without `Content-Encoding`");
    }
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return refuse("send it with `Content-Type: application/json`");
    };
    let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let (kind, parameters) = value.split_once(';').unwrap_or((&value, ""));
    let is_utf8 = parameters.split(';').all(|parameter| {
        let parameter = parameter.trim();
        match parameter.split_once('=') {
            Some(("charset", charset)) => charset.trim_matches('"') == "utf-8",
            Some(_) => true,
            None => parameter.is_empty(),
        }
    });
    if kind.trim() != "application/json" {
        return refuse("send it with `Content-Type: application/json`");
    }
    if !is_utf8 {
        return refuse("JSON is sent as UTF-8");
    }
    Ok(())
}

async fn read<'a>(
    app: &'a App,
    headers: &HeaderMap,
    body: Body,
    max: usize,
) -> Answer<Received<'a>> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok())
        .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let is_waiting = headers.contains_key(header::EXPECT);
    if declared.is_some_and(|length| length > max) {
        // A client that waits for `100 Continue` has sent nothing yet.
        if !is_waiting {
            discard(body, max).await;
        }
        return Err(too_large(max));
    }

    let deadline = Instant::now() + app.settings.body_timeout;
    let is_empty = declared.is_none() && !headers.contains_key(header::TRANSFER_ENCODING);
    let expected = if is_empty { 0 } else { declared.unwrap_or(max) };
    let share = share(app, expected, deadline).await?;
    let mut bytes = BytesMut::with_capacity(expected.min(SMALL));
    let mut stream = body.into_data_stream();
    loop {
        match timeout_at(deadline, stream.next()).await {
            Err(_) => return Err(too_slow(app.settings.body_timeout)),
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err(Problem::new(
                    ProblemCode::InvalidRequest,
                    "the body ended before it was complete",
                ));
            }
            Ok(Some(Ok(chunk))) if bytes.len() + chunk.len() > max => {
                discard(Body::from_stream(stream), max).await;
                return Err(too_large(max));
            }
            Ok(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
        }
    }
    Ok(Received {
        bytes: bytes.freeze(),
        _share: share,
    })
}

async fn share<'a>(app: &'a App, bytes: usize, deadline: Instant) -> Answer<SemaphorePermit<'a>> {
    let wanted = bytes
        .div_ceil(SHARE_BYTES)
        .min(app.settings.max_bytes_in_flight / SHARE_BYTES);
    let permits = u32::try_from(wanted).unwrap_or(u32::MAX);
    match timeout_at(deadline, app.in_flight.acquire_many(permits)).await {
        Ok(Ok(share)) => Ok(share),
        Ok(Err(_)) | Err(_) => Err(Problem::new(
            ProblemCode::Overloaded,
            "the requests that are being read fill the memory that they may take",
        )),
    }
}

fn too_large(max: usize) -> Problem {
    Problem::new(
        ProblemCode::RequestTooLarge,
        format!("a request may have at most {max} bytes"),
    )
}

fn too_slow(after: Duration) -> Problem {
    Problem::new(
        ProblemCode::RequestTimeout,
        format!("the body did not arrive within {} s", after.as_secs_f64()),
    )
}

/// Reads on for a while, keeping nothing: a client that is still sending when
/// the connection closes never sees why.
async fn discard(body: Body, max: usize) {
    let mut left = max.saturating_mul(4);
    let mut stream = body.into_data_stream();
    let reading = async {
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // Ending early by time is as good as ending by size.
    match timeout(Duration::from_secs(3), reading).await {
        Ok(()) | Err(_) => {}
    }
}
