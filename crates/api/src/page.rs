//! The page for people: recent events with what became of them, one event
//! with every verdict, one job with its output. No script.
//!
//! Handlers only fetch. What is shown is made in `page/view.rs`, and how it
//! reaches HTML without doing anything there is `page/html.rs`'s to know.

use axum::{
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use model::{
    event::RecordedEvent,
    id::{EventId, JobId},
    job::Job,
    page::{Cursor, EventQuery, JobQuery, List, Position},
    ports::{OutputQuery, StoreError},
    task::{TaskEventKind, TaskPage, TaskQuery, TaskStatus},
    topic::TopicPattern,
};
use serde::Serialize;

use crate::{
    app::{App, Shared},
    jobs::MAX_OUTPUT,
    json, list,
    problem::{Answer, Problem},
    query::Params,
    routes::{self, Segment},
};

mod html;
pub(crate) mod login;
mod view;

/// Events on one page.
const EVENTS: usize = 30;

/// Of one job: hosts, results, and of each kind those that ended a host's run.
const HOSTS: usize = 200;
const RESULTS: usize = 300;
const FATAL: usize = 20;

/// Jobs of one event that are shown.
const JOBS: usize = 100;

/// `/`
pub(crate) async fn home(app: Shared, uri: Uri) -> Response {
    respond(&app, recent(&app, &uri).await).await
}

async fn recent(app: &App, uri: &Uri) -> Answer<Shown> {
    let now = app.now();
    let mut params = Params::new(uri, &["topic", "cursor", "refresh"], now);
    let written = params.text("topic").unwrap_or_default().to_owned();
    let topic = match written.as_str() {
        "" => None,
        _ => params.get::<TopicPattern>("topic"),
    };
    let cursor = params.get::<Cursor>("cursor");
    let refresh = params.number::<u32>("refresh");
    if refresh.is_some_and(|seconds| !(1..=3_600).contains(&seconds)) {
        params.refuse("refresh", "must be 1 to 3600 seconds".to_owned());
    }
    params.finish()?;

    let position = cursor.map_or(Position::Newest, Position::Before);
    list::check(app, List::Events, position).await?;
    let history = app.engine.history();
    let page = history
        .events(&EventQuery {
            topic,
            since: None,
            until: None,
            source: None,
            severity: None,
            position,
            limit: EVENTS,
        })
        .await?;
    let mut cards = Vec::with_capacity(page.items.len());
    for RecordedEvent { event, .. } in &page.items {
        let verdicts = history.verdicts(&event.id).await?;
        let jobs = jobs_of(app, &event.id).await?;
        let recaps = recaps_of(app, &jobs).await?;
        cards.push(view::card(event, &verdicts, (&jobs, &recaps), now));
    }
    let home = view::home(&written, cards, page.next, cursor.is_some());
    Ok(Shown {
        title: "Events".to_owned(),
        refresh,
        refresh_link: view::refresh_link(&written, refresh),
        has_links: true,
        content: html::render("home.html", &home),
    })
}

async fn jobs_of(app: &App, event: &EventId) -> Result<Vec<Job>, StoreError> {
    let page = app
        .engine
        .history()
        .jobs(&JobQuery {
            event: Some(event.clone()),
            rule: None,
            state: None,
            since: None,
            until: None,
            position: Position::Newest,
            limit: JOBS,
        })
        .await?;
    Ok(page.items)
}

async fn recaps_of(app: &App, jobs: &[Job]) -> Result<view::Recaps, StoreError> {
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
    app.engine.task_log().recaps(&ids).await
}

/// `/events/{id}`
pub(crate) async fn event(app: Shared, id: Segment, uri: Uri) -> Response {
    respond(&app, one_event(&app, id, &uri).await).await
}

async fn one_event(app: &App, id: Segment, uri: &Uri) -> Answer<Shown> {
    let now = app.now();
    Params::new(uri, &[], now).finish()?;
    let id: EventId = routes::id(id, "event")?;
    let history = app.engine.history();
    let recorded = history.event(&id).await?;
    let recorded = recorded.ok_or_else(|| Problem::not_found("event", &id))?;
    let verdicts = app.engine.verdicts(&id, None).await?.unwrap_or_default();
    let jobs = jobs_of(app, &id).await?;
    let recaps = recaps_of(app, &jobs).await?;
    let event = view::event(&recorded, &verdicts, (&jobs, &recaps), now);
    Ok(Shown {
        title: format!("Event {id}"),
        refresh: None,
        refresh_link: None,
        has_links: false,
        content: html::render("event.html", &event),
    })
}

/// `/jobs/{id}`
pub(crate) async fn job(app: Shared, id: Segment, uri: Uri) -> Response {
    respond(&app, one_job(&app, id, &uri).await).await
}

async fn one_job(app: &App, id: Segment, uri: &Uri) -> Answer<Shown> {
    let now = app.now();
    Params::new(uri, &[], now).finish()?;
    let id: JobId = routes::id(id, "job")?;
    let history = app.engine.history();
    let job = history.job(&id).await?;
    let job = job.ok_or_else(|| Problem::not_found("job", &id))?;
    let output = history
        .output(&OutputQuery {
            job: id.clone(),
            attempt: None,
            step: None,
            offset: 0,
            max: MAX_OUTPUT,
        })
        .await?;
    let refresh = (!job.state.is_ended()).then_some(5);
    let tasks = view::task::tasks(&told(app, &id).await?);
    let job = view::job::job(&job, (output.as_ref(), tasks), now);
    Ok(Shown {
        title: format!("Job {id}"),
        refresh,
        refresh_link: None,
        has_links: false,
        content: html::render("job.html", &job),
    })
}

/// What the playbooks of the last attempt told, as much as is shown.
async fn told(app: &App, job: &JobId) -> Result<view::task::Told, StoreError> {
    let read = async |kind, status, limit| {
        let query = TaskQuery {
            job: job.clone(),
            attempt: None,
            kind: Some(kind),
            status,
            host: None,
            after: None,
            limit,
        };
        app.engine.task_log().tasks(&query).await
    };
    let results = read(TaskEventKind::Result, None, RESULTS).await?;
    let Some(results) = results else {
        return Ok(view::task::Told::default());
    };
    let items = |found: Option<TaskPage>| found.map(|it| it.page.items).unwrap_or_default();
    let recaps = items(read(TaskEventKind::Recap, None, HOSTS).await?);
    let mut fatal = Vec::new();
    for status in [TaskStatus::Failed, TaskStatus::Unreachable] {
        fatal.extend(items(
            read(TaskEventKind::Result, Some(status), FATAL).await?,
        ));
    }
    Ok(view::task::Told {
        attempt: results.attempt,
        recaps,
        fatal,
        is_cut: results.page.items.len() >= RESULTS,
        results: results.page.items,
    })
}

/// A page without what stands around it.
struct Shown {
    title: String,
    /// Seconds after which the browser asks again.
    refresh: Option<u32>,
    refresh_link: Option<view::Link>,
    /// Whether sources and sinks stand above it.
    has_links: bool,
    content: html::Safe,
}

#[derive(Serialize)]
struct Layout {
    title: String,
    refresh: Option<u32>,
    refresh_link: Option<view::Link>,
    service: Option<view::Service>,
    links: Vec<view::link::LinkLine>,
    can_log_out: bool,
    content: html::Safe,
}

/// Puts the page, or what went wrong, between the head and the foot.
async fn respond(app: &App, answer: Answer<Shown>) -> Response {
    let (status, shown, retry_after) = match answer {
        Ok(shown) => (200, shown, None),
        Err(problem) => {
            let status = problem.code.status();
            let content = html::render("problem.html", &view::problem(&problem));
            let shown = Shown {
                title: problem.code.title().to_owned(),
                refresh: None,
                refresh_link: None,
                has_links: false,
                content,
            };
            (status, shown, problem.retry_after_seconds())
        }
    };
    let status_now = app.engine.status().await.ok().map(json::Status::from);
    let service = status_now
        .as_ref()
        .map(|status| view::service(status, app.now()));
    let links = status_now
        .filter(|_| shown.has_links)
        .map(|status| view::link::links(&status.sources, &status.sinks, app.now()))
        .unwrap_or_default();
    let layout = Layout {
        title: shown.title,
        refresh: shown.refresh,
        refresh_link: shown.refresh_link,
        service,
        links,
        can_log_out: !app.access.is_open(),
        content: shown.content,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (
        status,
        Html(html::render("layout.html", &layout).into_text()),
    )
        .into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// `/style.css`
pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("page/style.css"))
}

/// `/icon.svg`
pub(crate) async fn icon() -> Response {
    asset("image/svg+xml", include_str!("page/icon.svg"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
