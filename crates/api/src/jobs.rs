//! `/api/v1/jobs`: jobs, their output, and what people do to them.

use axum::{
    extract::Request,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use model::{
    id::{EventId, JobId, RuleName},
    job::JobState,
    page::{JobQuery, List},
    ports::{Controlled, OutputQuery},
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

/// Where the rest of an output begins.
pub const NEXT_OFFSET: &str = "lariat-next-offset";
/// Whether more of it is there or can come: `true` or `false`.
pub const OUTPUT_OPEN: &str = "lariat-output-open";
/// Which attempt it is of.
pub const OUTPUT_ATTEMPT: &str = "lariat-attempt";

/// Bytes of output in one answer; the rest is had from the next offset.
pub(crate) const MAX_OUTPUT: usize = 16 * 1024 * 1024;

pub(crate) async fn list(app: Shared, uri: Uri) -> Answer {
    let known = [
        "event", "rule", "state", "since", "until", "limit", "cursor", "after",
    ];
    let mut params = Params::new(&uri, &known, app.now());
    let mut query = JobQuery {
        event: params.get::<EventId>("event"),
        rule: params.get::<RuleName>("rule"),
        state: params.word("state", &JobState::ALL.map(JobState::as_str)),
        since: params.moment("since"),
        until: params.moment("until"),
        position: params.position(),
        limit: params.limit(),
    };
    params.finish()?;
    list::check(&app, List::Jobs, query.position).await?;
    let mut listing = Listing::new(query.position, query.limit);
    while let Some((position, limit)) = listing.wanted() {
        query.position = position;
        query.limit = limit;
        let page = app.engine.history().jobs(&query).await?;
        listing.add(page.items.into_iter().map(json::Job::from), page.next);
    }
    Ok(listing.answer())
}

pub(crate) async fn show(app: Shared, id: Segment, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id = routes::id(id, "job")?;
    Ok(routes::json(StatusCode::OK, &job(&app, &id).await?))
}

async fn job(app: &App, id: &JobId) -> Answer<json::Job> {
    let job = app.engine.history().job(id).await?;
    job.map(json::Job::from)
        .ok_or_else(|| Problem::not_found("job", id))
}

/// The bytes as the program wrote them; a browser shows them as text, never
/// as anything else.
pub(crate) async fn output(app: Shared, id: Segment, uri: Uri) -> Answer {
    let mut params = Params::new(&uri, &["attempt", "step", "offset"], app.now());
    let attempt = params.number::<u32>("attempt");
    let step = params.number::<usize>("step");
    let offset = params.number::<u64>("offset").unwrap_or(0);
    params.finish()?;
    let id: JobId = routes::id(id, "job")?;
    let query = OutputQuery {
        job: id.clone(),
        attempt,
        step,
        offset,
        max: MAX_OUTPUT,
    };
    let output = app.engine.history().output(&query).await?;
    let output = output.ok_or_else(|| match attempt {
        Some(number) => Problem::not_found("attempt", &format_args!("{id}/{number}")),
        None => Problem::not_found("job", &id),
    })?;
    if let Some(step) = step
        && !is_step(&app, (&id, output.attempt), step).await?
    {
        let name = format_args!("{id}/{}/{step}", output.attempt);
        return Err(Problem::not_found("step", &name));
    }
    let headers = [
        (
            header::CONTENT_TYPE.as_str(),
            "text/plain; charset=utf-8".to_owned(),
        ),
        (NEXT_OFFSET, output.next.to_string()),
        (OUTPUT_OPEN, output.is_open.to_string()),
        (OUTPUT_ATTEMPT, output.attempt.to_string()),
    ];
    Ok((StatusCode::OK, headers, output.bytes).into_response())
}

/// Whether the attempt has this step, or can still come to it.
pub(crate) async fn is_step(app: &App, (job, attempt): (&JobId, u32), step: usize) -> Answer<bool> {
    let job = app.engine.history().job(job).await?;
    Ok(job.is_some_and(|job| {
        let found = job.attempts.iter().find(|one| one.number == attempt);
        found.map_or(!job.state.is_ended(), |found| {
            found.finished.is_none() || found.steps.iter().any(|one| one.index == step)
        })
    }))
}

pub(crate) async fn retry(
    app: Shared,
    caller: Caller,
    id: Segment,
    uri: Uri,
    request: Request,
) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id: JobId = routes::id(id, "job")?;
    body::none(&app, request).await?;
    let done = app.engine.retry(&id, &caller.principal()).await?;
    controlled(
        &app,
        &id,
        &done,
        "only a failed, cancelled or held job is tried again",
    )
    .await
}

pub(crate) async fn cancel(
    app: Shared,
    caller: Caller,
    id: Segment,
    uri: Uri,
    request: Request,
) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let id: JobId = routes::id(id, "job")?;
    body::none(&app, request).await?;
    let done = app.engine.cancel(&id, &caller.principal()).await?;
    controlled(&app, &id, &done, "a job that has ended is not cancelled").await
}

async fn controlled(app: &App, id: &JobId, done: &Controlled, rule: &str) -> Answer<Response> {
    match done {
        Controlled::Done(_) => Ok(routes::json(StatusCode::ACCEPTED, &job(app, id).await?)),
        Controlled::WrongState(state) => Err(Problem::new(
            ProblemCode::WrongState,
            format!("job `{id}` is {state}; {rule}"),
        )),
        Controlled::NotFound => Err(Problem::not_found("job", id)),
    }
}
