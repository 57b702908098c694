//! Accepting events inside the writer's transaction.
//!
//! What several callers bring at the same moment becomes one multi-row
//! accept. Each caller's batch is still accepted whole or refused whole.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use model::{
    fault::FaultPoint,
    flow::{self, Arrival, Existing, Flow, FlowState},
    id::{EventId, JobId, Revision, RuleName},
    job::JobState,
    ports::{AcceptError, Accepted, DeadKind, DeadLetterDraft, Judged},
    verdict::{Decision, Firing, Verdict},
};
use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::{
    dead::{self, Letter},
    failure::Failure,
    keys,
    rows::{self, insert, list, severity_number, to_json},
    writer::Tx,
};

const MINUTE: i64 = 60_000;

/// An event with its columns, made ready outside the writer.
pub(crate) struct Row {
    judged: Judged,
    hash: Arc<[u8]>,
    origin: Arc<str>,
    headers: Arc<str>,
    body: Arc<str>,
}

impl Row {
    pub(crate) fn new(judged: Judged) -> Self {
        Self {
            hash: rows::pack_hash(&judged.hash).into(),
            origin: to_json(&judged.event.origin).into(),
            headers: to_json(&judged.event.headers).into(),
            body: to_json(&judged.event.body).into(),
            judged,
        }
    }

    fn id(&self) -> &EventId {
        &self.judged.event.id
    }

    fn firings(&self) -> usize {
        self.judged
            .decisions
            .iter()
            .filter(|decision| matches!(decision.firing, Firing::Fire(_)))
            .count()
    }
}

type Answer = Result<Vec<Accepted>, AcceptError>;

/// What one caller wants accepted.
pub(crate) struct Request {
    rows: Vec<Row>,
    answer: Option<Answer>,
    reply: oneshot::Sender<Answer>,
}

impl Request {
    pub(crate) fn new(rows: Vec<Row>) -> (Self, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let request = Self {
            rows,
            answer: None,
            reply,
        };
        (request, answer)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    pub(crate) fn commit(self) {
        let answer = self.answer.expect("what was committed has run");
        // A caller that has gone needs no answer.
        self.reply.send(answer).ok();
    }

    pub(crate) fn fail(self, failure: Failure) {
        self.reply
            .send(Err(AcceptError::Store(failure.into())))
            .ok();
    }
}

/// An event that the store has: where, and the hash of its content.
#[derive(Clone)]
struct Known {
    seq: i64,
    hash: Arc<[u8]>,
}

/// Accepts the events of all requests and writes each one's answer into it.
/// Returns how many events were answered.
pub(crate) async fn run(
    tx: &mut Tx<'_>,
    requests: &mut [Request],
    limit: usize,
) -> Result<usize, Failure> {
    let firings: usize = requests
        .iter()
        .flat_map(|request| &request.rows)
        .map(Row::firings)
        .sum();
    // Far from the limit nothing must be known beforehand: the insertion
    // itself tells which ids are taken.
    let mut known = if tx.state.open_jobs + firings > limit {
        let known = look_up(tx.conn, all_ids(requests)).await?;
        refuse_over_limit(requests, &known, tx.state.open_jobs, limit);
        known
    } else {
        HashMap::new()
    };
    let admitted: Vec<&Row> = requests
        .iter()
        .filter(|request| request.answer.is_none())
        .flat_map(|request| &request.rows)
        .collect();
    if admitted.is_empty() {
        return Ok(0);
    }
    let (kept, repeated) = keep_new(tx, &admitted, &mut known).await?;
    let mut made = make(tx, &kept).await?;
    let mut answers = Vec::with_capacity(admitted.len());
    let mut again: BTreeMap<i64, u64> = BTreeMap::new();
    // Rows that were kept come in the order of the rows that were brought.
    let mut to_come = kept.iter().peekable();
    for row in &admitted {
        if let Some(it) = to_come.next_if(|it| std::ptr::eq(it.row, *row)) {
            if let Some(hash) = repeated.contains(row.id()).then(|| Arc::clone(&row.hash)) {
                known.insert(row.id().clone(), Known { seq: it.seq, hash });
            }
            answers.push(Unfinished::kept(row, it.seq));
        } else {
            let first = known
                .get(row.id())
                .expect("an event that was not kept has an earlier one of its id");
            answers.push(come_again(row, first, &mut made, &mut again));
        }
    }
    for (seq, jobs) in note_duplicates(tx, &again).await? {
        made.jobs_of.insert(seq, jobs);
    }
    dead::insert(tx, &made.letters).await?;
    let answers: Vec<Accepted> = answers
        .into_iter()
        .map(|answer| answer.with_jobs(&made.jobs_of))
        .collect();
    let count = answers.len();
    let mut answers = answers.into_iter();
    for request in requests.iter_mut().filter(|it| it.answer.is_none()) {
        let own = answers.by_ref().take(request.rows.len()).collect();
        request.answer = Some(Ok(own));
    }
    tx.before_commit(FaultPoint::BeforeAcceptCommit);
    tx.after_commit(FaultPoint::AfterAcceptCommitBeforeReply);
    Ok(count)
}

fn all_ids(requests: &[Request]) -> Vec<&str> {
    requests
        .iter()
        .flat_map(|request| &request.rows)
        .map(|row| row.id().as_str())
        .collect()
}

async fn look_up(
    conn: &mut SqliteConnection,
    ids: Vec<&str>,
) -> Result<HashMap<EventId, Known>, Failure> {
    let found: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
        "SELECT seq, id, hash FROM events WHERE id IN (SELECT value FROM json_each(?))",
    )
    .bind(list(&ids))
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|(seq, id, hash)| {
            let hash = hash.into();
            Ok((rows::parse(&id, "event id")?, Known { seq, hash }))
        })
        .collect()
}

