//! What the memory store holds, and the small steps from which its calls are
//! made. No step waits, and none leaves the state half changed.
//!
//! Guards: at most one unended job of a key is not `waiting`, and a waiting
//! job always has such a holder.

use std::collections::{BTreeMap, HashMap};

use model::{
    audit::AuditEntry,
    clock::{BootTime, Timestamp},
    custody::Custody,
    event::Event,
    flow::{self, Creation, Flow, FlowState, Steady},
    id::{DeadLetterId, EventId, JobId, LeaseId, Principal, Revision, RuleName, SinkName},
    job::{Job, JobPlan, JobState, NextState, Outcome, StepEnd, Tries},
    json::ContentHash,
    ports::{DeadKind, DeadLetter, DeadLetterDraft, DeadState, ProjectText, access::KeptToken},
    verdict::{Decision, Firing, StoredVerdict, Verdict},
};

use super::{
    job::{Due, JobRow},
    lifecycle::Noted,
};

/// Both clocks, read once for a whole transaction.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    pub(crate) boot: BootTime,
}

/// Everything that is kept. Places in lists are numbers of one sequence.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) last_seq: i64,
    pub(crate) events: BTreeMap<i64, EventRow>,
    pub(crate) event_seqs: HashMap<EventId, i64>,
    pub(crate) verdicts: BTreeMap<i64, StoredVerdict>,
    pub(crate) jobs: BTreeMap<i64, JobRow>,
    pub(crate) job_seqs: HashMap<JobId, i64>,
    pub(crate) dead: BTreeMap<i64, DeadLetter>,
    pub(crate) outbox: BTreeMap<i64, Place>,
    pub(crate) lifecycle: Noted,
    pub(crate) revisions: BTreeMap<String, ProjectText>,
    pub(crate) tokens: BTreeMap<i64, KeptToken>,
    pub(crate) audit: BTreeMap<i64, AuditEntry>,
    /// Where the present boot lies; absent until it is asked for.
    pub(crate) steady: Option<Steady>,
    pub(crate) accept_commits: u64,
    pub(crate) accepted_events: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub(crate) event: Event,
    pub(crate) hash: ContentHash,
    pub(crate) revision: Revision,
}

/// The place of an event in the line of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sink: SinkName,
    pub(crate) event: EventId,
}

/// How an attempt ended, and what follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a> {
    pub(crate) last: Option<&'a StepEnd>,
    pub(crate) outcome: &'a Outcome,
    pub(crate) next: &'a NextState,
}

impl State {
    pub(crate) fn next_seq(&mut self) -> i64 {
        self.last_seq += 1;
        self.last_seq
    }

    pub(crate) fn job(&self, id: &JobId) -> Option<&JobRow> {
        self.job_seqs.get(id).and_then(|seq| self.jobs.get(seq))
    }

    pub(crate) fn job_mut(&mut self, id: &JobId) -> Option<&mut JobRow> {
        self.job_seqs.get(id).and_then(|seq| self.jobs.get_mut(seq))
    }

    /// The job if `lease` is still good for it.
    pub(crate) fn leased(&mut self, lease: &LeaseId, now: &BootTime) -> Option<&mut JobRow> {
        self.job_mut(&lease.job)
            .filter(|job| job.is_held_by(lease.attempt, now))
    }

    pub(crate) fn event(&self, id: &EventId) -> Option<&EventRow> {
        self.event_seqs.get(id).and_then(|seq| self.events.get(seq))
    }

    pub(crate) fn jobs_of(&self, event: &EventId) -> Vec<JobId> {
        self.jobs
            .values()
            .filter(|job| job.event_id == *event)
            .map(|job| job.id.clone())
            .collect()
    }

    pub(crate) fn key_holder(&self, key: &str) -> Option<&JobId> {
        self.jobs
            .values()
            .find(|job| job.key() == Some(key) && job.state.holds_key())
            .map(|job| &job.id)
    }

    /// Jobs that count against the queue limit.
    pub(crate) fn queue_len(&self) -> usize {
        self.jobs
            .values()
            .filter(|job| !job.state.is_ended())
            .count()
    }

    pub(crate) fn note(&mut self, verdict: StoredVerdict) {
        let seq = self.next_seq();
        self.verdicts.insert(seq, verdict);
    }

    pub(crate) fn bury(&mut self, content: DeadLetterDraft, now: Timestamp) -> DeadLetterId {
        let id = DeadLetterId::generate();
        let seq = self.next_seq();
        self.dead.insert(
            seq,
            DeadLetter {
                id: id.clone(),
                created: now,
                state: DeadState::Open,
                closed: None,
                content,
            },
        );
        id
    }

