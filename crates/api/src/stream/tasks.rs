//! `GET /api/v1/jobs/{id}/tasks/stream`: what playbooks do, as they do it.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use bytes::Bytes;
use model::{id::JobId, ports::StoreError};

use super::{
    Guest, LAST_EVENT_ID,
    job::{At, JobStream, Part, Seen, seen},
    message,
};
use crate::{
    app::{App, Shared},
    gate::Caller,
    json,
    problem::{Answer, Problem},
    query::Params,
    routes::{self, Segment},
    tasks::{self, Filter},
};

/// Read at once.
const TOGETHER: usize = 50;

pub(crate) async fn listen(
    app: Shared,
    caller: Caller,
    id: Segment,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let known = ["attempt", "kind", "status", "host"];
    let mut params = Params::new(&uri, &known, app.now());
    let attempt = params.number::<u32>("attempt");
    let filter = Filter::of(&mut params);
    let seen = match seen(&headers, &mut params) {
        Seen::Nothing => None,
        Seen::Until(at) => Some(at),
        Seen::Everything => {
            params.finish()?;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    };
    let id: JobId = routes::id(id, "job")?;
    let following = app.engine.follow(&id);
    let job = app.engine.history().job(&id).await?;
    let job = job.ok_or_else(|| Problem::not_found("job", &id))?;
    let newest = job.attempts.last().map_or(0, |attempt| attempt.number);
    let at = seen.unwrap_or(At {
        attempt: attempt.unwrap_or(newest),
        offset: 0,
    });
    if seen.is_none() && at.attempt > newest {
        let name = format_args!("{id}/{}", at.attempt);
        return Err(Problem::not_found("attempt", &name));
    }
    if !tasks::reaches(&app, &id, at).await? {
        let message = "lies beyond what there is";
        params.refuse(LAST_EVENT_ID, message.to_owned());
    }
    params.finish()?;
    let place = app.streams.place()?;
    let told = JobStream::new(Arc::clone(&app), following, (id, at), Told { filter });
    let guest = Guest {
        app: Arc::clone(&app),
        caller,
    };
    Ok(app.streams.answer(told, guest, place))
}

/// What the playbooks of a job tell.
struct Told {
    filter: Filter,
}

impl Part for Told {
    async fn next(
        &mut self,
        app: &App,
        job: &JobId,
        at: At,
    ) -> Result<Option<(Vec<Bytes>, At)>, StoreError> {
        let query = self.filter.query(job, at, TOGETHER);
        let page = app.engine.task_log().tasks(&query).await?;
        let told = page.map(|page| page.page.items).unwrap_or_default();
        let Some(behind) = told.last().map(tasks::behind) else {
            return Ok(None);
        };
        let messages = told.into_iter().map(|one| {
            let id = tasks::behind(&one).to_string();
            message(Some(&id), "task", &json::TaskEvent::from(one))
        });
        Ok(Some((messages.collect(), behind)))
    }
}
