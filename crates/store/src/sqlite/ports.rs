//! The ports, each method handing over to the file of its noun.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    event::RecordedEvent,
    id::{DeadLetterId, EventId, JobId, LeaseId, Principal, Revision},
    job::{Job, Lease, NextState, Outcome, StepEnd},
    page::{Cursor, DeadQuery, EventQuery, JobQuery, List, Page},
    ports::{
        AcceptError, Accepted, Claimant, Controlled, Cutoffs, DeadLetter, DeadLetterDraft,
        DeadState, Fenced, History, Intake, JobControl, JobQueue, Judged, Output, OutputQuery,
        ProjectText, Pruned, Recovered, Renewed, StoreError, StoreStatus, Upkeep,
    },
    verdict::{Decision, StoredVerdict},
};
use sqlx::Acquire;
use tokio::time::Instant;

use super::{
    SqliteStore, accept,
    claim::{self, Claim, Outlook, Renew},
    control, dead, events,
    failure::Failure,
    finish::{Advance, Finish, Recover},
    firing, jobs,
    output::{self, Append},
    retention::{self, Prune, Replace},
    revisions, rows, status,
    writer::{Item, Tx, Write},
};

/// A call that waits looks again at least this often: a wake-up makes it
/// fast, this makes it right.
pub(crate) const POLL: Duration = Duration::from_secs(1);

#[async_trait]
impl Intake for SqliteStore {
    async fn accept(&self, batch: Vec<Judged>) -> Result<Vec<Accepted>, AcceptError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let rows = batch.into_iter().map(accept::Row::new).collect();
        let (request, answer) = accept::Request::new(rows);
        self.within_deadline(async {
            self.hand_in(Item::Accept(request)).await?;
            answer
                .await
                .unwrap_or(Err(AcceptError::Store(StoreError::Closed)))
        })
        .await
    }

    async fn refire(
        &self,
        event: &EventId,
        revision: &Revision,
        decision: &Decision,
    ) -> Result<Option<Option<JobId>>, StoreError> {
        self.write(Refire {
            event: event.clone(),
            revision: revision.clone(),
            decision: decision.clone(),
        })
        .await
    }
}

struct Refire {
    event: EventId,
    revision: Revision,
    decision: Decision,
}

#[async_trait]
impl Write for Refire {
    type Answer = Option<Option<JobId>>;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Self::Answer, Failure> {
        firing::refire(tx, &self.event, &self.revision, &self.decision).await
    }
}

#[async_trait]
impl JobQueue for SqliteStore {
    async fn claim(
        &self,
        who: &Claimant,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            // Interest is registered before looking, so no wake-up is missed.
            let mut woken = std::pin::pin!(self.inner.wake.notified());
            woken.as_mut().enable();
            if self.is_closed() {
                return Err(StoreError::Closed);
            }
            // Looking is a read: a worker that has nothing to do writes nothing.
            let due_in = match self.outlook(who).await? {
                Outlook::Ready if max > 0 => {
                    let leases = self
                        .write(Claim {
                            who: who.clone(),
                            max,
                            lease,
                            back: self.inner.writer.downgrade(),
                        })
                        .await?
                        .take();
                    if !leases.is_empty() {
                        return Ok(leases);
                    }
                    None
                }
                Outlook::Ready => None,
                Outlook::Nothing { due_in } => due_in,
            };
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(Vec::new());
            }
            let pause = rest.min(POLL).min(due_in.unwrap_or(POLL));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn renew(&self, leases: &[LeaseId], lease: Duration) -> Result<Vec<Renewed>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.write(Renew {
            leases: leases.to_vec(),
            lease,
        })
        .await
    }

    async fn advance(&self, lease: &LeaseId, ended: &StepEnd) -> Result<Fenced, StoreError> {
        self.write(Advance {
            lease: lease.clone(),
            ended: ended.clone(),
        })
        .await
    }

    async fn append_output(
        &self,
        lease: &LeaseId,
        step: usize,
        bytes: Vec<u8>,
    ) -> Result<Fenced, StoreError> {
        self.write(Append {
            lease: lease.clone(),
            step,
            bytes,
        })
        .await
    }

    async fn finish(
        &self,
        lease: &LeaseId,
        last: Option<&StepEnd>,
        outcome: &Outcome,
        next: &NextState,
    ) -> Result<Fenced, StoreError> {
        self.write(Finish {
            lease: lease.clone(),
            last: last.cloned(),
            outcome: outcome.clone(),
            next: next.clone(),
        })
        .await
    }

    async fn recover(&self, max: usize, roll: f64) -> Result<Vec<Recovered>, StoreError> {
        self.write(Recover { max, roll }).await
    }
}

