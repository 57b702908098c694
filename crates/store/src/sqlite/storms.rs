//! Jobs that may not begin yet: what `model::flow` must know to decide about
//! rules that throttle, debounce or look at who waits, and what becomes of a
//! delayed job when it is due.
//!
//! Rules that say nothing of the kind cost nothing here.

use std::{collections::HashMap, time::Duration};

use model::{
    flow::{self, Creation, Moment, Pending, Steady, Tick, Window},
    id::{JobId, RuleName},
    job::{JobPlan, JobState, NextState},
    verdict::Firing,
};
use sqlx::{Row, SqliteConnection};

use super::{
    accept::Kept,
    failure::Failure,
    finish::{Head, settle},
    keys,
    rows::{self, from_json, list, parse},
    writer::Tx,
};

/// Delayed jobs that become ready in one transaction at most; the others are
/// due still.
const MOST_DUE: usize = 500;

/// The moment of the transaction. A boot that the store has not seen yet is
/// laid on the line here.
pub(crate) async fn moment(tx: &mut Tx<'_>) -> Result<Moment, Failure> {
    let boot = &tx.now.boot;
    let wall = tx.now.wall;
    if let Some(tick) = tx.state.steady.as_ref().and_then(|it| it.tick(boot)) {
        return Ok(Moment { tick, wall });
    }
    let stored: Option<(String, i64)> = sqlx::query_as("SELECT boot, zero FROM steady")
        .fetch_optional(&mut *tx.conn)
        .await?;
    let stored = stored.map(|(boot, zero)| Steady { boot, zero });
    let steady = match stored.filter(|stored| stored.boot == boot.boot) {
        Some(stored) => stored,
        None => {
            let seen: Option<i64> =
                sqlx::query_scalar("SELECT created FROM jobs ORDER BY seq DESC LIMIT 1")
                    .fetch_optional(&mut *tx.conn)
                    .await?;
            let steady = Steady::begin(wall, boot, rows::time(seen));
            sqlx::query("INSERT OR REPLACE INTO steady (one, boot, zero) VALUES (1, ?, ?)")
                .bind(steady.boot.clone())
                .bind(steady.zero)
                .execute(&mut *tx.conn)
                .await?;
            steady
        }
    };
    let tick = steady.tick(boot).expect("it is of this boot");
    tx.state.steady = Some(steady);
    Ok(Moment { tick, wall })
}

/// When the next delayed job is due, in milliseconds from `now`: none when no
/// job is delayed, and at once when the store has not seen this boot yet.
pub(crate) async fn next_due(
    conn: &mut SqliteConnection,
    now: &model::clock::BootTime,
) -> Result<Option<i64>, Failure> {
    let (due, zero): (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT min(due_tick) FROM jobs INDEXED BY jobs_delayed WHERE state = 'delayed'),
             (SELECT zero FROM steady WHERE boot = ?)",
    )
    .bind(now.boot.clone())
    .fetch_one(conn)
    .await?;
    Ok(due.map(|due| {
        zero.map_or(0, |zero| {
            due.saturating_sub(zero.saturating_add(now.millis)).max(0)
        })
    }))
}

/// What other jobs have to do with the firings of a batch, kept in step while
/// jobs are made of it.
#[derive(Default)]
pub(crate) struct Board<'d> {
    /// Present when a rule of the batch asks for anything of this.
    now: Option<Moment>,
    /// Those that wait or are delayed, of each rule and key that asks.
    pending: HashMap<(&'d RuleName, Option<&'d str>), Vec<Pending>>,
    /// What throttles have let through, of each rule and value of `by`.
    windows: HashMap<(&'d RuleName, &'d str), Window>,
    /// The rows of pending jobs that were there before.
    rows: HashMap<JobId, i64>,
}

/// A job that was there before and ends for a newer one.
pub(crate) struct Displaced {
    seq: i64,
    reason: String,
}

