//! Who may ask at all, and what every answer carries.
//!
//! The open mode trusts whoever can reach the loopback interface, and a web
//! page in a local browser can: its requests are told apart by the name they
//! are addressed to (`Host`, against DNS rebinding) and by where they come
//! from (`Origin`, `Sec-Fetch-Site`, against cross-site requests).

use std::{net::Ipv6Addr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    app::App,
    problem::{Answer, Problem, ProblemCode},
};

/// The middleware around everything.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let checked = if app.settings.open {
        check(&request)
    } else {
        Ok(())
    };
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in ALWAYS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
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

fn check(request: &Request) -> Answer<()> {
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

    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if is_safe {
        return Ok(());
    }
    if headers.contains_key(header::ORIGIN) {
        let is_ours = one(headers, &header::ORIGIN)
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(host));
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
        format!("{header} says that another site sent the request, which may change nothing here"),
    )
}

/// The only value of a header, as text.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
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