    /// As [`State::bury`], unless an open letter of this kind and source holds
    /// the same bytes for the same cause: that one is the answer then.
    pub(crate) fn keep_dead(&mut self, content: DeadLetterDraft, now: Timestamp) -> DeadLetterId {
        let same = self.dead.values().find(|letter| {
            letter.state == DeadState::Open
                && letter.content.kind == content.kind
                && letter.content.source == content.source
                && letter.content.cause == content.cause
                && letter.content.raw.is_some()
                && letter.content.raw == content.raw
        });
        match same {
            Some(letter) => letter.id.clone(),
            None => self.bury(content, now),
        }
    }

    /// Carries out what a rule decided about an event that is kept.
    pub(crate) fn carry_out(
        &mut self,
        event: &Event,
        (revision, custody): (&Revision, &Custody),
        decision: &Decision,
        now: &Now,
    ) -> Option<JobId> {
        let moment = self.moment(now);
        let (pending, window) = match &decision.firing {
            Firing::Fire(plan) => (
                self.pending_of(&decision.rule, plan),
                self.window(&decision.rule, plan),
            ),
            Firing::Suppress { .. } | Firing::Shadow { .. } | Firing::Error { .. } => {
                (Vec::new(), None)
            }
        };
        let seen = FlowState {
            now: moment,
            pending: &pending,
            window: window.as_ref(),
            job: self
                .jobs
                .values()
                .find(|job| job.event_id == event.id && job.rule == decision.rule)
                .map(|job| job.id.clone()),
            key_holder: match &decision.firing {
                Firing::Fire(JobPlan { key: Some(key), .. }) => self.key_holder(key).cloned(),
                Firing::Fire(_)
                | Firing::Suppress { .. }
                | Firing::Shadow { .. }
                | Firing::Error { .. } => None,
            },
        };
        let (verdict, reason, job_id, made) = match flow::decide(&seen, &decision.firing, custody) {
            Flow::Create(creation) => {
                let Firing::Fire(plan) = &decision.firing else {
                    unreachable!("only a firing makes a job");
                };
                let made = self.create_job(
                    event,
                    (revision, custody),
                    (&decision.rule, plan),
                    (&creation, now.wall),
                );
                self.displace(&creation.supersedes, (&made, plan), now);
                if creation.state == JobState::Failed {
                    self.bury_job(&made, &creation.reason, now.wall);
                }
                let reason = creation.explained();
                (Verdict::Fired, reason, Some(made.clone()), Some(made))
            }
            Flow::Record {
                verdict,
                reason,
                job,
            } => (verdict, reason, job, None),
        };
        if let Firing::Error { reason } = &decision.firing {
            self.bury(
                DeadLetterDraft {
                    kind: DeadKind::RuleError,
                    cause: reason.clone(),
                    event_id: Some(event.id.clone()),
                    rule: Some(decision.rule.clone()),
                    job_id: None,
                    source: event.source.clone(),
                    raw: None,
                },
                now.wall,
            );
        }
        self.note(StoredVerdict {
            event_id: event.id.clone(),
            rule: decision.rule.clone(),
            revision: revision.clone(),
            verdict,
            reason,
            job_id,
        });
        made
    }

    fn create_job(
        &mut self,
        event: &Event,
        (revision, custody): (&Revision, &Custody),
        (rule, plan): (&RuleName, &JobPlan),
        (creation, now): (&Creation, Timestamp),
    ) -> JobId {
        let id = JobId::generate();
        let seq = self.next_seq();
        self.job_seqs.insert(id.clone(), seq);
        self.jobs.insert(
            seq,
            JobRow {
                id: id.clone(),
                rule: rule.clone(),
                revision: revision.clone(),
                event_id: event.id.clone(),
                plan: plan.clone(),
                state: creation.state,
                reason: (!creation.reason.is_empty()).then(|| creation.reason.clone()),
                result: None,
                next_step: 0,
                due: creation.due.map(|due| Due {
                    boot: None,
                    wall: due.wall,
                }),
                due_tick: creation.due.map(|due| due.tick),
                latest: creation.latest,
                place: creation.place,
                tries: Tries::default(),
                cancel: None,
                delivery: custody.worker().cloned(),
                lease_end: None,
                attempts: Vec::new(),
                created: now,
                started: None,
                finished: creation.state.is_ended().then_some(now),
            },
        );
        id
    }

