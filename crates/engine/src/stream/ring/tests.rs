//! A reader gets everything behind its place, or is told that it must look
//! elsewhere; never a part of it.

use std::sync::Arc;

use model::{
    clock::Timestamp,
    event::{Event, Origin, RecordedEvent, Severity},
    page::Cursor,
};
use serde_json::{Value, json};

use super::{Look, MOST, Ring};
use crate::stream::StreamEvent;

fn event(place: i64, body: Value) -> Arc<StreamEvent> {
    let now = Timestamp::from_millis(0);
    Arc::new(StreamEvent::new(RecordedEvent {
        event: Event {
            id: format!("e{place}").parse().unwrap(),
            topic: "org.example.thing".parse().unwrap(),
            time: now,
            accepted: now,
            source: "api".to_owned(),
            severity: Severity::Info,
            headers: serde_json::Map::new(),
            body,
            origin: Origin::open_http(),
            cause: None,
        },
        revision: "rev".parse().unwrap(),
        place: Cursor(place),
    }))
}

fn events(places: impl IntoIterator<Item = i64>) -> Vec<Arc<StreamEvent>> {
    places.into_iter().map(|n| event(n, json!({}))).collect()
}

#[track_caller]
fn check(ring: &Ring, (place, max): (i64, usize), expect: &str) {
    let found = match ring.after(Cursor(place), max) {
        Look::Events(events, Cursor(up_to)) => {
            let places: Vec<i64> = events.iter().map(|event| event.place().0).collect();
            format!("{places:?} up to {up_to}")
        }
        Look::UpToDate => "up to date".to_owned(),
        Look::Behind => "behind".to_owned(),
    };
    assert_eq!(expect, found, "after {place}, at most {max}");
}

#[test]
fn a_reader_gets_all_that_follows_its_place() {
    let mut ring = Ring::default();
    check(&ring, (0, 9), "behind");
    ring.begin(Cursor(10));
    check(&ring, (9, 9), "behind");
    check(&ring, (10, 9), "up to date");

    // Places need not follow each other closely.
    ring.push(events([11, 13, 14]), Cursor(16));
    check(&ring, (9, 9), "behind");
    check(&ring, (10, 9), "[11, 13, 14] up to 16");
    check(&ring, (10, 2), "[11, 13] up to 13");
    check(&ring, (12, 9), "[13, 14] up to 16");
    check(&ring, (13, 1), "[14] up to 16");
    check(&ring, (14, 9), "[] up to 16");
    check(&ring, (16, 9), "up to date");
    check(&ring, (99, 9), "up to date");

    ring.end();
    check(&ring, (16, 9), "behind");
    assert_eq!(None, ring.head());
}

#[test]
fn the_oldest_make_room_and_their_readers_are_told() {
    let mut ring = Ring::default();
    ring.begin(Cursor(0));
    let last = i64::try_from(MOST).unwrap() + 5;
    ring.push(events(1..=last), Cursor(last));
    check(&ring, (4, 2), "behind");
    check(&ring, (5, 2), "[6, 7] up to 7");
    check(&ring, (last - 1, 2), &format!("[{last}] up to {last}"));
}

#[test]
fn large_events_make_room_sooner() {
    let mut ring = Ring::default();
    ring.begin(Cursor(0));
    let large = json!("x".repeat(1 << 20));
    for place in 1..=20 {
        ring.push(vec![event(place, large.clone())], Cursor(place));
    }
    check(&ring, (12, 9), "behind");
    check(&ring, (13, 1), "[14] up to 14");

    // One that is too large for any ring is had from the store.
    ring.push(vec![event(21, json!("x".repeat(9 << 20)))], Cursor(21));
    check(&ring, (20, 9), "behind");
    check(&ring, (21, 9), "up to date");
}
