//! What follows from the decisions about an event: its jobs, its verdicts
//! and its dead letters, decided by `model::flow` on the state of the
//! transaction and written in a few statements.

use std::collections::HashMap;

use model::{
    custody::Custody,
    flow::{self, Creation, Flow, FlowState, Moment, Tick},
    id::{EventId, JobId, Revision, RuleName},
    job::{JobPlan, JobState},
    ports::{DeadKind, DeadLetterDraft},
    verdict::{Decision, Firing, Verdict},
};

use super::{
    accept::{Kept, MINUTE},
    dead::{self, Letter},
    failure::Failure,
    keys,
    rows::{self, Statement, insert, to_json},
    storms::{self, Board, Displaced},
    writer::Tx,
};

/// A job to be inserted.
struct NewJob<'d> {
    seq: i64,
    id: JobId,
    event: i64,
    revision: i64,
    rule: &'d RuleName,
    key: Option<&'d str>,
    state: JobState,
    reason: String,
    delivery: Option<String>,
    plan: String,
    /// Of a rule that says something about storms.
    timing: Option<Timing<'d>>,
}

/// When a job may begin, and what it is counted under.
struct Timing<'d> {
    due: Option<Moment>,
    latest: Option<Tick>,
    throttle: Option<&'d str>,
    place: Option<Tick>,
}

impl<'d> Timing<'d> {
    fn of(plan: &'d JobPlan, creation: &Creation) -> Self {
        let throttle = plan
            .flow
            .throttle
            .as_ref()
            .filter(|_| creation.place.is_some());
        Self {
            due: creation.due,
            latest: creation.latest,
            throttle: throttle.map(|it| it.by.as_deref().unwrap_or_default()),
            place: creation.place,
        }
    }
}

/// A verdict to be inserted.
struct NewVerdict<'d> {
    event: i64,
    n: i64,
    rule: &'d RuleName,
    revision: i64,
    verdict: Verdict,
    reason: String,
    job: Option<i64>,
}

/// What follows from decisions, before it is written.
#[derive(Default)]
pub(crate) struct Made<'d> {
    jobs: Vec<NewJob<'d>>,
    verdicts: Vec<NewVerdict<'d>>,
    pub(crate) letters: Vec<Letter>,
    /// The jobs of each event, in rule order.
    pub(crate) jobs_of: HashMap<i64, Vec<JobId>>,
    /// Who has each key, new jobs included.
    holders: HashMap<String, JobId>,
    board: Board<'d>,
    /// Where among the new jobs those are that may give way to newer ones.
    places: HashMap<JobId, usize>,
    displaced: Vec<Displaced>,
}

/// The event that a decision is about.
struct About<'e> {
    seq: i64,
    id: &'e EventId,
    source: &'e str,
    revision: i64,
    /// The place of the verdict in the event's list.
    n: i64,
    /// The job that the rule has already, with its row.
    job: Option<(i64, JobId)>,
    custody: &'e Custody,
}

impl<'d> Made<'d> {
    fn carry_out(
        &mut self,
        about: About<'_>,
        decision: &'d Decision,
        next_job: impl FnOnce() -> i64,
    ) {
        let key = match &decision.firing {
            Firing::Fire(plan) => plan.key.as_deref(),
            Firing::Suppress { .. } | Firing::Shadow { .. } | Firing::Error { .. } => None,
        };
        let plan = match &decision.firing {
            Firing::Fire(plan) if !plan.flow.is_plain() => Some(plan),
            Firing::Fire(_)
            | Firing::Suppress { .. }
            | Firing::Shadow { .. }
            | Firing::Error { .. } => None,
        };
        let seen = FlowState {
            now: self.board.now(),
            pending: plan.map_or(&[], |plan| self.board.pending(&decision.rule, plan)),
            window: plan.and_then(|plan| self.board.window(&decision.rule, plan)),
            job: about.job.as_ref().map(|(_, id)| id.clone()),
            key_holder: key.and_then(|key| self.holders.get(key).cloned()),
        };
        if let Firing::Error { reason } = &decision.firing {
            self.letters.push(Letter::new(DeadLetterDraft {
                kind: DeadKind::RuleError,
                cause: reason.clone(),
                event_id: Some(about.id.clone()),
                rule: Some(decision.rule.clone()),
                job_id: None,
                source: about.source.to_owned(),
                raw: None,
            }));
        }
        let (verdict, reason, job) = match (
            flow::decide(&seen, &decision.firing, about.custody),
            &decision.firing,
        ) {
            (Flow::Create(creation), Firing::Fire(plan)) => {
                let seq = next_job();
                let id = JobId::generate();
                let (state, explained) = (creation.state, creation.explained());
                let mut timing = None;
                if !plan.flow.is_plain() {
                    timing = Some(Timing::of(plan, &creation));
                    self.make_room(decision, plan, (&id, &creation));
                }
                let reason = creation.reason;
                if let Some(key) = key
                    && state.holds_key()
                {
                    self.holders.insert(key.to_owned(), id.clone());
                }
                if state == JobState::Failed {
                    self.letters.push(Letter::new(DeadLetterDraft {
                        kind: DeadKind::JobFailed,
                        cause: reason.clone(),
                        event_id: Some(about.id.clone()),
                        rule: Some(decision.rule.clone()),
                        job_id: Some(id.clone()),
                        source: about.source.to_owned(),
                        raw: None,
                    }));
                }
                self.jobs_of.entry(about.seq).or_default().push(id.clone());
                self.jobs.push(NewJob {
                    seq,
                    id,
                    event: about.seq,
                    revision: about.revision,
                    rule: &decision.rule,
                    key,
                    state,
                    reason,
                    delivery: about.custody.worker().map(|it| it.as_str().to_owned()),
                    plan: to_json(plan),
                    timing,
                });
                (Verdict::Fired, explained, Some(seq))
            }
            (
                Flow::Create(Creation { reason, .. }),
                Firing::Suppress { .. } | Firing::Shadow { .. } | Firing::Error { .. },
            ) => {
                // Only a firing makes a job; anything else is noted as what it is.
                (Verdict::Error, reason, None)
            }
            (
                Flow::Record {
                    verdict,
                    reason,
                    job: _,
                },
                Firing::Fire(_)
                | Firing::Suppress { .. }
                | Firing::Shadow { .. }
                | Firing::Error { .. },
            ) => {
                let job = about.job.filter(|_| verdict == Verdict::Duplicate);
                (verdict, reason, job.map(|(seq, _)| seq))
            }
        };
        self.verdicts.push(NewVerdict {
            event: about.seq,
            n: about.n,
            rule: &decision.rule,
            revision: about.revision,
            verdict,
            reason,
            job,
        });
    }

