//! What depends on other events: the second pure decision about a firing,
//! taken inside the accepting transaction on the state that is read there.

mod plan;
mod steady;
mod window;

use std::time::Duration;

use crate::{
    clock::Timestamp,
    custody::Custody,
    id::JobId,
    job::{JobPlan, JobState, OnLost},
    verdict::{Firing, Verdict},
};

pub use plan::{Debounce, Excess, FlowPlan, Throttle, WhenBusy};
pub use steady::{Moment, Steady, Tick};
pub use window::Window;

use plan::span;

/// What the store already holds under the id of an arriving event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: the event is new.
    None,
    /// The same topic and body: a redelivery.
    Same,
    /// Something else: two senders used one id.
    Conflict,
}

/// What becomes of an arriving event as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Keep it and carry out the decisions of its rules.
    Keep,
    /// Make nothing of it; note on the original's jobs that it came again.
    Duplicate,
    /// Make nothing of it; keep it as a dead letter.
    Conflict,
}

pub fn arrival(existing: Existing) -> Arrival {
    match existing {
        Existing::None => Arrival::Keep,
        Existing::Same => Arrival::Duplicate,
        Existing::Conflict => Arrival::Conflict,
    }
}

/// What the store holds that bears on one firing, beside who has its key only
/// when its rule asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowState<'a> {
    pub now: Moment,
    /// The job that this rule already has for this event.
    pub job: Option<JobId>,
    /// The job that has the firing's key and has not ended.
    pub key_holder: Option<JobId>,
    /// The jobs of this rule and key that wait or are delayed.
    pub pending: &'a [Pending],
    /// What the rule's throttle has let through.
    pub window: Option<&'a Window>,
}

impl FlowState<'_> {
    /// Nothing but the firing.
    pub fn empty(now: Moment) -> Self {
        Self {
            now,
            job: None,
            key_holder: None,
            pending: &[],
            window: None,
        }
    }
}

/// A job that has not begun and may have to give way to a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub job: JobId,
    /// When it is due, if it is delayed; otherwise it waits for its key.
    pub due: Option<Tick>,
    /// When it begins at the latest, however often the rule fires again.
    pub latest: Option<Tick>,
    /// Whether an attempt was ever made of it: then it has used its place.
    pub begun: bool,
}

/// What becomes of a firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// A new job.
    Create(Creation),
    /// No new job; the verdict says why.
    Record {
        verdict: Verdict,
        reason: String,
        job: Option<JobId>,
    },
}

/// A job as it begins its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// `waiting`, `delayed`, `queued`, and `held` or `failed` (then also a
    /// dead letter with the reason as its cause) when another process may have
    /// begun with it.
    pub state: JobState,
    /// Empty when there is nothing to say.
    pub reason: String,
    /// Of a delayed job.
    pub due: Option<Moment>,
    /// The place that its throttle has given to it.
    pub place: Option<Tick>,
    /// See [`Pending::latest`].
    pub latest: Option<Tick>,
    /// The jobs that end for it, with [`superseded_by`] as their reason.
    pub supersedes: Vec<JobId>,
}

impl Creation {
    fn of((state, reason): (JobState, String)) -> Self {
        Self {
            state,
            reason,
            due: None,
            place: None,
            latest: None,
            supersedes: Vec::new(),
        }
    }

    /// What the verdict says.
    pub fn explained(&self) -> String {
        let Some(job) = self.supersedes.last() else {
            return self.reason.clone();
        };
        let instead = match self.supersedes.len() {
            1 => format!("it takes the place of job {job}"),
            count => format!("it takes the place of {count} jobs, the last is {job}"),
        };
        if self.reason.is_empty() {
            instead
        } else {
            format!("{}; {instead}", self.reason)
        }
    }
}

/// Why a job ended that gave way to a newer one.
pub fn superseded_by(job: &JobId, plan: &FlowPlan) -> String {
    let why = match &plan.debounce {
        Some(debounce) => format!("debounce: {}", span(debounce.quiet)),
        None => format!("when_busy: {}", plan.when_busy.as_str()),
    };
    format!("superseded by job {job} ({why})")
}

