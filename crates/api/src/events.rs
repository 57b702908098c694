//! `/api/v1/events`: publishing, the history of events, and verdicts.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{StatusCode, Uri},
    response::Response,
};
use model::{
    event::{EventDraft, Origin, Severity},
    id::{EventId, RuleName},
    page::{EventQuery, List, Position},
    topic::TopicPattern,
};
use wire::{cloudevents, event_json};

use crate::{
    app::{App, Shared},
    body::{self, Form},
    gate::Caller,
    json,
    list::{self, Listing},
    problem::{Answer, Problem, ProblemCode},
    query::Params,
    routes::{self, Segment},
};

/// How far a list goes back that does not say how far.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Requests from this size on are read beside the other requests.
const LARGE: usize = 64 * 1024;

pub(crate) async fn publish(app: Shared, caller: Caller, uri: Uri, request: Request) -> Answer {
    let answer = accept(&app, &caller, &uri, request).await;
    if let Err(problem) = &answer {
        app.engine.meter().refused("api", problem.code.as_str());
    }
    answer
}

async fn accept(app: &App, caller: &Caller, uri: &Uri, request: Request) -> Answer {
    Params::new(uri, &[], app.now()).finish()?;
    let (form, received) = body::events(app, request).await?;
    let drafts = read(app, (form, caller.origin()), received.bytes.clone()).await?;
    let events = app
        .engine
        .publish(drafts, "api")
        .await
        .map_err(|error| Problem::accept(error, app.settings.retry_after))?;
    Ok(routes::json(
        StatusCode::ACCEPTED,
        &json::AcceptedEvents { events },
    ))
}

async fn read(
    app: &App,
    (form, origin): (Form, Origin),
    bytes: bytes::Bytes,
) -> Answer<Vec<EventDraft>> {
    let limits = app.settings.event_limits();
    let is_large = bytes.len() >= LARGE;
    let read = move || match form {
        Form::Own => event_json::read(&bytes, &limits, &origin),
        Form::Structured => cloudevents::read_structured(&bytes, &limits, &origin),
        Form::Batch => cloudevents::read_batch(&bytes, &limits, &origin),
        Form::Binary {
            content_type,
            headers,
        } => {
            let request = cloudevents::Binary {
                content_type: content_type.as_deref(),
                headers: &headers,
                data: &bytes,
            };
            cloudevents::read_binary(request, &limits, &origin)
        }
    };
    let drafts = if is_large {
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| Problem::new(ProblemCode::Internal, "the log of the service says more"))?
    } else {
        read()
    };
    drafts.map_err(Problem::refused)
}

pub(crate) async fn list(app: Shared, uri: Uri) -> Answer {
    let known = [
        "topic", "since", "until", "source", "severity", "limit", "cursor", "after",
    ];
    let now = app.now();
    let mut params = Params::new(&uri, &known, now);
    let is_from_now = params.is_from_now();
    let mut query = EventQuery {
        topic: params.get::<TopicPattern>("topic"),
        since: params.moment("since"),
        until: params.moment("until"),
        source: params.text("source").map(str::to_owned),
        severity: params.word("severity", &Severity::ALL.map(Severity::as_str)),
        position: if is_from_now {
            Position::Newest
        } else {
            params.position()
        },
        limit: params.limit(),
    };
    params.finish()?;
    if is_from_now {
        return from_now(&app).await;
    }
    let has_window = query.since.is_some() || query.until.is_some();
    if !has_window && !matches!(query.position, Position::After(_)) {
        query.since = Some(now.minus(DEFAULT_WINDOW));
    }
    list::check(&app, List::Events, query.position).await?;
    let mut listing = Listing::new(query.position, query.limit);
    while let Some((position, limit)) = listing.wanted() {
        query.position = position;
        query.limit = limit;
        let page = app.engine.history().events(&query).await?;
        listing.add(page.items.into_iter().map(json::Event::from), page.next);
    }
    Ok(listing.answer())
}

/// No items, and the cursor behind everything that is there now.
async fn from_now(app: &App) -> Answer {
    let end = app.engine.history().end(List::Events).await?;
    Ok(routes::json(
        StatusCode::OK,
        &json::List::<json::Event> {
            items: Vec::new(),
            next: Some(end.to_string()),
        },
    ))
}

pub(crate) async fn show(app: Shared, id: Segment, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id: EventId = routes::id(id, "event")?;
    let event = app.engine.history().event(&id).await?;
    let event = event.ok_or_else(|| Problem::not_found("event", &id))?;
    Ok(routes::json(StatusCode::OK, &json::Event::from(event)))
}

pub(crate) async fn chain(app: Shared, id: Segment, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id: EventId = routes::id(id, "event")?;
    let chain = app.engine.chain(&id).await?;
    let chain = chain.ok_or_else(|| Problem::not_found("event", &id))?;
    Ok(routes::json(StatusCode::OK, &json::Chain::from(chain)))
}

pub(crate) async fn verdicts(app: Shared, id: Segment, uri: Uri) -> Answer<Response> {
    let mut params = Params::new(&uri, &["rule"], app.now());
    let rule = params.get::<RuleName>("rule");
    params.finish()?;
    let id: EventId = routes::id(id, "event")?;
    let verdicts = app.engine.verdicts(&id, rule.as_ref()).await?;
    let verdicts = verdicts.ok_or_else(|| Problem::not_found("event", &id))?;
    Ok(routes::json(
        StatusCode::OK,
        &json::List {
            items: verdicts.into_iter().map(json::Explanation::from).collect(),
            next: None,
        },
    ))
}
