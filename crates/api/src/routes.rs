//! Every address that exists, in one table, with the role that it needs.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{Path, Request, rejection::PathRejection},
    http::{Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use futures_util::FutureExt;
use model::token::Role;
use serde::Serialize;

use crate::{
    app::{App, Shared},
    audit, dead, events,
    gate::{self, Door},
    jobs, metrics, openapi,
    page::{self, login},
    problem::{Answer, Problem, ProblemCode},
    service, stream, tasks, tokens,
};

/// A segment of the path, decoded; `Err` when it is not text.
pub(crate) type Segment = Result<Path<String>, PathRejection>;

/// An address: what it takes, whom it lets in, and what answers.
pub(crate) struct Route {
    /// In lower case: `get` or `post`.
    pub(crate) method: &'static str,
    pub(crate) door: Door,
    pub(crate) path: &'static str,
    /// Its name in the OpenAPI document, see `openapi.rs`.
    pub(crate) operation: &'static str,
    handler: fn() -> MethodRouter<Arc<App>>,
}

const VIEWER: Door = Door::Role(Role::Viewer);
const PUBLISHER: Door = Door::Role(Role::Publisher);
const OPERATOR: Door = Door::Role(Role::Operator);
const ADMIN: Door = Door::Role(Role::Admin);
const PAGE: Door = Door::Page;
const UNLOCKED: Door = Door::Unlocked;

/// One address a line: method, role, path, operation, handler.
macro_rules! table {
    ($($method:ident $door:ident $path:literal $operation:ident $handler:path;)*) => {
        &[$(Route {
            method: stringify!($method),
            door: $door,
            path: $path,
            operation: stringify!($operation),
            handler: || $method($handler),
        }),*]
    };
}

/// Everything that there is. Tests compare it with the OpenAPI document and
/// with the manual.
pub(crate) const ROUTES: &[Route] = table! {
    get  VIEWER    "/api/v1/events"                 list_events         events::list;
    post PUBLISHER "/api/v1/events"                 publish_events      events::publish;
    get  VIEWER    "/api/v1/events/stream"          stream_events       stream::events::listen;
    get  VIEWER    "/api/v1/events/{id}"            show_event          events::show;
    get  VIEWER    "/api/v1/events/{id}/chain"      show_chain          events::chain;
    get  VIEWER    "/api/v1/events/{id}/verdicts"   list_verdicts       events::verdicts;
    get  VIEWER    "/api/v1/jobs"                   list_jobs           jobs::list;
    get  VIEWER    "/api/v1/jobs/{id}"              show_job            jobs::show;
    get  VIEWER    "/api/v1/jobs/{id}/output"       read_output         jobs::output;
    get  VIEWER    "/api/v1/jobs/{id}/output/stream" stream_output      stream::output::listen;
    get  VIEWER    "/api/v1/jobs/{id}/tasks"        list_tasks          tasks::list;
    get  VIEWER    "/api/v1/jobs/{id}/tasks/stream" stream_tasks        stream::tasks::listen;
    post OPERATOR  "/api/v1/jobs/{id}/retry"        retry_job           jobs::retry;
    post OPERATOR  "/api/v1/jobs/{id}/cancel"       cancel_job          jobs::cancel;
    get  VIEWER    "/api/v1/dead"                   list_dead_letters   dead::list;
    get  VIEWER    "/api/v1/dead/{id}"              show_dead_letter    dead::show;
    post OPERATOR  "/api/v1/dead/{id}/retry"        retry_dead_letter   dead::retry;
    post OPERATOR  "/api/v1/dead/{id}/discard"      discard_dead_letter dead::discard;
    post OPERATOR  "/api/v1/reload"                 reload_rules        service::reload;
    get  VIEWER    "/api/v1/rules"                  list_rules          service::rules;
    get  VIEWER    "/api/v1/status"                 show_status         service::status;
    get  VIEWER    "/api/v1/workers"                list_workers        service::workers;
    get  VIEWER    "/api/v1/sources"                list_sources        service::sources;
    get  VIEWER    "/api/v1/sinks"                  list_sinks          service::sinks;
    get  ADMIN     "/api/v1/tokens"                 list_tokens         tokens::list;
    post ADMIN     "/api/v1/tokens"                 create_token        tokens::create;
    post ADMIN     "/api/v1/tokens/{id}/revoke"     revoke_token        tokens::revoke;
    get  ADMIN     "/api/v1/audit"                  list_audit          audit::list;
    get  VIEWER    "/api/v1/openapi.json"           show_openapi        openapi::show;
    get  UNLOCKED  "/healthz/live"                  is_live             service::live;
    get  UNLOCKED  "/healthz/ready"                 is_ready            service::ready;
    get  VIEWER    "/metrics"                       show_metrics        metrics::show;
    get  PAGE      "/"                              home_page           page::home;
    get  PAGE      "/events/{id}"                   event_page          page::event;
    get  PAGE      "/jobs/{id}"                     job_page            page::job;
    get  UNLOCKED  "/login"                         login_page          login::show;
    post UNLOCKED  "/login"                         log_in              login::enter;
    post UNLOCKED  "/logout"                        log_out             login::leave;
    get  UNLOCKED  "/style.css"                     style               page::style;
    get  UNLOCKED  "/icon.svg"                      icon                page::icon;
};

pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let admit = from_fn_with_state((Arc::clone(&app), route.door), gate::admit);
        router = router.route(route.path, (route.handler)().route_layer(admit));
    }
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(survive))
        .layer(from_fn_with_state(Arc::clone(&app), gate::guard))
        .with_state(app)
}

/// What is not there is told to those only who may see what is.
async fn unknown_route(app: Shared, uri: Uri, request: Request) -> Problem {
    if let Err(problem) = gate::check_door(&app, VIEWER, &request) {
        return problem;
    }
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        ProblemCode::UnknownRoute,
        format!("there is nothing at `{path}`"),
    )
}

async fn method_not_allowed(app: Shared, method: Method, request: Request) -> Problem {
    if let Err(problem) = gate::check_door(&app, VIEWER, &request) {
        return problem;
    }
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
