//! Events in: see [`Intake`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    custody::Custody,
    event::Event,
    fault::FaultPoint,
    flow::{self, Arrival, Existing},
    id::{EventId, JobId, Revision},
    json::ContentHash,
    ports::{
        AcceptError, Accepted, DeadKind, DeadLetterDraft, DeadState, Intake, Judged, StoreError,
    },
    verdict::{Decision, Firing, StoredVerdict, Verdict},
};

use super::{
    MemoryStore,
    state::{EventRow, Now, State},
};

#[async_trait]
impl Intake for MemoryStore {
    async fn accept(&self, batch: Vec<Judged>) -> Result<Vec<Accepted>, AcceptError> {
        self.enter().await?;
        self.pass(FaultPoint::BeforeAcceptCommit).await;
        let limit = self.shared.queue_limit;
        let answers = {
            let now = self.now();
            let mut state = self.lock();
            let most = state.queue_len() + state.returned_len() + most_jobs(&batch);
            if most > limit && is_over_limit(&state, &batch, limit, &now) {
                return Err(AcceptError::QueueFull { limit });
            }
            // What was accepted before comes before what is new, for its key
            // too.
            resume_returned(&mut state, &batch, &now);
            let answers: Vec<Accepted> = batch
                .into_iter()
                .map(|judged| accept_one(&mut state, judged, &now))
                .collect();
            if !answers.is_empty() {
                state.accept_commits += 1;
                state.accepted_events += answers.len() as u64;
            }
            answers
        };
        self.shared.wake.notify_waiters();
        self.pass(FaultPoint::AfterAcceptCommitBeforeReply).await;
        Ok(answers)
    }

    async fn refire(
        &self,
        event: &EventId,
        revision: &Revision,
        decision: &Decision,
    ) -> Result<Option<Option<JobId>>, StoreError> {
        self.enter().await?;
        let made = {
            let now = self.now();
            let mut state = self.lock();
            let Some(event) = state.event(event).map(|row| row.event.clone()) else {
                return Ok(None);
            };
            let under = (revision, &Custody::Store);
            state.carry_out(&event, under, decision, &now)
        };
        self.shared.wake.notify_waiters();
        Ok(Some(made))
    }
}

fn most_jobs(batch: &[Judged]) -> usize {
    batch
        .iter()
        .flat_map(|judged| &judged.decisions)
        .filter(|decision| matches!(decision.firing, Firing::Fire(_)))
        .count()
}

/// Whether what the batch may make or take up would be too much, when nothing
/// stands against any of it.
fn is_over_limit(state: &State, batch: &[Judged], limit: usize, now: &Now) -> bool {
    let mut after = state.clone();
    let resumed = resume_returned(&mut after, batch, now);
    let mut seen = BTreeSet::new();
    let (mut fires, mut opens) = (0, 0);
    for judged in batch {
        let is_new = state.event(&judged.event.id).is_none() && seen.insert(&judged.event.id);
        for decision in judged.decisions.iter().filter(|_| is_new) {
            fires += usize::from(matches!(decision.firing, Firing::Fire(_)));
            opens += usize::from(flow::would_open(&decision.firing, &judged.custody));
        }
    }
    (fires > 0 || resumed > 0) && after.queue_len() + opens > limit
}

fn accept_one(state: &mut State, judged: Judged, now: &Now) -> Accepted {
    let Judged {
        event,
        hash,
        revision,
        decisions,
        custody,
        routes,
    } = judged;
    let event = Arc::unwrap_or_clone(event);
    match flow::arrival(existing(state, &event.id, &hash)) {
        Arrival::Keep => {
            let seq = state.next_seq();
            state.event_seqs.insert(event.id.clone(), seq);
            state.events.insert(
                seq,
                EventRow {
                    event: event.clone(),
                    hash,
                    revision: revision.clone(),
                },
            );
            let jobs = decisions
                .iter()
                .filter_map(|decision| {
                    state.carry_out(&event, (&revision, &custody), decision, now)
                })
                .collect();
            for sink in routes {
                state.put(sink, event.id.clone());
            }
            Accepted {
                id: event.id,
                duplicate: false,
                conflict: false,
                jobs,
            }
        }
        Arrival::Duplicate => {
            let jobs = state.jobs_of(&event.id);
            for job in &jobs {
                note_duplicate(state, job, now.wall);
            }
            Accepted {
                id: event.id,
                duplicate: true,
                conflict: false,
                jobs,
            }
        }
        Arrival::Conflict => {
            refuse(state, &event, &hash, now.wall);
            Accepted {
                id: event.id,
                duplicate: true,
                conflict: true,
                jobs: Vec::new(),
            }
        }
    }
}

fn existing(state: &State, id: &EventId, hash: &ContentHash) -> Existing {
    match state.event(id) {
        None => Existing::None,
        Some(row) if row.hash == *hash => Existing::Same,
        Some(_) => Existing::Conflict,
    }
}

/// Takes up the returned jobs of events that came again, each under the first
/// delivery that brought it, in the order in which they were accepted. Says
/// how many.
fn resume_returned(state: &mut State, batch: &[Judged], now: &Now) -> usize {
    let mut jobs: BTreeMap<i64, &Custody> = BTreeMap::new();
    for judged in batch {
        let id = &judged.event.id;
        if existing(state, id, &judged.hash) != Existing::Same {
            continue;
        }
        for seq in state.returned_jobs_of(id) {
            jobs.entry(seq).or_insert(&judged.custody);
        }
    }
    for (seq, custody) in &jobs {
        state.resume(*seq, custody, now);
    }
    jobs.len()
}

/// Keeps a refused event, unless an open letter is about the same already.
fn refuse(state: &mut State, event: &Event, hash: &ContentHash, now: Timestamp) {
    let is_same = |raw: &[u8]| {
        serde_json::from_slice::<Event>(raw)
            .is_ok_and(|kept| ContentHash::of(kept.topic.as_str(), &kept.body) == *hash)
    };
    let is_known = state.dead.values().any(|letter| {
        letter.state == DeadState::Open
            && letter.content.kind == DeadKind::IdConflict
            && letter.content.event_id.as_ref() == Some(&event.id)
            && letter.content.raw.as_deref().is_some_and(is_same)
    });
    if is_known {
        return;
    }
    let raw = serde_json::to_vec(event).expect("an event is plain data");
    state.bury(
        DeadLetterDraft {
            kind: DeadKind::IdConflict,
            cause: format!("event `{}` exists with another topic or body", event.id),
            event_id: Some(event.id.clone()),
            rule: None,
            job_id: None,
            source: event.source.clone(),
            raw: Some(raw),
        },
        now,
    );
}

/// One verdict for each rule, which counts: a sender who repeats himself for
/// ever fills nothing.
fn note_duplicate(state: &mut State, id: &JobId, now: Timestamp) {
    let job = state.job(id).expect("it was listed a moment ago");
    let first = StoredVerdict {
        event_id: job.event_id.clone(),
        rule: job.rule.clone(),
        revision: job.revision.clone(),
        verdict: Verdict::Duplicate,
        reason: format!("the event came again at {now}"),
        job_id: Some(id.clone()),
    };
    let noted = state
        .verdicts
        .values_mut()
        .find(|verdict| verdict.verdict == Verdict::Duplicate && verdict.job_id == first.job_id);
    match noted {
        Some(verdict) => verdict.reason = format!("the event came again, last at {now}"),
        None => state.note(first),
    }
}