    /// Ends those that give way to a new job, which is the next in the list.
    fn make_room(
        &mut self,
        decision: &'d Decision,
        plan: &'d JobPlan,
        (id, creation): (&JobId, &Creation),
    ) {
        for old in &creation.supersedes {
            let old = self.places.get(old).and_then(|at| self.jobs.get_mut(*at));
            if let Some(old) = old {
                old.state = JobState::Cancelled;
                old.reason = flow::superseded_by(id, &plan.flow);
                old.timing = None;
            }
        }
        let displaced = self.board.note((&decision.rule, plan), id, creation);
        self.displaced.extend(displaced);
        if plan.flow.looks_at_pending() {
            self.places.insert(id.clone(), self.jobs.len());
        }
    }
}

/// Decides what becomes of the firings of new events and writes it.
pub(crate) async fn make<'r>(tx: &mut Tx<'_>, kept: &[Kept<'r>]) -> Result<Made<'r>, Failure> {
    let keys: Vec<&str> = kept
        .iter()
        .flat_map(|it| &it.row.judged.decisions)
        .filter_map(|decision| match &decision.firing {
            Firing::Fire(plan) => plan.key.as_deref(),
            Firing::Suppress { .. } | Firing::Shadow { .. } | Firing::Error { .. } => None,
        })
        .collect();
    let mut made = Made {
        holders: keys::holders(tx.conn, &keys).await?,
        board: Board::of(tx, kept).await?,
        ..Made::default()
    };
    for it in kept {
        let event = &it.row.judged.event;
        for (n, decision) in it.row.judged.decisions.iter().enumerate() {
            let about = About {
                seq: it.seq,
                id: &event.id,
                source: &event.source,
                revision: it.revision,
                n: rows::signed(n),
                job: None,
                custody: &it.row.judged.custody,
            };
            made.carry_out(about, decision, || tx.state.next_job());
        }
    }
    write(tx, &made).await?;
    Ok(made)
}

async fn write(tx: &mut Tx<'_>, made: &Made<'_>) -> Result<(), Failure> {
    let created = tx.now.wall.as_millis();
    storms::end_displaced(tx, &made.displaced).await?;
    insert_jobs(tx, &made.jobs).await?;
    insert(
        tx.conn,
        (
            "INSERT INTO verdicts (event, n, rule, revision, verdict, reason, job) VALUES",
            7,
            "",
        ),
        &made.verdicts,
        |statement, verdict| {
            statement
                .bind(verdict.event)
                .bind(verdict.n)
                .bind(verdict.rule.as_str().to_owned())
                .bind(verdict.revision)
                .bind(verdict.verdict.as_str())
                .bind(verdict.reason.clone())
                .bind(verdict.job)
        },
    )
    .await?;
    let (Some(first), Some(last)) = (made.jobs.first(), made.jobs.last()) else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO job_minutes (minute, first_seq, last_seq) VALUES (?, ?, ?)
         ON CONFLICT (minute) DO UPDATE SET last_seq = excluded.last_seq",
    )
    .bind(created.div_euclid(MINUTE))
    .bind(first.seq)
    .bind(last.seq)
    .execute(&mut *tx.conn)
    .await?;
    tx.state.open_jobs += made.jobs.iter().filter(|job| !job.state.is_ended()).count();
    tx.effects.wake = true;
    Ok(())
}

