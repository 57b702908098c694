//! What other jobs have to do with a firing, and delayed jobs that are due.
//! Everything is looked up among the jobs: there is nothing to keep in step.

use model::{
    flow::{self, Moment, Pending, Steady, Window},
    id::{JobId, RuleName},
    job::{JobPlan, JobState, NextState},
};

use super::state::{Now, State};

impl State {
    /// The moment of a transaction. A boot that the store has not seen yet is
    /// laid on the line here.
    pub(crate) fn moment(&mut self, now: &Now) -> Moment {
        let known = self.steady.as_ref().and_then(|it| it.tick(&now.boot));
        let tick = known.unwrap_or_else(|| {
            let seen = self.jobs.values().next_back().map(|job| job.created);
            let steady = Steady::begin(now.wall, &now.boot, seen);
            let tick = steady.tick(&now.boot).expect("it is of this boot");
            self.steady = Some(steady);
            tick
        });
        Moment {
            tick,
            wall: now.wall,
        }
    }

    /// The jobs of a rule and key that wait or are delayed.
    pub(crate) fn pending_of(&self, rule: &RuleName, plan: &JobPlan) -> Vec<Pending> {
        self.jobs
            .values()
            .filter(|job| job.rule == *rule && job.plan.key == plan.key)
            .filter(|job| matches!(job.state, JobState::Waiting | JobState::Delayed))
            .map(|job| Pending {
                job: job.id.clone(),
                due: job.due_tick.filter(|_| job.state == JobState::Delayed),
                latest: job.latest,
                begun: !job.attempts.is_empty(),
            })
            .collect()
    }

    /// What the throttle of a rule has let through.
    pub(crate) fn window(&self, rule: &RuleName, plan: &JobPlan) -> Option<Window> {
        let throttle = plan.flow.throttle.as_ref()?;
        let counted = self.jobs.values().filter(|job| {
            let other = job.plan.flow.throttle.as_ref();
            job.rule == *rule && other.is_some_and(|other| other.by == throttle.by)
        });
        let places = counted.filter_map(|job| Some((job.place?, job.id.clone())));
        Some(Window::new(places.collect()))
    }

    /// Ends jobs that gave way to a newer one.
    pub(crate) fn displace(&mut self, jobs: &[JobId], by: (&JobId, &JobPlan), now: &Now) {
        let (newer, plan) = by;
        for job in jobs {
            let reason = flow::superseded_by(newer, &plan.flow);
            self.settle(job, &NextState::Dropped { reason }, now);
        }
    }

    /// Makes delayed jobs that are due ready, in order of acceptance: each is
    /// queued, or joins those that wait for its key.
    pub(crate) fn release_due(&mut self, now: &Now) {
        let tick = self.moment(now).tick;
        let due: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.state == JobState::Delayed)
            .filter(|job| job.due_tick.is_none_or(|due| due <= tick))
            .map(|job| job.id.clone())
            .collect();
        for id in due {
            let job = self.job(&id).expect("it was listed a moment ago");
            let holder = job.key().and_then(|key| self.key_holder(key));
            let (state, reason) = flow::when_due(&job.plan, holder);
            if state.is_ended() {
                self.settle(&id, &NextState::Dropped { reason }, now);
                continue;
            }
            let job = self.job_mut(&id).expect("it was found a moment ago");
            job.state = state;
            job.reason = (!reason.is_empty()).then_some(reason);
            job.due = None;
            job.due_tick = None;
            job.latest = None;
        }
    }

    /// Whether a delayed job is due, so that somebody should have a look.
    pub(crate) fn has_due(&mut self, now: &Now) -> bool {
        let tick = self.moment(now).tick;
        self.jobs
            .values()
            .any(|job| job.state == JobState::Delayed && job.due_tick.is_none_or(|due| due <= tick))
    }
}
