//! Lines of [`model::ports::outbox::Outbox`], and what outboxes ask of intake
//! and of retention.

use std::{sync::Arc, time::Duration};

use model::{
    clock::Timestamp,
    event::Event,
    id::{EventId, SinkName},
    ports::{Cutoffs, DeadKind, Judged, outbox::Outgoing},
};

use super::{
    Fixture,
    build::{by, event, fire, judged, plan, sink},
};

/// Longer than a store may take for anything, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

fn routed(store: &Fixture, id: &str, sinks: &[&str]) -> Judged {
    Judged {
        routes: sinks.iter().map(|name| sink(name)).collect(),
        ..judged(event(id, store.now()), vec![])
    }
}

/// What waits for a sink after a place, without waiting.
async fn waiting(store: &Fixture, sink: &SinkName, after: u64, max: usize) -> Vec<Outgoing> {
    let pending = store.outbox.pending(sink, after, max, Duration::ZERO);
    pending.await.unwrap()
}

async fn names(store: &Fixture, name: &str) -> Vec<String> {
    let all = waiting(store, &sink(name), 0, 1_000).await;
    all.iter().map(|it| it.event.id.to_string()).collect()
}

fn seqs(outgoing: &[Outgoing]) -> Vec<u64> {
    outgoing.iter().map(|it| it.seq).collect()
}

pub async fn an_event_is_put_into_the_outbox_of_each_route_once(store: &Fixture) {
    let mut both = routed(store, "both", &["bus", "archive"]);
    both.decisions = vec![fire("r", plan())];
    let sent = both.event.clone();
    let batch = vec![
        both.clone(),
        routed(store, "none", &[]),
        routed(store, "bus-only", &["bus"]),
        // Twice in a batch, and twice to one sink.
        both.clone(),
        routed(store, "twice", &["archive", "archive"]),
    ];
    store.accept(batch).await;
    assert_eq!(names(store, "bus").await, ["both", "bus-only"]);
    assert_eq!(names(store, "archive").await, ["both", "twice"]);
    assert_eq!(names(store, "nowhere").await, Vec::<String>::new());
    let first = waiting(store, &sink("bus"), 0, 1).await.remove(0);
    assert_eq!(first.event, *sent, "as it was accepted");

    // What came before is not put again, wherever its routes lead now; nor is
    // what is refused.
    let again = routed(store, "both", &["bus", "elsewhere"]);
    assert!(store.accept_one(again).await.duplicate);
    let mut other = routed(store, "none", &["bus"]);
    Arc::make_mut(&mut other.event).body = serde_json::json!({"another": true});
    other.hash = model::json::ContentHash::of(other.event.topic.as_str(), &other.event.body);
    assert!(store.accept_one(other).await.conflict);
    assert_eq!(names(store, "bus").await, ["both", "bus-only"]);
    assert_eq!(names(store, "elsewhere").await, Vec::<String>::new());

    store.outbox.sent(&sink("bus"), &[first.seq]).await.unwrap();
    let again = routed(store, "both", &["bus"]);
    assert!(store.accept_one(again).await.duplicate);
    assert_eq!(names(store, "bus").await, ["bus-only"]);
}

pub async fn the_outbox_gives_events_in_order_of_acceptance(store: &Fixture) {
    let bus = sink("bus");
    let mut expect = Vec::new();
    for batch in 0..3 {
        let names: Vec<String> = (0..100).map(|n| format!("e{batch}-{n}")).collect();
        let batch = names
            .iter()
            .map(|name| routed(store, name, &["bus", "archive"]));
        store.accept(batch.collect()).await;
        expect.extend(names);
    }
    assert_eq!(names(store, "bus").await, expect);
    assert_eq!(names(store, "archive").await, expect);

    // In pieces, each after the last of the one before.
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let some = waiting(store, &bus, after, 70).await;
        let Some(last) = some.last() else { break };
        assert!(some.len() <= 70, "no more than was asked for");
        assert!(some.iter().all(|it| it.seq > after));
        after = last.seq;
        seen.extend(some.into_iter().map(|it| it.event.id.to_string()));
    }
    assert_eq!(seen, expect);

    // What comes later lies after everything that ever was there.
    let all = seqs(&waiting(store, &bus, 0, 1_000).await);
    store.outbox.sent(&bus, &all).await.unwrap();
    store.accept_one(routed(store, "late", &["bus"])).await;
    let late = waiting(store, &bus, after, 10).await;
    assert_eq!(late.len(), 1, "a place is never given twice");
    assert_eq!(late[0].event.id, id("late"));
}

