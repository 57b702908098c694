//! What the engine needs from the outside, and nothing else knows of it.
//!
//! A port is object-safe and small. Each line of a contract is a test of the
//! same name in `testkit::contract`, run against every implementation.

use std::{collections::BTreeMap, error::Error, fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub mod access;
pub mod chain;
pub mod custody;
pub mod lifecycle;
pub mod outbox;
pub mod task;
pub mod transport;

use crate::{
    account::Grants,
    action::{StepCall, StepContext, StepControl, StepReport},
    clock::Timestamp,
    custody::Custody,
    diagnostic::Diagnostic,
    event::{Event, RecordedEvent},
    id::{
        DeadLetterId, EventId, JobId, LeaseId, Principal, Revision, RuleName, SinkName, WorkerId,
    },
    job::{Job, JobState, Lease, NextState, Outcome, StepEnd, StepKind},
    json::ContentHash,
    page::{Cursor, DeadQuery, EventQuery, JobQuery, List, Page},
    verdict::{Decision, StoredVerdict},
    warm::Starts,
};

/// Why a store could not do what it was asked to. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the disk that holds the store is full")]
    Full(#[source] Box<dyn Error + Send + Sync>),
    #[error("the store is read-only")]
    ReadOnly(#[source] Box<dyn Error + Send + Sync>),
    #[error("the store cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("the store did not answer within {} s", .after.as_secs_f64())]
    Deadline { after: Duration },
    #[error("the store is closed")]
    Closed,
    #[error("the store failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    #[error("the store holds something that cannot be read: {what}")]
    Corrupt { what: String },
}

/// Why events were not accepted. None of the batch was.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("{limit} jobs wait already")]
    QueueFull { limit: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event with what its rules decided, ready to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Shared, since what is refused for now is handed over again.
    pub event: Arc<Event>,
    pub hash: ContentHash,
    pub revision: Revision,
    /// What matched; rules that did not are absent.
    pub decisions: Vec<Decision>,
    /// Who answers for the jobs that come of it.
    pub custody: Custody,
    /// The sinks that the event goes on to.
    pub routes: Vec<SinkName>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub id: EventId,
    /// The store had an event of this id.
    pub duplicate: bool,
    /// … with another topic or body; a dead letter was made.
    pub conflict: bool,
    /// The jobs of the event, the original's for a duplicate, in rule order.
    pub jobs: Vec<JobId>,
}

/// Takes events in: the event, its verdicts and its jobs, in one transaction.
///
/// Contract:
/// - `accepting_keeps_the_event_its_verdicts_and_its_jobs_together`
/// - `accepting_an_event_again_makes_nothing_and_names_the_first_jobs`
/// - `another_body_under_a_known_id_becomes_a_dead_letter`
/// - `an_id_twice_in_one_batch_is_a_duplicate`
/// - `a_batch_over_the_queue_limit_changes_nothing`
/// - `a_rule_that_cannot_compute_its_key_leaves_a_verdict_and_a_dead_letter`
/// - `a_job_whose_key_is_held_waits`
/// - `refiring_makes_one_job_for_a_rule_and_an_event`
/// - `a_debounced_job_is_delayed_until_its_rule_is_quiet`
/// - `a_firing_takes_the_place_of_one_that_waits_for_quiet`
/// - `a_throttle_lets_through_what_its_window_has_room_for`
/// - `a_throttle_that_queues_gives_each_job_its_own_time`
/// - `a_busy_key_is_waited_for_by_the_latest_or_not_at_all`
/// - `events_of_one_batch_are_decided_one_after_the_other`
/// - `a_firing_counts_towards_the_queue_limit_whatever_stands_against_it`
/// - `a_rule_on_trial_leaves_a_verdict_and_no_job`
/// - `an_event_is_put_into_the_outbox_of_each_route_once`
/// - `a_job_taken_over_follows_its_on_lost`
/// - `a_returned_job_is_resumed_when_its_delivery_comes_again`
#[async_trait]
pub trait Intake: Send + Sync {
    /// Accepts all of `batch` or nothing; returns once it is durable. Answers
    /// stand in the order of the batch. Decisions about other events
    /// (duplicates, keys, storms) are [`crate::flow`]'s, on the state read inside the
    /// transaction; a duplicate is noted as a verdict on each of its rules,
    /// those that have a job of it: one verdict however often it comes. In the
    /// same way a refused event is one open dead letter.
    ///
    /// With [`Custody::Broker`] the jobs belong to that worker's delivery. For
    /// a duplicate whose jobs are `returned` they become what
    /// [`crate::flow::resume`] says, and belong to the new delivery; jobs in
    /// any other state are left as they are. A new event is put into the
    /// outbox of each of its routes; a duplicate is not put again.
    ///
    /// `QueueFull` is the answer when rules fire for the batch and, if other
    /// jobs stood in the way of none of it, more jobs than the limit would not
    /// have ended after it. A batch for which none fires, such as a repeated
    /// one, is accepted however full the queue is.
    async fn accept(&self, batch: Vec<Judged>) -> Result<Vec<Accepted>, AcceptError>;

    /// Carries out a decision about an event that is already kept: what a
    /// retried dead letter of kind `rule_error` does. The unique (rule, event)
    /// holds. `None` when the event is not there; the job is absent when the
    /// decision made none.
    async fn refire(
        &self,
        event: &EventId,
        revision: &Revision,
        decision: &Decision,
    ) -> Result<Option<Option<JobId>>, StoreError>;
}

/// What a renewal found of a lease that is still held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    pub lease: LeaseId,
    /// Somebody asked for the job to be cancelled.
    pub cancel: Option<Principal>,
}

/// Whether what a worker recorded was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fenced {
    Recorded,
    /// The lease had ended; nothing was changed.
    Stale,
}