    /// Ends the attempt that runs: its last step, the attempt, and the job.
    pub(crate) fn end_attempt(&mut self, id: &JobId, ending: &Ending<'_>, now: &Now) {
        let Ending {
            last,
            outcome,
            next,
        } = *ending;
        let job = self.job_mut(id).expect("the caller has found it");
        if let Some(end) = last {
            job.end_step(end, now.wall);
        }
        if let Some(attempt) = job.attempts.last_mut() {
            attempt.record.finished = Some(now.wall);
            attempt.record.outcome = Some(outcome.clone());
        }
        job.lease_end = None;
        job.tries = job.tries.after(outcome);
        self.settle(id, next, now);
    }

    /// Puts a job into its next state, with all that follows from it.
    pub(crate) fn settle(&mut self, id: &JobId, next: &NextState, now: &Now) {
        let job = self.job_mut(id).expect("the caller has found it");
        job.state = next.state();
        job.cancel = None;
        job.due = None;
        if job.state.is_ended() {
            job.finished = Some(now.wall);
        }
        if job.state == JobState::Cancelled && job.attempts.is_empty() {
            job.place = None;
        }
        job.reason = match next {
            NextState::Succeeded => None,
            NextState::Retrying { delay, reason } => {
                job.due = Some(Due {
                    boot: Some(now.boot.plus(*delay)),
                    wall: now.wall.plus(*delay),
                });
                Some(reason.clone())
            }
            NextState::Failed { cause } => Some(cause.clone()),
            NextState::Cancelled { by } => Some(format!("cancelled by {by}")),
            NextState::Dropped { reason }
            | NextState::Held { reason }
            | NextState::Returned { reason } => Some(reason.clone()),
        };
        let key = job.key().map(str::to_owned);
        let is_ended = job.state.is_ended();
        if let NextState::Failed { cause } = next {
            self.bury_job(id, cause, now.wall);
        }
        if let (Some(key), true) = (key, is_ended) {
            self.hand_on(&key);
        }
    }

    /// Keeps the dead letter of a job that gave up.
    pub(crate) fn bury_job(&mut self, id: &JobId, cause: &str, now: Timestamp) {
        let job = self.job(id).expect("the caller has found it");
        let source = self
            .event(&job.event_id)
            .map(|row| row.event.source.clone())
            .unwrap_or_default();
        let draft = DeadLetterDraft {
            kind: DeadKind::JobFailed,
            cause: cause.to_owned(),
            event_id: Some(job.event_id.clone()),
            rule: Some(job.rule.clone()),
            job_id: Some(id.clone()),
            source,
            raw: None,
        };
        self.bury(draft, now);
    }

    /// Gives a key that is free to the job that was accepted first.
    fn hand_on(&mut self, key: &str) {
        if self.key_holder(key).is_some() {
            return;
        }
        let next = self
            .jobs
            .values_mut()
            .find(|job| job.key() == Some(key) && job.state == JobState::Waiting);
        if let Some(job) = next {
            job.state = JobState::Queued;
            job.reason = None;
        }
    }

    /// Finds every open dead letter of a job and closes it as retried.
    pub(crate) fn close_dead_of(&mut self, job: &JobId, by: &Principal, now: Timestamp) {
        for letter in self.dead.values_mut() {
            if letter.content.job_id.as_ref() == Some(job) && letter.state == DeadState::Open {
                letter.state = DeadState::Retried;
                letter.closed = Some((now, by.clone()));
            }
        }
    }

    /// A job as history shows it.
    pub(crate) fn show(&self, row: &JobRow) -> Job {
        let waits_for = match (row.state, row.key()) {
            (JobState::Waiting, Some(key)) => self.key_holder(key).cloned(),
            _ => None,
        };
        let reason = match &waits_for {
            Some(holder) => row.key().map(|key| flow::waits_for(key, holder)),
            None => row.reason.clone(),
        };
        Job {
            id: row.id.clone(),
            rule: row.rule.clone(),
            revision: row.revision.clone(),
            event_id: row.event_id.clone(),
            key: row.plan.key.clone(),
            account: row.plan.account.clone(),
            state: row.state,
            reason,
            result: row.result.clone(),
            next_step: row.next_step,
            due: row.due.as_ref().map(|due| due.wall),
            waits_for,
            attempts: row
                .attempts
                .iter()
                .map(|attempt| attempt.record.clone())
                .collect(),
            created: row.created,
            started: row.started,
            finished: row.finished,
        }
    }
}
