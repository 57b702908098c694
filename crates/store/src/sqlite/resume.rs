//! Jobs whose delivery went back to its broker and has come again: taken up
//! where they stand, as `model::flow::resume` says.

use std::collections::HashMap;

use model::{
    custody::Custody,
    flow::{self, Moment, ReturnedJob, Tick},
    id::JobId,
    job::{JobPlan, JobState},
};
use sqlx::{AssertSqlSafe, Row, sqlite::SqliteRow};

use super::{
    failure::Failure,
    finish::{HEAD_COLUMNS, Head, bury},
    keys,
    rows::{from_json, list, unsigned},
    storms,
    writer::Tx,
};

/// A job that is `returned`.
pub(crate) struct Returned {
    head: Head,
    event: i64,
    plan: JobPlan,
    next_step: usize,
    /// The step that was lost with its last attempt.
    interrupted: Option<usize>,
    /// When it was due, if it was delayed.
    due: Option<Tick>,
}

impl Returned {
    fn read(row: &SqliteRow) -> Result<Self, Failure> {
        let interrupted: Option<i64> = row.try_get("interrupted")?;
        Ok(Self {
            head: Head::read(row)?,
            event: row.try_get("event")?,
            plan: from_json(row.try_get("plan")?, "plan of a job")?,
            next_step: unsigned(row.try_get("next_step")?, "step")?,
            interrupted: interrupted.map(|step| unsigned(step, "step")).transpose()?,
            due: row.try_get::<Option<i64>, _>("due_tick")?.map(Tick),
        })
    }

    fn resumed(
        &self,
        custody: &Custody,
        key_holder: Option<JobId>,
        due: Option<Moment>,
    ) -> (JobState, String) {
        let state = ReturnedJob {
            next_step: self.next_step,
            interrupted: self.interrupted,
            key_holder,
            due,
        };
        flow::resume(&state, &self.plan, custody)
    }

    /// Whether it takes a place in the queue when its key is free.
    pub(crate) fn would_open(&self, custody: &Custody) -> bool {
        let (state, _) = self.resumed(custody, None, None);
        !state.is_ended()
    }
}

/// The returned jobs of events that are kept, by event, each in rule order.
pub(crate) async fn returned(
    tx: &mut Tx<'_>,
    events: &[i64],
) -> Result<HashMap<i64, Vec<Returned>>, Failure> {
    let mut jobs: HashMap<i64, Vec<Returned>> = HashMap::new();
    if events.is_empty() || tx.state.returned_jobs == 0 {
        return Ok(jobs);
    }
    let sql = format!(
        "SELECT {HEAD_COLUMNS}, event, next_step, due_tick, (
             SELECT step FROM steps
             WHERE job = jobs.seq AND steps.attempt = jobs.attempt AND steps.state = 'lost'
         ) AS interrupted
         FROM jobs
         WHERE event IN (SELECT value FROM json_each(?)) AND +state = 'returned' ORDER BY seq"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(list(events))
        .fetch_all(&mut *tx.conn)
        .await?;
    for row in &rows {
        let job = Returned::read(row)?;
        jobs.entry(job.event).or_default().push(job);
    }
    Ok(jobs)
}

/// Takes up jobs under the custody of the delivery that brought each again,
/// in the order in which they were accepted.
pub(crate) async fn resume(
    tx: &mut Tx<'_>,
    mut jobs: Vec<(Returned, &Custody)>,
) -> Result<(), Failure> {
    jobs.sort_by_key(|(job, _)| job.head.seq);
    let keys: Vec<&str> = jobs
        .iter()
        .filter_map(|(job, _)| job.head.key.as_deref())
        .collect();
    let mut holders = keys::holders(tx.conn, &keys).await?;
    for (job, custody) in &jobs {
        let key = job.head.key.as_ref();
        let holder = key.and_then(|key| holders.get(key).cloned());
        let due = match job.due {
            Some(due) => {
                let now = storms::moment(tx).await?;
                Some(now.at(due)).filter(|due| due.tick > now.tick)
            }
            None => None,
        };
        let (state, reason) = job.resumed(custody, holder, due);
        if let Some(key) = key
            && state.holds_key()
        {
            holders.insert(key.clone(), job.head.id.clone());
        }
        take_up(tx, &job.head, (state, &reason), custody).await?;
        if let (JobState::Delayed, Some(due)) = (state, due) {
            sqlx::query("UPDATE jobs SET due_wall = ? WHERE seq = ?")
                .bind(due.wall.as_millis())
                .bind(job.head.seq)
                .execute(&mut *tx.conn)
                .await?;
        }
    }
    Ok(())
}

async fn take_up(
    tx: &mut Tx<'_>,
    job: &Head,
    (state, reason): (JobState, &str),
    custody: &Custody,
) -> Result<(), Failure> {
    sqlx::query("UPDATE jobs SET state = ?, reason = ?, delivery = ?, finished = ? WHERE seq = ?")
        .bind(state.as_str())
        .bind((!reason.is_empty()).then(|| reason.to_owned()))
        .bind(custody.worker().map(|it| it.as_str().to_owned()))
        .bind(state.is_ended().then(|| tx.now.wall.as_millis()))
        .bind(job.seq)
        .execute(&mut *tx.conn)
        .await?;
    tx.state.returned_jobs = tx.state.returned_jobs.saturating_sub(1);
    if !state.is_ended() {
        tx.state.open_jobs += 1;
        tx.effects.wake = true;
    }
    if state == JobState::Failed {
        bury(tx, job, reason).await?;
    }
    Ok(())
}
