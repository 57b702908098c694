//! Reads the body of a request: bounded in bytes, in time, and in what all
//! requests hold together.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

use wire::cloudevents;

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

const JSON: &str = "application/json";

/// Bodies of requests that need none.
const SMALL: usize = 64 * 1024;

/// In which form a request carries events.
#[derive(Debug)]
pub(crate) enum Form {
    /// Lariat's own JSON.
    Own,
    /// One CloudEvent in structured mode.
    Structured,
    /// CloudEvents in batch mode.
    Batch,
    /// One CloudEvent in binary mode: its `Content-Type`, and the headers
    /// whose names begin with `ce-`.
    Binary {
        content_type: Option<Vec<u8>>,
        headers: Vec<(String, Vec<u8>)>,
    },
}

/// Reads a body that carries events, and says in which form. The form is told
/// by the headers alone, and a web page elsewhere can send none of them
/// unasked: `application/json` and `ce-…` both need the consent of this site.
pub(crate) async fn events(app: &App, request: Request) -> Answer<(Form, Received<'_>)> {
    let (parts, body) = request.into_parts();
    let form = form(&parts.headers)?;
    let max = app.settings.max_request_bytes;
    let received = read(app, &parts.headers, body, max).await?;
    Ok((form, received))
}

fn form(headers: &HeaderMap) -> Answer<Form> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = kinds.next();
    let is_repeated = kinds.next().is_some();
    let text = kind.map(|kind| String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase());
    if text.is_some_and(|text| text.trim_start().starts_with("application/cloudevents")) {
        let kinds = [cloudevents::MEDIA_TYPE, cloudevents::BATCH_MEDIA_TYPE];
        let found = check_content_type(headers, &kinds)?;
        return Ok(if found == cloudevents::MEDIA_TYPE {
            Form::Structured
        } else {
            Form::Batch
        });
    }
    if !cloudevents::is_binary(headers.keys().map(HeaderName::as_str)) {
        check_content_type(headers, &[JSON])?;
        return Ok(Form::Own);
    }
    check_encoding(headers)?;
    if is_repeated {
        return Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
            "`Content-Type` stands twice",
        ));
    }
    let attributes = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-"));
    Ok(Form::Binary {
        content_type: kind.map(|kind| kind.as_bytes().to_vec()),
        headers: attributes
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
    })
}

/// Reads a small body that must be JSON.
pub(crate) async fn object(app: &App, request: Request) -> Answer<Received<'_>> {
    let (parts, body) = request.into_parts();
    check_content_type(&parts.headers, &[JSON])?;
    read(app, &parts.headers, body, SMALL).await
}

/// Reads what a form of ours sends.
pub(crate) async fn fields(app: &App, request: Request) -> Answer<String> {
    let (parts, body) = request.into_parts();
    check_content_type(&parts.headers, &["application/x-www-form-urlencoded"])?;
    let received = read(app, &parts.headers, body, SMALL).await?;
    Ok(String::from_utf8_lossy(&received.bytes).into_owned())
}

/// For requests that say everything in their address: an empty body, or `{}`
/// from clients that always send JSON.
pub(crate) async fn none(app: &App, request: Request) -> Answer<()> {
    let (parts, body) = request.into_parts();
    let received = read(app, &parts.headers, body, SMALL).await?;
    if received.bytes.is_empty() && !parts.headers.contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    check_content_type(&parts.headers, &[JSON])?;
    // JSON's white space: a form feed is none.
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let said = received.bytes.iter().filter(|byte| !is_blank(byte));
    if received.bytes.is_empty() || said.eq(b"{}") {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::InvalidRequest,
        "this address takes no body; send none, or `{}`",
    ))
}

fn check_encoding(headers: &HeaderMap) -> Answer<()> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
            "compressed bodies are not taken; send it without `Content-Encoding`",
        ));
    }
    Ok(())
}

/// Which of `kinds` the content type is; each of them is JSON.
fn check_content_type(headers: &HeaderMap, kinds: &[&'static str]) -> Answer<&'static str> {
    check_encoding(headers)?;
    let refuse = || {
        let kinds = kinds.join("` or `Content-Type: ");
        let detail = format!("send it with `Content-Type: {kinds}`");
        Problem::new(ProblemCode::UnsupportedMediaType, detail)
    };
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(refuse());
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
    let known = kinds.iter().find(|known| **known == kind.trim());
    let known = known.ok_or_else(refuse)?;
    if !is_utf8 {
        let detail = "JSON is sent as UTF-8";
        return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
    }
    Ok(known)
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
