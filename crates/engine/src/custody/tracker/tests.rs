use std::collections::HashMap;

use model::{
    clock::Timestamp,
    custody::Custody,
    event::{Event, Origin, Severity},
    id::{JobId, WorkerId},
    json::{ContentHash, Object},
    link::{FleetNote, FleetWord},
};

use super::*;

const TAKEOVER: Duration = Duration::from_secs(20);

fn at(secs: i64) -> BootTime {
    BootTime {
        boot: "b".to_owned(),
        millis: secs * 1000,
    }
}

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

fn worker(text: &str) -> WorkerId {
    text.parse().unwrap()
}

fn live(connection: u64, secs: i64) -> Contact {
    Contact::Live {
        connection,
        answered: at(secs),
    }
}

fn tag(connection: u64, number: u64) -> DeliveryTag {
    DeliveryTag { connection, number }
}

fn arriving(text: &str, tag: DeliveryTag) -> Arriving {
    let event = Event {
        id: id(text),
        topic: "a.b".parse().unwrap(),
        time: Timestamp::default(),
        accepted: Timestamp::default(),
        source: "bus".to_owned(),
        severity: Severity::Info,
        headers: Object::new(),
        body: serde_json::Value::Null,
        origin: Origin::open_http(),
        cause: None,
    };
    Arriving {
        judged: Judged {
            hash: ContentHash::of("a.b", &event.body),
            revision: "abc".parse().unwrap(),
            decisions: Vec::new(),
            custody: Custody::Store,
            routes: Vec::new(),
            event: event.into(),
        },
        tags: vec![tag],
        since: at(0),
        past: Past::Fresh,
    }
}

/// Words such as `e1: running* queued`, where `*` says that it has begun.
fn standing(text: &str) -> Standing {
    let mut standing = HashMap::new();
    for line in text.split(';') {
        let (event, jobs) = line.split_once(':').unwrap();
        let jobs = jobs.split_whitespace().map(|word| JobStanding {
            job: JobId::generate(),
            state: word.trim_end_matches('*').parse().unwrap(),
            begun: word.ends_with('*'),
            delivery: Some(worker("w1")),
        });
        standing.insert(id(event.trim()), jobs.collect());
    }
    standing
}

fn look(secs: i64) -> Look {
    Look {
        now: at(secs),
        patience: Duration::from_secs(900),
        hold: Hold::Sure,
        is_leaving: false,
    }
}

/// Holds these events by deliveries of connection 1.
fn holding(events: &[&str]) -> Tracker {
    let mut tracker = Tracker::new(TAKEOVER);
    for (number, event) in (1..).zip(events) {
        tracker.accepting(vec![arriving(event, tag(1, number))]);
        tracker.accepted(&id(event));
    }
    tracker.heard(&live(1, 10), &at(10));
    tracker
}

#[test]
fn nothing_is_begun_until_a_loss_was_looked_at() {
    let mut tracker = holding(&["e1", "e2"]);
    assert_eq!(Hold::Sure, tracker.hold(&live(1, 10), &at(10)));
    assert_eq!(Hold::Unsure, tracker.hold(&live(2, 10), &at(10)), "behind");
    tracker.lost(1);
    assert_eq!(Hold::Unsure, tracker.hold(&live(2, 10), &at(10)), "unseen");
    let mut lost = tracker.lost_events();
    lost.sort();
    assert_eq!(vec![id("e1"), id("e2")], lost);
    let back = tracker.part(&lost, &standing("e1: queued; e2: running*"));
    assert_eq!(vec![id("e1")], back);
    tracker.gave_back(&id("e1"));
    assert_eq!(Hold::Sure, tracker.hold(&live(2, 10), &at(10)));
    assert!(tracker.knows(&id("e2")), "it goes on");
    assert!(!tracker.knows(&id("e1")));
}