/// What was done about a lease that ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub lease: LeaseId,
    pub worker: WorkerId,
    pub rule: RuleName,
    pub next: NextState,
}

/// Who claims, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    pub worker: WorkerId,
    /// Whether jobs that belong to a delivery of this worker may be claimed
    /// now. Those of other workers' deliveries never are.
    pub deliveries: bool,
}

/// Hands out jobs that are ready to run. The job table is the queue.
///
/// Leases and delays are measured on the boot-time clock, so a jump of the
/// wall clock neither ends nor prolongs one.
///
/// Contract:
/// - `a_job_is_leased_to_one_worker_at_a_time`
/// - `an_expired_lease_is_claimed_again_with_a_higher_attempt_number`
/// - `jobs_of_one_key_are_claimed_in_order_one_at_a_time`
/// - `a_job_that_retries_or_is_held_keeps_its_key`
/// - `a_retrying_job_is_claimed_when_its_delay_has_passed`
/// - `a_claim_wakes_when_a_job_arrives`
/// - `renewing_returns_the_leases_still_held_and_what_is_to_be_cancelled`
/// - `advancing_records_a_step_and_begins_the_next`
/// - `finishing_with_a_stale_lease_changes_nothing_and_says_so`
/// - `output_is_kept_in_order_and_refused_from_a_stale_lease`
/// - `a_failed_job_is_a_dead_letter_with_its_cause`
/// - `recovery_follows_what_the_interrupted_step_says`
/// - `a_wall_clock_that_jumps_ends_no_lease`
/// - `a_delayed_job_that_is_due_takes_its_place_by_acceptance`
/// - `delays_and_windows_follow_the_boot_clock_and_after_a_reboot_the_wall`
/// - `a_job_of_a_delivery_is_claimed_by_its_worker_alone`
/// - `a_lost_job_of_a_delivery_is_returned`
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Claims up to `max` jobs, oldest first, for `lease`; waits up to `wait`
    /// for the first. The attempt and the beginning of its first step are
    /// recorded with the claim. A lease that ran out is not claimed before
    /// [`Self::recover`] has recorded the loss. Delayed jobs that are due
    /// become what [`crate::flow::when_due`] says, in order of acceptance,
    /// here and in [`Self::recover`]. Without `wait` the answer is
    /// what can be had now.
    async fn claim(
        &self,
        who: &Claimant,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Lease>, StoreError>;

    /// Extends the leases that are still held, to `lease` from now; those
    /// that are absent from the answer are lost. A lease whose time has passed
    /// is not held any more, recovered or not: no call revives it.
    async fn renew(&self, leases: &[LeaseId], lease: Duration) -> Result<Vec<Renewed>, StoreError>;

    /// Records that a step ended well and that the next one begins. Doing it
    /// again for the same step changes nothing and is `Recorded`.
    async fn advance(&self, lease: &LeaseId, ended: &StepEnd) -> Result<Fenced, StoreError>;

    /// Keeps a piece of the output of a step, in order.
    async fn append_output(
        &self,
        lease: &LeaseId,
        step: usize,
        bytes: Vec<u8>,
    ) -> Result<Fenced, StoreError>;

    /// Records how the last step and the attempt ended and what becomes of the
    /// job, in one transaction. An ended job releases its key; a failed one
    /// also becomes a dead letter. A cancel that was asked for meanwhile is
    /// heeded, see [`NextState::heeding`].
    async fn finish(
        &self,
        lease: &LeaseId,
        last: Option<&StepEnd>,
        outcome: &Outcome,
        next: &NextState,
    ) -> Result<Fenced, StoreError>;

    /// Finds leases that ran out and records each as lost, with what
    /// [`crate::job::after_lost_lease`] says of it, a cancel that was asked for
    /// heeded. The step that ran is recorded as lost with the attempt.
    /// Idempotent. At most `max` at a time. `roll` is the jitter's dice.
    async fn recover(&self, max: usize, roll: f64) -> Result<Vec<Recovered>, StoreError>;
}