/// A request that would make jobs beyond the limit is refused; one that makes
/// none is not.
fn refuse_over_limit(
    requests: &mut [Request],
    known: &HashMap<EventId, Known>,
    open: usize,
    limit: usize,
) {
    let mut open = open;
    let mut admitted: HashSet<EventId> = HashSet::new();
    for request in requests {
        let mut new: HashSet<EventId> = HashSet::new();
        let mut jobs = 0;
        for row in &request.rows {
            let is_known = known.contains_key(row.id()) || admitted.contains(row.id());
            if !is_known && new.insert(row.id().clone()) {
                jobs += row.firings();
            }
        }
        if jobs > 0 && open + jobs > limit {
            request.answer = Some(Err(AcceptError::QueueFull { limit }));
        } else {
            open += jobs;
            admitted.extend(new);
        }
    }
}

/// A row that was inserted, with the numbers that it got.
struct Kept<'r> {
    row: &'r Row,
    seq: i64,
    revision: i64,
}

/// Inserts the events whose ids are free. Those that turn out to be taken are
/// added to `known`; ids that occur more than once are returned beside.
async fn keep_new<'r>(
    tx: &mut Tx<'_>,
    admitted: &[&'r Row],
    known: &mut HashMap<EventId, Known>,
) -> Result<(Vec<Kept<'r>>, HashSet<&'r EventId>), Failure> {
    let mut ids: HashSet<&EventId> = HashSet::with_capacity(admitted.len());
    let mut repeated = HashSet::new();
    let mut new = Vec::with_capacity(admitted.len());
    for row in admitted {
        if known.contains_key(row.id()) {
            continue;
        }
        if !ids.insert(row.id()) {
            repeated.insert(row.id());
        } else {
            new.push(Kept {
                row,
                seq: tx.state.next_event(),
                revision: tx.state.revision(tx.conn, &row.judged.revision).await?,
            });
        }
    }
    let inserted = insert(
        tx.conn,
        (
            "INSERT INTO events (seq, id, topic, time, accepted, source, severity, revision,
             hash, origin, headers, body) VALUES",
            12,
            "ON CONFLICT (id) DO NOTHING",
        ),
        &new,
        |statement, kept| {
            let event = &kept.row.judged.event;
            statement
                .bind(kept.seq)
                .bind(event.id.as_str().to_owned())
                .bind(event.topic.as_str().to_owned())
                .bind(event.time.as_millis())
                .bind(event.accepted.as_millis())
                .bind(event.source.clone())
                .bind(severity_number(event.severity))
                .bind(kept.revision)
                .bind(Arc::clone(&kept.row.hash))
                .bind(Arc::clone(&kept.row.origin))
                .bind(Arc::clone(&kept.row.headers))
                .bind(Arc::clone(&kept.row.body))
        },
    )
    .await?;
    if inserted < new.len() as u64 {
        let ids = new.iter().map(|kept| kept.row.id().as_str()).collect();
        let mut found = look_up(tx.conn, ids).await?;
        new.retain(|kept| {
            let id = kept.row.id();
            let is_ours = found.get(id).is_some_and(|it| it.seq == kept.seq);
            if let Some(taken) = found.remove(id).filter(|_| !is_ours) {
                known.insert(id.clone(), taken);
            }
            is_ours
        });
    }
    note_minutes(tx, &new).await?;
    Ok((new, repeated))
}