#[test]
fn a_loss_while_the_store_is_asked_is_looked_at_afterwards() {
    let mut tracker = Tracker::new(TAKEOVER);
    tracker.accepting(vec![arriving("e1", tag(1, 1))]);
    tracker.lost(1);
    assert_eq!(Hold::Unsure, tracker.hold(&live(2, 10), &at(10)));
    assert!(tracker.lost_events().is_empty());
    tracker.accepted(&id("e1"));
    assert_eq!(vec![id("e1")], tracker.lost_events());
}

#[test]
fn what_was_lost_is_not_accepted() {
    let mut tracker = Tracker::new(TAKEOVER);
    tracker.lost(1);
    assert!(
        tracker
            .accepting(vec![arriving("e1", tag(1, 1))])
            .is_empty()
    );
    assert_eq!(1, tracker.accepting(vec![arriving("e1", tag(2, 1))]).len());
}

#[test]
fn a_redelivery_joins_what_runs() {
    let mut tracker = holding(&["e1"]);
    tracker.lost(1);
    let lost = tracker.lost_events();
    tracker.part(&lost, &standing("e1: running*"));
    tracker.accepting(vec![arriving("e1", tag(2, 7))]);
    tracker.accepted(&id("e1"));
    let ended = standing("e1: succeeded*");
    let verdicts = tracker.judge(&[id("e1")], &ended, &look(20));
    assert_eq!(vec![id("e1")], verdicts.ack);
    assert_eq!(vec![tag(2, 7)], tracker.release(&id("e1")));
    assert!(tracker.is_empty());
}

#[test]
fn an_orphan_is_forgotten_when_it_has_ended_and_never_parked() {
    let mut tracker = holding(&["e1"]);
    tracker.lost(1);
    let lost = tracker.lost_events();
    tracker.part(&lost, &standing("e1: running*"));
    let asked = [id("e1")];
    let verdicts = tracker.judge(&asked, &standing("e1: retrying*"), &look(2000));
    assert_eq!(Verdicts::default(), verdicts);
    assert!(tracker.knows(&id("e1")));
    let verdicts = tracker.judge(&asked, &standing("e1: failed*"), &look(2000));
    assert_eq!(Verdicts::default(), verdicts);
    assert!(!tracker.knows(&id("e1")));
}

#[test]
fn nothing_is_parked_while_nobody_is_heard() {
    let mut tracker = holding(&["e1"]);
    let asked = [id("e1")];
    let unsure = Look {
        hold: Hold::Unsure,
        ..look(20)
    };
    let verdicts = tracker.judge(&asked, &standing("e1: retrying*"), &unsure);
    assert_eq!(Verdicts::default(), verdicts);
    let verdicts = tracker.judge(&asked, &standing("e1: retrying*"), &look(20));
    assert_eq!(vec![id("e1")], verdicts.park);
    let verdicts = tracker.judge(&asked, &standing("e1: running*"), &look(899));
    assert_eq!(Verdicts::default(), verdicts);
    let verdicts = tracker.judge(&asked, &standing("e1: running*"), &look(900));
    assert_eq!(vec![id("e1")], verdicts.park, "overdue");
}

fn note(about: FleetWord, event: &str) -> FleetNote {
    FleetNote {
        from: worker("w2"),
        about,
        events: vec![id(event)],
    }
}

#[test]
fn what_went_back_unbegun_is_told_once_and_then_asked_about_like_any_other() {
    let mut tracker = holding(&["e1"]);
    tracker.lost(1);
    let lost = tracker.lost_events();
    tracker.part(&lost, &standing("e1: queued"));
    tracker.gave_back(&id("e1"));
    assert_eq!(vec![id("e1")], tracker.untold(&at(11)));
    assert!(tracker.untold(&at(11)).is_empty());
    assert!(!tracker.take_unbegun(&id("e1"), &at(12)));
    tracker.told(&note(FleetWord::Ask, "e1"), &at(12));
    tracker.wait(arriving("e1", tag(2, 1)), &at(13));
    tracker.asks(&at(13), Duration::from_secs(2));
    tracker.echoed(&[id("e1")], &at(1));
    assert!(!tracker.has_ready(), "somebody else has it");
}

