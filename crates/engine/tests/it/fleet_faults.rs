//! What happens to a fleet, one fault at a time: nothing is lost, and the
//! same work never runs twice at once.

use std::time::Duration;

use model::{
    job::JobState::{self, Held, Returned, Running, Succeeded},
    link::FleetWord,
    ports::JobControl,
};

use testkit::link::Notes;

use crate::fleet::{Fleet, Options, ann};

const SECOND: u64 = 1000;

const FAILS_LATE: &str = r#"
rules:
  - name: late
    on: a.late
    run:
      - command: [late, "14000"]
    retry: {attempts: 3, delay: 30s}
    on_lost: retry
"#;

/// One delivery each.
fn one_by_one() -> Options {
    Options {
        prefetch: 1,
        concurrency: 1,
        ..Options::done()
    }
}

/// Which instances have a job in this state.
async fn in_state(fleet: &Fleet, state: JobState) -> Vec<usize> {
    let mut found = Vec::new();
    for index in 0..fleet.instances.len() {
        let states = fleet.states(index).await;
        found.extend(states.iter().filter(|one| **one == state).map(|_| index));
    }
    found
}

async fn succeeded(fleet: &Fleet) -> usize {
    in_state(fleet, Succeeded).await.len()
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_worked_off_together() {
    let fleet = Fleet::start(3, Options::done()).await;
    for n in 0..60 {
        fleet.publish(&format!("e{n}"), "a.once", 10 * SECOND);
    }
    let begun = tokio::time::Instant::now();
    fleet.until_acked(60).await;
    assert!(begun.elapsed() < Duration::from_secs(60), "side by side");
    assert_eq!(60, fleet.world.runs().len());
}

#[tokio::test(start_paused = true)]
async fn a_running_job_does_not_notice_a_broker_restart() {
    let fleet = Fleet::start(3, one_by_one()).await;
    for n in 0..3 {
        fleet.publish(&format!("e{n}"), "a.once", 300 * SECOND);
    }
    fleet.until_running(3).await;
    fleet.broker.restart(Duration::from_secs(60));
    fleet
        .wait("all are done", async || succeeded(&fleet).await == 3)
        .await;
    fleet.until_acked(3).await;
    assert_eq!(3, fleet.world.runs().len(), "each ran once");
}

#[tokio::test(start_paused = true)]
async fn a_restart_under_load_runs_nothing_twice() {
    let fleet = Fleet::start(3, Options::done()).await;
    for n in 0..120 {
        fleet.publish(&format!("e{n}"), "a.once", 20 * SECOND);
    }
    for _ in 0..3 {
        testkit::clock::let_pass(Duration::from_secs(31)).await;
        fleet.broker.restart(Duration::from_secs(2));
    }
    fleet
        .wait("all are done", async || succeeded(&fleet).await == 120)
        .await;
    assert_eq!(Vec::<usize>::new(), in_state(&fleet, Held).await);
    assert_eq!(120, fleet.world.runs().len());
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_instance_ran_is_taken_over_by_another() {
    let mut fleet = Fleet::start(2, one_by_one()).await;
    fleet.publish("e1", "a.work", 60 * SECOND);
    fleet.until_running(1).await;
    let first = in_state(&fleet, Running).await[0];
    let begun = tokio::time::Instant::now();
    fleet.kill(first).await;
    fleet.until_running(1).await;
    let after = begun.elapsed().as_secs();
    assert!((20..23).contains(&after), "taken over after {after} s");
    fleet.until_acked(1).await;
    assert_eq!(vec![1 - first], in_state(&fleet, Succeeded).await);
    // The first gives up what it had when it comes back.
    fleet.restart(first).await;
    assert_eq!(vec![first], in_state(&fleet, Returned).await);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_repeated_is_held_by_who_takes_it_over() {
    let mut fleet = Fleet::start(2, one_by_one()).await;
    fleet.publish("e1", "a.once", 60 * SECOND);
    fleet.until_running(1).await;
    let first = in_state(&fleet, Running).await[0];
    let other = 1 - first;
    fleet.kill(first).await;
    fleet.until_acked(1).await;
    assert_eq!(vec![Held], fleet.states(other).await);
    assert_eq!(1, fleet.runs_of("e1").len());
    // It is parked: a person's word is enough.
    let job = fleet.jobs(other).await[0].id.clone();
    let store = &fleet.instances[other].store;
    store.retry(&job, &ann()).await.unwrap();
    fleet
        .wait("it is done", async || succeeded(&fleet).await == 1)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_partitioned_instance_ends_its_jobs_before_another_begins() {
    let mut fleet = Fleet::start(2, one_by_one()).await;
    fleet.publish("e1", "a.work", 300 * SECOND);
    fleet.until_running(1).await;
    let first = in_state(&fleet, Running).await[0];
    fleet.broker.partition(fleet.instances[first].peer);
    let other = 1 - first;
    fleet
        .wait("the other runs it", async || {
            fleet.states(other).await == [Running]
        })
        .await;
    assert_eq!(Vec::<String>::new(), fleet.overlaps());
    fleet.broker.heal(fleet.instances[first].peer);
    fleet.until_acked(1).await;
    assert_eq!(2, fleet.runs_of("e1").len());
    assert!(!fleet.runs_of("e1")[0].is_done);
    assert_eq!(Vec::<String>::new(), fleet.overlaps());
    fleet
        .wait("the first has given it up", async || {
            fleet.states(first).await == [Returned]
        })
        .await;
    fleet.kill(first).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_partition_changes_nothing() {
    let fleet = Fleet::start(2, one_by_one()).await;
    fleet.publish("e1", "a.once", 60 * SECOND);
    fleet.until_running(1).await;
    let first = in_state(&fleet, Running).await[0];
    fleet.broker.partition(fleet.instances[first].peer);
    testkit::clock::let_pass(Duration::from_secs(8)).await;
    fleet.broker.heal(fleet.instances[first].peer);
    fleet.until_acked(1).await;
    assert_eq!(1, fleet.runs_of("e1").len());
}

#[tokio::test(start_paused = true)]
async fn one_who_lost_its_delivery_says_that_it_has_the_job() {
    let fleet = Fleet::start(2, one_by_one()).await;
    fleet.publish("e1", "a.once", 300 * SECOND);
    fleet.until_running(1).await;
    let first = in_state(&fleet, Running).await[0];
    // It comes back only when the other has got the delivery.
    let peer = fleet.instances[first].peer;
    fleet.broker.reset(peer);
    fleet.broker.partition(peer);
    testkit::clock::let_pass(Duration::from_secs(3)).await;
    fleet.broker.heal(peer);
    fleet.until_acked(1).await;
    let words: Vec<FleetWord> = fleet.broker.notes().iter().map(|note| note.about).collect();
    assert!(words.contains(&FleetWord::Mine), "{words:?}");
    assert_eq!(vec![first], in_state(&fleet, Running).await);
    fleet
        .wait("it is done", async || succeeded(&fleet).await == 1)
        .await;
    assert_eq!(1, fleet.runs_of("e1").len());
}

/// The delivery of the job that runs goes to the other instance.
async fn delivered_to_the_other(fleet: &Fleet, notes: Notes) -> usize {
    fleet.publish("e1", "a.work", 300 * SECOND);
    fleet.until_running(1).await;
    let first = in_state(fleet, Running).await[0];
    fleet.broker.set_notes(notes);
    let peer = fleet.instances[first].peer;
    fleet.broker.reset(peer);
    fleet.broker.partition(peer);
    testkit::clock::let_pass(Duration::from_secs(3)).await;
    fleet.broker.heal(peer);
    first
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_over_while_no_question_is_heard() {
    let fleet = Fleet::start(2, one_by_one()).await;
    let first = delivered_to_the_other(&fleet, Notes::Vanish).await;
    testkit::clock::let_pass(Duration::from_secs(200)).await;
    assert_eq!(vec![first], in_state(&fleet, Running).await);
    assert_eq!(0, fleet.broker.acked());
    fleet.broker.set_notes(Notes::Pass);
    fleet.until_acked(1).await;
    fleet
        .wait("it is done", async || succeeded(&fleet).await == 1)
        .await;
    assert_eq!(1, fleet.runs_of("e1").len());
}

#[tokio::test(start_paused = true)]
async fn where_instances_may_not_talk_a_lost_delivery_ends_its_job() {
    let fleet = Fleet::start(2, one_by_one()).await;
    let first = delivered_to_the_other(&fleet, Notes::Forbidden).await;
    fleet
        .wait("the other runs it", async || {
            in_state(&fleet, Running).await == [1 - first]
        })
        .await;
    fleet.until_acked(1).await;
    assert_eq!(2, fleet.runs_of("e1").len());
    assert_eq!(Vec::<String>::new(), fleet.overlaps());
}

/// It fails when its delivery is lost already, and the other takes it over
/// before the retry is due.
#[tokio::test(start_paused = true)]
async fn a_retry_does_not_begin_when_another_may_have_the_job() {
    let options = Options {
        rules: FAILS_LATE.to_owned(),
        ..one_by_one()
    };
    let fleet = Fleet::start(2, options).await;
    fleet.publish("e1", "a.late", 0);
    fleet.until_running(1).await;
    let first = in_state(&fleet, Running).await[0];
    let peer = fleet.instances[first].peer;
    fleet.broker.reset(peer);
    fleet.broker.partition(peer);
    testkit::clock::let_pass(Duration::from_secs(60)).await;
    fleet.broker.heal(peer);
    fleet.until_acked(1).await;
    assert_eq!(Vec::<String>::new(), fleet.overlaps());
    assert_eq!(vec![first], in_state(&fleet, Returned).await);
}

#[tokio::test(start_paused = true)]
async fn draining_gives_what_has_not_begun_to_another_at_once() {
    let options = Options {
        concurrency: 1,
        prefetch: 3,
        ..Options::done()
    };
    let fleet = Fleet::start(2, options).await;
    for n in 0..6 {
        fleet.publish(&format!("e{n}"), "a.once", 30 * SECOND);
    }
    fleet.until_running(2).await;
    let begun = tokio::time::Instant::now();
    let engine = fleet.instances[0].engine.clone();
    engine.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(35));
    fleet
        .wait("the other has done the rest", async || {
            succeeded(&fleet).await == 6
        })
        .await;
    // Five jobs of 30 s each, and no waiting for a takeover between them.
    assert!(begun.elapsed() < Duration::from_secs(5 * 30 + 8));
    assert_eq!(6, fleet.world.runs().len());
    fleet.until_acked(6).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_never_run_in_part_by_two() {
    let fleet = Fleet::start(2, one_by_one()).await;
    // Two jobs, one slot: when the connection goes one has begun.
    fleet.publish("e1", "a.both", 0);
    fleet.until_running(1).await;
    fleet.broker.restart(Duration::from_secs(5));
    fleet.until_acked(1).await;
    fleet
        .wait("both are done", async || succeeded(&fleet).await == 2)
        .await;
    assert_eq!(2, fleet.world.runs().len());
}
