//! One attempt of one job, from its lease to what is recorded of it.
//!
//! Nothing runs without a live lease, and nothing is recorded after one is
//! known to be gone: such an attempt ends silently and recovery decides about
//! the job. What the store does not take at first is offered again as long as
//! the lease lives.

use std::{sync::Arc, time::Duration};

use futures_util::poll;
use model::{
    account::Account,
    action::{StepCall, StepContext, StepControl, StepReport},
    clock::BootTime,
    event::Event,
    fault::FaultPoint,
    id::{Revision, RuleName},
    job::{JobPlan, Lease, NextState, Outcome, Retry, StepEnd, Tries, after_attempt},
    json::Object,
    ports::{Fenced, StoreError},
};
use rules::{Prepared, Rule, RuleSet, StepScope};
use tokio::time::Instant;

use crate::{
    follow_up::Follower,
    lease::{Hold, between},
    output::{StoredOutput, StoredTasks},
    revisions::{self, RevisionError},
    shared::{Shared, is_transient},
    tasks::caught,
    telemetry::{AttemptFinished, AttemptPanicked, JobStarted, LeaseLost, RecordFailed, StepEnded},
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An action that has not come back so long after its timeout and grace is
/// given up; dropping it closes its guard's pipe.
const OVERTIME: Duration = Duration::from_secs(60);

/// How the steps ended.
enum Ended {
    /// The last step that was begun, and with it the attempt.
    With(StepEnd),
    /// The lease is gone.
    Gone,
}

/// What an attempt has to record.
enum Record<'a> {
    Advance(&'a StepEnd),
    Finish {
        last: &'a StepEnd,
        next: &'a NextState,
    },
}

impl Record<'_> {
    fn what(&self) -> &'static str {
        match self {
            Self::Advance(_) => "a step",
            Self::Finish { .. } => "the end",
        }
    }
}

pub(crate) struct Attempt {
    shared: Arc<Shared>,
    hold: Hold,
    rule: RuleName,
    revision: Revision,
    plan: JobPlan,
    event: Arc<Event>,
    tries: Tries,
    /// The step that has begun.
    step: usize,
    /// What the step before this one gave.
    result: Option<Object>,
    begun: BootTime,
}

impl Attempt {
    pub(crate) fn new(shared: Arc<Shared>, lease: Lease, hold: Hold) -> Self {
        let Lease {
            id: _,
            rule,
            revision,
            plan,
            event,
            step,
            tries,
            result,
            created: _,
        } = lease;
        let begun = shared.parts.clock.boot();
        Self {
            shared,
            hold,
            rule,
            revision,
            plan,
            event: Arc::new(event),
            tries,
            step,
            result,
            begun,
        }
    }

    /// Runs the attempt to its end, whatever happens.
    pub(crate) async fn run(mut self) {
        self.tell_start();
        self.shared
            .parts
            .faults
            .reach(FaultPoint::AfterClaimBeforeStart);
        let ended = match caught(self.steps()).await {
            Ok(ended) => ended,
            Err(panicked) => {
                AttemptPanicked {
                    lease: self.hold.id(),
                    panicked: &panicked,
                }
                .emit();
                Ended::With(self.end(panicked_outcome()))
            }
        };
        match ended {
            Ended::With(last) => self.finish(last).await,
            Ended::Gone => self.lost("it ran out"),
        }
    }

    /// By the wall clock: it is for people, and nothing depends on it.
    fn tell_start(&self) {
        if self.hold.id().attempt > 1 {
            return;
        }
        let now = self.shared.parts.clock.now();
        let millis = now.as_millis() - self.event.accepted.as_millis();
        JobStarted {
            lease: self.hold.id(),
            rule: &self.rule,
            after: Duration::from_millis(u64::try_from(millis).unwrap_or(0)),
        }
        .emit(&self.shared.meter);
    }

