//! The history of jobs, with their attempts and steps.

use std::collections::HashMap;

use model::{
    clock::Timestamp,
    flow,
    id::JobId,
    job::{Attempt, Job, JobState, StepKind, StepRecord, StepState},
    page::{JobQuery, Page},
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    failure::Failure,
    keys,
    rows::{self, from_json, job_state, list, object, outcome, parse, time, unsigned},
    scan::{Bind, Scan},
};

const COLUMNS: &str = "SELECT j.seq, j.id, j.rule, r.id AS revision, e.id AS event_id, j.key,
     j.plan ->> '$.account' AS account, j.state, j.reason, j.result, j.next_step, j.due_wall, j.created, j.started, j.finished
     FROM jobs j JOIN events e ON e.seq = j.event JOIN revisions r ON r.seq = j.revision";

/// See `History::jobs`.
pub(crate) async fn page(
    conn: &mut SqliteConnection,
    query: &JobQuery,
) -> Result<Page<Job>, Failure> {
    let mut scan = Scan::new("jobs", query.position, query.limit);
    scan.within(conn, ("job_minutes", "created"), (query.since, query.until))
        .await?;
    // The narrowest index leads; what is asked besides is looked at on the way.
    let mut has_lead = false;
    let mut ask = |scan: &mut Scan, along: &str, filter: &str, bind: Bind| {
        if has_lead {
            scan.filter(filter, vec![bind]);
        } else {
            scan.along(along, vec![bind]);
            has_lead = true;
        }
    };
    if let Some(event) = &query.event {
        ask(
            &mut scan,
            "event = (SELECT seq FROM events WHERE id = ?)",
            "",
            Bind::text(event.as_str()),
        );
    }
    if let Some(rule) = &query.rule {
        ask(
            &mut scan,
            "rule = ?",
            "+rule = ?",
            Bind::text(rule.as_str()),
        );
    }
    if let Some(state) = query.state {
        ask(
            &mut scan,
            "state = ?",
            "+state = ?",
            Bind::word(state.as_str()),
        );
    }
    let found = scan.run(conn).await?;
    let sql = format!("{COLUMNS} WHERE j.seq IN (SELECT value FROM json_each(?)) ORDER BY j.seq");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(list(&found.seqs))
        .fetch_all(&mut *conn)
        .await?;
    Ok(found.page_of(whole(conn, &rows).await?))
}

/// See `History::job`.
pub(crate) async fn get(conn: &mut SqliteConnection, id: &JobId) -> Result<Option<Job>, Failure> {
    let sql = format!("{COLUMNS} WHERE j.id = ?");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(id.as_str().to_owned())
        .fetch_all(&mut *conn)
        .await?;
    Ok(whole(conn, &rows).await?.pop())
}

/// Rows of jobs with what hangs on them.
async fn whole(conn: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<Vec<Job>, Failure> {
    let mut seqs = Vec::with_capacity(rows.len());
    let mut keys = Vec::new();
    for row in rows {
        seqs.push(row.try_get::<i64, _>("seq")?);
        let is_waiting = row.try_get::<&str, _>("state")? == JobState::Waiting.as_str();
        if let Some(key) = row
            .try_get::<Option<&str>, _>("key")?
            .filter(|_| is_waiting)
        {
            keys.push(key);
        }
    }
    let mut attempts = attempts(conn, &seqs).await?;
    let holders = keys::holders(conn, &keys).await?;
    rows.iter()
        .zip(&seqs)
        .map(|(row, seq)| job(row, attempts.remove(seq).unwrap_or_default(), &holders))
        .collect()
}

fn job(
    row: &SqliteRow,
    attempts: Vec<Attempt>,
    holders: &HashMap<String, JobId>,
) -> Result<Job, Failure> {
    let key: Option<String> = row.try_get("key")?;
    let state = job_state(row.try_get("state")?)?;
    let waits_for = match (state, &key) {
        (JobState::Waiting, Some(key)) => holders.get(key).cloned(),
        _ => None,
    };
    let account: Option<&str> = row.try_get("account")?;
    // Who has its key changes while it waits.
    let reason = match (&waits_for, &key) {
        (Some(holder), Some(key)) => Some(flow::waits_for(key, holder)),
        (Some(_), None) | (None, _) => row.try_get("reason")?,
    };
    Ok(Job {
        id: parse(row.try_get("id")?, "job id")?,
        rule: parse(row.try_get("rule")?, "rule name")?,
        revision: parse(row.try_get("revision")?, "revision")?,
        event_id: parse(row.try_get("event_id")?, "event id")?,
        account: account
            .map(|account| parse(account, "account of a job"))
            .transpose()?,
        state,
        reason,
        result: object(row.try_get("result")?)?,
        next_step: unsigned(row.try_get("next_step")?, "step")?,
        due: time(row.try_get("due_wall")?),
        waits_for,
        attempts,
        created: Timestamp::from_millis(row.try_get("created")?),
        started: time(row.try_get("started")?),
        finished: time(row.try_get("finished")?),
        key,
    })
}

async fn attempts(
    conn: &mut SqliteConnection,
    jobs: &[i64],
) -> Result<HashMap<i64, Vec<Attempt>>, Failure> {
    let mut steps = steps(conn, jobs).await?;
    let rows = sqlx::query(
        "SELECT job, number, worker, started, finished, outcome FROM attempts
         WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, number",
    )
    .bind(list(jobs))
    .fetch_all(conn)
    .await?;
    let mut attempts: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for row in rows {
        let (job, number): (i64, i64) = (row.try_get("job")?, row.try_get("number")?);
        attempts.entry(job).or_default().push(Attempt {
            number: unsigned(number, "number of an attempt")?,
            worker: parse(row.try_get("worker")?, "worker id")?,
            started: Timestamp::from_millis(row.try_get("started")?),
            finished: time(row.try_get("finished")?),
            outcome: outcome(row.try_get("outcome")?)?,
            steps: steps.remove(&(job, number)).unwrap_or_default(),
        });
    }
    Ok(attempts)
}

async fn steps(
    conn: &mut SqliteConnection,
    jobs: &[i64],
) -> Result<HashMap<(i64, i64), Vec<StepRecord>>, Failure> {
    let rows = sqlx::query(
        "SELECT job, attempt, step, kind, state, started, finished, exit, summary FROM steps
         WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, attempt, step",
    )
    .bind(list(jobs))
    .fetch_all(conn)
    .await?;
    let mut steps: HashMap<(i64, i64), Vec<StepRecord>> = HashMap::new();
    for row in rows {
        let of = (row.try_get("job")?, row.try_get("attempt")?);
        steps.entry(of).or_default().push(step(&row)?);
    }
    Ok(steps)
}

fn step(row: &SqliteRow) -> Result<StepRecord, Failure> {
    let (kind, state): (&str, &str) = (row.try_get("kind")?, row.try_get("state")?);
    let exit: Option<&str> = row.try_get("exit")?;
    Ok(StepRecord {
        index: unsigned(row.try_get("step")?, "step")?,
        kind: StepKind::ALL
            .into_iter()
            .find(|it| it.as_str() == kind)
            .ok_or_else(|| Failure::corrupt(format!("kind of a step `{kind}`")))?,
        state: StepState::ALL
            .into_iter()
            .find(|it| it.as_str() == state)
            .ok_or_else(|| Failure::corrupt(format!("state of a step `{state}`")))?,
        started: Timestamp::from_millis(row.try_get("started")?),
        finished: rows::time(row.try_get("finished")?),
        exit: exit
            .map(|exit| from_json(exit, "exit of a step"))
            .transpose()?,
        summary: row.try_get("summary")?,
    })
}
