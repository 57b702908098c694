//! `/api/v1/dead`: dead letters, and what people do to them.

use axum::{
    extract::Request,
    http::{StatusCode, Uri},
};
use engine::DeadRetry;
use model::{
    id::{DeadLetterId, RuleName},
    page::{DeadQuery, List},
    ports::{DeadKind, DeadState},
};

use crate::{
    app::{App, Shared},
    body,
    gate::Caller,
    json,
    list::{self, Listing},
    problem::{Answer, Problem, ProblemCode},
    query::Params,
    routes::{self, Segment},
};

pub(crate) async fn list(app: Shared, uri: Uri) -> Answer {
    let known = ["kind", "rule", "state", "limit", "cursor", "after"];
    let mut params = Params::new(&uri, &known, app.now());
    let mut query = DeadQuery {
        kind: params.word("kind", &DeadKind::ALL.map(DeadKind::as_str)),
        rule: params.get::<RuleName>("rule"),
        state: params.word("state", &DeadState::ALL.map(DeadState::as_str)),
        position: params.position(),
        limit: params.limit(),
    };
    params.finish()?;
    list::check(&app, List::DeadLetters, query.position).await?;
    let mut listing = Listing::new(query.position, query.limit);
    while let Some((position, limit)) = listing.wanted() {
        query.position = position;
        query.limit = limit;
        let page = app.engine.history().dead_letters(&query).await?;
        let items = page.items.into_iter().map(json::DeadLetter::summary);
        listing.add(items, page.next);
    }
    Ok(listing.answer())
}

pub(crate) async fn show(app: Shared, id: Segment, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id = routes::id(id, "dead letter")?;
    Ok(routes::json(StatusCode::OK, &letter(&app, &id).await?))
}

async fn letter(app: &App, id: &DeadLetterId) -> Answer<json::DeadLetter> {
    let letter = app.engine.history().dead_letter(id).await?;
    letter
        .map(json::DeadLetter::whole)
        .ok_or_else(|| Problem::not_found("dead letter", &id))
}

pub(crate) async fn retry(
    app: Shared,
    caller: Caller,
    id: Segment,
    uri: Uri,
    request: Request,
) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id: DeadLetterId = routes::id(id, "dead letter")?;
    body::none(&app, request).await?;
    let retried = app
        .engine
        .retry_dead(&id, &caller.principal())
        .await
        .map_err(|error| Problem::accept(error, app.settings.retry_after))?;
    let mut sink = None;
    let (job_id, event, summary) = match retried {
        DeadRetry::Job(job) => {
            let summary = format!("job {job} runs");
            (Some(job), None, summary)
        }
        DeadRetry::Event(event) => {
            let summary = format!("accepted as event {}", event.id);
            (None, Some(event), summary)
        }
        DeadRetry::Sink(name) => {
            let summary = format!("goes to sink {name} again");
            sink = Some(name);
            (None, None, summary)
        }
        DeadRetry::NothingFired => (
            None,
            None,
            "the rule says nothing about the event now, or has its job already".to_owned(),
        ),
        DeadRetry::WrongState(state) => return Err(not_open(Some(state))),
        DeadRetry::NotRetryable { why } => {
            return Err(Problem::new(ProblemCode::NotRetryable, why));
        }
        DeadRetry::NotFound => return Err(Problem::not_found("dead letter", &id)),
    };
    Ok(routes::json(
        StatusCode::ACCEPTED,
        &json::DeadRetried {
            id,
            job_id,
            event,
            sink,
            summary,
        },
    ))
}

pub(crate) async fn discard(
    app: Shared,
    caller: Caller,
    id: Segment,
    uri: Uri,
    request: Request,
) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id: DeadLetterId = routes::id(id, "dead letter")?;
    body::none(&app, request).await?;
    match app.engine.discard_dead(&id, &caller.principal()).await? {
        Some(true) => Ok(routes::json(StatusCode::OK, &letter(&app, &id).await?)),
        Some(false) => Err(not_open(None)),
        None => Err(Problem::not_found("dead letter", &id)),
    }
}

fn not_open(state: Option<DeadState>) -> Problem {
    let detail = match state {
        Some(state) => format!("the dead letter is {state} already"),
        None => "the dead letter is closed already".to_owned(),
    };
    Problem::new(ProblemCode::WrongState, detail)
}
