//! Everything that can be wrong with a request, as RFC 9457 problems.
//!
//! The words of [`ProblemCode`] are stable and listed in the manual; a test
//! compares the two. A caller never sees the cause of a fault of ours: that
//! goes to the log, once, here.

use std::{error::Error, fmt, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use model::{
    diagnostic::Diagnostic,
    ports::{AcceptError, StoreError},
};
use wire::event_json::{Refusal, RefusalKind};

use crate::json;

/// What is wrong, as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemCode {
    InvalidJson,
    InvalidEvent,
    TooManyEvents,
    InvalidParameter,
    InvalidRequest,
    TokenRequired,
    InvalidToken,
    ForbiddenHost,
    ForbiddenOrigin,
    ForbiddenRole,
    NotFound,
    UnknownRoute,
    MethodNotAllowed,
    RequestTimeout,
    WrongState,
    NotRetryable,
    NameTaken,
    TooManyTokens,
    RequestTooLarge,
    EventTooLarge,
    TooDeep,
    UnsupportedMediaType,
    InvalidRules,
    QueueFull,
    TooManyRequests,
    Internal,
    Overloaded,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    Draining,
}

impl ProblemCode {
    pub const ALL: [Self; 31] = [
        Self::InvalidJson,
        Self::InvalidEvent,
        Self::TooManyEvents,
        Self::InvalidParameter,
        Self::InvalidRequest,
        Self::TokenRequired,
        Self::InvalidToken,
        Self::ForbiddenHost,
        Self::ForbiddenOrigin,
        Self::ForbiddenRole,
        Self::NotFound,
        Self::UnknownRoute,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::WrongState,
        Self::NotRetryable,
        Self::NameTaken,
        Self::TooManyTokens,
        Self::RequestTooLarge,
        Self::EventTooLarge,
        Self::TooDeep,
        Self::UnsupportedMediaType,
        Self::InvalidRules,
        Self::QueueFull,
        Self::TooManyRequests,
        Self::Internal,
        Self::Overloaded,
        Self::StoreFull,
        Self::StoreReadOnly,
        Self::StoreUnavailable,
        Self::Draining,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidEvent => "invalid_event",
            Self::TooManyEvents => "too_many_events",
            Self::InvalidParameter => "invalid_parameter",
            Self::InvalidRequest => "invalid_request",
            Self::TokenRequired => "token_required",
            Self::InvalidToken => "invalid_token",
            Self::ForbiddenHost => "forbidden_host",
            Self::ForbiddenOrigin => "forbidden_origin",
            Self::ForbiddenRole => "forbidden_role",
            Self::NotFound => "not_found",
            Self::UnknownRoute => "unknown_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::WrongState => "wrong_state",
            Self::NotRetryable => "not_retryable",
            Self::NameTaken => "name_taken",
            Self::TooManyTokens => "too_many_tokens",
            Self::RequestTooLarge => "request_too_large",
            Self::EventTooLarge => "event_too_large",
            Self::TooDeep => "too_deep",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidRules => "invalid_rules",
            Self::QueueFull => "queue_full",
            Self::TooManyRequests => "too_many_requests",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::StoreFull => "store_full",
            Self::StoreReadOnly => "store_read_only",
            Self::StoreUnavailable => "store_unavailable",
            Self::Draining => "draining",
        }
    }

    pub fn status(self) -> u16 {
        match self {
            Self::InvalidJson
            | Self::InvalidEvent
            | Self::TooManyEvents
            | Self::InvalidParameter
            | Self::InvalidRequest => 400,
            Self::TokenRequired | Self::InvalidToken => 401,
            Self::ForbiddenHost | Self::ForbiddenOrigin | Self::ForbiddenRole => 403,
            Self::NotFound | Self::UnknownRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::WrongState | Self::NotRetryable | Self::NameTaken | Self::TooManyTokens => 409,
            Self::RequestTooLarge | Self::EventTooLarge | Self::TooDeep => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidRules => 422,
            Self::QueueFull | Self::TooManyRequests => 429,
            Self::Internal => 500,
            Self::Overloaded
            | Self::StoreFull
            | Self::StoreReadOnly
            | Self::StoreUnavailable
            | Self::Draining => 503,
        }
    }

    /// One line that is the same for every problem of the kind.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidJson => "the request is not JSON",
            Self::InvalidEvent => "the request holds something that is not an event",
            Self::TooManyEvents => "the request holds too many events",
            Self::InvalidParameter => "a query parameter is wrong",
            Self::InvalidRequest => "the request cannot be understood",
            Self::TokenRequired => "a token is needed",
            Self::InvalidToken => "the token lets nobody in",
            Self::ForbiddenHost => "the request is not addressed to this machine",
            Self::ForbiddenOrigin => "the request comes from another site",
            Self::ForbiddenRole => "the role of the token does not allow it",
            Self::NotFound => "there is no such thing",
            Self::UnknownRoute => "there is no such address",
            Self::MethodNotAllowed => "the address does not take this method",
            Self::RequestTimeout => "the request took too long to arrive",
            Self::WrongState => "its state does not allow it",
            Self::NotRetryable => "it cannot be tried again",
            Self::NameTaken => "the name is taken",
            Self::TooManyTokens => "there are too many tokens",
            Self::RequestTooLarge => "the request is too large",
            Self::EventTooLarge => "an event is too large",
            Self::TooDeep => "an event is nested too deeply",
            Self::UnsupportedMediaType => "the request must be JSON",
            Self::InvalidRules => "the rules have problems; the old ones stay in force",
            Self::QueueFull => "too many jobs have not ended yet",
            Self::TooManyRequests => "requests come too often",
            Self::Internal => "something is wrong on our side",
            Self::Overloaded => "too many requests at once",
            Self::StoreFull => "the disk of the store is full",
            Self::StoreReadOnly => "the store cannot be written",
            Self::StoreUnavailable => "the store does not answer",
            Self::Draining => "the service is ending",
        }
    }
}