/// Jobs of rules that say nothing about storms have no columns for it.
async fn insert_jobs(tx: &mut Tx<'_>, jobs: &[NewJob<'_>]) -> Result<(), Failure> {
    const PLAIN: (&str, usize, &str) = (
        "INSERT INTO jobs (seq, id, event, rule, revision, key, state, reason, created,
         finished, delivery, plan) VALUES",
        12,
        "",
    );
    const TIMED: (&str, usize, &str) = (
        "INSERT INTO jobs (seq, id, event, rule, revision, key, state, reason, created,
         finished, delivery, plan, due_wall, due_tick, latest_tick, throttle, place) VALUES",
        17,
        "",
    );
    let created = tx.now.wall.as_millis();
    if jobs.iter().all(|job| job.timing.is_none()) {
        insert(tx.conn, PLAIN, jobs, |statement, job| {
            bind_job(statement, job, created)
        })
        .await?;
        return Ok(());
    }
    let (timed, plain): (Vec<&NewJob<'_>>, Vec<&NewJob<'_>>) =
        jobs.iter().partition(|job| job.timing.is_some());
    insert(tx.conn, PLAIN, &plain, |statement, job| {
        bind_job(statement, job, created)
    })
    .await?;
    insert(tx.conn, TIMED, &timed, |statement, job| {
        let timing = job.timing.as_ref();
        let due = timing.and_then(|it| it.due);
        bind_job(statement, job, created)
            .bind(due.map(|due| due.wall.as_millis()))
            .bind(due.map(|due| due.tick.0))
            .bind(timing.and_then(|it| it.latest).map(|it| it.0))
            .bind(timing.and_then(|it| it.throttle).map(str::to_owned))
            .bind(timing.and_then(|it| it.place).map(|it| it.0))
    })
    .await?;
    Ok(())
}

fn bind_job<'q>(statement: Statement<'q>, job: &NewJob<'_>, created: i64) -> Statement<'q> {
    statement
        .bind(job.seq)
        .bind(job.id.as_str().to_owned())
        .bind(job.event)
        .bind(job.rule.as_str().to_owned())
        .bind(job.revision)
        .bind(job.key.map(str::to_owned))
        .bind(job.state.as_str())
        .bind((!job.reason.is_empty()).then(|| job.reason.clone()))
        .bind(created)
        .bind(job.state.is_ended().then_some(created))
        .bind(job.delivery.clone())
        .bind(job.plan.clone())
}

/// Carries out a decision about an event that is kept. See `Intake::refire`.
pub(crate) async fn refire(
    tx: &mut Tx<'_>,
    event: &EventId,
    revision: &Revision,
    decision: &Decision,
) -> Result<Option<Option<JobId>>, Failure> {
    let found: Option<(i64, String)> =
        sqlx::query_as("SELECT seq, source FROM events WHERE id = ?")
            .bind(event.as_str().to_owned())
            .fetch_optional(&mut *tx.conn)
            .await?;
    let Some((seq, source)) = found else {
        return Ok(None);
    };
    let job: Option<(i64, String)> =
        sqlx::query_as("SELECT seq, id FROM jobs WHERE event = ? AND rule = ?")
            .bind(seq)
            .bind(decision.rule.as_str().to_owned())
            .fetch_optional(&mut *tx.conn)
            .await?;
    let job = job
        .map(|(seq, id)| Ok::<_, Failure>((seq, rows::parse(&id, "job id")?)))
        .transpose()?;
    let n: i64 =
        sqlx::query_scalar("SELECT coalesce(max(n), -1) + 1 FROM verdicts WHERE event = ?")
            .bind(seq)
            .fetch_one(&mut *tx.conn)
            .await?;
    let keys: Vec<&str> = match &decision.firing {
        Firing::Fire(plan) => plan.key.as_deref().into_iter().collect(),
        Firing::Suppress { .. } | Firing::Shadow { .. } | Firing::Error { .. } => Vec::new(),
    };
    let mut made = Made {
        holders: keys::holders(tx.conn, &keys).await?,
        board: Board::of_one(tx, &decision.rule, &decision.firing).await?,
        ..Made::default()
    };
    let about = About {
        seq,
        id: event,
        source: &source,
        revision: tx.state.revision(tx.conn, revision).await?,
        n,
        job,
        custody: &Custody::Store,
    };
    made.carry_out(about, decision, || tx.state.next_job());
    write(tx, &made).await?;
    dead::insert(tx, &made.letters).await?;
    Ok(Some(made.jobs.pop().map(|job| job.id)))
}
