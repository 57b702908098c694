//! A fleet under faults that come by chance, from a seed: kills, partitions,
//! broker restarts and drains. Nothing is lost, and the same work never runs
//! twice at once.

use std::time::Duration;

use model::job::JobState;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::fleet::{Fleet, Options};

const INSTANCES: usize = 3;
const EVENTS: usize = 150;

async fn survives(seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut fleet = Fleet::start(INSTANCES, Options::done()).await;
    for n in 0..EVENTS {
        let topic = match n % 10 {
            0 => "a.plain",
            1 | 2 => "a.once",
            3 => "a.flaky",
            _ => "a.work",
        };
        fleet.publish(&format!("e{n}"), topic, dice.random_range(1..40_000));
    }
    for _ in 0..12 {
        let pause = Duration::from_millis(dice.random_range(10..30_000));
        testkit::clock::let_pass(pause).await;
        let one = dice.random_range(0..INSTANCES);
        match dice.random_range(0..7) {
            0 | 1 => fleet.kill(one).await,
            6 if fleet.instances[one].is_up => fleet.drain(one).await,
            2 => {
                let down = dice.random_range(100..40_000);
                fleet.broker.restart(Duration::from_millis(down));
            }
            3 => fleet.broker.partition(fleet.instances[one].peer),
            4 => fleet.broker.heal(fleet.instances[one].peer),
            _ => fleet.broker.reset(fleet.instances[one].peer),
        }
        for index in 0..INSTANCES {
            if !fleet.instances[index].is_up && dice.random_bool(0.5) {
                fleet.restart(index).await;
            }
        }
    }
    for index in 0..INSTANCES {
        fleet.broker.heal(fleet.instances[index].peer);
        if !fleet.instances[index].is_up {
            fleet.restart(index).await;
        }
    }
    let what = format!("seed {seed}: the queue is empty and nothing runs");
    fleet.wait(&what, async || is_settled(&fleet).await).await;
    assert_nothing_lost(&fleet, seed).await;
    for instance in &fleet.instances {
        instance.engine.stop().await;
    }
}

async fn is_settled(fleet: &Fleet) -> bool {
    if fleet.broker.waiting() + fleet.broker.unacked() + fleet.world.running() > 0 {
        return false;
    }
    for index in 0..INSTANCES {
        let states = fleet.states(index).await;
        let is_at_rest = |state: &JobState| state.is_ended() || *state == JobState::Held;
        if !states.iter().all(is_at_rest) {
            return false;
        }
    }
    true
}

/// Each event that matches has a job that succeeded or that a person is asked
/// about, in some store.
async fn assert_nothing_lost(fleet: &Fleet, seed: u64) {
    let mut answered = std::collections::HashSet::new();
    for index in 0..INSTANCES {
        for job in fleet.jobs(index).await {
            if matches!(job.state, JobState::Succeeded | JobState::Held) {
                answered.insert(job.event_id.to_string());
            }
        }
    }
    for n in (0..EVENTS).filter(|n| n % 10 != 0) {
        let id = format!("e{n}");
        assert!(
            answered.contains(&id),
            "seed {seed}: {id} is lost\n{}",
            fleet.state()
        );
    }
    assert_eq!(
        Vec::<String>::new(),
        fleet.overlaps(),
        "seed {seed}: overlaps"
    );
    assert_eq!(EVENTS as u64, fleet.broker.acked(), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_loses_nothing_and_runs_nothing_twice_at_once() {
    for seed in 1..=12 {
        survives(seed).await;
    }
}