/// Keeps the index of time up to date, once for each minute that occurs.
async fn note_minutes(tx: &mut Tx<'_>, kept: &[Kept<'_>]) -> Result<(), Failure> {
    let mut minutes: BTreeMap<i64, (i64, i64, i64)> = BTreeMap::new();
    for it in kept {
        let minute = it.row.judged.event.accepted.as_millis().div_euclid(MINUTE);
        let (_, last, count) = minutes.entry(minute).or_insert((it.seq, it.seq, 0));
        *last = it.seq;
        *count += 1;
    }
    for (minute, (first, last, count)) in minutes {
        sqlx::query(
            "INSERT INTO event_minutes (minute, first_seq, last_seq, events) VALUES (?, ?, ?, ?)
             ON CONFLICT (minute) DO UPDATE
             SET last_seq = excluded.last_seq, events = events + excluded.events",
        )
        .bind(minute)
        .bind(first)
        .bind(last)
        .bind(count)
        .execute(&mut *tx.conn)
        .await?;
    }
    Ok(())
}

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
    plan: String,
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
struct Made<'d> {
    jobs: Vec<NewJob<'d>>,
    verdicts: Vec<NewVerdict<'d>>,
    letters: Vec<Letter>,
    /// The jobs of each event, in rule order.
    jobs_of: HashMap<i64, Vec<JobId>>,
    /// Who has each key, new jobs included.
    holders: HashMap<String, JobId>,
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
            Firing::Suppress { .. } | Firing::Error { .. } => None,
        };
        let seen = FlowState {
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
        let (verdict, reason, job) = match (flow::decide(&seen, &decision.firing), &decision.firing)
        {
            (Flow::Create { state, reason }, Firing::Fire(plan)) => {
                let seq = next_job();
                let id = JobId::generate();
                if let (Some(key), None) = (key, &seen.key_holder) {
                    self.holders.insert(key.to_owned(), id.clone());
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
                    reason: reason.clone(),
                    plan: to_json(plan),
                });
                (Verdict::Fired, reason, Some(seq))
            }
            (Flow::Create { reason, .. }, Firing::Suppress { .. } | Firing::Error { .. }) => {
                // Only a firing makes a job; anything else is noted as what it is.
                (Verdict::Error, reason, None)
            }
            (
                Flow::Record {
                    verdict,
                    reason,
                    job: _,
                },
                Firing::Fire(_) | Firing::Suppress { .. } | Firing::Error { .. },
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
}

/// Decides what becomes of the firings of new events and writes it.
async fn make<'r>(tx: &mut Tx<'_>, kept: &[Kept<'r>]) -> Result<Made<'r>, Failure> {
    let keys: Vec<&str> = kept
        .iter()
        .flat_map(|it| &it.row.judged.decisions)
        .filter_map(|decision| match &decision.firing {
            Firing::Fire(plan) => plan.key.as_deref(),
            Firing::Suppress { .. } | Firing::Error { .. } => None,
        })
        .collect();
    let mut made = Made {
        holders: keys::holders(tx.conn, &keys).await?,
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
            };
            made.carry_out(about, decision, || tx.state.next_job());
        }
    }
    write(tx, &made).await?;
    Ok(made)
}

async fn write(tx: &mut Tx<'_>, made: &Made<'_>) -> Result<(), Failure> {
    let created = tx.now.wall.as_millis();
    insert(
        tx.conn,
        (
            "INSERT INTO jobs (seq, id, event, rule, revision, key, state, reason, created, plan)
             VALUES",
            10,
            "",
        ),
        &made.jobs,
        |statement, job| {
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
                .bind(job.plan.clone())
        },
    )
    .await?;
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
    tx.state.open_jobs += made.jobs.len();
    tx.effects.wake = true;
    Ok(())
}

/// An answer whose jobs are still to be filled in.
struct Unfinished {
    answer: Accepted,
    seq: Option<i64>,
}

impl Unfinished {
    fn kept(row: &Row, seq: i64) -> Self {
        Self {
            answer: Accepted {
                id: row.id().clone(),
                duplicate: false,
                conflict: false,
                jobs: Vec::new(),
            },
            seq: Some(seq),
        }
    }

    fn with_jobs(mut self, jobs_of: &HashMap<i64, Vec<JobId>>) -> Accepted {
        if let Some(jobs) = self.seq.and_then(|seq| jobs_of.get(&seq)) {
            self.answer.jobs.clone_from(jobs);
        }
        self.answer
    }
}

