//! Pages of long lists: every filter finds what a look at each event finds,
//! and none of them reads more than its budget.

use std::sync::Arc;

use model::{
    clock::{Clock, Timestamp},
    event::{Event, RecordedEvent, Severity},
    page::{EventQuery, Page, Position},
    ports::{History, Intake},
};
use store::SqliteStore;
use testkit::{
    TestClock,
    contract::build::{event, judged},
};

use super::options;

const COUNT: usize = 12_000;

fn made(n: usize, start: Timestamp) -> Event {
    let at = Timestamp::from_millis(start.as_millis() + 1_000 * i64::try_from(n).unwrap());
    let mut made = event(&format!("e{n}"), at);
    let topic = match n % 10 {
        0 => "org.example.build.done".to_owned(),
        1 => format!("org.example.build.part.{}", n % 7),
        2 => "com.other.thing".to_owned(),
        _ => format!("org.many.n{n}"),
    };
    made.topic = topic.parse().unwrap();
    made.source = if n == 17 { "rare" } else { "api" }.to_owned();
    made.severity = match n % 1_000 {
        3 => Severity::Error,
        4 => Severity::Debug,
        _ => Severity::Info,
    };
    made
}

fn query() -> EventQuery {
    EventQuery {
        topic: None,
        since: None,
        until: None,
        source: None,
        severity: None,
        position: Position::Newest,
        limit: 500,
    }
}

/// Follows the cursors to the end, one way or the other.
async fn all(store: &SqliteStore, query: &EventQuery) -> Vec<String> {
    let mut query = query.clone();
    let mut ids = Vec::new();
    for _ in 0..COUNT {
        let page: Page<RecordedEvent> = store.events(&query).await.unwrap();
        assert!(page.items.len() <= query.limit);
        ids.extend(page.items.iter().map(|it| it.event.id.to_string()));
        let (Some(next), position) = (page.next, query.position) else {
            return ids;
        };
        query.position = match position {
            Position::Newest | Position::Before(_) => Position::Before(next),
            Position::After(before) if before == next => return ids,
            Position::After(_) => Position::After(next),
        };
    }
    panic!("the list has no end");
}

#[tokio::test]
async fn every_filter_finds_what_a_look_at_each_event_finds() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let start = clock.now();
    let events: Vec<Event> = (0..COUNT).map(|n| made(n, start)).collect();
    for chunk in events.chunks(1_000) {
        let batch = chunk.iter().map(|it| judged(it.clone(), vec![])).collect();
        store.accept(batch).await.unwrap();
    }
    let at = |n: i64| Some(Timestamp::from_millis(start.as_millis() + 1_000 * n));
    let topic = |text: &str| Some(text.parse().unwrap());
    let source = |text: &str| Some(text.to_owned());
    let queries = [
        query(),
        EventQuery {
            topic: topic("#"),
            ..query()
        },
        EventQuery {
            topic: topic("org.example.build.done"),
            ..query()
        },
        EventQuery {
            topic: topic("org.example.build.#"),
            ..query()
        },
        EventQuery {
            topic: topic("org.example.build.*"),
            ..query()
        },
        EventQuery {
            topic: topic("org.many.*"),
            ..query()
        },
        EventQuery {
            topic: topic("*.other.thing"),
            ..query()
        },
        EventQuery {
            topic: topic("no.such.#"),
            ..query()
        },
        EventQuery {
            topic: topic("org.example.build.#"),
            source: source("rare"),
            ..query()
        },
        EventQuery {
            source: source("rare"),
            ..query()
        },
        EventQuery {
            source: source("none"),
            ..query()
        },
        EventQuery {
            source: source("api"),
            severity: Some(Severity::Error),
            ..query()
        },
        EventQuery {
            severity: Some(Severity::Error),
            ..query()
        },
        EventQuery {
            severity: Some(Severity::Info),
            ..query()
        },
        EventQuery {
            severity: Some(Severity::Warning),
            ..query()
        },
        EventQuery {
            since: at(500),
            until: at(600),
            ..query()
        },
        EventQuery {
            since: at(11_990),
            ..query()
        },
        EventQuery {
            until: at(7),
            ..query()
        },
        EventQuery {
            since: at(100_000),
            ..query()
        },
        EventQuery {
            topic: topic("org.example.build.#"),
            since: at(7_000),
            ..query()
        },
    ];
    for asked in queries {
        let mut expected: Vec<String> = events
            .iter()
            .filter(|it| {
                asked
                    .topic
                    .as_ref()
                    .is_none_or(|topic| topic.matches(&it.topic))
                    && asked
                        .source
                        .as_ref()
                        .is_none_or(|source| *source == it.source)
                    && asked
                        .severity
                        .is_none_or(|severity| severity == it.severity)
                    && asked.since.is_none_or(|since| it.accepted >= since)
                    && asked.until.is_none_or(|until| it.accepted < until)
            })
            .map(|it| it.id.to_string())
            .collect();
        let forward = EventQuery {
            position: Position::After(model::page::Cursor(0)),
            ..asked.clone()
        };
        assert_eq!(all(&store, &forward).await, expected, "{forward:?}");
        expected.reverse();
        assert_eq!(all(&store, &asked).await, expected, "{asked:?}");
    }
}

#[tokio::test]
async fn a_page_of_large_events_ends_early() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    for n in 0..20 {
        let mut large = event(&format!("e{n}"), clock.now());
        large.body = serde_json::json!("x".repeat(900_000));
        store.accept(vec![judged(large, vec![])]).await.unwrap();
    }
    let page = store.events(&query()).await.unwrap();
    assert_eq!(page.items.len(), 9);
    assert_eq!(all(&store, &query()).await.len(), 20);
}
