//! One instance and its queue: what is settled when.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use model::{
    fault::FaultPoint,
    job::JobState::{self, Cancelled, Delayed, Failed, Held, Retrying, Running, Succeeded},
    ports::DeadKind,
};
use testkit::FaultPlan;

use crate::fleet::{Fleet, Options, ann};

const SECOND: u64 = 1000;

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_acknowledged() {
    let fleet = Fleet::start(1, Options::stored()).await;
    for n in 0..250 {
        fleet.publish(&format!("e{n}"), "a.plain", 0);
    }
    fleet.publish("slow", "a.work", 3600 * SECOND);
    fleet.until_acked(251).await;
    assert_eq!(vec![Running], fleet.states(0).await);
    let status = fleet.instances[0].engine.status().await.unwrap();
    assert_eq!(251, status.store.accepted_events);
    assert_eq!(0, status.sources[0].held);
    assert_eq!(251, status.sources[0].link.messages);
}

async fn dies_at(options: Options, point: FaultPoint, topic: &str) {
    let mut fleet = Fleet::with_plan(1, options, FaultPlan::once(point)).await;
    fleet.publish("e1", topic, SECOND);
    fleet.instances[0].faults.wait_tripped().await;
    assert_eq!(0, fleet.broker.acked(), "{}", point.as_str());
    fleet.restart(0).await;
    fleet.until_acked(1).await;
    fleet
        .wait("its job has ended", async || {
            fleet.states(0).await == [Succeeded]
        })
        .await;
    assert_eq!(Vec::<String>::new(), fleet.overlaps());
    assert!(fleet.letters(0).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_it_is_accepted() {
    for point in [
        FaultPoint::BeforeAcceptCommit,
        FaultPoint::AfterAcceptCommitBeforeReply,
        FaultPoint::AfterAcceptBeforeAck,
    ] {
        dies_at(Options::stored(), point, "a.work").await;
        dies_at(Options::done(), point, "a.work").await;
    }
    dies_at(Options::done(), FaultPoint::AfterParkBeforeAck, "a.flaky").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_kept_and_acknowledged() {
    for options in [Options::stored(), Options::done()] {
        let fleet = Fleet::start(1, options).await;
        fleet.broker.publish_bytes(b"{nonsense");
        fleet.publish("e1", "a.work", SECOND);
        fleet.broker.publish_bytes(b"{other");
        fleet.broker.publish_bytes(b"{nonsense");
        fleet.until_acked(4).await;
        let letters = fleet.letters(0).await;
        assert_eq!(2, letters.len(), "the same bytes are one letter");
        assert_eq!(DeadKind::Undecodable, letters[0].content.kind);
        assert_eq!("bus", letters[0].content.source);
        assert_eq!(Some(b"{other".to_vec()), letters[0].content.raw);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_the_line_until_there_is_room() {
    let options = Options {
        queue_limit: 2,
        batch: 1,
        concurrency: 1,
        ..Options::stored()
    };
    let fleet = Fleet::start(1, options).await;
    for n in 0..6 {
        fleet.publish(&format!("e{n}"), "a.work", 600 * SECOND);
    }
    fleet.until_acked(2).await;
    testkit::clock::let_pass(Duration::from_secs(300)).await;
    assert_eq!(2, fleet.broker.acked());
    fleet.until_acked(6).await;
    let order: Vec<String> = fleet
        .jobs(0)
        .await
        .iter()
        .map(|job| job.event_id.to_string())
        .collect();
    assert_eq!(["e0", "e1", "e2", "e3", "e4", "e5"], order.as_slice());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_holds_the_line_until_there_is_room() {
    for options in [Options::stored(), Options::done()] {
        options.bad_days.full.store(20, SeqCst);
        let fleet = Fleet::start(1, options).await;
        for n in 0..10 {
            fleet.publish(&format!("e{n}"), "a.plain", 0);
        }
        testkit::clock::let_pass(Duration::from_secs(20)).await;
        assert_eq!(0, fleet.broker.acked());
        fleet.until_acked(10).await;
        assert!(fleet.letters(0).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_that_the_store_never_takes_stops_nothing() {
    for options in [Options::stored(), Options::done()] {
        *options.bad_days.never.lock().unwrap() = Some("e5".parse().unwrap());
        let fleet = Fleet::start(1, options).await;
        for n in 0..10 {
            fleet.publish(&format!("e{n}"), "a.work", SECOND);
        }
        fleet.until_acked(10).await;
        fleet
            .wait("the others have run", async || {
                fleet.states(0).await == [Succeeded; 9]
            })
            .await;
        let letters = fleet.letters(0).await;
        assert_eq!(1, letters.len());
        assert_eq!(DeadKind::Undecodable, letters[0].content.kind);
        assert_eq!(Some("e5".parse().unwrap()), letters[0].content.event_id);
    }
}

#[tokio::test(start_paused = true)]
async fn draining_is_not_held_up_by_a_full_queue() {
    let options = Options {
        queue_limit: 1,
        batch: 1,
        concurrency: 1,
        ..Options::stored()
    };
    let fleet = Fleet::start(1, options).await;
    for n in 0..5 {
        fleet.publish(&format!("e{n}"), "a.work", 60 * SECOND);
    }
    fleet.until_acked(1).await;
    fleet.instances[0].engine.drain().await;
    assert_eq!(1, fleet.broker.acked());
    assert_eq!(4, fleet.broker.waiting(), "the rest is for the next");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_acknowledged_when_its_jobs_have_ended_or_none_matched() {
    let fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.both", 0);
    fleet.publish("e2", "a.plain", 0);
    fleet.until_acked(1).await;
    fleet.until_running(2).await;
    let held = fleet.instances[0].engine.sources()[0].held;
    assert_eq!(1, held);
    let begun = tokio::time::Instant::now();
    fleet.until_running(1).await;
    testkit::clock::let_pass(Duration::from_secs(5)).await;
    assert_eq!(1, fleet.broker.acked(), "one of its jobs runs");
    fleet.until_acked(2).await;
    assert!(begun.elapsed() < Duration::from_secs(61));
    assert_eq!(vec![Succeeded, Succeeded], fleet.states(0).await);
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_cancelled_job_has_ended_too() {
    let options = Options {
        rules: "rules: [{name: r, on: a.r, run: {command: [refuse]}}, \
                {name: h, on: a.h, run: {command: [hang]}}]"
            .to_owned(),
        ..Options::done()
    };
    let fleet = Fleet::start(1, options).await;
    fleet.publish("e1", "a.r", 0);
    fleet.until_acked(1).await;
    assert_eq!(vec![Failed], fleet.states(0).await);
    fleet.publish("e2", "a.h", 0);
    fleet.until_running(1).await;
    let job = fleet.jobs(0).await[1].id.clone();
    let engine = &fleet.instances[0].engine;
    engine.cancel(&job, &ann()).await.unwrap();
    fleet.until_acked(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_job_waits_for_a_retry_is_parked() {
    let fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.flaky", 0);
    fleet.until_acked(1).await;
    assert_eq!(vec![Retrying], fleet.states(0).await);
    fleet.broker.restart(Duration::from_secs(60));
    fleet
        .wait("it is finished here", async || {
            fleet.states(0).await == [Succeeded]
        })
        .await;
    assert_eq!(2, fleet.runs_of("e1").len());
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_job_is_delayed_is_parked_and_one_that_gives_way_is_done() {
    let mut fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.calm", 1000);
    fleet.publish("e2", "a.calm", 1000);
    fleet.until_acked(2).await;
    assert_eq!(vec![Cancelled, Delayed], fleet.states(0).await);
    fleet.restart(0).await;
    fleet
        .wait("the last of them is finished here", async || {
            fleet.states(0).await == [Cancelled, Succeeded]
        })
        .await;
    assert_eq!(0, fleet.runs_of("e1").len());
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_wait_for_a_key_are_parked_and_finished_in_order() {
    let mut fleet = Fleet::start(1, Options::done()).await;
    for n in 0..3 {
        fleet.publish(&format!("e{n}"), "a.keyed", 60 * SECOND);
    }
    fleet.until_acked(2).await;
    fleet.until_running(1).await;
    // What is parked is the store's: it outlives the process.
    fleet.restart(0).await;
    fleet.until_acked(3).await;
    fleet
        .wait("all have ended", async || {
            fleet.states(0).await == [Succeeded; 3]
        })
        .await;
    assert_eq!(Vec::<String>::new(), fleet.world.overlaps());
}

#[tokio::test(start_paused = true)]
async fn a_long_job_is_parked_before_the_broker_loses_patience() {
    let options = Options {
        patience: Duration::from_secs(900),
        ..Options::done()
    };
    let fleet = Fleet::start(1, options).await;
    let begun = tokio::time::Instant::now();
    fleet.publish("e1", "a.once", 3000 * SECOND);
    fleet.until_acked(1).await;
    let parked = begun.elapsed().as_secs();
    assert!((900..905).contains(&parked), "parked after {parked} s");
    fleet.broker.restart(Duration::from_secs(3));
    fleet
        .wait("it ends", async || fleet.states(0).await == [Succeeded])
        .await;
    assert_eq!(1, fleet.runs_of("e1").len());
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_joins_the_job_that_runs() {
    let fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.once", 60 * SECOND);
    fleet.until_running(1).await;
    for _ in 0..3 {
        fleet.broker.reset(fleet.instances[0].peer);
        testkit::clock::let_pass(Duration::from_secs(5)).await;
    }
    assert_eq!(0, fleet.broker.acked());
    fleet.until_acked(1).await;
    assert_eq!(vec![Succeeded], fleet.states(0).await);
    assert_eq!(1, fleet.runs_of("e1").len());
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_on_and_is_retried_while_no_broker_runs() {
    let fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.once", 600 * SECOND);
    fleet.until_running(1).await;
    fleet.broker.restart(Duration::from_secs(1200));
    fleet
        .wait("it has ended", async || {
            fleet.states(0).await == [Succeeded]
        })
        .await;
    fleet.until_acked(1).await;
    assert_eq!(1, fleet.runs_of("e1").len());
}

#[tokio::test(start_paused = true)]
async fn what_had_not_begun_begins_at_once_when_the_broker_is_back() {
    let options = Options {
        concurrency: 1,
        ..Options::done()
    };
    let fleet = Fleet::start(1, options).await;
    for n in 0..4 {
        fleet.publish(&format!("e{n}"), "a.once", 10 * SECOND);
    }
    fleet.until_running(1).await;
    fleet.broker.restart(Duration::from_secs(600));
    let begun = tokio::time::Instant::now();
    fleet.until_acked(4).await;
    assert!(begun.elapsed() < Duration::from_secs(640));
    assert_eq!(vec![Succeeded; 4], fleet.states(0).await);
    assert_eq!(4, fleet.world.runs().len());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_back_asks_and_then_follows_on_lost() {
    let mut fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.work", 60 * SECOND);
    fleet.publish("e2", "a.once", 60 * SECOND);
    fleet.until_running(2).await;
    fleet.restart(0).await;
    let begun = tokio::time::Instant::now();
    fleet
        .wait("both are decided about", async || {
            fleet.states(0).await == [Running, Held]
        })
        .await;
    let after = begun.elapsed().as_secs();
    assert!((20..23).contains(&after), "taken over after {after} s");
    fleet.until_acked(2).await;
    assert_eq!(1, fleet.runs_of("e2").len());
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_takes_everything_back_at_once() {
    let options = Options {
        takeover: Duration::ZERO,
        ..Options::done()
    };
    let mut fleet = Fleet::start(1, options).await;
    fleet.publish("e1", "a.work", 60 * SECOND);
    fleet.until_running(1).await;
    fleet.restart(0).await;
    let begun = tokio::time::Instant::now();
    fleet.until_running(1).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(fleet.broker.notes().is_empty(), "there is nobody to ask");
    fleet.until_acked(1).await;
}

#[tokio::test(start_paused = true)]
async fn one_id_for_two_events_is_a_dead_letter_and_acknowledged() {
    let fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.work", 60 * SECOND);
    fleet.publish("e1", "a.work", 61 * SECOND);
    fleet.publish("e1", "a.work", 60 * SECOND);
    fleet.until_acked(1).await;
    assert_eq!(DeadKind::IdConflict, fleet.letters(0).await[0].content.kind);
    fleet.until_running(1).await;
    fleet.until_acked(3).await;
    assert_eq!(vec![JobState::Succeeded], fleet.states(0).await);
}

#[tokio::test(start_paused = true)]
async fn sources_and_sinks_are_closed_before_the_store() {
    let fleet = Fleet::start(1, Options::done()).await;
    fleet.publish("e1", "a.work", 60 * SECOND);
    fleet.until_running(1).await;
    fleet.publish("e2", "a.work", 60 * SECOND);
    fleet.instances[0].engine.drain().await;
    assert_eq!(0, fleet.world.running());
    assert!(fleet.instances[0].sink.is_closed());
    assert_eq!(0, fleet.broker.unacked());
    assert_eq!(2, fleet.broker.acked() + fleet.broker.waiting() as u64);
}
