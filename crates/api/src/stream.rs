//! Answers that do not end: server-sent events.
//!
//! A stream is pulled: the next message is asked for when the connection has
//! room for it, so a client that is slow makes nothing wait but itself, and
//! what it costs is a place. A client that takes nothing for long is told why,
//! and dropped; `stall.rs` cuts one that does not even take that.

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    gate::Caller,
    problem::{Answer, Problem, ProblemCode},
    query::Params,
    settings::ApiSettings,
};

pub(crate) mod events;
pub(crate) mod job;
pub(crate) mod output;
pub(crate) mod tasks;

/// How soon a client comes back whose connection was lost.
const RETRY: Duration = Duration::from_secs(2);

/// What is handed to the connection at once.
const PART_BYTES: usize = 64 * 1024;

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// What all streams share.
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    most: usize,
    terms: Terms,
    ending: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    /// Between two signs of life.
    alive: Duration,
    /// For a client that takes nothing.
    patience: Duration,
}

impl Streams {
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        let most = settings.max_streams.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            terms: Terms {
                alive: settings.stream_alive,
                patience: settings.stream_patience,
            },
            ending: CancellationToken::new(),
        }
    }

    /// Ends all of them.
    pub(crate) fn end(&self) {
        self.ending.cancel();
    }

    fn place(&self) -> Answer<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let most = self.most;
            Problem::new(
                ProblemCode::Overloaded,
                format!(
                    "{most} streams are open already, and `limits.streams` allows no more; \
                     end one, or try again later"
                ),
            )
        })
    }

    fn answer<S: Source>(&self, source: S, guest: Guest, place: OwnedSemaphorePermit) -> Response {
        guest.app.engine.meter().stream_began();
        let retry = RETRY.as_millis();
        let first = format!("retry: {retry}\nid: {}\n\n", source.place());
        let stream = Stream {
            said: source.place(),
            source,
            guest,
            waiting: VecDeque::from([Bytes::from(first)]),
            rest: Bytes::new(),
            given: None,
            is_over: false,
            terms: self.terms,
            ending: self.ending.clone(),
            _place: place,
        };
        let body = stream::unfold(stream, |mut stream| async move {
            let part = stream.next().await?;
            Some((Ok::<_, std::convert::Infallible>(part), stream))
        });
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            ),
            // Proxies that gather an answer would keep it for ever.
            (
                HeaderName::from_static("x-accel-buffering"),
                HeaderValue::from_static("no"),
            ),
        ];
        (StatusCode::OK, headers, Body::from_stream(body)).into_response()
    }
}

/// Who listens.
pub(crate) struct Guest {
    app: Arc<App>,
    caller: Caller,
}

impl Guest {
    fn is_admitted(&self) -> bool {
        self.app.access.still_admits(&self.caller, self.app.now())
    }
}

/// Where messages come from.
pub(crate) trait Source: Send + 'static {
    /// Waits for messages and appends them; `Break` after the last, with what
    /// ended it before its time. Nothing is lost when the answer is not waited
    /// for.
    fn next(
        &mut self,
        messages: &mut VecDeque<Bytes>,
    ) -> impl Future<Output = ControlFlow<Option<Dropped>>> + Send;

    /// The id that a client would go on from now.
    fn place(&self) -> String;
}