/// Answer to a request about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Controlled {
    /// Done; this is the state now. A running job is asked to stop and is
    /// still `running` here.
    Done(JobState),
    /// The job is in a state that does not allow it.
    WrongState(JobState),
    NotFound,
}

/// What people do to jobs and dead letters.
///
/// Contract:
/// - `cancelling_ends_what_does_not_run_and_asks_what_does`
/// - `an_ended_job_releases_its_key_to_the_next`
/// - `retrying_is_for_failed_cancelled_and_held_jobs_and_resets_the_budget`
/// - `a_retried_job_waits_when_its_key_is_taken`
/// - `retrying_a_job_closes_its_dead_letter`
/// - `a_dead_letter_is_closed_once`
/// - `the_same_bytes_again_are_one_open_letter`
/// - `a_job_that_ends_before_it_begins_gives_its_place_back`
#[async_trait]
pub trait JobControl: Send + Sync {
    async fn cancel(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError>;

    /// Same job, new attempt from the step that did not end well. Its open
    /// dead letters become `retried`. When another job has its key it waits,
    /// in its place by acceptance.
    async fn retry(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError>;

    /// Closes an open dead letter. `false` when it is not open, or not there.
    async fn close_dead(
        &self,
        id: &DeadLetterId,
        how: DeadState,
        by: &Principal,
    ) -> Result<bool, StoreError>;

    /// Keeps what could not become an event or a job. The same bytes of the
    /// same kind from the same source for the same cause are one open letter:
    /// its id is the answer however often they come. The cause names the
    /// message, so only one that is delivered again is meant.
    async fn keep_dead(&self, letter: DeadLetterDraft) -> Result<DeadLetterId, StoreError>;
}

/// Why something is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadKind {
    /// A job that gave up.
    JobFailed,
    /// An event whose id was taken by another.
    IdConflict,
    /// A rule that matched and could not compute its key or variables.
    RuleError,
    /// Bytes that are not an event.
    Undecodable,
    /// An event that a sink will never take.
    Unsendable,
}

impl DeadKind {
    pub const ALL: [Self; 5] = [
        Self::JobFailed,
        Self::IdConflict,
        Self::RuleError,
        Self::Undecodable,
        Self::Unsendable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobFailed => "job_failed",
            Self::IdConflict => "id_conflict",
            Self::RuleError => "rule_error",
            Self::Undecodable => "undecodable",
            Self::Unsendable => "unsendable",
        }
    }
}