#[test]
fn what_is_unbegun_begins_when_our_question_has_come_round() {
    let every = Duration::from_secs(2);
    // Told before it comes, and after.
    for is_early in [true, false] {
        let mut tracker = Tracker::new(TAKEOVER);
        if is_early {
            tracker.told(&note(FleetWord::Unbegun, "e1"), &at(0));
        }
        tracker.wait(arriving("e1", tag(1, 1)), &at(1));
        if !is_early {
            assert_eq!(1, tracker.asks(&at(1), every).len());
            tracker.echoed(&[id("e1")], &at(1));
            tracker.told(&note(FleetWord::Unbegun, "e1"), &at(1));
        }
        assert!(!tracker.has_ready());
        assert_eq!(1, tracker.asks(&at(1), every).len(), "once more");
        tracker.echoed(&[id("e1")], &at(1));
        assert_eq!(Past::Fresh, tracker.take_ready(10)[0].past);
    }
}

#[test]
fn what_others_said_is_forgotten_with_the_connection() {
    let mut tracker = Tracker::new(TAKEOVER);
    tracker.told(&note(FleetWord::Unbegun, "e1"), &at(0));
    tracker.lost(1);
    tracker.wait(arriving("e1", tag(2, 1)), &at(1));
    tracker.asks(&at(1), Duration::from_secs(2));
    tracker.echoed(&[id("e1")], &at(1));
    assert!(!tracker.has_ready());
}

#[test]
fn what_may_have_been_taken_over_is_not_called_unbegun() {
    let gave_back = || {
        let mut tracker = holding(&["e1"]);
        tracker.lost(1);
        let lost = tracker.lost_events();
        tracker.part(&lost, &standing("e1: queued"));
        tracker.gave_back(&id("e1"));
        tracker
    };
    // The last proof was at 10.
    assert!(gave_back().take_unbegun(&id("e1"), &at(29)));
    assert!(!gave_back().take_unbegun(&id("e1"), &at(30)));
    // While no broker runs nobody takes anything over.
    let mut tracker = gave_back();
    tracker.heard(&Contact::Down, &at(25));
    tracker.heard(&Contact::Down, &at(40));
    assert!(tracker.take_unbegun(&id("e1"), &at(59)));
}

#[test]
fn what_nobody_speaks_for_is_taken_over() {
    let mut tracker = Tracker::new(TAKEOVER);
    for event in ["e1", "e3"] {
        tracker.wait(arriving(event, tag(1, 1)), &at(0));
    }
    let every = Duration::from_secs(2);
    assert_eq!(2, tracker.asks(&at(0), every).len());
    assert!(tracker.asks(&at(1), every).is_empty());
    let ack = tracker.told(&note(FleetWord::Mine, "e1"), &at(1));
    assert_eq!(vec![tag(1, 1)], ack);
    for second in [5, 7, 15, 23] {
        tracker.echoed(&[id("e3")], &at(second));
    }
    assert!(tracker.take_over(Talk::Heard, &at(24)).is_empty());
    assert_eq!(vec![id("e3")], tracker.take_over(Talk::Heard, &at(25)));
    assert_eq!(Past::TakenOver, tracker.take_ready(10)[0].past);
    assert!(tracker.is_empty());
}

#[test]
fn nothing_is_taken_over_while_questions_are_not_heard() {
    let mut tracker = Tracker::new(TAKEOVER);
    tracker.wait(arriving("e1", tag(1, 1)), &at(0));
    assert!(tracker.take_over(Talk::Heard, &at(3600)).is_empty());
    // An answer may have been on its way when nothing passed any more.
    for second in [4000, 4009, 5000, 5009, 5018] {
        tracker.echoed(&[id("e1")], &at(second));
    }
    assert!(tracker.take_over(Talk::Heard, &at(5019)).is_empty());
    assert_eq!(vec![id("e1")], tracker.take_over(Talk::Heard, &at(5020)));
    tracker.take_ready(10);
    assert!(tracker.is_empty());
}

