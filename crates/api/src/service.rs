//! The service itself: rules in force, reload, status, links, health.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{StatusCode, Uri},
};
use engine::{NotReady, ReloadError};

use crate::{
    app::Shared,
    audit, body,
    gate::Caller,
    json,
    problem::{Answer, Problem, ProblemCode},
    query::Params,
    routes,
};

pub(crate) async fn reload(app: Shared, caller: Caller, uri: Uri, request: Request) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    body::none(&app, request).await?;
    match app.engine.reload().await {
        Ok(reloaded) => {
            audit::reloaded(&app, &caller, &reloaded).await;
            Ok(routes::json(
                StatusCode::OK,
                &json::Reloaded {
                    revision: reloaded.revision,
                    rules: reloaded.rules,
                    changed: reloaded.changed,
                    warnings: reloaded.warnings,
                },
            ))
        }
        Err(ReloadError::Diagnostics(diagnostics)) => Err(Problem::rules(diagnostics)),
        Err(ReloadError::Store(error)) => Err(error.into()),
    }
}

pub(crate) async fn rules(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let rules = app.engine.rules();
    let items = rules.rules().map(rule).collect();
    Ok(routes::json(
        StatusCode::OK,
        &json::List { items, next: None },
    ))
}

fn rule(rule: &rules::Rule) -> json::Rule {
    let retry = rule.retry();
    json::Rule {
        name: rule.name().clone(),
        file: rule.file().to_owned(),
        line: rule.line(),
        on: rule.on().iter().map(ToString::to_string).collect(),
        when: rule.when().map(str::to_owned),
        mode: rule.mode().as_str().to_owned(),
        steps: rule
            .steps()
            .iter()
            .map(|step| json::RuleStep {
                kind: step.kind,
                what: step.what.clone(),
                timeout_ms: millis(step.timeout),
                on_lost: step.on_lost,
            })
            .collect(),
        retry: json::RuleRetry {
            attempts: retry.attempts.get(),
            delay_ms: millis(retry.delay),
            backoff: retry.backoff,
            max_delay_ms: millis(retry.max_delay),
        },
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) async fn status(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let status = app.engine.status().await?;
    Ok(routes::json(StatusCode::OK, &json::Status::from(status)))
}

/// Who runs the jobs of this store: whoever answers, since a store has one owner.
pub(crate) async fn workers(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let status = json::Status::from(app.engine.status().await?);
    Ok(routes::json(
        StatusCode::OK,
        &json::List {
            items: vec![status.worker],
            next: None,
        },
    ))
}

pub(crate) async fn sources(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let sources = app.engine.sources().into_iter();
    Ok(routes::json(
        StatusCode::OK,
        &json::List {
            items: sources.map(json::Source::from).collect(),
            next: None,
        },
    ))
}

pub(crate) async fn sinks(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    let sinks = app.engine.sinks().await?.into_iter();
    Ok(routes::json(
        StatusCode::OK,
        &json::List {
            items: sinks.map(json::Sink::from).collect(),
            next: None,
        },
    ))
}

/// The process answers.
pub(crate) async fn live(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    Ok(health("live"))
}

/// Events would be accepted. A broker that is away changes nothing about that:
/// whoever asks would only restart what waits for it anyway.
pub(crate) async fn ready(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    match app.engine.ready().await {
        Ok(()) => Ok(health("ready")),
        Err(NotReady::Draining) => Err(Problem::new(
            ProblemCode::Draining,
            "running jobs are let to end, nothing new is begun",
        )),
        Err(NotReady::Store(error)) => {
            let problem = Problem::from(error);
            // Whatever is wrong with the store: not ready is 503.
            Err(if problem.code.status() == 503 {
                problem
            } else {
                Problem::new(ProblemCode::StoreUnavailable, problem.detail)
            })
        }
    }
}

fn health(status: &str) -> axum::response::Response {
    routes::json(
        StatusCode::OK,
        &json::Readiness {
            status: status.to_owned(),
        },
    )
}
