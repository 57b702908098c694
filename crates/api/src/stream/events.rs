//! `GET /api/v1/events/stream`: events as they are committed.

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc};

use axum::http::{HeaderMap, Uri};
use bytes::Bytes;
use engine::{EventStream, Gap, ListenError, StreamEnd, StreamFilter, StreamStart};
use model::{
    event::{RecordedEvent, Severity},
    page::{Cursor, CursorError},
    topic::TopicPattern,
};
use rules::expr::{Condition, ExprError};
use serde::Serialize;

use super::{DropReason, Dropped, Guest, LAST_EVENT_ID, Source, last_event_id, message};
use crate::{
    app::Shared,
    gate::Caller,
    json,
    problem::{Answer, Problem, ProblemCode},
    query::Params,
};

/// Bytes of a condition: what it costs is paid for each event.
const MAX_CONDITION: usize = 2_000;
const MAX_TOPICS: usize = 100;

pub(crate) async fn listen(app: Shared, caller: Caller, uri: Uri, headers: HeaderMap) -> Answer {
    let known = ["topic", "source", "severity", "where", "after", "since"];
    let mut params = Params::repeating(&uri, &known, &["topic"], app.now());
    let filter = StreamFilter {
        topics: topics(&mut params),
        source: params.text("source").map(str::to_owned),
        severity: params.word("severity", &Severity::ALL.map(Severity::as_str)),
        condition: condition(&mut params),
    };
    let (start, named_by) = start(&mut params, &headers);
    params.finish()?;
    let place = app.streams.place()?;
    let stream = app.engine.listen(filter, start).await;
    let stream = stream.map_err(|error| refused(error, named_by))?;
    let guest = Guest {
        app: Arc::clone(&app),
        caller,
    };
    Ok(app.streams.answer(Events::new(stream), guest, place))
}

fn topics(params: &mut Params) -> Vec<TopicPattern> {
    let topics = params.all::<TopicPattern>("topic");
    if topics.len() > MAX_TOPICS {
        params.refuse("topic", format!("is given more than {MAX_TOPICS} times"));
    }
    topics
}

fn condition(params: &mut Params) -> Option<Condition> {
    let text = params.text("where")?;
    if text.len() > MAX_CONDITION {
        let message = format!("has more than {MAX_CONDITION} bytes");
        params.refuse("where", message);
        return None;
    }
    match Condition::parse(text) {
        Ok(condition) => Some(condition),
        Err(error) => {
            let message = located(text, &error);
            params.refuse("where", message);
            None
        }
    }
}

/// What is wrong with a condition, and where.
fn located(text: &str, error: &ExprError) -> String {
    let before = text.get(..error.offset).unwrap_or(text);
    let character = before.chars().count() + 1;
    let hint = error.hint.as_ref();
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("at character {character}: {}{hint}", error.message)
}

/// Where to begin, and what said so. A client that comes back asks for the same
/// address again, so what it has seen counts more than what stands there.
fn start(params: &mut Params, headers: &HeaderMap) -> (StreamStart, &'static str) {
    let after = match params.text("after") {
        Some("now") => Some(StreamStart::Now),
        Some(_) => params.get::<Cursor>("after").map(StreamStart::After),
        None => None,
    };
    let since = params.moment("since").map(StreamStart::Since);
    if after.is_some() && since.is_some() {
        let message = "is a place and `since` a time to begin at; give one of them";
        params.refuse("after", message.to_owned());
    }
    if let Some(id) = last_event_id(headers, params) {
        match id.parse::<Cursor>() {
            Ok(cursor) => return (StreamStart::After(cursor), LAST_EVENT_ID),
            Err(CursorError) => {
                let message = "is not an id that a stream of events has given";
                params.refuse(LAST_EVENT_ID, message.to_owned());
            }
        }
    }
    (after.or(since).unwrap_or(StreamStart::Now), "after")
}

fn refused(error: ListenError, named_by: &str) -> Problem {
    match error {
        ListenError::ForeignCursor => {
            let message = "lies beyond the newest event, so no stream and no list of this store \
                           has given it";
            let detail = format!("`{named_by}`: {message}");
            Problem::new(ProblemCode::InvalidParameter, detail).with_errors(vec![
                json::ProblemError {
                    index: None,
                    field: Some(named_by.to_owned()),
                    message: message.to_owned(),
                },
            ])
        }
        ListenError::Draining => Problem::new(
            ProblemCode::Draining,
            "running jobs are let to end, and no stream is begun",
        ),
        ListenError::Store(error) => error.into(),
    }
}

struct Events {
    stream: EventStream,
    /// To be told first.
    gap: Option<Gap>,
}

/// Events that a client asked for and that are not there any more.
#[derive(Serialize)]
struct Missing {
    after: Cursor,
    oldest: Cursor,
    detail: &'static str,
}

impl Events {
    fn new(stream: EventStream) -> Self {
        Self {
            gap: stream.gap(),
            stream,
        }
    }
}

impl Source for Events {
    async fn next(&mut self, messages: &mut VecDeque<Bytes>) -> ControlFlow<Option<Dropped>> {
        if let Some(Gap { after, oldest }) = self.gap.take() {
            let missing = Missing {
                after,
                oldest,
                detail: "retention has removed events between these two",
            };
            messages.push_back(message(None, "gap", &missing));
            return ControlFlow::Continue(());
        }
        match self.stream.next().await {
            Ok(events) => {
                messages.extend(events.iter().map(|event| event.rendered(render)));
                ControlFlow::Continue(())
            }
            Err(end) => ControlFlow::Break(Some(dropped(end))),
        }
    }

    fn place(&self) -> String {
        self.stream.place().to_string()
    }
}

fn render(recorded: &RecordedEvent) -> Bytes {
    let id = recorded.place.to_string();
    message(Some(&id), "event", &json::Event::from(recorded.clone()))
}

fn dropped(end: StreamEnd) -> Dropped {
    match end {
        StreamEnd::Behind => Dropped {
            reason: DropReason::Behind,
            detail: end.to_string(),
        },
        StreamEnd::Draining => Dropped::draining(),
        StreamEnd::Store(error) => Dropped::store(error),
    }
}
