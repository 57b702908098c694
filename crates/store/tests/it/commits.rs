//! Group commit, counted.

use std::sync::Arc;

use model::{
    clock::Clock,
    ports::{AcceptError, Cutoffs, Intake, JobQueue, Judged, Upkeep},
};
use store::{SqliteOptions, SqliteStore};
use testkit::{
    TestClock,
    contract::build::{LEASE, claimant, delivered, event, fire, judged, plan},
};

use super::options;

const CLIENTS: usize = 64;
const EACH: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_publish_at_the_same_time_share_commits() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = Arc::new(SqliteStore::open(&path, options(&clock)).await.unwrap());
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (store, now) = (Arc::clone(&store), clock.now());
        clients.spawn(async move {
            for n in 0..EACH {
                let sent = event(&format!("e{client}-{n}"), now);
                store.accept(vec![judged(sent, vec![])]).await.unwrap();
            }
        });
    }
    clients.join_all().await;
    let status = store.status().await.unwrap();
    assert_eq!(status.events, (CLIENTS * EACH) as u64);
    assert_eq!(status.accepted_events, (CLIENTS * EACH) as u64);
    let per_commit = status.accepted_events / status.accept_commits;
    assert!(per_commit >= 16, "{per_commit} events a commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_in_one_commit_are_refused_and_accepted_apart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let limited = SqliteOptions {
        queue_limit: 30,
        ..options(&clock)
    };
    let store = Arc::new(SqliteStore::open(&path, limited).await.unwrap());
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50 {
        let (store, now) = (Arc::clone(&store), clock.now());
        clients.spawn(async move {
            let sent = event(&format!("e{client}"), now);
            let quiet = event(&format!("quiet{client}"), now);
            store.accept(vec![judged(quiet, vec![])]).await.unwrap();
            store
                .accept(vec![judged(sent, vec![fire("r", plan())])])
                .await
        });
    }
    let answers = clients.join_all().await;
    let accepted = answers.iter().filter(|it| it.is_ok()).count();
    assert_eq!(accepted, 30);
    assert!(answers.iter().all(|it| match it {
        Ok(accepted) => accepted[0].jobs.len() == 1,
        Err(AcceptError::QueueFull { limit }) => *limit == 30,
        Err(AcceptError::Store(_)) => false,
    }));
    let status = store.status().await.unwrap();
    assert_eq!(status.events, 80);
    assert_eq!(status.jobs["queued"], 30);
    // One that ends makes room for one.
    let lease = store
        .claim(&claimant("w"), 1, LEASE, LEASE)
        .await
        .unwrap()
        .remove(0);
    let refused = judged(event("late", clock.now()), vec![fire("r", plan())]);
    assert!(store.accept(vec![refused.clone()]).await.is_err());
    let by = testkit::contract::build::by("somebody");
    let next = model::job::NextState::Cancelled { by: by.clone() };
    let outcome = model::job::Outcome::Cancelled { by };
    let fenced = store
        .finish(&lease.id, None, &outcome, &next)
        .await
        .unwrap();
    assert_eq!(fenced, model::ports::Fenced::Recorded);
    store.accept(vec![refused.clone()]).await.unwrap();
    // What comes again makes no job and is never too much.
    assert!(store.accept(vec![refused]).await.unwrap()[0].duplicate);
}

#[tokio::test]
async fn what_is_returned_keeps_its_place_in_the_count_whatever_fails() {
    use model::ports::custody::JobCustody;
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let limited = SqliteOptions {
        queue_limit: 2,
        ..options(&clock)
    };
    let store = SqliteStore::open(&path, limited.clone()).await.unwrap();
    let comes = |name: &str| Judged {
        custody: delivered("w"),
        ..judged(event(name, clock.now()), vec![fire("r", plan())])
    };
    let both = ["a", "b"].map(|name| name.parse().unwrap());
    store.accept(vec![comes("a"), comes("b")]).await.unwrap();
    assert_eq!(store.give_back(&both, "gone").await.unwrap().len(), 2);
    store.close().await;

    // Read again from the file, and changed by what is refused not at all.
    let store = SqliteStore::open(&path, limited).await.unwrap();
    store.accept(vec![comes("c")]).await.unwrap();
    let refused = store.accept(vec![comes("a"), comes("b")]).await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { limit: 2 })));
    let refused = store.accept(vec![comes("a"), comes("d")]).await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { limit: 2 })));
    // Twice in a batch is once.
    let answers = store.accept(vec![comes("a"), comes("a")]).await.unwrap();
    assert!(answers.iter().all(|it| it.duplicate && it.jobs.len() == 1));
    let status = store.status().await.unwrap();
    assert_eq!((status.jobs["queued"], status.jobs["returned"]), (2, 1));
    assert!(store.accept(vec![comes("b")]).await.is_err());

    // When their events go, so does what might come back.
    store.give_back(&both, "gone").await.unwrap();
    let later = clock.now().plus(LEASE);
    let cutoffs = Cutoffs {
        events: later,
        output: later,
        dead: later,
    };
    assert_eq!(store.prune(&cutoffs, 10).await.unwrap().events, 2);
    assert!(!store.accept(vec![comes("a")]).await.unwrap()[0].duplicate);
    assert!(store.accept(vec![comes("b")]).await.is_err());
}

#[tokio::test]
async fn an_event_that_comes_again_and_again_is_noted_once_with_a_count() {
    use model::{ports::History, verdict::Verdict};
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let sent = judged(event("e1", clock.now()), vec![fire("r", plan())]);
    store.accept(vec![sent.clone()]).await.unwrap();
    store
        .accept(vec![sent.clone(), sent.clone()])
        .await
        .unwrap();
    store.accept(vec![sent.clone()]).await.unwrap();
    let verdicts = store.verdicts(&sent.event.id).await.unwrap();
    let words: Vec<Verdict> = verdicts.iter().map(|it| it.verdict).collect();
    assert_eq!(words, [Verdict::Fired, Verdict::Duplicate]);
    assert!(
        verdicts[1].reason.contains("3 times"),
        "{}",
        verdicts[1].reason
    );
    assert_eq!(verdicts[1].job_id, verdicts[0].job_id);
}

#[tokio::test]
async fn a_refused_event_that_comes_again_is_one_open_letter() {
    use model::{
        page::{DeadQuery, Position},
        ports::History,
    };
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let first = event("e1", clock.now());
    let other = |text: &str| {
        let mut other = first.clone();
        other.body = serde_json::json!(text);
        judged(other, vec![])
    };
    store
        .accept(vec![judged(first.clone(), vec![])])
        .await
        .unwrap();
    store
        .accept(vec![other("a"), other("a"), other("b")])
        .await
        .unwrap();
    store.accept(vec![other("b")]).await.unwrap();
    let query = DeadQuery {
        kind: None,
        rule: None,
        state: None,
        position: Position::Newest,
        limit: 10,
    };
    let letters = store.dead_letters(&query).await.unwrap().items;
    assert_eq!(letters.len(), 2);
    let raw = letters[1].content.raw.as_ref().unwrap();
    let refused: model::event::Event = serde_json::from_slice(raw).unwrap();
    assert_eq!(refused, *other("a").event);
}