/// Decides what becomes of one firing. (rule, event) makes one job, ever; a
/// key that is held makes the job wait; and the rule may say that it is to be
/// quiet first, or that it may not fire as often.
pub fn decide(state: &FlowState<'_>, firing: &Firing, custody: &Custody) -> Flow {
    let record = |verdict, reason: &str| Flow::Record {
        verdict,
        reason: reason.to_owned(),
        job: None,
    };
    match firing {
        Firing::Suppress { reason } => record(Verdict::Suppressed, reason),
        Firing::Shadow { reason } => record(Verdict::Shadow, reason),
        Firing::Error { reason } => record(Verdict::Error, reason),
        Firing::Fire(plan) => {
            if let Some(job) = &state.job {
                return Flow::Record {
                    verdict: Verdict::Duplicate,
                    reason: format!("this rule already has job {job} for this event"),
                    job: Some(job.clone()),
                };
            }
            let holder = state.key_holder.as_ref();
            // What may have begun elsewhere is no new firing.
            if let Custody::Broker {
                taken_over: true, ..
            } = custody
                && let on_lost @ (OnLost::Hold | OnLost::Fail) = strictest(plan, 0)
            {
                return Flow::Create(Creation::of(after_interruption(on_lost, plan, holder)));
            }
            if plan.flow.is_plain() {
                return Flow::Create(Creation::of(begin(plan, holder)));
            }
            if let (WhenBusy::Drop, Some(key), Some(holder)) =
                (plan.flow.when_busy, &plan.key, holder)
            {
                return record(Verdict::Suppressed, &dropped(key, holder));
            }
            begin_in_time(state, plan)
        }
    }
}

/// Whether a firing takes a place in the queue when nothing stands against it.
pub fn would_open(firing: &Firing, custody: &Custody) -> bool {
    let now = Moment {
        tick: Tick(0),
        wall: Timestamp::default(),
    };
    match decide(&FlowState::empty(now), firing, custody) {
        Flow::Create(creation) => !creation.state.is_ended(),
        Flow::Record { .. } => false,
    }
}

/// A throttle that would delay a job for longer suppresses it.
const LONGEST_DELAY: Duration = Duration::from_secs(366 * 86_400);

/// Decides about a rule that says something about storms.
fn begin_in_time(state: &FlowState<'_>, plan: &JobPlan) -> Flow {
    let now = state.now.tick;
    let flow = &plan.flow;
    let displaced: Vec<&Pending> = state
        .pending
        .iter()
        .filter(|job| gives_way(job, flow, now))
        .collect();
    let latest = flow.debounce.and_then(|it| it.max).map(|max| {
        let earlier = displaced.iter().filter_map(|job| job.latest).min();
        earlier.unwrap_or(now.plus(max))
    });
    let quiet = flow.debounce.map_or(now, |it| {
        let due = now.plus(it.quiet);
        latest.map_or(due, |latest| due.min(latest)).max(now)
    });
    let mut due = state.now.at(quiet);
    let mut reason = match &flow.debounce {
        Some(debounce) if quiet > now => {
            format!(
                "delayed until {} (debounce: {})",
                due.wall,
                span(debounce.quiet)
            )
        }
        Some(_) | None => String::new(),
    };
    let mut place = None;
    if let Some(throttle) = &flow.throttle {
        let empty = Window::default();
        let window = state.window.unwrap_or(&empty);
        let freed: Vec<&JobId> = displaced
            .iter()
            .filter(|job| !job.begun)
            .map(|job| &job.job)
            .collect();
        let first = window.place(throttle, quiet, &freed);
        if first > quiet {
            due = state.now.at(first);
            let is_near = first.since(now) <= LONGEST_DELAY;
            match throttle.then {
                Excess::Queue if is_near => {
                    reason = format!("delayed until {} by {}", due.wall, throttle.words());
                }
                Excess::Queue | Excess::Drop => {
                    let words = throttle.words();
                    return Flow::Record {
                        verdict: Verdict::Suppressed,
                        reason: format!("suppressed by {words}, the next at {}", due.wall),
                        job: None,
                    };
                }
            }
        }
        place = Some(first);
    }
    let is_delayed = due.tick > now;
    let (state, reason) = if is_delayed {
        (JobState::Delayed, reason)
    } else {
        begin(plan, state.key_holder.as_ref())
    };
    Flow::Create(Creation {
        due: is_delayed.then_some(due),
        place,
        latest: latest.filter(|_| is_delayed),
        supersedes: displaced.iter().map(|job| job.job.clone()).collect(),
        ..Creation::of((state, reason))
    })
}