/// One stream, on its way through one connection.
struct Stream<S> {
    source: S,
    guest: Guest,
    waiting: VecDeque<Bytes>,
    /// What is left of a message.
    rest: Bytes,
    /// When the client was last given something.
    given: Option<Instant>,
    /// The last place that the client was told.
    said: String,
    is_over: bool,
    terms: Terms,
    ending: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl<S> Drop for Stream<S> {
    fn drop(&mut self) {
        self.guest.app.engine.meter().stream_ended();
    }
}

impl<S: Source> Stream<S> {
    /// Asked for when the connection has room.
    async fn next(&mut self) -> Option<Bytes> {
        let Terms { alive, patience } = self.terms;
        // The time since then is the time that the connection had no room.
        if self.given.is_some_and(|given| given.elapsed() > patience) && !self.is_over {
            let seconds = patience.as_secs();
            self.waiting.clear();
            self.drop_client(&Dropped {
                reason: DropReason::Slow,
                detail: format!("nothing was taken for {seconds} s"),
            });
        }
        loop {
            if self.rest.is_empty()
                && let Some(message) = self.waiting.pop_front()
            {
                self.rest = message;
            }
            if !self.rest.is_empty() {
                let part = self.rest.split_to(self.rest.len().min(PART_BYTES));
                self.given = Some(Instant::now());
                return Some(part);
            }
            if self.is_over {
                return None;
            }
            if !self.guest.is_admitted() {
                self.drop_client(&Dropped {
                    reason: DropReason::Token,
                    detail: "the token that it was opened with lets nobody in any more".to_owned(),
                });
                continue;
            }
            let ending = self.ending.clone();
            let next = timeout(alive, self.source.next(&mut self.waiting));
            match ending.run_until_cancelled(next).await {
                None => self.drop_client(&Dropped::draining()),
                Some(Ok(ControlFlow::Break(None))) => self.is_over = true,
                Some(Ok(ControlFlow::Break(Some(dropped)))) => self.drop_client(&dropped),
                // It may be long since the client was looked at.
                Some(Ok(ControlFlow::Continue(()))) if !self.guest.is_admitted() => {
                    self.waiting.clear();
                }
                Some(Ok(ControlFlow::Continue(()))) => self.said.clear(),
                Some(Err(_quiet)) => self.rest = self.sign_of_life(),
            }
        }
    }

    /// A comment, with the place when it is another: a client that asks for
    /// little need not go a long way again.
    fn sign_of_life(&mut self) -> Bytes {
        let place = self.source.place();
        if place == self.said {
            return Bytes::from_static(b": alive\n");
        }
        let sign = format!(": alive\nid: {place}\n\n");
        self.said = place;
        Bytes::from(sign)
    }

    fn drop_client(&mut self, dropped: &Dropped) {
        let meter = self.guest.app.engine.meter();
        meter.stream_dropped(dropped.reason.as_str());
        self.waiting.push_back(message(None, "dropped", dropped));
        self.is_over = true;
    }
}

/// Why a stream ended before its time, for the client.
#[derive(Debug, Serialize)]
pub(crate) struct Dropped {
    reason: DropReason,
    detail: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DropReason {
    /// The client took nothing for too long.
    Slow,
    /// The client was at the front and fell too far behind.
    Behind,
    /// The service is ending.
    Draining,
    /// The history cannot be read.
    Store,
    /// What the stream is about is not there any more.
    Gone,
    /// The client's token was revoked or has expired, or tokens are asked for
    /// now and it has none.
    Token,
}

impl DropReason {
    pub(crate) const ALL: [Self; 6] = [
        Self::Slow,
        Self::Behind,
        Self::Draining,
        Self::Store,
        Self::Gone,
        Self::Token,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Behind => "behind",
            Self::Draining => "draining",
            Self::Store => "store",
            Self::Gone => "gone",
            Self::Token => "token",
        }
    }
}

impl Dropped {
    fn draining() -> Self {
        Self {
            reason: DropReason::Draining,
            detail: "the service is ending".to_owned(),
        }
    }

    fn store(error: model::ports::StoreError) -> Self {
        // The cause goes to the log, as with any answer.
        let problem = Problem::from(error);
        Self {
            reason: DropReason::Store,
            detail: problem.code.title().to_owned(),
        }
    }
}

/// One message. JSON has no line breaks of its own.
fn message(id: Option<&str>, event: &str, data: &impl Serialize) -> Bytes {
    let mut text = Vec::with_capacity(256);
    if let Some(id) = id {
        text.extend_from_slice(b"id: ");
        text.extend_from_slice(id.as_bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(event.as_bytes());
    text.extend_from_slice(b"\ndata: ");
    serde_json::to_writer(&mut text, data).expect("messages are made of strings and numbers");
    text.extend_from_slice(b"\n\n");
    Bytes::from(text)
}

/// What a client that comes back says it has seen last. It may have said
/// nothing yet, and then sends an empty one.
fn last_event_id(headers: &HeaderMap, params: &mut Params) -> Option<String> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let (value, None) = (values.next()?, values.next()) else {
        params.refuse(LAST_EVENT_ID, "is given more than once".to_owned());
        return None;
    };
    match value.to_str() {
        Ok("") => None,
        Ok(text) => Some(text.to_owned()),
        Err(_) => {
            params.refuse(
                LAST_EVENT_ID,
                "is not an id that a stream has given".to_owned(),
            );
            None
        }
    }
}