    async fn steps(&mut self) -> Ended {
        let rules = match self.rules().await {
            Ok(Some(rules)) => rules,
            Ok(None) => return Ended::Gone,
            Err(reason) => return Ended::With(self.unstartable(reason)),
        };
        loop {
            if self.hold.is_gone(&*self.shared.parts.clock) {
                return Ended::Gone;
            }
            if let Some(by) = self.hold.cancelled_by() {
                return Ended::With(self.end(Outcome::Cancelled { by }));
            }
            let started = Instant::now();
            let Some(end) = self.one_step(&rules).await else {
                return Ended::Gone;
            };
            if let Some(step) = self.plan.steps.get(self.step) {
                StepEnded {
                    lease: self.hold.id(),
                    kind: step.kind,
                    outcome: &end.outcome,
                    took: started.elapsed(),
                }
                .emit(&self.shared.meter);
            }
            self.shared
                .parts
                .faults
                .reach(FaultPoint::AfterStepBeforeRecord);
            let is_well = matches!(end.outcome, Outcome::Succeeded { .. });
            let is_last = self.step + 1 >= self.plan.steps.len();
            if !is_well || is_last {
                return Ended::With(end);
            }
            match self.record(&Record::Advance(&end)).await {
                Some(Fenced::Recorded) => {}
                Some(Fenced::Stale) | None => return Ended::Gone,
            }
            self.step += 1;
            self.result = end.result;
            self.shared.parts.faults.reach(FaultPoint::BetweenSteps);
        }
    }

