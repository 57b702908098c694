//! A long day of a store, from a seed: jobs of many keys come, some of them
//! with deliveries, are claimed, end in every way, are lost, cancelled and
//! retried, parked, given back and taken up again, in any order; some of their
//! rules throttle, debounce, or look at who waits. After every step the keys are
//! in order, no window holds too many and no job runs twice; at the end every job has
//! run to an end.

mod storms;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use model::{
    custody::{Custody, JobStanding},
    flow::{self, ReturnedJob},
    id::{EventId, JobId},
    job::{Job, JobPlan, JobState, Lease, NextState, Outcome, StepState},
    ports::{Controlled, Fenced, Judged},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Fixture, QUEUE_LIMIT,
    build::{
        LEASE, by, claimant, delivered, delivering, end, failed, gave_up, held, ids, keyed, plan,
        retrying, steps, succeeded, taken_over,
    },
    under,
};

use self::storms::Storms;

const STEPS: usize = 120;

/// What this day knows by itself, to compare the store with.
#[derive(Default)]
struct Day {
    /// In order of acceptance.
    jobs: Vec<JobId>,
    held: Vec<Lease>,
    /// The highest attempt that was ever given, by job.
    attempts: BTreeMap<JobId, u32>,
    /// Jobs that a person has had retried, or that came again: they may run
    /// after later ones.
    retried: BTreeSet<JobId>,
    plans: BTreeMap<JobId, JobPlan>,
    storms: Storms,
}

pub(super) async fn many_keys_interleaved(store: &Fixture, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut day = Day::default();
    for step in 0..STEPS {
        match dice.random_range(0..13) {
            0..=2 => arrive(store, &mut day, &mut dice, (seed, step)).await,
            3..=5 => {
                let may_begin_delivered = dice.random_bool(0.7);
                claim(
                    store,
                    &mut day,
                    dice.random_range(1..4),
                    may_begin_delivered,
                )
                .await;
            }
            6..=7 => finish(store, &mut day, &mut dice).await,
            8 => lose_or_wait(store, &mut day, &mut dice).await,
            9 => interfere(store, &mut day, &mut dice).await,
            10 => go_back(store, &day, &mut dice).await,
            _ => come_again(store, &mut day, &mut dice).await,
        }
        check_keys(store, &day, (seed, step)).await;
    }
    let mut rounds = 0;
    while !is_over(store, &day).await {
        store.clock.advance(Duration::from_secs(60));
        store.recover().await;
        day.held.clear();
        for id in &day.jobs {
            if store.state(id).await == JobState::Held {
                store.control.retry(id, &by("ann")).await.unwrap();
                day.retried.insert(id.clone());
            }
        }
        come_again_all(store, &mut day).await;
        claim(store, &mut day, 100, true).await;
        for lease in std::mem::take(&mut day.held) {
            store.succeed(&lease).await;
        }
        check_keys(store, &day, (seed, STEPS + rounds)).await;
        rounds += 1;
        assert!(rounds < 200, "seed {seed}: the day does not end");
    }
}

async fn arrive(store: &Fixture, day: &mut Day, dice: &mut StdRng, (seed, step): (u64, usize)) {
    if open_jobs(store).await + 3 > QUEUE_LIMIT {
        return;
    }
    let mut wanted = match dice.random_range(0..5) {
        0 => plan(),
        key => keyed(&format!("key-{seed}-{key}")),
    };
    wanted.steps = steps(dice.random_range(1..3), model::job::OnLost::Retry);
    if dice.random_bool(0.2) {
        wanted.steps = steps(1, model::job::OnLost::Hold);
    }
    let custody = match dice.random_range(0..5) {
        0 | 1 => delivered("w1"),
        2 => taken_over("w1"),
        _ => Custody::Store,
    };
    storms::say(&mut wanted, dice);
    let count = dice.random_range(1..4);
    let batch = (0..count).map(|n| {
        let event = format!("day-{seed}-{step}-{n}");
        under(&custody, &event, store.now(), wanted.clone())
    });
    let batch: Vec<Judged> = batch.collect();
    let events: Vec<EventId> = batch.iter().map(|it| it.event.id.clone()).collect();
    let accepted = store.accept(batch).await;
    for (mut one, event) in accepted.into_iter().zip(events) {
        match one.jobs.pop() {
            Some(job) => {
                let made = store.job(&job).await;
                day.storms.note(&made, &wanted);
                if made.state == JobState::Delayed || made.state == JobState::Cancelled {
                    day.retried.insert(job.clone());
                }
                day.plans.insert(job.clone(), wanted.clone());
                day.jobs.push(job);
            }
            None => day.storms.check_suppressed(store, &event, &wanted).await,
        }
    }
}