pub async fn what_was_sent_is_not_given_again(store: &Fixture) {
    let bus = sink("bus");
    for name in ["e1", "e2", "e3", "e4"] {
        store
            .accept_one(routed(store, name, &["bus", "archive"]))
            .await;
    }
    let all = waiting(store, &bus, 0, 10).await;
    for _ in 0..2 {
        store.outbox.sent(&bus, &seqs(&all)[..2]).await.unwrap();
        assert_eq!(names(store, "bus").await, ["e3", "e4"]);
    }
    // The other sink has its own places: those of this one mean nothing there.
    store.outbox.sent(&bus, &[]).await.unwrap();
    let archive = sink("archive");
    store.outbox.sent(&archive, &seqs(&all)).await.unwrap();
    assert_eq!(names(store, "archive").await, ["e1", "e2", "e3", "e4"]);
    // One from the middle.
    store.outbox.sent(&bus, &[all[3].seq]).await.unwrap();
    assert_eq!(names(store, "bus").await, ["e3"]);
    store.outbox.sent(&bus, &[u64::MAX, 0]).await.unwrap();
    assert_eq!(names(store, "bus").await, ["e3"]);
}

pub async fn what_cannot_be_sent_becomes_a_dead_letter_and_lets_the_next_pass(store: &Fixture) {
    let bus = sink("bus");
    for name in ["bad", "good"] {
        store
            .accept_one(routed(store, name, &["bus", "archive"]))
            .await;
    }
    let bad = waiting(store, &bus, 0, 1).await.remove(0);
    store.clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        let given_up = store.outbox.give_up(&bus, bad.seq, "it is too large").await;
        given_up.unwrap();
        assert_eq!(names(store, "bus").await, ["good"]);
        assert_eq!(names(store, "archive").await, ["bad", "good"]);
        assert_eq!(store.open_dead().await.len(), 1, "once is enough");
    }
    let letter = store.open_dead().await.remove(0);
    assert_eq!(letter.created, store.now());
    let content = letter.content;
    assert_eq!(content.kind, DeadKind::Unsendable);
    assert_eq!(content.cause, "it is too large");
    assert_eq!(content.event_id, Some(id("bad")));
    assert_eq!(content.source, "bus");
    assert_eq!((content.rule, content.job_id), (None, None));
    let raw = content.raw.expect("what could not be sent");
    assert_eq!(serde_json::from_slice::<Event>(&raw).unwrap(), bad.event);

    // Each sink has a letter of its own; a place of another sink is not its.
    let archive = sink("archive");
    let there = waiting(store, &archive, 0, 1).await.remove(0);
    store.outbox.give_up(&bus, there.seq, "no").await.unwrap();
    assert_eq!(names(store, "archive").await, ["bad", "good"]);
    store
        .outbox
        .give_up(&archive, there.seq, "no")
        .await
        .unwrap();
    assert_eq!(names(store, "archive").await, ["good"]);
    assert_eq!(store.open_dead().await.len(), 2);
}

pub async fn waiting_for_the_outbox_wakes_when_an_event_arrives(store: &Fixture) {
    let bus = sink("bus");
    // The wait ends by itself when nothing comes.
    let brief = store.outbox.pending(&bus, 0, 10, Duration::from_millis(30));
    let empty = tokio::time::timeout(PATIENCE, brief).await;
    assert_eq!(empty.expect("the wait ends").unwrap(), []);

    let waiter = |after| {
        let pending = store.outbox.pending(&bus, after, 10, PATIENCE * 2);
        async move {
            let found = tokio::time::timeout(PATIENCE, pending).await;
            found.expect("the wait is over").unwrap()
        }
    };
    let accepting = store.accept_one(routed(store, "e1", &["bus"]));
    let (woken, _) = tokio::join!(waiter(0), accepting);
    assert_eq!(woken.len(), 1);
    assert_eq!(woken[0].event.id, id("e1"));

    // It waits for what comes after.
    let after = woken[0].seq;
    let accepting = store.accept_one(routed(store, "e2", &["bus"]));
    let (woken, _) = tokio::join!(waiter(after), accepting);
    assert_eq!(woken.len(), 1);
    assert_eq!(woken[0].event.id, id("e2"));

    // What is put by hand wakes as well.
    let quiet = judged(event("quiet", store.now()), vec![]);
    store.accept_one(quiet).await;
    let after = woken[0].seq;
    let quiet = id("quiet");
    let (woken, put) = tokio::join!(waiter(after), store.outbox.put(&bus, &quiet));
    assert!(put.unwrap());
    assert_eq!(woken[0].event.id, quiet);
}

