//! A long day of a store, from a seed: jobs of many keys come, are claimed,
//! end in every way, are lost, cancelled and retried, in any order. After
//! every step the keys are in order and no job runs twice; at the end every
//! job has run to an end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use model::{
    id::JobId,
    job::{Job, JobState, Lease, NextState, Outcome},
    ports::{Controlled, Fenced},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Fixture, QUEUE_LIMIT,
    build::{LEASE, by, end, failed, gave_up, held, ids, keyed, plan, retrying, steps, succeeded},
};

const STEPS: usize = 120;

/// What this day knows by itself, to compare the store with.
#[derive(Default)]
struct Day {
    /// In order of acceptance.
    jobs: Vec<JobId>,
    held: Vec<Lease>,
    /// The highest attempt that was ever given, by job.
    attempts: BTreeMap<JobId, u32>,
    /// Jobs that a person has had retried: they may run after later ones.
    retried: BTreeSet<JobId>,
}

pub(super) async fn many_keys_interleaved(store: &Fixture, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut day = Day::default();
    for step in 0..STEPS {
        match dice.random_range(0..10) {
            0..=2 => arrive(store, &mut day, &mut dice, (seed, step)).await,
            3..=5 => claim(store, &mut day, dice.random_range(1..4)).await,
            6..=7 => finish(store, &mut day, &mut dice).await,
            8 => lose_or_wait(store, &mut day, &mut dice).await,
            _ => interfere(store, &mut day, &mut dice).await,
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
        claim(store, &mut day, 100).await;
        for lease in std::mem::take(&mut day.held) {
            store.succeed(&lease).await;
        }
        check_keys(store, &day, (seed, STEPS + rounds)).await;
        rounds += 1;
        assert!(rounds < 200, "seed {seed}: the day does not end");
    }
}

async fn arrive(store: &Fixture, day: &mut Day, dice: &mut StdRng, (seed, step): (u64, usize)) {
    if open_jobs(store).await + 1 > QUEUE_LIMIT {
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
    day.jobs
        .push(store.give(&format!("day-{seed}-{step}"), wanted).await);
}

async fn open_jobs(store: &Fixture) -> usize {
    let jobs = store.all_jobs().await;
    jobs.iter().filter(|job| !job.state.is_ended()).count()
}

async fn claim(store: &Fixture, day: &mut Day, max: usize) {
    for lease in store.claim(max).await {
        let is_held = day.held.iter().any(|other| other.id.job == lease.id.job);
        assert!(!is_held, "{} is leased already", lease.id.job);
        let last = day.attempts.entry(lease.id.job.clone()).or_insert(0);
        assert_eq!(lease.id.attempt, *last + 1, "attempts are counted");
        *last = lease.id.attempt;
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
        let holders: Vec<&Job> = jobs
            .iter()
            .filter(|job| !job.state.is_ended() && job.state != JobState::Waiting)
            .collect();
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