impl SqliteStore {
    async fn outlook(&self, who: &Claimant) -> Result<Outlook, StoreError> {
        let now = self.inner.clock.0.boot();
        self.read(async { claim::outlook(&mut *self.reader().await?, who, &now).await })
            .await
    }

    /// Deflates the output of attempts that have ended.
    async fn pack_output(&self, max: usize) -> Result<(), StoreError> {
        let targets = self
            .read(async { retention::unpacked(&mut *self.reader().await?, max).await })
            .await?;
        for target in targets {
            let steps = self
                .read(async { retention::whole(&mut *self.reader().await?, target).await })
                .await?;
            let packing = tokio::task::spawn_blocking(move || retention::pack(steps));
            let Ok(steps) = packing.await else {
                return Err(StoreError::Failed("deflating did not end".into()));
            };
            self.write(Replace { target, steps }).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl JobControl for SqliteStore {
    async fn cancel(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError> {
        self.write(control::Cancel {
            job: job.clone(),
            by: by.clone(),
        })
        .await
    }

    async fn retry(&self, job: &JobId, by: &Principal) -> Result<Controlled, StoreError> {
        self.write(control::Retry {
            job: job.clone(),
            by: by.clone(),
        })
        .await
    }

    async fn close_dead(
        &self,
        id: &DeadLetterId,
        how: DeadState,
        by: &Principal,
    ) -> Result<bool, StoreError> {
        self.write(dead::Close {
            id: id.clone(),
            how,
            by: by.clone(),
        })
        .await
    }

    async fn keep_dead(&self, letter: DeadLetterDraft) -> Result<DeadLetterId, StoreError> {
        self.write(dead::Keep(letter)).await
    }
}

#[async_trait]
impl History for SqliteStore {
    async fn events(&self, query: &EventQuery) -> Result<Page<RecordedEvent>, StoreError> {
        self.read(async {
            let mut conn = self.reader().await?;
            let mut snapshot = conn.begin().await?;
            events::page(&mut snapshot, query).await
        })
        .await
    }

    async fn event(&self, id: &EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.read(async { events::get(&mut *self.reader().await?, id).await })
            .await
    }

    async fn verdicts(&self, event: &EventId) -> Result<Vec<StoredVerdict>, StoreError> {
        self.read(async { events::verdicts(&mut *self.reader().await?, event).await })
            .await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, StoreError> {
        self.read(async {
            let mut conn = self.reader().await?;
            let mut snapshot = conn.begin().await?;
            jobs::page(&mut snapshot, query).await
        })
        .await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.read(async {
            let mut conn = self.reader().await?;
            let mut snapshot = conn.begin().await?;
            jobs::get(&mut snapshot, id).await
        })
        .await
    }

    async fn output(&self, query: &OutputQuery) -> Result<Option<Output>, StoreError> {
        self.read(async {
            let mut conn = self.reader().await?;
            let mut snapshot = conn.begin().await?;
            output::read(&mut snapshot, query).await
        })
        .await
    }

    async fn dead_letters(&self, query: &DeadQuery) -> Result<Page<DeadLetter>, StoreError> {
        self.read(async {
            let mut conn = self.reader().await?;
            let mut snapshot = conn.begin().await?;
            dead::page(&mut snapshot, query).await
        })
        .await
    }

    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, StoreError> {
        self.read(async { dead::get(&mut *self.reader().await?, id).await })
            .await
    }

    async fn end(&self, list: List) -> Result<Cursor, StoreError> {
        self.read(async { rows::end(&mut *self.reader().await?, list).await })
            .await
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    async fn save_revision(&self, id: &Revision, text: &ProjectText) -> Result<(), StoreError> {
        self.write(revisions::Save::new(id, text)).await
    }

    async fn revision(&self, id: &Revision) -> Result<Option<ProjectText>, StoreError> {
        self.read(async { revisions::get(&mut *self.reader().await?, id).await })
            .await
    }

    async fn prune(&self, cutoffs: &Cutoffs, max: usize) -> Result<Pruned, StoreError> {
        let pruned = self
            .write(Prune {
                cutoffs: *cutoffs,
                max,
            })
            .await?;
        self.pack_output(max).await?;
        Ok(pruned)
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        let now = self.inner.clock.0.boot();
        self.read(async {
            let mut conn = self.reader().await?;
            let mut snapshot = conn.begin().await?;
            let of_process = (self.inner.path.as_path(), self.inner.counters.as_ref());
            status::read(&mut snapshot, of_process, &now).await
        })
        .await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write(status::Probe).await
    }

    async fn close(&self) {
        self.shut().await;
    }
}