/// What a 401 asks for.
pub(crate) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"lariat\"");

/// A problem on its way to the caller.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: ProblemCode,
    pub(crate) detail: String,
    pub(crate) errors: Vec<json::ProblemError>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    retry_after: Option<Duration>,
}

/// The handlers' result.
pub(crate) type Answer<T = Response> = Result<T, Problem>;

/// Characters of a name that is not there that an answer repeats.
const NAME_SHOWN: usize = 100;

impl Problem {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            diagnostics: Vec::new(),
            // A full disk does not mend itself within seconds.
            retry_after: (code.status() == 503).then_some(Duration::from_secs(10)),
        }
    }

    /// Nothing of that name exists, or the name cannot be one.
    pub(crate) fn not_found(what: &str, name: &impl fmt::Display) -> Self {
        let name: String = name.to_string().chars().take(NAME_SHOWN).collect();
        Self::new(
            ProblemCode::NotFound,
            format!("there is no {what} `{}`", name.escape_debug()),
        )
    }

    pub(crate) fn rules(diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            diagnostics,
            ..Self::new(
                ProblemCode::InvalidRules,
                "mend what `diagnostics` lists and reload again",
            )
        }
    }

    pub(crate) fn with_errors(mut self, errors: Vec<json::ProblemError>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0))
            .map(|seconds| seconds.max(1))
    }

    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::Invalid => ProblemCode::InvalidEvent,
            RefusalKind::NotJson => ProblemCode::InvalidJson,
            RefusalKind::TooManyEvents => ProblemCode::TooManyEvents,
            RefusalKind::TooDeep => ProblemCode::TooDeep,
            RefusalKind::EventTooLarge => ProblemCode::EventTooLarge,
        };
        let detail = match refusal.problems.as_slice() {
            [only] => only.message.clone(),
            many => format!("{} problems, none of the events was accepted", many.len()),
        };
        let errors = refusal
            .problems
            .into_iter()
            .map(|problem| json::ProblemError {
                index: problem.index,
                field: problem.field,
                message: problem.message,
            })
            .collect();
        Self::new(code, detail).with_errors(errors)
    }

    pub(crate) fn accept(error: AcceptError, retry_after: Duration) -> Self {
        match error {
            AcceptError::QueueFull { limit } => Self::new(
                ProblemCode::QueueFull,
                format!("{limit} jobs have not ended yet; nothing of the request was accepted"),
            )
            .retry_after(retry_after),
            AcceptError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full(_) => {
                log(&error);
                Self::new(
                    ProblemCode::StoreFull,
                    "the disk that holds the store is full; nothing was changed",
                )
            }
            StoreError::ReadOnly(_) => {
                log(&error);
                Self::new(
                    ProblemCode::StoreReadOnly,
                    "the store is read-only; nothing was changed",
                )
            }
            StoreError::Unreachable(_) => {
                log(&error);
                Self::new(
                    ProblemCode::StoreUnavailable,
                    "the file of the store cannot be used; the log of the service says more",
                )
            }
            StoreError::Deadline { .. } => {
                Self::new(ProblemCode::StoreUnavailable, error.to_string())
            }
            StoreError::Closed => Self::new(ProblemCode::Draining, "the service is ending"),
            StoreError::Failed(_) | StoreError::Corrupt { .. } => {
                log(&error);
                Self::new(ProblemCode::Internal, "the log of the service says more")
            }
        }
    }
}

fn log(error: &StoreError) {
    let mut causes = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        next = cause.source();
    }
    tracing::error!("a request met a fault of the store: {error}{causes}");
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after_seconds();
        let is_unknown = status == StatusCode::UNAUTHORIZED;
        let body = json::Problem {
            kind: format!("urn:lariat:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail,
            code: self.code.as_str().to_owned(),
            errors: self.errors,
            diagnostics: self.diagnostics,
        };
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            serde_json::to_vec(&body).expect("a problem is strings and numbers"),
        )
            .into_response();
        if is_unknown {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
