//! Accepting events inside the writer's transaction.
//!
//! What several callers bring at the same moment becomes one multi-row
//! accept. Each caller's batch is still accepted whole or refused whole.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use model::{
    custody::Custody,
    fault::FaultPoint,
    flow::{self, Arrival, Existing},
    id::{EventId, JobId},
    ports::{AcceptError, Accepted, DeadKind, DeadLetterDraft, Judged},
    verdict::Firing,
};
use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::{
    chain,
    dead::{self, Letter},
    failure::Failure,
    firing::{Made, make},
    outbox,
    resume::{self, Returned},
    rows::{self, insert, list, severity_number, to_json},
    writer::Tx,
};

/// Milliseconds.
pub(crate) const MINUTE: i64 = 60_000;

/// An event with its columns, made ready outside the writer.
pub(crate) struct Row {
    pub(crate) judged: Judged,
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

    /// Those of its firings that take a place in the queue when their keys are
    /// free.
    fn would_open(&self) -> usize {
        self.judged
            .decisions
            .iter()
            .filter(|decision| flow::would_open(&decision.firing, &self.judged.custody))
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
    let mut known = HashMap::new();
    let most = tx.state.open_jobs + tx.state.returned_jobs + firings;
    if most > limit {
        known = look_up(tx.conn, all_ids(requests)).await?;
        let seqs: Vec<i64> = known.values().map(|it| it.seq).collect();
        let returned = resume::returned(tx, &seqs).await?;
        refuse_over_limit(requests, (&known, &returned), tx.state.open_jobs, limit);
    }
    let admitted: Vec<&Row> = requests
        .iter()
        .filter(|request| request.answer.is_none())
        .flat_map(|request| &request.rows)
        .collect();
    if admitted.is_empty() {
        return Ok(0);
    }
    let (kept, repeated) = keep_new(tx, &admitted, &mut known).await?;
    // What was accepted before comes before what is new, for its key too.
    resume_returned(tx, &admitted, &known).await?;
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
    chain::keep_causes(tx, &kept).await?;
    outbox::fill(tx, &kept).await?;
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

/// A request that would make jobs, or take up returned ones, beyond the limit
/// is refused; one that does neither is not.
fn refuse_over_limit(
    requests: &mut [Request],
    (known, returned): (&HashMap<EventId, Known>, &HashMap<i64, Vec<Returned>>),
    open: usize,
    limit: usize,
) {
    let mut open = open;
    let mut admitted: HashSet<EventId> = HashSet::new();
    for request in requests {
        let mut counted: HashSet<EventId> = HashSet::new();
        let mut jobs = 0;
        let mut opened = 0;
        for row in &request.rows {
            let first = known.get(row.id());
            let is_refused = first.is_some_and(|first| first.hash != row.hash);
            if is_refused || admitted.contains(row.id()) || !counted.insert(row.id().clone()) {
                continue;
            }
            match first {
                Some(first) => {
                    let custody = &row.judged.custody;
                    let again = returned.get(&first.seq).map_or(&[][..], Vec::as_slice);
                    jobs += again.len();
                    opened += again.iter().filter(|job| job.would_open(custody)).count();
                }
                None => {
                    jobs += row.firings();
                    opened += row.would_open();
                }
            }
        }
        if jobs > 0 && open + opened > limit {
            request.answer = Some(Err(AcceptError::QueueFull { limit }));
        } else {
            open += opened;
            admitted.extend(counted);
        }
    }
}

/// Takes up the returned jobs of events that came again, each under the first
/// delivery that brought it.
async fn resume_returned(
    tx: &mut Tx<'_>,
    admitted: &[&Row],
    known: &HashMap<EventId, Known>,
) -> Result<(), Failure> {
    if known.is_empty() || tx.state.returned_jobs == 0 {
        return Ok(());
    }
    let mut again: BTreeMap<i64, &Custody> = BTreeMap::new();
    for row in admitted {
        if let Some(first) = known.get(row.id()).filter(|first| first.hash == row.hash) {
            again.entry(first.seq).or_insert(&row.judged.custody);
        }
    }
    let events: Vec<i64> = again.keys().copied().collect();
    let returned = resume::returned(tx, &events).await?;
    let jobs = returned
        .into_iter()
        .flat_map(|(event, jobs)| jobs.into_iter().map(move |job| (event, job)))
        .filter_map(|(event, job)| Some((job, *again.get(&event)?)))
        .collect();
    resume::resume(tx, jobs).await
}

/// A row that was inserted, with the numbers that it got.
pub(crate) struct Kept<'r> {
    pub(crate) row: &'r Row,
    pub(crate) seq: i64,
    pub(crate) revision: i64,
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
