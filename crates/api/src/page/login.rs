//! How a person with a token comes to see the pages: a form, and a cookie that
//! holds the token for as long as the browser runs.
//!
//! No script can read the cookie, no other site makes the browser send it
//! (`SameSite=Strict`), and what changes something is taken from a page of
//! ours only, see `gate.rs`.

use axum::{
    extract::{Query, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use model::token::Secret;
use serde::Serialize;

use crate::{
    app::{App, Shared},
    body, gate,
    limits::Who,
    problem::{Answer, CHALLENGE, Problem, ProblemCode},
    server::Peer,
};

use super::html;

const COOKIE: &str = "lariat_token";

/// The token in the cookie of a request.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[derive(Debug, Serialize)]
struct Form {
    /// Where to go then.
    next: String,
    /// Why the last try did not work.
    problem: Option<String>,
}

/// The form instead of a page that needs a token.
pub(crate) fn form(app: &App, problem: Option<&Problem>, next: &Uri) -> Response {
    let next = next.path_and_query().map_or("/", |it| it.as_str());
    let tried = problem.filter(|it| it.code == ProblemCode::InvalidToken);
    let mut response = answer(
        StatusCode::UNAUTHORIZED,
        Form {
            next: local(next).to_owned(),
            problem: tried.map(|problem| problem.detail.clone()),
        },
    );
    if tried.is_some() {
        set_cookie(&mut response, app, "");
    }
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, CHALLENGE);
    response
}

fn answer(status: StatusCode, form: Form) -> Response {
    (status, Html(html::render("login.html", &form).into_text())).into_response()
}

/// A path of ours: a link to another site would be a trap.
fn local(next: &str) -> &str {
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_ours { next } else { "/" }
}

/// `GET /login`
pub(crate) async fn show(app: Shared) -> Response {
    if app.access.is_open() {
        return go_to("/");
    }
    let form = Form {
        next: "/".to_owned(),
        problem: None,
    };
    answer(StatusCode::OK, form)
}

/// `POST /login`
pub(crate) async fn enter(app: Shared, request: Request) -> Response {
    match try_enter(&app, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_enter(app: &App, request: Request) -> Answer<Response> {
    gate::check_origin(request.headers(), &gate::SCHEMES)?;
    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    if let Some(address) = address {
        app.per_address.count(Who::Address(address))?;
    }
    let text = body::fields(app, request).await?;
    let fields = fields(&text);
    let field = |name: &str| {
        let found = fields.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.trim())
    };
    let next = local(field("next"));
    let admitted = match field("token").parse::<Secret>() {
        Err(error) => Err(error.to_string()),
        Ok(secret) => match app.access.admit(&secret, app.now()) {
            Err(error) => Err(error.to_string()),
            Ok(_token) => Ok(secret),
        },
    };
    Ok(match admitted {
        Ok(secret) => {
            let mut response = go_to(next);
            set_cookie(&mut response, app, secret.reveal());
            response
        }
        Err(problem) => {
            app.access.refuse(address);
            let form = Form {
                next: next.to_owned(),
                problem: Some(problem),
            };
            answer(StatusCode::UNAUTHORIZED, form)
        }
    })
}

/// `POST /logout`
pub(crate) async fn leave(app: Shared, request: Request) -> Response {
    if let Err(problem) = gate::check_origin(request.headers(), &gate::SCHEMES) {
        return problem.into_response();
    }
    let mut response = go_to("/login");
    set_cookie(&mut response, &app, "");
    response
}

/// Pairs as a browser writes them into the body.
fn fields(text: &str) -> Vec<(String, String)> {
    let Ok(uri) = format!("/?{text}").parse::<Uri>() else {
        return Vec::new();
    };
    Query::try_from_uri(&uri)
        .map(|Query(fields)| fields)
        .unwrap_or_default()
}

fn go_to(path: &str) -> Response {
    let place = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// An empty token takes the cookie away.
fn set_cookie(response: &mut Response, app: &App, token: &str) {
    let secure = if app.settings.tls.is_some() {
        "; Secure"
    } else {
        ""
    };
    let age = if token.is_empty() { "; Max-Age=0" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}
