//! Who may ask, and what every answer carries.
//!
//! [`guard`] stands around everything and finds out who asks. [`admit`] stands
//! before each address and knows the role that it needs.
//!
//! Without a token in the store the service is open, and then trusts whoever
//! can reach the loopback interface. A web page in a local browser can: its
//! requests are told apart by the name they are addressed to (`Host`, against
//! DNS rebinding) and by where they come from (`Origin`, `Sec-Fetch-Site`,
//! against cross-site requests). With the first token it is closed.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use model::{
    event::Origin,
    id::Principal,
    token::{Role, Secret, Token},
};

use crate::{
    app::App,
    limits::Who,
    page::login,
    problem::{Answer, Problem, ProblemCode},
    server::Peer,
};

/// Where events are taken.
const INTAKE: &str = "/api/v1/events";

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Caller {
    /// The service is open.
    Anyone,
    Known(Box<Token>),
}

impl Caller {
    /// The name under which it is written down what they did.
    pub(crate) fn principal(&self) -> Principal {
        match self {
            Self::Anyone => Principal("api".to_owned()),
            Self::Known(token) => token.name.principal(),
        }
    }

    /// Where the events come from that they publish.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Anyone => Origin::open_http(),
            Self::Known(token) => Origin {
                verified: true,
                by: Some(format!("token:{}", token.name)),
                ..Origin::open_http()
            },
        }
    }
}

/// A handler asks for the caller by this argument.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Found>() {
            Some(Found(Ok(caller))) => Ok(caller.clone()),
            Some(Found(Err(problem))) => Err(problem.clone()),
            None => Err(no_token()),
        }
    }
}

/// What the guard found out, for those behind it.
#[derive(Clone)]
struct Found(Answer<Caller>);

/// What an address asks of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// No token: health, the form to log in, what pages look like.
    Unlocked,
    /// A token of this role, or of one that may do more.
    Role(Role),
    /// As `Role(Viewer)`, and who has no token sees the form to log in.
    Page,
}

/// The middleware around everything.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let found = identify(&app, &request);
    let is_refused = matches!(&found, Err(problem) if problem.code != ProblemCode::TokenRequired);
    request.extensions_mut().insert(Found(found.clone()));
    let mut response = match found {
        // A request that another site made gets nothing, not even health.
        Err(problem) if is_refused && is_foreign(problem.code) => {
            count(&app, &request, &problem);
            problem.into_response()
        }
        Ok(_) | Err(_) => next.run(request).await,
    };
    for (name, value) in ALWAYS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Events that somebody sent who may not are counted with those that were
/// refused for what they are. Requests beyond a limit have a counter of their own.
fn count(app: &App, request: &Request, problem: &Problem) {
    let is_intake = request.method() == Method::POST && request.uri().path() == INTAKE;
    if is_intake && problem.code.status() != 429 {
        app.engine.meter().refused("api", problem.code.as_str());
    }
}

fn is_foreign(code: ProblemCode) -> bool {
    matches!(
        code,
        ProblemCode::ForbiddenHost | ProblemCode::ForbiddenOrigin
    )
}

/// The middleware before one address.
pub(crate) async fn admit(
    State((app, door)): State<(Arc<App>, Door)>,
    request: Request,
    next: Next,
) -> Response {
    match check_door(&app, door, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) if door == Door::Page && problem.code.status() == 401 => {
            login::form(&app, Some(&problem), request.uri())
        }
        Err(problem) => {
            count(&app, &request, &problem);
            problem.into_response()
        }
    }
}

/// Whether a request may come in here, and often enough.
pub(crate) fn check_door(app: &App, door: Door, request: &Request) -> Answer<()> {
    let role = match door {
        Door::Unlocked => return Ok(()),
        Door::Role(role) => role,
        Door::Page => Role::Viewer,
    };
    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    let found = match request.extensions().get::<Found>() {
        Some(Found(found)) => found.clone(),
        None => Err(no_token()),
    };
    let (limiter, limit, who) = match (&found, address) {
        (Ok(Caller::Known(token)), _) => {
            let who = Who::Token(token.id.clone());
            (&app.per_token, "requests_per_token", Some(who))
        }
        (Ok(Caller::Anyone) | Err(_), address) => {
            let who = address.map(Who::Address);
            (&app.per_address, "requests_per_address", who)
        }
    };
    if let Some(who) = who {
        limiter
            .count(who)
            .inspect_err(|_| app.engine.meter().limited(limit))?;
    }
    match found? {
        Caller::Known(token) if token.role < role => Err(Problem::new(
            ProblemCode::ForbiddenRole,
            format!(
                "this needs the role `{role}`; token `{}` is `{}`",
                token.name, token.role
            ),
        )),
        Caller::Known(_) | Caller::Anyone => Ok(()),
    }
}

/// Who sent a request.
fn identify(app: &App, request: &Request) -> Answer<Caller> {
    let headers = request.headers();
    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    if headers.contains_key(header::AUTHORIZATION) {
        return admitted(app, bearer(headers), address);
    }
    if app.access.is_open() {
        let scheme = if app.settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        check(request, scheme)?;
        return Ok(Caller::Anyone);
    }
    match login::cookie(headers) {
        Some(text) => {
            check_same_site(request)?;
            admitted(app, Some(text), address)
        }
        None => Err(no_token()),
    }
}

