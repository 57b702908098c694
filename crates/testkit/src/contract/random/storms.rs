//! What a day knows of its rules that throttle and debounce, to compare the
//! store with.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use model::{
    clock::Timestamp,
    flow::{Debounce, Excess, Moment, Throttle, Tick, WhenBusy},
    id::{EventId, JobId},
    job::{Job, JobPlan, JobState},
    verdict::Verdict,
};
use rand::{Rng, rngs::StdRng};

use super::holder;
use crate::contract::Fixture;

const PER: Duration = Duration::from_secs(20);

/// How many a window of `by` takes: all throttles of one value agree.
const LIMITS: [(&str, u32); 2] = [("one", 1), ("three", 3)];

#[derive(Default)]
pub(super) struct Storms {
    /// When each job that a throttle counts has its place, by what is counted.
    places: BTreeMap<&'static str, BTreeMap<JobId, Timestamp>>,
    /// When delayed jobs are due.
    due: BTreeMap<JobId, Timestamp>,
}

/// Lets a rule say something about storms, or not.
pub(super) fn say(plan: &mut JobPlan, dice: &mut StdRng) {
    if plan.key.is_some() {
        plan.flow.when_busy = match dice.random_range(0..6) {
            0 => WhenBusy::Drop,
            1 => WhenBusy::Latest,
            _ => WhenBusy::Queue,
        };
    }
    if dice.random_bool(0.2) {
        let quiet = Duration::from_secs(dice.random_range(1..20));
        let max = dice.random_bool(0.5).then(|| quiet * 2);
        plan.flow.debounce = Some(Debounce { quiet, max });
    }
    if dice.random_bool(0.3) {
        let (by, limit) = LIMITS[dice.random_range(0..LIMITS.len())];
        plan.flow.throttle = Some(Throttle {
            limit: NonZeroU32::new(limit).unwrap(),
            per: PER,
            by: Some(by.to_owned()),
            then: if dice.random_bool(0.5) {
                Excess::Drop
            } else {
                Excess::Queue
            },
        });
    }
}

fn counted_by(plan: &JobPlan) -> Option<(&'static str, u32)> {
    let by = plan.flow.throttle.as_ref()?.by.as_deref()?;
    LIMITS.into_iter().find(|(name, _)| *name == by)
}

impl Storms {
    /// A job as it is after the batch that made it.
    pub(super) fn note(&mut self, job: &Job, plan: &JobPlan) {
        if let Some(due) = job.due {
            assert_eq!(job.state, JobState::Delayed);
            self.due.insert(job.id.clone(), due);
        }
        if let (Some((by, _)), JobState::Queued | JobState::Waiting | JobState::Delayed) =
            (counted_by(plan), job.state)
        {
            let place = job.due.unwrap_or(job.created);
            let places = self.places.entry(by).or_default();
            places.insert(job.id.clone(), place);
        }
    }

    /// The rule made nothing of an event, and says why.
    pub(super) async fn check_suppressed(&self, store: &Fixture, event: &EventId, plan: &JobPlan) {
        let verdicts = store.verdicts(event.as_str()).await;
        assert_eq!(verdicts[0].verdict, Verdict::Suppressed);
        let reason = &verdicts[0].reason;
        if reason.contains("when_busy") {
            let holder = holder(store, plan.key.as_deref()).await;
            assert!(
                holder.is_some_and(|it| reason.contains(it.as_str())),
                "{reason}"
            );
            return;
        }
        let (by, limit) = counted_by(plan).expect("nothing else suppresses");
        assert!(reason.contains(&format!("throttle: {limit} in 20s for `{by}`")));
        let from = store.now().minus(PER);
        let places = self.places.get(by);
        let full =
            places.is_some_and(|it| it.values().filter(|at| **at > from).count() >= limit as usize);
        assert!(full, "there was room: {reason}");
    }

    /// When a job that went back is due, if that lies ahead.
    pub(super) fn due(&self, job: &JobId, now: Timestamp) -> Option<Moment> {
        let due = *self.due.get(job)?;
        let tick = Tick(due.as_millis());
        (due > now).then_some(Moment { tick, wall: due })
    }

    pub(super) fn check_claimed(&self, job: &JobId, now: Timestamp) {
        assert!(self.due(job, now).is_none(), "{job} is not due yet");
    }

    /// A person's wish is not delayed, and counted only if it was before.
    pub(super) fn retried(&mut self, job: &Job) {
        self.due.remove(&job.id);
        if job.attempts.is_empty() {
            for places in self.places.values_mut() {
                places.remove(&job.id);
            }
        }
    }

    /// No window holds too many of those that have begun or may begin.
    pub(super) async fn check(&self, store: &Fixture, at: (u64, usize)) {
        for (by, limit) in LIMITS {
            let mut places = Vec::new();
            for (job, place) in self.places.get(by).into_iter().flatten() {
                let job = store.job(job).await;
                if job.state != JobState::Cancelled || !job.attempts.is_empty() {
                    places.push(*place);
                }
            }
            places.sort_unstable();
            for many in places.windows(limit as usize + 1) {
                let (first, last) = (many[0], many[limit as usize]);
                assert!(
                    last >= first.plus(PER),
                    "{at:?}: {limit} for `{by}`: {many:?}"
                );
            }
        }
    }
}
