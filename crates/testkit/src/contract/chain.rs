//! Lines of [`model::ports::chain::Chains`].

use model::{
    event::{Cause, Event},
    id::{EventId, JobId},
    ports::{Cutoffs, chain::Link},
};

use super::{
    Fixture,
    build::{event, fire, judged, plan},
};

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

fn follow_up(store: &Fixture, name: &str, (of, job, hops): (&str, &JobId, u8)) -> Event {
    Event {
        cause: Some(Cause {
            event: id(of),
            job: job.clone(),
            hops,
        }),
        ..event(name, store.now())
    }
}

async fn keep(store: &Fixture, event: Event) {
    store.accept_one(judged(event, vec![])).await;
}

/// `root` with a job, `a` and `b` of it, `a1` of `a`; and `other` alone.
async fn family(store: &Fixture) -> JobId {
    let job = store.give("root", plan()).await;
    keep(store, follow_up(store, "a", ("root", &job, 1))).await;
    keep(store, event("other", store.now())).await;
    keep(store, follow_up(store, "a1", ("a", &job, 2))).await;
    keep(store, follow_up(store, "b", ("root", &job, 1))).await;
    job
}

async fn names(store: &Fixture, of: &[&str], max: usize) -> Vec<String> {
    let of: Vec<EventId> = of.iter().map(|name| id(name)).collect();
    let found = store.chains.follow_ups(&of, max).await.unwrap();
    found.iter().map(|link| link.id.to_string()).collect()
}

pub async fn follow_ups_are_found_by_their_cause(store: &Fixture) {
    let job = family(store).await;
    assert_eq!(names(store, &["root"], 9).await, ["a", "b"]);
    assert_eq!(names(store, &["a", "root"], 9).await, ["a", "a1", "b"]);
    assert_eq!(names(store, &["root"], 1).await, ["a"]);
    assert!(names(store, &["other", "b"], 9).await.is_empty());
    assert!(names(store, &[], 9).await.is_empty());
    let links = store.chains.follow_ups(&[id("a")], 9).await.unwrap();
    let kept = follow_up(store, "a1", ("a", &job, 2));
    let expect = Link {
        id: kept.id.clone(),
        topic: kept.topic.clone(),
        accepted: kept.accepted,
        source: kept.source.clone(),
        cause: kept.cause.clone().unwrap(),
    };
    assert_eq!(links, [expect]);
    // The same in the history, and for the events that are none.
    let found = store.history.event(&kept.id).await.unwrap().unwrap();
    assert_eq!(found.event, kept);
    let found = store.history.event(&id("other")).await.unwrap().unwrap();
    assert_eq!(found.event.cause, None);
}

pub async fn follow_ups_are_found_when_their_cause_is_gone(store: &Fixture) {
    let job: JobId = "0192-ab".parse().unwrap();
    keep(store, event("old", store.now())).await;
    store.clock.advance(std::time::Duration::from_secs(3_600));
    keep(store, follow_up(store, "young", ("old", &job, 1))).await;
    let cutoffs = Cutoffs {
        events: store.now(),
        output: store.now(),
        dead: store.now(),
    };
    store.upkeep.prune(&cutoffs, 100).await.unwrap();
    assert_eq!(store.history.event(&id("old")).await.unwrap(), None);
    assert_eq!(names(store, &["old"], 9).await, ["young"]);
    assert_eq!(store.chains.chain_length(&id("young"), 9).await.unwrap(), 1);
    // And what is gone as a follow-up is none any more.
    store.clock.advance(std::time::Duration::from_secs(3_600));
    let cutoffs = Cutoffs {
        events: store.now(),
        ..cutoffs
    };
    store.upkeep.prune(&cutoffs, 100).await.unwrap();
    assert!(names(store, &["old"], 9).await.is_empty());
}

pub async fn the_jobs_of_several_events_are_found_at_once(store: &Fixture) {
    let decisions = vec![fire("r1", plan()), fire("r2", plan())];
    let two = store
        .accept_one(judged(event("two", store.now()), decisions))
        .await;
    let one = store.give("one", plan()).await;
    keep(store, event("none", store.now())).await;
    let ids = [id("none"), id("one"), id("two"), id("unknown")];
    let found = store.chains.jobs_of(&ids, 9).await.unwrap();
    let jobs: Vec<&JobId> = found.iter().map(|job| &job.id).collect();
    assert_eq!(jobs, [&two.jobs[0], &two.jobs[1], &one]);
    assert_eq!(found[1].rule.as_str(), "r2");
    assert_eq!(
        (&found[2].event, found[2].state.as_str()),
        (&id("one"), "queued")
    );
    assert_eq!(store.chains.jobs_of(&ids, 2).await.unwrap().len(), 2);
}

pub async fn the_length_of_a_chain_counts_all_its_branches(store: &Fixture) {
    family(store).await;
    for name in ["root", "a", "a1", "b"] {
        let length = store.chains.chain_length(&id(name), 100).await;
        assert_eq!(length.unwrap(), 3, "{name}");
    }
    assert_eq!(store.chains.chain_length(&id("a"), 2).await.unwrap(), 2);
    assert_eq!(store.chains.chain_length(&id("other"), 9).await.unwrap(), 0);
    assert_eq!(store.chains.chain_length(&id("gone"), 9).await.unwrap(), 0);
}