#[test]
fn where_nobody_may_ask_a_delivery_is_taken_over_unasked() {
    let mut tracker = Tracker::new(TAKEOVER);
    tracker.wait(arriving("e1", tag(1, 1)), &at(0));
    assert!(tracker.take_over(Talk::Refused, &at(19)).is_empty());
    assert_eq!(vec![id("e1")], tracker.take_over(Talk::Refused, &at(20)));
}

/// Goes on without its delivery since second 20.
fn orphaned() -> Tracker {
    let mut tracker = holding(&["e1"]);
    tracker.lost(1);
    let lost = tracker.lost_events();
    tracker.part(&lost, &standing("e1: running*"));
    let silent = Contact::Silent { since: at(20) };
    assert!(tracker.doubt(&silent, Talk::Silent, &at(20)).is_empty());
    tracker
}

#[test]
fn what_nobody_can_ask_about_is_given_up() {
    for talk in [Talk::Silent, Talk::Refused] {
        let mut tracker = orphaned();
        assert!(tracker.doubt(&live(2, 34), talk, &at(34)).is_empty());
        assert_eq!(Hold::Sure, tracker.hold(&live(2, 34), &at(34)));
        assert_eq!(1, tracker.doubt(&live(2, 35), talk, &at(35)).len());
        assert_eq!(Hold::Unsure, tracker.hold(&live(2, 35), &at(35)));
        tracker.release(&id("e1"));
        assert_eq!(Hold::Sure, tracker.hold(&live(2, 35), &at(35)));
    }
}

#[test]
fn what_others_can_ask_about_goes_on() {
    let mut tracker = orphaned();
    // Heard for a moment is not enough: who asks does so every two seconds.
    tracker.doubt(&live(2, 22), Talk::Heard, &at(22));
    tracker.doubt(&live(2, 23), Talk::Silent, &at(23));
    assert_eq!(1, tracker.doubt(&live(2, 35), Talk::Silent, &at(35)).len());

    let mut tracker = orphaned();
    for second in [22, 25, 300] {
        let doubtful = tracker.doubt(&live(2, second), Talk::Heard, &at(second));
        assert!(doubtful.is_empty());
    }
    let doubtful = tracker.doubt(&Contact::Down, Talk::Silent, &at(900));
    assert!(doubtful.is_empty());
}

#[test]
fn what_comes_again_is_not_doubtful_any_more() {
    let mut tracker = orphaned();
    assert_eq!(1, tracker.doubt(&live(2, 35), Talk::Silent, &at(35)).len());
    tracker.accepting(vec![arriving("e1", tag(2, 1))]);
    tracker.accepted(&id("e1"));
    let doubtful = tracker.doubt(&live(2, 90), Talk::Refused, &at(90));
    assert!(doubtful.is_empty());
}

#[test]
fn everything_is_doubtful_when_the_peer_was_silent_for_too_long() {
    let mut tracker = holding(&["e1", "e2"]);
    let contact = live(1, 10);
    assert!(tracker.doubt(&contact, Talk::Heard, &at(24)).is_empty());
    assert_eq!(2, tracker.doubt(&contact, Talk::Heard, &at(25)).len());
}

#[test]
fn a_conflict_leaves_the_deliveries_of_the_one_that_has_the_id() {
    let mut tracker = holding(&["e1"]);
    tracker.accepting(vec![arriving("e1", tag(1, 9))]);
    tracker.accepted(&id("e1"));
    assert_eq!(vec![tag(1, 9)], tracker.drop_tags(&id("e1"), &[tag(1, 9)]));
    assert_eq!(vec![tag(1, 1)], tracker.release(&id("e1")));
}
