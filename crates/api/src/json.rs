//! The JSON of the HTTP API: one type for each answer, for the server that
//! writes it and the client that reads it.
//!
//! Nothing here knows HTTP or the engine. Field names are what other programs
//! build on: a field may be added, never renamed, and what is absent is `null`
//! rather than missing.

use model::{
    clock::Timestamp,
    diagnostic::Diagnostic,
    event::{Cause, Origin, RecordedEvent, Severity},
    id::{
        AccountName, DeadLetterId, EventId, JobId, Principal, Revision, RuleName, SinkName,
        WorkerId,
    },
    job::{self, Exit, JobState, OnLost, Outcome, StepKind, StepState},
    json::Object,
    ports::{self, DeadKind, DeadState},
    topic::Topic,
    verdict::{self, Truth, Verdict},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::json::{
    access::{AuditEntry, NewToken, Token, TokenRequest},
    chain::{Chain, Member, MemberJob},
    link::{Backlog, Sink, Source},
    status::{Playbooks, Readiness, Status, StoreStatus, WarmServer, Worker},
    task::{LoopFailure, LoopItems, TaskCounts, TaskEvent},
};

mod access;
mod chain;
mod link;
pub(crate) mod schema;
mod status;
mod task;

/// A page of a list. `next` goes back as `cursor` (or `after`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct List<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// Answer to `POST /api/v1/events`, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptedEvents {
    #[schemars(with = "Vec<schema::Accepted>")]
    pub events: Vec<ports::Accepted>,
}

/// An event of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    #[schemars(with = "String")]
    pub id: EventId,
    #[schemars(with = "String")]
    pub topic: Topic,
    #[schemars(with = "schema::Time")]
    pub time: Timestamp,
    #[schemars(with = "schema::Time")]
    pub accepted: Timestamp,
    pub source: String,
    #[schemars(with = "schema::Severity")]
    pub severity: Severity,
    pub headers: Object,
    pub body: Value,
    #[schemars(with = "schema::Origin")]
    pub origin: Origin,
    /// Absent: the event is no follow-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Cause>")]
    pub cause: Option<Cause>,
    /// The rules that judged it.
    #[schemars(with = "String")]
    pub revision: Revision,
}

impl From<RecordedEvent> for Event {
    fn from(recorded: RecordedEvent) -> Self {
        let RecordedEvent {
            event,
            revision,
            place: _,
        } = recorded;
        Self {
            id: event.id,
            topic: event.topic,
            time: event.time,
            accepted: event.accepted,
            source: event.source,
            severity: event.severity,
            headers: event.headers,
            body: event.body,
            origin: event.origin,
            cause: event.cause,
            revision,
        }
    }
}

/// What one rule decided about an event, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    #[schemars(with = "String")]
    pub rule: RuleName,
    #[schemars(with = "String")]
    pub revision: Revision,
    #[schemars(with = "schema::Verdict")]
    pub verdict: Verdict,
    pub reason: String,
    #[schemars(with = "Option<String>")]
    pub job_id: Option<JobId>,
    pub conditions: Vec<Condition>,
}

/// One sub-condition as it was evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    pub expr: String,
    /// `null` also when undefined; `note` then says so.
    pub value: Option<Value>,
    #[schemars(with = "schema::Truth")]
    pub result: Truth,
    pub note: Option<String>,
    /// Nesting inside `and`, `or` and `not`, from 0.
    pub depth: usize,
}

impl From<verdict::Explanation> for Explanation {
    fn from(explanation: verdict::Explanation) -> Self {
        Self {
            rule: explanation.rule,
            revision: explanation.revision,
            verdict: explanation.verdict,
            reason: explanation.reason,
            job_id: explanation.job_id,
            conditions: explanation
                .conditions
                .into_iter()
                .map(|trace| Condition {
                    expr: trace.expr,
                    value: trace.value,
                    result: trace.result,
                    note: trace.note,
                    depth: trace.depth,
                })
                .collect(),
        }
    }
}