impl fmt::Display for DeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadState {
    Open,
    Retried,
    Discarded,
}

impl DeadState {
    pub const ALL: [Self; 3] = [Self::Open, Self::Retried, Self::Discarded];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Retried => "retried",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for DeadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not one of those that exist here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}")]
pub struct WordError {
    pub expected: &'static str,
}

impl FromStr for DeadKind {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(WordError {
                expected: "job_failed, id_conflict, rule_error, undecodable, unsendable",
            })
    }
}

impl FromStr for DeadState {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(WordError {
                expected: "open, retried, discarded",
            })
    }
}

/// Something that gave up, before it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterDraft {
    pub kind: DeadKind,
    pub cause: String,
    pub event_id: Option<EventId>,
    pub rule: Option<RuleName>,
    pub job_id: Option<JobId>,
    pub source: String,
    /// What arrived: the refused event as JSON, or bytes that are not one.
    pub raw: Option<Vec<u8>>,
}

/// Something that gave up, kept with its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: DeadLetterId,
    pub created: Timestamp,
    pub state: DeadState,
    /// When and by whom it was retried or discarded.
    pub closed: Option<(Timestamp, Principal)>,
    pub content: DeadLetterDraft,
}

/// Which part of a job's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputQuery {
    pub job: JobId,
    /// Absent: the last attempt.
    pub attempt: Option<u32>,
    /// Absent: all steps, in order.
    pub step: Option<usize>,
    /// Bytes to leave out from the start.
    pub offset: u64,
    /// At most this many bytes.
    pub max: usize,
}

/// Output of a job. Bytes as the program wrote them, which need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub attempt: u32,
    pub bytes: Vec<u8>,
    /// Where the next bytes are.
    pub next: u64,
    /// Whether more can come: the attempt has not ended or bytes remain.
    pub is_open: bool,
}

/// Reads what happened. Never waits for a writer.
///
/// Contract:
/// - `pages_cover_a_list_without_gap_or_repeat_while_it_grows`
/// - `the_place_of_an_event_is_a_cursor_of_the_list`
/// - `a_list_ends_where_its_newest_item_was_also_when_that_is_gone`
/// - `events_are_filtered_by_topic_time_source_and_severity`
/// - `jobs_are_filtered_by_event_rule_state_and_time`
/// - `a_waiting_job_names_the_job_it_waits_for`
/// - `output_is_read_from_any_offset_of_any_attempt_and_step`
/// - `numbers_keep_their_text`
#[async_trait]
pub trait History: Send + Sync {
    async fn events(&self, query: &EventQuery) -> Result<Page<RecordedEvent>, StoreError>;
    async fn event(&self, id: &EventId) -> Result<Option<RecordedEvent>, StoreError>;
    /// Verdicts of an event in the order they were made.
    async fn verdicts(&self, event: &EventId) -> Result<Vec<StoredVerdict>, StoreError>;
    /// Jobs with their attempts and steps.
    async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, StoreError>;
    async fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError>;
    /// `None` when there is no such job, or not that attempt of it. A job
    /// without any attempt has an empty attempt 0 when none was named, open
    /// until the job has ended. An offset past the end gives no bytes.
    async fn output(&self, query: &OutputQuery) -> Result<Option<Output>, StoreError>;
    async fn dead_letters(&self, query: &DeadQuery) -> Result<Page<DeadLetter>, StoreError>;
    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, StoreError>;
    /// Behind everything that a list has ever had: no cursor of it lies beyond
    /// this one, and whatever comes does.
    async fn end(&self, list: List) -> Result<Cursor, StoreError>;
}

