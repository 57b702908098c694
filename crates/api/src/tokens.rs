//! `/api/v1/tokens`: who may come in.

use axum::{
    extract::Request,
    http::{StatusCode, Uri},
};
use model::{
    clock::Timestamp,
    id::TokenId,
    ports::access::{Created, MOST_TOKENS, Revoked, TokenDraft},
    token::Secret,
};
use serde::de::IgnoredAny;

use crate::{
    app::{App, Shared},
    body,
    gate::Caller,
    json,
    problem::{Answer, Problem, ProblemCode},
    query::Params,
    routes::{self, Segment},
};

pub(crate) async fn list(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let now = app.now();
    let tokens = app.access.all().await?;
    let items = tokens
        .into_iter()
        .map(|token| json::Token::new(token, now))
        .collect();
    Ok(routes::json(
        StatusCode::OK,
        &json::List { items, next: None },
    ))
}

pub(crate) async fn create(app: Shared, caller: Caller, uri: Uri, request: Request) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let asked = read(&app, request).await?;
    let secret = Secret::generate().map_err(|error| {
        tracing::error!("no token can be made: {error}");
        Problem::new(ProblemCode::Internal, "the log of the service says more")
    })?;
    let draft = TokenDraft {
        id: secret.id(),
        hash: secret.hash(),
        name: asked.name.clone(),
        role: asked.role,
        expires: asked.expires,
        by: caller.principal(),
    };
    match app.access.create(draft).await? {
        Created::Done(token) => Ok(routes::json(
            StatusCode::CREATED,
            &json::NewToken {
                token: json::Token::new(token, app.now()),
                secret: secret.reveal().to_owned(),
            },
        )),
        Created::NameTaken => Err(Problem::new(
            ProblemCode::NameTaken,
            format!(
                "a token `{}` is there already; revoke it first, or choose another name",
                asked.name
            ),
        )),
        Created::Full => Err(Problem::new(
            ProblemCode::TooManyTokens,
            format!("{MOST_TOKENS} tokens have not ended; revoke some first"),
        )),
    }
}

async fn read(app: &App, request: Request) -> Answer<json::TokenRequest> {
    let received = body::object(app, request).await?;
    let bad = |error: serde_json::Error| {
        let code = if error.is_data() {
            ProblemCode::InvalidRequest
        } else {
            ProblemCode::InvalidJson
        };
        Problem::new(code, error.to_string())
    };
    // A list would be read as the fields in their order.
    let is_object = received.bytes.trim_ascii_start().starts_with(b"{");
    if !is_object {
        serde_json::from_slice::<IgnoredAny>(&received.bytes).map_err(bad)?;
        return Err(Problem::new(
            ProblemCode::InvalidRequest,
            "the body is not an object; send `{\"name\": …, \"role\": …}`",
        ));
    }
    let asked: json::TokenRequest = serde_json::from_slice(&received.bytes).map_err(bad)?;
    let refuse = |field: &str, message: String| {
        let problem = Problem::new(ProblemCode::InvalidRequest, format!("`{field}` {message}"));
        Err(problem.with_errors(vec![json::ProblemError {
            index: None,
            field: Some(field.to_owned()),
            message,
        }]))
    };
    if asked.name.is_reserved() {
        let name = &asked.name;
        return refuse("name", format!("`{name}` says who asks without a token"));
    }
    if asked.expires.is_some_and(|end| end <= app.now()) {
        return refuse("expires", "is over already".to_owned());
    }
    Ok(asked)
}

/// Revoking twice comes to the same.
pub(crate) async fn revoke(
    app: Shared,
    caller: Caller,
    id: Segment,
    uri: Uri,
    request: Request,
) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let text: String = routes::id(id, "token")?;
    body::none(&app, request).await?;
    let id = find(&app, &text).await?;
    let token = match app.access.revoke(&id, &caller.principal()).await? {
        Revoked::Done(token) | Revoked::Before(token) => token,
        Revoked::NotFound => return Err(Problem::not_found("token", &id)),
    };
    let now: Timestamp = app.now();
    Ok(routes::json(StatusCode::OK, &json::Token::new(token, now)))
}

/// A token by its id, or by its name the one that has not been revoked.
async fn find(app: &App, text: &str) -> Answer<TokenId> {
    let tokens = app.access.all().await?;
    let by_id = tokens.iter().find(|token| token.id.as_str() == text);
    let by_name = || {
        let mut live = tokens.iter().filter(|token| token.revoked.is_none());
        live.find(|token| token.name.as_str() == text)
    };
    by_id
        .or_else(by_name)
        .map(|token| token.id.clone())
        .ok_or_else(|| Problem::not_found("token", &text))
}