/// A job with everything that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    #[schemars(with = "String")]
    pub id: JobId,
    #[schemars(with = "String")]
    pub rule: RuleName,
    #[schemars(with = "String")]
    pub revision: Revision,
    #[schemars(with = "String")]
    pub event_id: EventId,
    pub key: Option<String>,
    /// Who its programs run as; absent: the user of the service.
    #[schemars(with = "Option<String>")]
    #[serde(default)]
    pub account: Option<AccountName>,
    #[schemars(with = "schema::JobState")]
    pub state: JobState,
    /// Why it waits, is held, retries, failed or was returned.
    pub reason: Option<String>,
    pub result: Option<Object>,
    pub attempts: Vec<Attempt>,
    /// The step that the next attempt begins with.
    pub next_step: usize,
    /// For `retrying` and `delayed`: when the next attempt may begin.
    #[schemars(with = "Option<schema::Time>")]
    pub due: Option<Timestamp>,
    /// For `waiting`: the job that holds the key.
    #[schemars(with = "Option<String>")]
    pub waits_for: Option<JobId>,
    #[schemars(with = "schema::Time")]
    pub created: Timestamp,
    #[schemars(with = "Option<schema::Time>")]
    pub started: Option<Timestamp>,
    #[schemars(with = "Option<schema::Time>")]
    pub finished: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    pub number: u32,
    #[schemars(with = "String")]
    pub worker: WorkerId,
    #[schemars(with = "schema::Time")]
    pub started: Timestamp,
    #[schemars(with = "Option<schema::Time>")]
    pub finished: Option<Timestamp>,
    pub outcome: Option<OutcomeWord>,
    /// The outcome in one line.
    pub summary: Option<String>,
    #[schemars(with = "Option<schema::Exit>")]
    pub exit: Option<Exit>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub index: usize,
    #[schemars(with = "schema::StepKind")]
    pub kind: StepKind,
    #[schemars(with = "schema::StepState")]
    pub state: StepState,
    #[schemars(with = "schema::Time")]
    pub started: Timestamp,
    #[schemars(with = "Option<schema::Time>")]
    pub finished: Option<Timestamp>,
    #[schemars(with = "Option<schema::Exit>")]
    pub exit: Option<Exit>,
    pub summary: Option<String>,
}

/// How an attempt ended, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Unstartable,
    Lost,
}

impl OutcomeWord {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Unstartable => "unstartable",
            Self::Lost => "lost",
        }
    }
}

impl From<&Outcome> for OutcomeWord {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded { .. } => Self::Succeeded,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::TimedOut { .. } => Self::TimedOut,
            Outcome::Cancelled { .. } => Self::Cancelled,
            Outcome::Unstartable { .. } => Self::Unstartable,
            Outcome::Lost { .. } => Self::Lost,
        }
    }
}

impl From<job::Job> for Job {
    fn from(job: job::Job) -> Self {
        Self {
            id: job.id,
            rule: job.rule,
            revision: job.revision,
            event_id: job.event_id,
            key: job.key,
            account: job.account,
            state: job.state,
            reason: job.reason,
            result: job.result,
            attempts: job.attempts.into_iter().map(Attempt::from).collect(),
            next_step: job.next_step,
            due: job.due,
            waits_for: job.waits_for,
            created: job.created,
            started: job.started,
            finished: job.finished,
        }
    }
}

impl From<job::Attempt> for Attempt {
    fn from(attempt: job::Attempt) -> Self {
        let exit = attempt.exit();
        Self {
            number: attempt.number,
            worker: attempt.worker,
            started: attempt.started,
            finished: attempt.finished,
            outcome: attempt.outcome.as_ref().map(OutcomeWord::from),
            summary: attempt.outcome.as_ref().map(Outcome::summary),
            exit,
            steps: attempt.steps.into_iter().map(Step::from).collect(),
        }
    }
}

impl From<job::StepRecord> for Step {
    fn from(step: job::StepRecord) -> Self {
        Self {
            index: step.index,
            kind: step.kind,
            state: step.state,
            started: step.started,
            finished: step.finished,
            exit: step.exit,
            summary: step.summary,
        }
    }
}