/// Whether a job ends for a newer one of its rule and key.
fn gives_way(job: &Pending, flow: &FlowPlan, now: Tick) -> bool {
    match job.due {
        // One that is due is about to begin.
        Some(due) => due > now && flow.looks_at_pending(),
        None => flow.when_busy == WhenBusy::Latest,
    }
}

/// Decides what becomes of a delayed job that is due: `queued`, `waiting`, or
/// `cancelled` when it may not wait for its key.
pub fn when_due(plan: &JobPlan, key_holder: Option<&JobId>) -> (JobState, String) {
    match (plan.flow.when_busy, &plan.key, key_holder) {
        (WhenBusy::Drop, Some(key), Some(holder)) => (JobState::Cancelled, dropped(key, holder)),
        (WhenBusy::Drop, Some(_) | None, _) | (WhenBusy::Queue | WhenBusy::Latest, _, _) => {
            begin(plan, key_holder)
        }
    }
}

fn dropped(key: &str, holder: &JobId) -> String {
    format!("key `{key}` is held by job {holder} (when_busy: drop)")
}

/// What a job says that waits for its key.
pub fn waits_for(key: &str, holder: &JobId) -> String {
    format!("waiting for key `{key}` held by job {holder}")
}

/// What the store holds of a job whose delivery went back and has come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedJob {
    /// The step that the next attempt begins with.
    pub next_step: usize,
    /// The step that ran when the job was lost here, if one did.
    pub interrupted: Option<usize>,
    /// Another job that has its key and has not ended.
    pub key_holder: Option<JobId>,
    /// When it was due, if it was delayed and that lies ahead.
    pub due: Option<Moment>,
}

/// Decides what becomes of a returned job when its delivery comes to this
/// store again: the state it is put into, and why. It follows its `on_lost`
/// like any job whose worker vanished; `failed` is also a dead letter. With
/// `taken_over` another process may have had it meanwhile.
pub fn resume(state: &ReturnedJob, plan: &JobPlan, custody: &Custody) -> (JobState, String) {
    let holder = state.key_holder.as_ref();
    match custody {
        Custody::Broker {
            taken_over: true, ..
        } => match strictest(plan, state.next_step) {
            OnLost::Retry => begin_when_due(state, plan),
            on_lost @ (OnLost::Hold | OnLost::Fail) => after_interruption(on_lost, plan, holder),
        },
        Custody::Broker {
            taken_over: false, ..
        }
        | Custody::Store => match state.interrupted.and_then(|step| plan.steps.get(step)) {
            Some(step) => after_interruption(step.on_lost, plan, holder),
            None => begin_when_due(state, plan),
        },
    }
}

fn begin_when_due(state: &ReturnedJob, plan: &JobPlan) -> (JobState, String) {
    match &state.due {
        Some(due) => (
            JobState::Delayed,
            format!("delayed until {}, as before", due.wall),
        ),
        None => begin(plan, state.key_holder.as_ref()),
    }
}

fn begin(plan: &JobPlan, key_holder: Option<&JobId>) -> (JobState, String) {
    match (&plan.key, key_holder) {
        (Some(key), Some(holder)) => (JobState::Waiting, waits_for(key, holder)),
        (Some(_), None) | (None, _) => (JobState::Queued, String::new()),
    }
}

/// Any step from `first` on may have been interrupted: the strictest decides.
fn strictest(plan: &JobPlan, first: usize) -> OnLost {
    let steps = || plan.steps.iter().skip(first).map(|step| step.on_lost);
    if steps().any(|word| word == OnLost::Fail) {
        OnLost::Fail
    } else if steps().any(|word| word == OnLost::Hold) {
        OnLost::Hold
    } else {
        OnLost::Retry
    }
}

fn after_interruption(
    on_lost: OnLost,
    plan: &JobPlan,
    holder: Option<&JobId>,
) -> (JobState, String) {
    const WHY: &str = "it was delivered before to a process that is gone and may have done part \
                       of its work";
    match (on_lost, &plan.key, holder) {
        (OnLost::Retry, _, _) => begin(plan, holder),
        (OnLost::Fail, _, _) => (JobState::Failed, WHY.to_owned()),
        // It cannot hold a key that another has, and may not run after it.
        (OnLost::Hold, Some(key), Some(holder)) => (
            JobState::Failed,
            format!("{WHY}, and its key `{key}` is held by job {holder}"),
        ),
        (OnLost::Hold, Some(_), None) | (OnLost::Hold, None, _) => (JobState::Held, WHY.to_owned()),
    }
}

#[cfg(test)]
mod tests;
