//! Every address that exists, in one table.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{Path, Request, rejection::PathRejection},
    http::{Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::FutureExt;
use serde::Serialize;

use crate::{
    app::App,
    dead, events, gate, jobs, metrics, page,
    problem::{Answer, Problem, ProblemCode},
    service, stream,
};

/// A segment of the path, decoded; `Err` when it is not text.
pub(crate) type Segment = Result<Path<String>, PathRejection>;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/v1/events", get(events::list).post(events::publish))
        .route("/api/v1/events/stream", get(stream::events::listen))
        .route("/api/v1/events/{id}", get(events::show))
        .route("/api/v1/events/{id}/verdicts", get(events::verdicts))
        .route("/api/v1/jobs", get(jobs::list))
        .route("/api/v1/jobs/{id}", get(jobs::show))
        .route("/api/v1/jobs/{id}/output", get(jobs::output))
        .route(
            "/api/v1/jobs/{id}/output/stream",
            get(stream::output::listen),
        )
        .route("/api/v1/jobs/{id}/retry", post(jobs::retry))
        .route("/api/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/v1/dead", get(dead::list))
        .route("/api/v1/dead/{id}", get(dead::show))
        .route("/api/v1/dead/{id}/retry", post(dead::retry))
        .route("/api/v1/dead/{id}/discard", post(dead::discard))
        .route("/api/v1/reload", post(service::reload))
        .route("/api/v1/rules", get(service::rules))
        .route("/api/v1/status", get(service::status))
        .route("/api/v1/sources", get(service::sources))
        .route("/api/v1/sinks", get(service::sinks))
        .route("/metrics", get(metrics::show))
        .route("/healthz/live", get(service::live))
        .route("/healthz/ready", get(service::ready))
        .route("/", get(page::home))
        .route("/events/{id}", get(page::event))
        .route("/jobs/{id}", get(page::job))
        .route("/style.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(survive))
        .layer(from_fn_with_state(Arc::clone(&app), gate::guard))
        .with_state(app)
}

async fn unknown_route(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        ProblemCode::UnknownRoute,
        format!("there is nothing at `{path}`"),
    )
}

async fn method_not_allowed(method: Method) -> Problem {
    let method: String = method.as_str().chars().take(40).collect();
    Problem::new(
        ProblemCode::MethodNotAllowed,
        format!("`{method}` is not one of those that `Allow` names"),
    )
}

/// A handler that panics answers 500 and takes nothing else with it.
async fn survive(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request handler panicked; the panic message stands above");
            Problem::new(ProblemCode::Internal, "the log of the service says more").into_response()
        }
    }
}

/// An id out of the path. What cannot be an id names nothing.
pub(crate) fn id<T: std::str::FromStr>(segment: Segment, what: &str) -> Answer<T> {
    let Ok(Path(text)) = segment else {
        return Err(Problem::not_found(what, &"(not UTF-8)"));
    };
    text.parse().map_err(|_| Problem::not_found(what, &text))
}

pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("answers are made of strings, numbers and lists");
    json_bytes(status, body)
}

pub(crate) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