    /// The rules that fired the job. `Ok(None)`: the lease ended meanwhile;
    /// `Err`: they are not to be had, and why.
    async fn rules(&self) -> Result<Option<Arc<RuleSet>>, String> {
        let mut pause = FIRST_PAUSE;
        loop {
            match revisions::get(&self.shared, &self.revision).await {
                Ok(rules) => return Ok(Some(rules)),
                Err(RevisionError::Store(error)) => {
                    if !self.may_try_again("the rules", &error) {
                        return Ok(None);
                    }
                }
                Err(error @ (RevisionError::Missing(_) | RevisionError::Broken { .. })) => {
                    return Err(error.to_string());
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Runs the step that has begun. `None`: the lease is gone.
    async fn one_step(&self, rules: &RuleSet) -> Option<StepEnd> {
        let Some(rule) = rules.rule(&self.rule) else {
            let (rule, revision) = (&self.rule, &self.revision);
            let reason = format!("revision `{revision}` has no rule `{rule}`");
            return Some(self.unstartable(reason));
        };
        let account = match self.account(rule) {
            Ok(account) => account,
            Err(reason) => return Some(self.unstartable(reason)),
        };
        let id = self.hold.id();
        let prepared = rule.prepare(
            self.step,
            &StepScope {
                event: &self.event,
                job: &id.job,
                attempt: id.attempt,
                result: self.result.as_ref(),
            },
        );
        match prepared {
            Ok(Prepared::Run {
                call,
                timeout,
                grace,
                output_cap,
            }) => {
                let context = StepContext {
                    job: id.job.clone(),
                    attempt: id.attempt,
                    step: self.step,
                    rule: self.rule.clone(),
                    event: Arc::clone(&self.event),
                    project: self.shared.parts.project_dir.clone(),
                    timeout: account
                        .as_ref()
                        .map_or(timeout, |account| account.capped(timeout)),
                    account,
                    grace,
                    output_cap,
                };
                self.act(call, context).await
            }
            Ok(Prepared::Skip { reason }) => Some(StepEnd {
                skipped: true,
                ..self.end(Outcome::Succeeded { summary: reason })
            }),
            Err(error) => Some(self.unstartable(error.to_string())),
        }
    }

    /// Who the job runs as. What was granted when the job was accepted may
    /// have been withdrawn since, and then it runs as nobody.
    fn account(&self, rule: &Rule) -> Result<Option<Arc<Account>>, String> {
        let Some(name) = &self.plan.account else {
            return Ok(None);
        };
        let grants = self.shared.grants.load();
        match grants.get(name, rule.file()) {
            Ok(account) => Ok(Some(Arc::clone(account))),
            Err(problem) => Err(format!(
                "{problem} any more, and the job runs as nobody else"
            )),
        }
    }

    /// Hands the step to its action and waits for it, no longer than the
    /// lease lives.
    async fn act(&self, call: StepCall, context: StepContext) -> Option<StepEnd> {
        let parts = &self.shared.parts;
        let Some(action) = self.shared.action(call.kind()) else {
            let reason = format!("this worker has no action for `{}` steps", call.kind());
            return Some(self.unstartable(reason));
        };
        let (timeout, grace) = (context.timeout, context.grace);
        let control = StepControl {
            stop: self.hold.stop(),
            deadline: self.hold.deadline(),
            output: Arc::new(StoredOutput::new(
                Arc::clone(&self.shared),
                self.hold.id().clone(),
                self.step,
            )),
            tasks: Arc::new(StoredTasks::new(
                Arc::clone(&self.shared),
                self.hold.id().clone(),
                self.step,
            )),
            follow_ups: Arc::new(Follower(Arc::clone(&self.shared))),
        };
        let mut running = action.run(call, context, control);
        if let std::task::Poll::Ready(report) = poll!(&mut running) {
            parts.faults.reach(FaultPoint::AfterStepStarted);
            return Some(self.reported(report));
        }
        parts.faults.reach(FaultPoint::AfterStepStarted);
        let overtime = timeout.saturating_add(grace).saturating_add(OVERTIME);
        tokio::select! {
            biased;
            report = &mut running => Some(self.reported(report)),
            () = self.hold.gone(&*parts.clock) => {
                // It has been told, and its guard kills it. What does not
                // return within the margin is dropped.
                let dying = parts.settings.margin() / 2;
                drop(tokio::time::timeout(dying, running).await);
                None
            }
            () = tokio::time::sleep(overtime) => {
                Some(self.end(Outcome::TimedOut { after: timeout, killed: true }))
            }
        }
    }

    fn reported(&self, report: StepReport) -> StepEnd {
        let StepReport {
            outcome,
            exit,
            result,
        } = report;
        StepEnd {
            exit,
            result,
            ..self.end(outcome)
        }
    }

    fn end(&self, outcome: Outcome) -> StepEnd {
        StepEnd {
            index: self.step,
            outcome,
            exit: None,
            skipped: false,
            result: None,
        }
    }

    fn unstartable(&self, reason: String) -> StepEnd {
        self.end(Outcome::Unstartable { reason })
    }

    /// Records how the attempt ended and what becomes of the job.
    async fn finish(self, last: StepEnd) {
        if self.hold.is_gone(&*self.shared.parts.clock) {
            return self.lost("it ran out");
        }
        let next = self.next(&last.outcome);
        let recorded = self
            .record(&Record::Finish {
                last: &last,
                next: &next,
            })
            .await;
        match recorded {
            Some(Fenced::Recorded) => {}
            Some(Fenced::Stale) => return self.lost("the store gave it up"),
            None => return self.lost("its end could not be recorded"),
        }
        let Self {
            shared,
            hold,
            rule,
            event,
            begun,
            ..
        } = self;
        shared.parts.faults.reach(FaultPoint::AfterFinish);
        shared.changed(&event.id);
        shared.followers.changed(&hold.id().job);
        AttemptFinished {
            lease: hold.id(),
            rule: &rule,
            outcome: &last.outcome,
            next: &next,
            took: between(&begun, &shared.parts.clock.boot()),
        }
        .emit(&shared.meter);
    }

    /// What becomes of the job. The store heeds a cancel that has not come
    /// to us yet.
    fn next(&self, outcome: &Outcome) -> NextState {
        let tries = self.tries.after(outcome);
        let interrupted = matches!(outcome, Outcome::Lost { .. }).then_some(self.step);
        let next = after_attempt(&self.plan, tries, outcome, interrupted, rand::random());
        next.heeding(self.hold.cancelled_by().as_ref())
    }

    /// Offers a record until the store takes it. `None`: the lease ended
    /// first, or the store never will.
    async fn record(&self, record: &Record<'_>) -> Option<Fenced> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.offer(record).await {
                Ok(fenced) => return Some(fenced),
                Err(error) => {
                    if !self.may_try_again(record.what(), &error) {
                        return None;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn offer(&self, record: &Record<'_>) -> Result<Fenced, StoreError> {
        let queue = &self.shared.parts.queue;
        let id = self.hold.id();
        match record {
            Record::Advance(end) => queue.advance(id, end).await,
            Record::Finish { last, next } => {
                queue.finish(id, Some(last), &last.outcome, next).await
            }
        }
    }

    fn may_try_again(&self, what: &'static str, error: &StoreError) -> bool {
        let is_final = !is_transient(error) || self.hold.is_gone(&*self.shared.parts.clock);
        RecordFailed {
            lease: self.hold.id(),
            what,
            error,
            is_final,
        }
        .emit();
        !is_final
    }

    fn lost(&self, why: &'static str) {
        self.hold.lose();
        LeaseLost {
            lease: self.hold.id(),
            why,
        }
        .emit();
        self.shared.recover_now.notify_one();
    }
}

fn panicked_outcome() -> Outcome {
    Outcome::Failed {
        exit: None,
        summary: "panicked".to_owned(),
        retry: Retry::Worthwhile,
    }
}