impl<'d> Board<'d> {
    /// Reads what the decisions about `kept` need.
    pub(crate) async fn of(tx: &mut Tx<'_>, kept: &[Kept<'d>]) -> Result<Self, Failure> {
        let plans = kept
            .iter()
            .flat_map(|it| &it.row.judged.decisions)
            .filter_map(|decision| match &decision.firing {
                Firing::Fire(plan) if !plan.flow.is_plain() => Some((&decision.rule, plan)),
                Firing::Fire(_)
                | Firing::Suppress { .. }
                | Firing::Shadow { .. }
                | Firing::Error { .. } => None,
            });
        Self::about(tx, plans).await
    }

    /// Reads what the decision about one plan needs.
    pub(crate) async fn of_one(
        tx: &mut Tx<'_>,
        rule: &'d RuleName,
        firing: &'d Firing,
    ) -> Result<Self, Failure> {
        match firing {
            Firing::Fire(plan) if !plan.flow.is_plain() => {
                Self::about(tx, std::iter::once((rule, plan))).await
            }
            Firing::Fire(_)
            | Firing::Suppress { .. }
            | Firing::Shadow { .. }
            | Firing::Error { .. } => Ok(Self::default()),
        }
    }

    async fn about(
        tx: &mut Tx<'_>,
        plans: impl Iterator<Item = (&'d RuleName, &'d JobPlan)>,
    ) -> Result<Self, Failure> {
        let mut board = Self::default();
        let mut limits: HashMap<(&RuleName, &str), (u32, Duration)> = HashMap::new();
        let mut is_asked = false;
        for (rule, plan) in plans {
            is_asked = true;
            if plan.flow.looks_at_pending() {
                let asks = (rule, plan.key.as_deref());
                board.pending.entry(asks).or_default();
            }
            if let Some(throttle) = &plan.flow.throttle {
                let by = throttle.by.as_deref().unwrap_or_default();
                let (limit, per) = limits.entry((rule, by)).or_default();
                *limit = throttle.limit.get().max(*limit);
                *per = throttle.per.max(*per);
            }
        }
        if !is_asked {
            return Ok(board);
        }
        board.now = Some(moment(tx).await?);
        board.read_pending(tx.conn).await?;
        let mut alike: HashMap<(u32, Duration), Vec<(&RuleName, &str)>> = HashMap::new();
        for (counted, limit) in limits {
            alike.entry(limit).or_default().push(counted);
        }
        for (limit, counted) in alike {
            board.read_windows(tx.conn, limit, &counted).await?;
        }
        Ok(board)
    }

    async fn read_pending(&mut self, conn: &mut SqliteConnection) -> Result<(), Failure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let asked: Vec<(&RuleName, Option<&str>)> = self.pending.keys().copied().collect();
        let names: Vec<(&str, Option<&str>)> = asked
            .iter()
            .map(|(rule, key)| (rule.as_str(), *key))
            .collect();
        let rows = sqlx::query(
            "SELECT asked.key AS asked, j.seq, j.id, j.due_tick, j.latest_tick, j.attempt
             FROM json_each(?1) asked CROSS JOIN jobs j INDEXED BY jobs_delayed_of
             WHERE j.state = 'delayed' AND j.rule = asked.value ->> 0
             AND j.key IS asked.value ->> 1
             UNION ALL
             SELECT asked.key, j.seq, j.id, NULL, NULL, j.attempt
             FROM json_each(?1) asked CROSS JOIN jobs j INDEXED BY jobs_key_waiting
             WHERE j.state = 'waiting' AND j.key = asked.value ->> 1
             AND j.rule = asked.value ->> 0
             ORDER BY 2",
        )
        .bind(list(&names))
        .fetch_all(conn)
        .await?;
        for row in &rows {
            let at: usize = rows::unsigned(row.try_get("asked")?, "place in a list")?;
            let job: JobId = parse(row.try_get("id")?, "job id")?;
            self.rows.insert(job.clone(), row.try_get("seq")?);
            let pending = asked.get(at).and_then(|asked| self.pending.get_mut(asked));
            pending.into_iter().for_each(|pending| {
                pending.push(Pending {
                    job: job.clone(),
                    due: row.get::<Option<i64>, _>("due_tick").map(Tick),
                    latest: row.get::<Option<i64>, _>("latest_tick").map(Tick),
                    begun: row.get::<i64, _>("attempt") > 0,
                });
            });
        }
        Ok(())
    }

    /// Reads windows that are as long and take as many.
    async fn read_windows(
        &mut self,
        conn: &mut SqliteConnection,
        (limit, per): (u32, Duration),
        counted: &[(&'d RuleName, &'d str)],
    ) -> Result<(), Failure> {
        let names: Vec<(&str, &str)> = counted
            .iter()
            .map(|(rule, by)| (rule.as_str(), *by))
            .collect();
        // Each that may give its place back lets an older one count.
        let newest = i64::from(limit).saturating_add(rows::signed(self.rows.len()));
        // What lies further back has left the window.
        let from = self.now().tick.0.saturating_sub(millis(per));
        let places: Vec<(i64, i64, String)> = sqlx::query_as(
            "SELECT counted.key, p.place, p.id
             FROM json_each(?1) counted CROSS JOIN jobs p
             WHERE p.seq IN (
                 SELECT j.seq FROM jobs j INDEXED BY jobs_throttle
                 WHERE j.rule = counted.value ->> 0 AND j.throttle = counted.value ->> 1
                 AND j.place > ?2 ORDER BY j.place DESC LIMIT ?3)",
        )
        .bind(list(&names))
        .bind(from)
        .bind(newest)
        .fetch_all(conn)
        .await?;
        let mut taken: HashMap<i64, Vec<(Tick, JobId)>> = HashMap::new();
        for (at, place, id) in places {
            let place = (Tick(place), parse(&id, "job id")?);
            taken.entry(at).or_default().push(place);
        }
        for (at, counted) in (0..).zip(counted) {
            let taken = taken.remove(&at).unwrap_or_default();
            self.windows.insert(*counted, Window::new(taken));
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Moment {
        self.now.unwrap_or(Moment {
            tick: Tick(0),
            wall: model::clock::Timestamp::default(),
        })
    }

    pub(crate) fn pending(&self, rule: &'d RuleName, plan: &'d JobPlan) -> &[Pending] {
        let pending = self.pending.get(&(rule, plan.key.as_deref()));
        pending.map_or(&[][..], Vec::as_slice)
    }

    pub(crate) fn window(&self, rule: &'d RuleName, plan: &'d JobPlan) -> Option<&Window> {
        let throttle = plan.flow.throttle.as_ref()?;
        let by = throttle.by.as_deref().unwrap_or_default();
        self.windows.get(&(rule, by))
    }

    /// Notes what was decided, so that the next decision sees it. Returns the
    /// jobs from before that it ends; those of this batch are the caller's.
    pub(crate) fn note(
        &mut self,
        (rule, plan): (&'d RuleName, &'d JobPlan),
        job: &JobId,
        creation: &Creation,
    ) -> Vec<Displaced> {
        let mut displaced = Vec::new();
        let mut window = plan.flow.throttle.as_ref().and_then(|throttle| {
            let by = throttle.by.as_deref().unwrap_or_default();
            self.windows.get_mut(&(rule, by))
        });
        if let Some(pending) = self.pending.get_mut(&(rule, plan.key.as_deref())) {
            for old in &creation.supersedes {
                let Some(at) = pending.iter().position(|it| it.job == *old) else {
                    continue;
                };
                let old = pending.remove(at);
                if let (Some(window), false) = (&mut window, old.begun) {
                    window.give_back(&old.job);
                }
                displaced.extend(self.rows.remove(&old.job).map(|seq| Displaced {
                    seq,
                    reason: flow::superseded_by(job, &plan.flow),
                }));
            }
            if let JobState::Waiting | JobState::Delayed = creation.state {
                pending.push(Pending {
                    job: job.clone(),
                    due: creation.due.map(|due| due.tick),
                    latest: creation.latest,
                    begun: false,
                });
            }
        }
        if let (Some(window), Some(place)) = (window, creation.place) {
            window.take(place, job.clone());
        }
        displaced
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Ends jobs that gave way to newer ones.
pub(crate) async fn end_displaced(tx: &mut Tx<'_>, displaced: &[Displaced]) -> Result<(), Failure> {
    for Displaced { seq, reason } in displaced {
        let job = Head::of(tx.conn, *seq).await?;
        let reason = reason.clone();
        settle(tx, &job, &NextState::Dropped { reason }).await?;
    }
    Ok(())
}

/// Makes delayed jobs that are due ready, in order of acceptance: each is
/// queued, or joins those that wait for its key.
pub(crate) async fn release_due(tx: &mut Tx<'_>) -> Result<(), Failure> {
    let now = moment(tx).await?.tick.0;
    let due = sqlx::query(
        "SELECT seq, id, key, CASE WHEN key IS NOT NULL THEN plan END AS plan FROM jobs
         WHERE seq IN (
             SELECT seq FROM jobs INDEXED BY jobs_delayed
             WHERE state = 'delayed' AND due_tick <= ? ORDER BY due_tick LIMIT ?)
         ORDER BY seq",
    )
    .bind(now)
    .bind(rows::signed(MOST_DUE))
    .fetch_all(&mut *tx.conn)
    .await?;
    if due.is_empty() {
        return Ok(());
    }
    let mut free: Vec<i64> = Vec::new();
    let mut keys = Vec::new();
    for row in &due {
        keys.extend(row.try_get::<Option<&str>, _>("key")?);
    }
    let mut holders = keys::holders(tx.conn, &keys).await?;
    for row in &due {
        let seq: i64 = row.try_get("seq")?;
        let Some(key) = row.try_get::<Option<&str>, _>("key")? else {
            free.push(seq);
            continue;
        };
        let plan: JobPlan = from_json(row.try_get("plan")?, "plan of a job")?;
        let (state, reason) = flow::when_due(&plan, holders.get(key));
        if state.is_ended() {
            let job = Head::of(tx.conn, seq).await?;
            settle(tx, &job, &NextState::Dropped { reason }).await?;
            continue;
        }
        if state.holds_key() {
            holders.insert(key.to_owned(), parse(row.try_get("id")?, "job id")?);
        }
        become_ready(tx, &[seq], (state, Some(reason))).await?;
    }
    become_ready(tx, &free, (JobState::Queued, None)).await?;
    tx.effects.wake = true;
    Ok(())
}

async fn become_ready(
    tx: &mut Tx<'_>,
    jobs: &[i64],
    (state, reason): (JobState, Option<String>),
) -> Result<(), Failure> {
    if jobs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE jobs SET state = ?, reason = ?, due_wall = NULL, due_tick = NULL,
         latest_tick = NULL WHERE seq IN (SELECT value FROM json_each(?))",
    )
    .bind(state.as_str())
    .bind(reason.filter(|reason| !reason.is_empty()))
    .bind(list(jobs))
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

/// The place of a job that ended before it began is free again.
pub(crate) async fn give_place_back(tx: &mut Tx<'_>, job: &Head) -> Result<(), Failure> {
    sqlx::query("UPDATE jobs SET throttle = NULL WHERE seq = ? AND throttle IS NOT NULL")
        .bind(job.seq)
        .execute(&mut *tx.conn)
        .await?;
    Ok(())
}