/// Something that gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    #[schemars(with = "String")]
    pub id: DeadLetterId,
    #[schemars(with = "schema::DeadKind")]
    pub kind: DeadKind,
    #[schemars(with = "schema::DeadState")]
    pub state: DeadState,
    pub cause: String,
    #[schemars(with = "Option<String>")]
    pub event_id: Option<EventId>,
    #[schemars(with = "Option<String>")]
    pub rule: Option<RuleName>,
    #[schemars(with = "Option<String>")]
    pub job_id: Option<JobId>,
    pub source: String,
    #[schemars(with = "schema::Time")]
    pub created: Timestamp,
    /// When and by whom it was retried or discarded.
    #[schemars(with = "Option<schema::Time>")]
    pub closed: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub closed_by: Option<Principal>,
    /// How many bytes arrived, when something was kept of what arrived.
    pub raw_bytes: Option<usize>,
    /// What arrived, as text; in lists `null`. Bytes that are not UTF-8 stand
    /// as U+FFFD.
    pub raw: Option<String>,
}

impl DeadLetter {
    /// With what arrived.
    pub fn whole(letter: ports::DeadLetter) -> Self {
        let raw = letter
            .content
            .raw
            .as_deref()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Self {
            raw,
            ..Self::summary(letter)
        }
    }

    /// Without it, for lists.
    pub fn summary(letter: ports::DeadLetter) -> Self {
        let ports::DeadLetter {
            id,
            created,
            state,
            closed,
            content,
        } = letter;
        let (closed, closed_by) = closed.unzip();
        Self {
            id,
            kind: content.kind,
            state,
            cause: content.cause,
            event_id: content.event_id,
            rule: content.rule,
            job_id: content.job_id,
            source: content.source,
            created,
            closed,
            closed_by,
            raw_bytes: content.raw.map(|bytes| bytes.len()),
            raw: None,
        }
    }
}

/// Answer to `POST /api/v1/dead/{id}/retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadRetried {
    #[schemars(with = "String")]
    pub id: DeadLetterId,
    /// The job that was retried or made.
    #[schemars(with = "Option<String>")]
    pub job_id: Option<JobId>,
    /// What became of the event that was published again.
    #[schemars(with = "Option<schema::Accepted>")]
    pub event: Option<ports::Accepted>,
    /// The sink that the event waits for again.
    #[schemars(with = "Option<String>")]
    pub sink: Option<SinkName>,
    /// One line for people.
    pub summary: String,
}

/// A rule of the revision in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    #[schemars(with = "String")]
    pub name: RuleName,
    /// Relative to the project.
    pub file: String,
    pub line: usize,
    /// Topic patterns.
    pub on: Vec<String>,
    pub when: Option<String>,
    /// `live`, `shadow` or `off`.
    pub mode: String,
    pub steps: Vec<RuleStep>,
    pub retry: RuleRetry,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleStep {
    #[schemars(with = "schema::StepKind")]
    pub kind: StepKind,
    /// The playbook, the command, or what is published where, as the rule
    /// writes it.
    pub what: String,
    pub timeout_ms: u64,
    #[schemars(with = "schema::OnLost")]
    pub on_lost: OnLost,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleRetry {
    pub attempts: u32,
    pub delay_ms: u64,
    /// `exponential` or `fixed`.
    #[schemars(with = "schema::Backoff")]
    pub backoff: job::Backoff,
    pub max_delay_ms: u64,
}

/// Answer to `POST /api/v1/reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    #[schemars(with = "String")]
    pub revision: Revision,
    pub rules: usize,
    /// Whether it differs from the revision before.
    pub changed: bool,
    #[schemars(with = "Vec<schema::Diagnostic>")]
    pub warnings: Vec<Diagnostic>,
}

/// An error, as RFC 9457 writes it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:lariat:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// One of the words that the manual lists.
    pub code: String,
    #[serde(default)]
    pub errors: Vec<ProblemError>,
    /// For `invalid_rules`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<schema::Diagnostic>")]
    pub diagnostics: Vec<Diagnostic>,
}

/// One of the things that are wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemError {
    /// Which event of the request; `null` when it is not about an event.
    pub index: Option<usize>,
    /// The field or the query parameter; `null` when it is about the whole.
    pub field: Option<String>,
    pub message: String,
}