/// The delivery of a job goes back, or the store answers for it.
async fn go_back(store: &Fixture, day: &Day, dice: &mut StdRng) {
    if day.jobs.is_empty() {
        return;
    }
    let id = &day.jobs[dice.random_range(0..day.jobs.len())];
    let (before, event) = stands(store, id).await;
    let events = [event];
    if dice.random_bool(0.2) {
        store.custody.park(&events).await.unwrap();
        let (after, _) = stands(store, id).await;
        assert_eq!(after.state, before.state, "parking changes no state");
        assert!(after.delivery.is_none() || after.state.is_ended());
        return;
    }
    let given = store.custody.give_back(&events, "it went back").await;
    let is_idle = !before.state.is_ended() && before.state != JobState::Running;
    let expect: &[JobId] = if is_idle && before.delivery.is_some() {
        std::slice::from_ref(id)
    } else {
        &[]
    };
    assert_eq!(
        given.unwrap(),
        expect,
        "giving back a job that is {before:?}"
    );
}

async fn stands(store: &Fixture, id: &JobId) -> (JobStanding, EventId) {
    let event = store.job(id).await.event_id;
    let mut found = store
        .custody
        .standing(std::slice::from_ref(&event))
        .await
        .unwrap();
    let (_, mut jobs) = found.remove(0);
    (jobs.remove(0), event)
}

/// The event of a job comes again: what was returned is taken up.
async fn come_again(store: &Fixture, day: &mut Day, dice: &mut StdRng) {
    if day.jobs.is_empty() || open_jobs(store).await + 1 > QUEUE_LIMIT {
        return;
    }
    let id = day.jobs[dice.random_range(0..day.jobs.len())].clone();
    let custody = match dice.random_range(0..3) {
        0 => delivered("w1"),
        1 => taken_over("w1"),
        _ => Custody::Store,
    };
    bring(store, day, &id, &custody).await;
}

/// Every job that was returned comes again, as far as there is room.
async fn come_again_all(store: &Fixture, day: &mut Day) {
    for id in day.jobs.clone() {
        let is_returned = store.state(&id).await == JobState::Returned;
        if is_returned && open_jobs(store).await < QUEUE_LIMIT {
            bring(store, day, &id, &Custody::Store).await;
        }
    }
}

async fn bring(store: &Fixture, day: &mut Day, id: &JobId, custody: &Custody) {
    let before = store.job(id).await;
    let (stood, event) = stands(store, id).await;
    let plan = &day.plans[id];
    let mut expect = (before.state, stood.delivery);
    if before.state == JobState::Returned {
        let last = before.attempts.last();
        let lost = last.and_then(|it| it.steps.iter().find(|it| it.state == StepState::Lost));
        let returned = ReturnedJob {
            next_step: before.next_step,
            interrupted: lost.map(|step| step.index),
            key_holder: holder(store, before.key.as_deref()).await,
            due: day.storms.due(id, store.now()),
        };
        let (state, _) = flow::resume(&returned, plan, custody);
        expect = (state, custody.worker().cloned());
        day.retried.insert(id.clone());
    }
    let again = under(custody, event.as_str(), store.now(), plan.clone());
    let answer = store.accept_one(again).await;
    assert!(answer.duplicate && !answer.conflict);
    assert_eq!(answer.jobs, std::slice::from_ref(id));
    let (after, _) = stands(store, id).await;
    assert_eq!(
        (after.state, after.delivery),
        expect,
        "{before:?} came again"
    );
}

/// The job that has a key.
async fn holder(store: &Fixture, key: Option<&str>) -> Option<JobId> {
    let key = key?;
    let jobs = store.all_jobs().await;
    let mut holders = jobs
        .into_iter()
        .filter(|job| job.key.as_deref() == Some(key) && job.state.holds_key());
    holders.next().map(|job| job.id)
}

async fn open_jobs(store: &Fixture) -> usize {
    let jobs = store.all_jobs().await;
    jobs.iter().filter(|job| !job.state.is_ended()).count()
}

async fn claim(store: &Fixture, day: &mut Day, max: usize, may_begin_delivered: bool) {
    let who = if may_begin_delivered {
        delivering("w1")
    } else {
        claimant("w1")
    };
    for lease in store.claim_as(&who, max).await {
        let (stood, _) = stands(store, &lease.id.job).await;
        assert!(may_begin_delivered || stood.delivery.is_none());
        let is_held = day.held.iter().any(|other| other.id.job == lease.id.job);
        assert!(!is_held, "{} is leased already", lease.id.job);
        let last = day.attempts.entry(lease.id.job.clone()).or_insert(0);
        assert_eq!(lease.id.attempt, *last + 1, "attempts are counted");
        *last = lease.id.attempt;
        day.storms.check_claimed(&lease.id.job, store.now());
        day.held.push(lease);
    }
}