/// What becomes of an event whose id the store has.
fn come_again(
    row: &Row,
    first: &Known,
    made: &mut Made<'_>,
    again: &mut BTreeMap<i64, u64>,
) -> Unfinished {
    let event = &row.judged.event;
    let existing = if first.hash == row.hash {
        Existing::Same
    } else {
        Existing::Conflict
    };
    let mut answer = Accepted {
        id: event.id.clone(),
        duplicate: true,
        conflict: false,
        jobs: Vec::new(),
    };
    match flow::arrival(existing) {
        Arrival::Keep | Arrival::Duplicate => {
            *again.entry(first.seq).or_insert(0) += 1;
            Unfinished {
                answer,
                seq: Some(first.seq),
            }
        }
        Arrival::Conflict => {
            made.letters.push(Letter::refused(
                DeadLetterDraft {
                    kind: DeadKind::IdConflict,
                    cause: format!("event `{}` exists with another topic or body", event.id),
                    event_id: Some(event.id.clone()),
                    rule: None,
                    job_id: None,
                    source: event.source.clone(),
                    raw: Some(to_json(event).into_bytes()),
                },
                Arc::clone(&row.hash),
            ));
            answer.conflict = true;
            Unfinished { answer, seq: None }
        }
    }
}

/// Notes on each rule of an event that it came again: one verdict that counts,
/// so that a sender who repeats himself for ever fills no disk.
async fn note_duplicates(
    tx: &mut Tx<'_>,
    again: &BTreeMap<i64, u64>,
) -> Result<Vec<(i64, Vec<JobId>)>, Failure> {
    let mut jobs_of = Vec::with_capacity(again.len());
    for (&event, &times) in again {
        let jobs: Vec<(i64, String, String, i64)> =
            sqlx::query_as("SELECT seq, id, rule, revision FROM jobs WHERE event = ? ORDER BY seq")
                .bind(event)
                .fetch_all(&mut *tx.conn)
                .await?;
        let mut ids = Vec::with_capacity(jobs.len());
        for (seq, id, rule, revision) in jobs {
            note_duplicate(tx, event, (seq, &rule, revision), times).await?;
            ids.push(rows::parse(&id, "job id")?);
        }
        jobs_of.push((event, ids));
    }
    Ok(jobs_of)
}

async fn note_duplicate(
    tx: &mut Tx<'_>,
    event: i64,
    (job, rule, revision): (i64, &str, i64),
    times: u64,
) -> Result<(), Failure> {
    let noted: Option<(i64, i64)> = sqlx::query_as(
        "SELECT n, times FROM verdicts
         WHERE event = ? AND rule = ? AND verdict = 'duplicate' AND job = ?",
    )
    .bind(event)
    .bind(rule.to_owned())
    .bind(job)
    .fetch_optional(&mut *tx.conn)
    .await?;
    let times = i64::try_from(times).unwrap_or(i64::MAX);
    let total = times.saturating_add(noted.map_or(0, |(_, before)| before));
    let last = tx.now.wall;
    let reason = if total == 1 {
        format!("the event came again at {last}")
    } else {
        format!("the event came again {total} times, last at {last}")
    };
    let statement = match noted {
        Some((n, _)) => {
            sqlx::query("UPDATE verdicts SET times = ?1, reason = ?2 WHERE event = ?3 AND n = ?4")
                .bind(total)
                .bind(reason)
                .bind(event)
                .bind(n)
        }
        None => sqlx::query(
            "INSERT INTO verdicts (event, n, rule, revision, verdict, reason, job, times)
             SELECT ?3, coalesce(max(n), -1) + 1, ?4, ?5, 'duplicate', ?2, ?6, ?1
             FROM verdicts WHERE event = ?3",
        )
        .bind(total)
        .bind(reason)
        .bind(event)
        .bind(rule.to_owned())
        .bind(revision)
        .bind(job),
    };
    statement.execute(&mut *tx.conn).await?;
    Ok(())
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
        Firing::Suppress { .. } | Firing::Error { .. } => Vec::new(),
    };
    let mut made = Made {
        holders: keys::holders(tx.conn, &keys).await?,
        ..Made::default()
    };
    let about = About {
        seq,
        id: event,
        source: &source,
        revision: tx.state.revision(tx.conn, revision).await?,
        n,
        job,
    };
    made.carry_out(about, decision, || tx.state.next_job());
    write(tx, &made).await?;
    dead::insert(tx, &made.letters).await?;
    Ok(Some(made.jobs.pop().map(|job| job.id)))
}
