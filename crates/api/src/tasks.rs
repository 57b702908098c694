//! `GET /api/v1/jobs/{id}/tasks`: what playbooks did to which hosts.
//!
//! In the order in which it happened. A place names its attempt, so that pages
//! go on with the attempt that they began with.

use axum::http::{StatusCode, Uri};
use model::{
    id::JobId,
    page::Cursor,
    task::{RecordedTask, TaskEventKind, TaskQuery, TaskStatus},
};

use crate::{
    app::{App, Shared},
    json,
    problem::{Answer, Problem},
    query::Params,
    routes::{self, Segment},
    stream::job::At,
};

/// Asked of the store at once.
const CHUNK: usize = 100;

/// A page that has this many bytes is not continued.
const FULL_BYTES: usize = 4 * 1024 * 1024;

/// Which of the events of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    kind: Option<TaskEventKind>,
    status: Option<TaskStatus>,
    host: Option<String>,
}

impl Filter {
    pub(crate) fn of(params: &mut Params) -> Self {
        Self {
            kind: params.word("kind", &TaskEventKind::ALL.map(TaskEventKind::as_str)),
            status: params.word("status", &TaskStatus::ALL.map(TaskStatus::as_str)),
            host: params.text("host").map(str::to_owned),
        }
    }

    pub(crate) fn query(&self, job: &JobId, after: At, limit: usize) -> TaskQuery {
        TaskQuery {
            job: job.clone(),
            attempt: Some(after.attempt),
            kind: self.kind,
            status: self.status,
            host: self.host.clone(),
            after: Some(cursor(after)),
            limit,
        }
    }
}

fn cursor(at: At) -> Cursor {
    Cursor(i64::try_from(at.offset).unwrap_or(i64::MAX))
}

/// The place behind an event.
pub(crate) fn behind(told: &RecordedTask) -> At {
    At {
        attempt: told.attempt,
        offset: u64::try_from(told.place.0).unwrap_or(0),
    }
}

pub(crate) async fn list(app: Shared, id: Segment, uri: Uri) -> Answer {
    let known = ["attempt", "kind", "status", "host", "limit", "after"];
    let mut params = Params::new(&uri, &known, app.now());
    let attempt = params.number::<u32>("attempt");
    let filter = Filter::of(&mut params);
    let limit = params.limit();
    let after = params.get::<At>("after");
    if let (Some(attempt), Some(after)) = (attempt, after)
        && attempt != after.attempt
    {
        let message = format!("is a place in attempt {}", after.attempt);
        params.refuse("after", message);
    }
    let id: JobId = routes::id(id, "job")?;
    let first = TaskQuery {
        job: id.clone(),
        attempt: attempt.or(after.map(|after| after.attempt).filter(|it| *it > 0)),
        kind: None,
        status: None,
        host: None,
        after: None,
        limit: 0,
    };
    let found = app.engine.task_log().tasks(&first).await?;
    let found = found.ok_or_else(|| match first.attempt {
        Some(number) => Problem::not_found("attempt", &format_args!("{id}/{number}")),
        None => Problem::not_found("job", &id),
    })?;
    let mut after = after.unwrap_or(At {
        attempt: found.attempt,
        offset: 0,
    });
    if !reaches(&app, &id, after).await? {
        params.refuse("after", "lies beyond what there is".to_owned());
    }
    params.finish()?;

    let mut items = Vec::new();
    let mut size = 0;
    while items.len() < limit && size < FULL_BYTES {
        let wanted = CHUNK.min(limit - items.len());
        let query = filter.query(&id, after, wanted);
        let page = app.engine.task_log().tasks(&query).await?;
        let told = page.map(|page| page.page.items).unwrap_or_default();
        let is_last = told.len() < wanted;
        for one in told {
            after = behind(&one);
            let item = json::TaskEvent::from(one);
            size += item.size();
            items.push(item);
        }
        if is_last {
            break;
        }
    }
    let next = Some(after.to_string());
    Ok(routes::json(StatusCode::OK, &json::List { items, next }))
}

/// Whether there are that many events.
pub(crate) async fn reaches(app: &App, job: &JobId, at: At) -> Answer<bool> {
    let Some(last) = at.offset.checked_sub(1) else {
        return Ok(true);
    };
    let last = At { offset: last, ..at };
    let everything = Filter {
        kind: None,
        status: None,
        host: None,
    };
    let query = everything.query(job, last, 1);
    let page = app.engine.task_log().tasks(&query).await?;
    Ok(page.is_some_and(|page| !page.page.items.is_empty()))
}