/// The text of a project's rules at one moment, enough to judge again as then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectText {
    /// Rule files: path relative to the project → text.
    pub files: BTreeMap<String, String>,
    /// Paths that steps may name: playbooks, inventories and other files of
    /// the project, sorted.
    pub listing: Vec<String>,
    /// The git commit of the project, when it is a repository.
    pub commit: Option<String>,
}

/// When what is kept may go. Each is a moment: older things go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Events whose jobs have all ended go with their verdicts and jobs.
    pub events: Timestamp,
    /// Output of attempts that have ended.
    pub output: Timestamp,
    /// Dead letters, closed or not.
    pub dead: Timestamp,
}

/// How much a step of retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    pub events: u64,
    pub outputs: u64,
    pub dead: u64,
}

/// Counts for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStatus {
    /// `sqlite` or `memory`.
    pub kind: String,
    pub schema: u32,
    pub size_bytes: u64,
    pub events: u64,
    /// Jobs by the word of their state; absent is 0.
    pub jobs: BTreeMap<String, u64>,
    pub open_dead_letters: u64,
    /// Created time of the oldest job that could run now.
    pub oldest_queued: Option<Timestamp>,
    /// Transactions that accepted events, and the events they held, since the
    /// store was opened.
    pub accept_commits: u64,
    pub accepted_events: u64,
}

/// Looks after the store itself.
///
/// Contract:
/// - `a_revision_is_kept_once_and_read_back`
/// - `retention_removes_what_is_old_and_ended_in_small_steps`
/// - `retention_keeps_what_an_open_job_needs`
/// - `retention_keeps_what_a_sink_has_not_taken`
/// - `status_counts_what_is_there`
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Keeps the text behind a revision; does nothing when it is there.
    async fn save_revision(&self, id: &Revision, text: &ProjectText) -> Result<(), StoreError>;
    async fn revision(&self, id: &Revision) -> Result<Option<ProjectText>, StoreError>;
    /// Removes at most `max` of each kind, compresses the output of ended
    /// attempts, and says how much went.
    async fn prune(&self, cutoffs: &Cutoffs, max: usize) -> Result<Pruned, StoreError>;
    async fn status(&self) -> Result<StoreStatus, StoreError>;
    /// Whether a write would succeed now.
    async fn probe(&self) -> Result<(), StoreError>;
    /// Waits for the writes under way and closes. Later calls answer `Closed`.
    async fn close(&self);
}

/// Where a running step's output goes. Returns when the bytes are kept, so a
/// program that floods is slowed down to what the store can take.
#[async_trait]
pub trait OutputSink: Send + Sync + fmt::Debug {
    async fn write(&self, bytes: Vec<u8>);
}

/// Does one kind of step.
///
/// An action never fails as a function: whatever goes wrong is an outcome.
#[async_trait]
pub trait Action: Send + Sync {
    fn kind(&self) -> StepKind;

    /// Runs a step until it has ended and nothing of it is left.
    async fn run(&self, call: StepCall, context: StepContext, control: StepControl) -> StepReport;

    /// Whether such a step could run here at all: what is missing and how to
    /// get it. Empty when all is well.
    async fn preflight(&self) -> Vec<Diagnostic>;

    /// How it has started playbooks, if that is what it does.
    fn starts(&self) -> Option<Starts> {
        None
    }
}

/// Reads the project from where it is kept.
#[async_trait]
pub trait ProjectSource: Send + Sync {
    /// The text as it is now, or what could not be read.
    async fn read(&self) -> Result<ProjectText, Vec<Diagnostic>>;

    /// Who may run as whom where the project is, which the project itself
    /// does not say.
    async fn grants(&self) -> Result<Grants, Vec<Diagnostic>> {
        Ok(Grants::default())
    }

    /// What has changed and is not put in force by a reload.
    async fn notices(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}
