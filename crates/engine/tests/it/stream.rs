//! Streams of events: the ring and the history give one order, and who cannot
//! keep up is let go.

use std::time::Duration;

use engine::{EventStream, ListenError, StreamEnd, StreamFilter, StreamStart};
use model::page::Cursor;
use serde_json::json;

use crate::harness::{TestEngine, draft};

const RULES: &str = "rules: []\n";

async fn listen(engine: &TestEngine, start: StreamStart) -> EventStream {
    let filter = StreamFilter::default();
    engine.engine.listen(filter, start).await.unwrap()
}

async fn publish(engine: &TestEngine, numbers: std::ops::Range<usize>) {
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(500) {
        let drafts = some.iter();
        let drafts = drafts.map(|n| draft(&format!("e{n}"), "a.b", json!({"n": n})));
        let drafts = drafts.collect();
        engine.engine.publish(drafts, "api").await.unwrap();
    }
}

/// Reads until event `to` is the next, or a little further. Gives the number of
/// the next; all of them must follow each other.
async fn read(stream: &mut EventStream, from: usize, to: usize) -> usize {
    let mut place = None;
    let mut next = from;
    while next < to {
        for event in stream.next().await.unwrap() {
            let text = event.rendered(|it| it.event.id.to_string().into());
            assert_eq!(format!("e{next}"), text);
            assert!(place < Some(event.place()), "commit order");
            place = Some(event.place());
            next += 1;
        }
    }
    next
}

#[tokio::test(start_paused = true)]
async fn the_past_and_what_comes_are_one_stream() {
    let mut engine = TestEngine::start(RULES).await;
    publish(&engine, 0..3_000).await;
    let mut all = listen(&engine, StreamStart::After(Cursor(0))).await;
    let mut now = listen(&engine, StreamStart::Now).await;
    let next = read(&mut all, 0, 1_000).await;
    // More than the ring holds comes while one catches up.
    publish(&engine, 3_000..8_000).await;
    assert_eq!(8_000, read(&mut all, next, 8_000).await);
    assert_eq!(8_000, read(&mut now, 3_000, 8_000).await);
    publish(&engine, 8_000..8_010).await;
    read(&mut all, 8_000, 8_010).await;
    read(&mut now, 8_000, 8_010).await;
    assert_eq!(all.place(), now.place());

    // After a restart the same places mean the same.
    let place = now.place();
    drop((all, now));
    engine.restart().await;
    let mut back = listen(&engine, StreamStart::After(place)).await;
    publish(&engine, 8_010..8_020).await;
    read(&mut back, 8_010, 8_020).await;
}

#[tokio::test(start_paused = true)]
async fn who_was_at_the_front_and_falls_far_behind_is_let_go() {
    let engine = TestEngine::start(RULES).await;
    let mut slow = listen(&engine, StreamStart::Now).await;
    let mut quick = listen(&engine, StreamStart::Now).await;
    publish(&engine, 0..10).await;
    read(&mut slow, 0, 10).await;
    read(&mut quick, 0, 10).await;
    publish(&engine, 10..11_000).await;
    read(&mut quick, 10, 11_000).await;
    // The ring has everything, too, by then.
    testkit::clock::let_pass(Duration::from_secs(1)).await;
    let end = slow.next().await.unwrap_err();
    assert!(matches!(end, StreamEnd::Behind), "{end}");

    // It comes back to where it was, and may then take its time.
    let mut back = listen(&engine, StreamStart::After(slow.place())).await;
    assert_eq!(11_000, read(&mut back, 10, 11_000).await);
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_the_engine_drains() {
    let engine = TestEngine::start(RULES).await;
    let mut stream = listen(&engine, StreamStart::Now).await;
    let (end, ()) = tokio::join!(stream.next(), engine.engine.drain());
    assert!(matches!(end, Err(StreamEnd::Draining)), "{end:?}");
    let filter = StreamFilter::default();
    let refused = engine.engine.listen(filter, StreamStart::Now).await;
    assert!(matches!(refused, Err(ListenError::Draining)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_place_of_another_store_is_refused_and_an_empty_store_knows_none() {
    let engine = TestEngine::start(RULES).await;
    // Whoever comes back to an emptied store gets what is new.
    let mut stream = listen(&engine, StreamStart::After(Cursor(4_711))).await;
    publish(&engine, 0..1).await;
    read(&mut stream, 0, 1).await;
    let filter = StreamFilter::default();
    let start = StreamStart::After(Cursor(4_711));
    let refused = engine.engine.listen(filter, start).await;
    assert!(
        matches!(refused, Err(ListenError::ForeignCursor)),
        "{refused:?}"
    );
}