pub async fn the_backlog_is_counted_for_each_sink(store: &Fixture) {
    assert!(store.outbox.backlog().await.unwrap().is_empty());
    let begun = store.now();
    store.accept_one(routed(store, "e1", &["bus"])).await;
    store.clock.advance(Duration::from_secs(60));
    let later = store.now();
    store
        .accept_one(routed(store, "e2", &["bus", "archive"]))
        .await;
    let backlog = store.outbox.backlog().await.unwrap();
    assert_eq!(backlog.len(), 2);
    let bus = &backlog[&sink("bus")];
    assert_eq!((bus.events, bus.oldest), (2, Some(begun)));
    let archive = &backlog[&sink("archive")];
    assert_eq!((archive.events, archive.oldest), (1, Some(later)));

    let all = waiting(store, &sink("bus"), 0, 10).await;
    store
        .outbox
        .sent(&sink("bus"), &seqs(&all)[..1])
        .await
        .unwrap();
    let backlog = store.outbox.backlog().await.unwrap();
    let bus = &backlog[&sink("bus")];
    assert_eq!((bus.events, bus.oldest), (1, Some(later)));
    store.outbox.sent(&sink("bus"), &seqs(&all)).await.unwrap();
    let backlog = store.outbox.backlog().await.unwrap();
    assert_eq!(backlog.keys().collect::<Vec<_>>(), [&sink("archive")]);
}

pub async fn an_event_can_be_put_into_an_outbox_again(store: &Fixture) {
    let bus = sink("bus");
    for name in ["e1", "e2"] {
        store.accept_one(routed(store, name, &["bus"])).await;
    }
    let first = waiting(store, &bus, 0, 1).await.remove(0);
    store.outbox.give_up(&bus, first.seq, "no").await.unwrap();
    assert!(store.outbox.put(&bus, &id("e1")).await.unwrap());
    assert_eq!(names(store, "bus").await, ["e2", "e1"], "at the end");
    let all = waiting(store, &bus, 0, 10).await;
    assert_eq!(all[1].event, first.event);
    assert!(all[1].seq > first.seq);

    // It has one place in a line, however often it is put.
    assert!(store.outbox.put(&bus, &id("e1")).await.unwrap());
    assert_eq!(names(store, "bus").await, ["e2", "e1"]);
    // Where it never was.
    assert!(store.outbox.put(&sink("archive"), &id("e1")).await.unwrap());
    assert_eq!(names(store, "archive").await, ["e1"]);
    assert!(!store.outbox.put(&bus, &id("e9")).await.unwrap());
}

pub async fn retention_keeps_what_a_sink_has_not_taken(store: &Fixture) {
    store
        .accept_one(routed(store, "routed", &["bus", "archive"]))
        .await;
    let mut with_job = routed(store, "with-job", &["bus"]);
    with_job.decisions = vec![fire("r", plan())];
    let job = store.accept_one(with_job).await.jobs.remove(0);
    store.control.cancel(&job, &by("ann")).await.unwrap();
    store
        .accept_one(judged(event("quiet", store.now()), vec![]))
        .await;
    let everything = Cutoffs {
        events: store.now().plus(Duration::from_secs(1)),
        output: Timestamp::from_millis(0),
        dead: Timestamp::from_millis(0),
    };
    let prune = async || {
        let pruned = store.upkeep.prune(&everything, 100).await.unwrap();
        pruned.events
    };
    assert_eq!(prune().await, 1, "the one that nobody waits for");
    assert_eq!(names(store, "bus").await, ["routed", "with-job"]);

    let all = waiting(store, &sink("bus"), 0, 10).await;
    store.outbox.sent(&sink("bus"), &seqs(&all)).await.unwrap();
    assert_eq!(prune().await, 1, "one sink is left for the other");
    assert_eq!(names(store, "archive").await, ["routed"]);
    let archive = sink("archive");
    let place = waiting(store, &archive, 0, 1).await.remove(0);
    let given_up = store.outbox.give_up(&archive, place.seq, "no").await;
    given_up.unwrap();
    assert_eq!(prune().await, 1);
    assert_eq!(store.all_events().await, 0);
    assert_eq!(store.open_dead().await.len(), 1, "the letter has the event");
}