fn admitted(app: &App, text: Option<&str>, address: Option<IpAddr>) -> Answer<Caller> {
    let refuse = |detail: String| {
        app.access.refuse(address);
        Err(Problem::new(ProblemCode::InvalidToken, detail))
    };
    let Some(text) = text else {
        return refuse("send one header, `Authorization: Bearer TOKEN`".to_owned());
    };
    match text.parse::<Secret>() {
        Err(error) => refuse(error.to_string()),
        Ok(secret) => match app.access.admit(&secret, app.now()) {
            Err(error) => refuse(error.to_string()),
            Ok(token) => Ok(Caller::Known(Box::new(token))),
        },
    }
}

/// What stands behind `Bearer` in the only such header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = one(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_matches(' '))
}

fn no_token() -> Problem {
    Problem::new(
        ProblemCode::TokenRequired,
        "this needs a token; send it as `Authorization: Bearer TOKEN`, \
         `lariat token create` on the machine of the service makes one, and needs an admin's \
         while the service runs",
    )
}

/// A browser sends cookies by itself: what changes something must come from a
/// page of ours, and say so.
fn check_same_site(request: &Request) -> Answer<()> {
    if is_safe(request.method()) {
        return Ok(());
    }
    let headers = request.headers();
    let site = HeaderName::from_static("sec-fetch-site");
    if !headers.contains_key(header::ORIGIN) && one(headers, &site) != Some("same-origin") {
        return Err(forbidden_origin("a missing `Origin`"));
    }
    check_origin(headers, &SCHEMES)
}

/// Of a page of ours; what stands before us may add the encryption.
pub(crate) const SCHEMES: [&str; 2] = ["http", "https"];

/// What a request says about the page that it comes from, if it does.
pub(crate) fn check_origin(headers: &HeaderMap, schemes: &[&str]) -> Answer<()> {
    if headers.contains_key(header::ORIGIN) {
        let host = one(headers, &header::HOST).unwrap_or_default();
        let is_ours = one(headers, &header::ORIGIN)
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(scheme, origin)| {
                schemes.contains(&scheme) && origin.eq_ignore_ascii_case(host)
            });
        if !is_ours {
            return Err(forbidden_origin("`Origin`"));
        }
    }
    let site = HeaderName::from_static("sec-fetch-site");
    if headers.contains_key(&site) {
        let is_ours =
            one(headers, &site).is_some_and(|site| matches!(site, "same-origin" | "none"));
        if !is_ours {
            return Err(forbidden_origin("`Sec-Fetch-Site`"));
        }
    }
    Ok(())
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What an open service asks of every request.
fn check(request: &Request, scheme: &str) -> Answer<()> {
    let headers = request.headers();
    let host = one(headers, &header::HOST).ok_or_else(|| forbidden_host("it has no `Host`"))?;
    if !is_loopback_host(host) {
        return Err(forbidden_host("its `Host` is another"));
    }
    if let Some(authority) = request.uri().authority()
        && !authority.as_str().eq_ignore_ascii_case(host)
    {
        return Err(forbidden_host("its address and its `Host` differ"));
    }

    if is_followed_link(request) {
        return Ok(());
    }
    check_origin(headers, &[scheme])
}

/// Whether a person in a browser goes to one of the pages, wherever the link
/// to it stood. The site that it stood on sees nothing of the answer.
fn is_followed_link(request: &Request) -> bool {
    let mode = HeaderName::from_static("sec-fetch-mode");
    let headers = request.headers();
    let path = request.uri().path();
    request.method() == Method::GET
        && !path.starts_with("/api/")
        && path != "/metrics"
        && !headers.contains_key(header::ORIGIN)
        && one(headers, &mode) == Some("navigate")
}

fn forbidden_host(why: &str) -> Problem {
    Problem::new(
        ProblemCode::ForbiddenHost,
        format!(
            "this service is open, so it answers only requests addressed to `localhost`, \
             `127.0.0.1` or `[::1]`; of this one, {why}"
        ),
    )
}

fn forbidden_origin(header: &str) -> Problem {
    Problem::new(
        ProblemCode::ForbiddenOrigin,
        format!(
            "{header} says that a page of another site sent the request; only pages of this service may"
        ),
    )
}

/// The only value of a header, as text.
pub(crate) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (Some(_) | None, _) => None,
    }
}

/// `localhost`, `127.x.x.x` or `[::1]`, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return false;
            };
            let is_ours = address
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| address.is_loopback());
            return is_ours && is_port(port);
        }
        None => match host.find(':') {
            Some(at) => host.split_at(at),
            None => (host, ""),
        },
    };
    let is_ours = name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback());
    is_ours && is_port(port)
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(digits) => {
            !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok()
        }
        None => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback_host;

    #[track_caller]
    fn check(host: &str, expect: bool) {
        assert_eq!(expect, is_loopback_host(host), "{host}");
    }

    #[test]
    fn only_names_of_this_machine_are_ours() {
        check("localhost", true);
        check("LOCALHOST:8470", true);
        check("127.0.0.1:1", true);
        check("127.1.2.3", true);
        check("[::1]", true);
        check("[::1]:8470", true);
        check("[0:0:0:0:0:0:0:1]:80", true);
        check("", false);
        check("localhost.", false);
        check("localhost.example.org", false);
        check("example.org", false);
        check("127.0.0.1.example.org", false);
        check("127.1", false);
        check("2130706433", false);
        check("0.0.0.0:8470", false);
        check("[::]:8470", false);
        check("::1", false);
        check("[::1", false);
        check("[::1]x", false);
        check("localhost:", false);
        check("localhost:x", false);
        check("localhost:+80", false);
        check("localhost:99999", false);
        check("user@localhost", false);
        check("localhost/x", false);
        check("localhost:80:80", false);
    }
}