async fn finish(store: &Fixture, day: &mut Day, dice: &mut StdRng) {
    if day.held.is_empty() {
        return;
    }
    let at = dice.random_range(0..day.held.len());
    let mut lease = day.held.swap_remove(at);
    if lease.step + 1 < lease.plan.steps.len() && dice.random_bool(0.7) {
        let ended = end(lease.step, succeeded());
        let fenced = store.queue.advance(&lease.id, &ended).await.unwrap();
        assert_eq!(fenced, Fenced::Recorded);
        lease.step += 1;
    }
    let (outcome, next) = match dice.random_range(0..6) {
        0 => (failed(), gave_up()),
        1 => (failed(), held()),
        2 | 3 => (
            failed(),
            retrying(Duration::from_secs(dice.random_range(0..90))),
        ),
        _ => (succeeded(), NextState::Succeeded),
    };
    store.finish(&lease, outcome, next).await;
}

async fn lose_or_wait(store: &Fixture, day: &mut Day, dice: &mut StdRng) {
    store.clock.advance(LEASE / 2);
    // Some workers live and renew, the others are gone.
    let (alive, gone): (Vec<Lease>, Vec<Lease>) = std::mem::take(&mut day.held)
        .into_iter()
        .partition(|_| dice.random_bool(0.6));
    let renewed = store.queue.renew(&ids(&alive), LEASE).await.unwrap();
    assert_eq!(renewed.len(), alive.len(), "half a lease is left");
    store.clock.advance(LEASE / 2);
    let recovered = store.recover().await;
    let lost: BTreeSet<&JobId> = recovered.iter().map(|one| &one.lease.job).collect();
    assert_eq!(lost, gone.iter().map(|lease| &lease.id.job).collect());
    for lease in &gone {
        let late = store
            .queue
            .finish(
                &lease.id,
                None,
                &Outcome::Succeeded {
                    summary: String::new(),
                },
                &NextState::Succeeded,
            )
            .await;
        assert_eq!(late.unwrap(), Fenced::Stale);
    }
    let renewed = store.queue.renew(&ids(&alive), LEASE).await.unwrap();
    assert_eq!(renewed.len(), alive.len(), "what lives is still held");
    day.held = alive;
}

async fn interfere(store: &Fixture, day: &mut Day, dice: &mut StdRng) {
    if day.jobs.is_empty() {
        return;
    }
    let id = day.jobs[dice.random_range(0..day.jobs.len())].clone();
    let before = store.state(&id).await;
    if dice.random_bool(0.4) {
        let answer = store.control.cancel(&id, &by("ann")).await.unwrap();
        let expect = match before {
            JobState::Running => Controlled::Done(JobState::Running),
            state if state.is_ended() => Controlled::WrongState(state),
            _ => Controlled::Done(JobState::Cancelled),
        };
        assert_eq!(answer, expect, "cancelling a job that is {before}");
    } else {
        let answer = store.control.retry(&id, &by("ann")).await.unwrap();
        let is_right = match answer {
            Controlled::Done(state) => {
                day.storms.retried(&store.job(&id).await);
                day.retried.insert(id);
                before.is_retryable() && matches!(state, JobState::Queued | JobState::Waiting)
            }
            Controlled::WrongState(state) => state == before && !before.is_retryable(),
            Controlled::NotFound => false,
        };
        assert!(is_right, "retrying a job that is {before}");
    }
}

async fn check_keys(store: &Fixture, day: &Day, at: (u64, usize)) {
    day.storms.check(store, at).await;
    let mut by_key: BTreeMap<String, Vec<Job>> = BTreeMap::new();
    for id in &day.jobs {
        let job = store.job(id).await;
        let is_leased = day.held.iter().any(|lease| lease.id.job == *id);
        assert_eq!(job.state == JobState::Running, is_leased, "{at:?}: {id}");
        if let Some(key) = job.key.clone() {
            by_key.entry(key).or_default().push(job);
        }
    }
    for (key, jobs) in by_key {
        let holders: Vec<&Job> = jobs.iter().filter(|job| job.state.holds_key()).collect();
        let waiting: Vec<&Job> = jobs
            .iter()
            .filter(|job| job.state == JobState::Waiting)
            .collect();
        assert!(holders.len() <= 1, "{at:?}: `{key}` is held twice");
        assert!(
            waiting.is_empty() || holders.len() == 1,
            "{at:?}: `{key}` is free and a job waits for it"
        );
        for job in &waiting {
            let holder = holders.first().map(|holder| &holder.id);
            assert_eq!(job.waits_for.as_ref(), holder, "{at:?}: {}", job.id);
        }
        // No job overtakes another one of its key, unless a person had it
        // tried again after it had ended.
        let first_waiting = jobs
            .iter()
            .position(|job| job.state == JobState::Waiting && !day.retried.contains(&job.id));
        let overtaking = jobs
            .iter()
            .skip(first_waiting.map_or(jobs.len(), |at| at + 1));
        for job in overtaking {
            let has_run = !job.attempts.is_empty();
            assert!(!has_run, "{at:?}: {} overtook another of `{key}`", job.id);
        }
    }
}

async fn is_over(store: &Fixture, day: &Day) -> bool {
    for id in &day.jobs {
        if !store.state(id).await.is_ended() {
            return false;
        }
    }
    true
}
