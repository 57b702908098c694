//! Lines of [`model::ports::Upkeep`].

use std::{collections::BTreeMap, time::Duration};

use model::{
    clock::Timestamp,
    id::JobId,
    job::{JobPlan, OnLost},
    ports::{
        Cutoffs, DeadKind, DeadLetterDraft, DeadState, Fenced, OutputQuery, ProjectText, Pruned,
    },
};

use super::{
    Fixture,
    build::{LEASE, by, event, failed, gave_up, held, judged, keyed, plan, retrying, steps},
};

/// Keeps everything.
fn nothing() -> Cutoffs {
    let long_ago = Timestamp::from_millis(0);
    Cutoffs {
        events: long_ago,
        output: long_ago,
        dead: long_ago,
    }
}

fn everything(now: Timestamp) -> Cutoffs {
    let later = now.plus(Duration::from_secs(1));
    Cutoffs {
        events: later,
        output: later,
        dead: later,
    }
}

fn letter() -> DeadLetterDraft {
    DeadLetterDraft {
        kind: DeadKind::Undecodable,
        cause: "not JSON".to_owned(),
        event_id: None,
        rule: None,
        job_id: None,
        source: "fedora".to_owned(),
        raw: Some(b"{".to_vec()),
    }
}

async fn output(store: &Fixture, job: &JobId, attempt: u32) -> Option<Vec<u8>> {
    let query = OutputQuery {
        job: job.clone(),
        attempt: Some(attempt),
        step: None,
        offset: 0,
        max: 1 << 20,
    };
    let output = store.history.output(&query).await.unwrap();
    output.map(|output| output.bytes)
}

pub async fn a_revision_is_kept_once_and_read_back(store: &Fixture) {
    let id = "cafe01".parse().unwrap();
    assert_eq!(store.upkeep.revision(&id).await.unwrap(), None);
    let text = ProjectText {
        files: BTreeMap::from([
            ("rules/a.yml".to_owned(), "rules: []\n".to_owned()),
            (
                "rules/ü.yml".to_owned(),
                "\u{feff}# ✓ 'quoted' \"\r\n\t\u{0}".to_owned(),
            ),
        ]),
        listing: vec!["inventory".to_owned(), "playbooks/a.yml".to_owned()],
        commit: Some("0123abc".to_owned()),
    };
    store.upkeep.save_revision(&id, &text).await.unwrap();
    assert_eq!(
        store.upkeep.revision(&id).await.unwrap(),
        Some(text.clone())
    );

    let other = ProjectText {
        files: BTreeMap::new(),
        listing: vec![],
        commit: None,
    };
    store.upkeep.save_revision(&id, &other).await.unwrap();
    assert_eq!(
        store.upkeep.revision(&id).await.unwrap(),
        Some(text),
        "the first is kept"
    );
    let second = "cafe02".parse().unwrap();
    store.upkeep.save_revision(&second, &other).await.unwrap();
    assert_eq!(store.upkeep.revision(&second).await.unwrap(), Some(other));
}

pub async fn retention_removes_what_is_old_and_ended_in_small_steps(store: &Fixture) {
    // Five old events that ended, with output, and what came after them.
    let mut old = Vec::new();
    for n in 0..5 {
        old.push(store.give(&format!("old{n}"), plan()).await);
    }
    for (n, lease) in store.claim(10).await.into_iter().enumerate() {
        let kept = store
            .queue
            .append_output(&lease.id, 0, b"old output".to_vec())
            .await;
        assert_eq!(kept.unwrap(), Fenced::Recorded);
        match n {
            0 => store.finish(&lease, failed(), gave_up()).await,
            _ => store.succeed(&lease).await,
        }
    }
    let quiet = judged(event("old-quiet", store.now()), vec![]);
    store.accept_one(quiet).await;
    let closed_letter = store.keep_dead(letter()).await;
    let closed = store
        .control
        .close_dead(&closed_letter, DeadState::Discarded, &by("ann"))
        .await;
    assert!(closed.unwrap());
    let old_letter = store.keep_dead(letter()).await;

    store.clock.advance(Duration::from_secs(3600));
    let cutoff = store.now();
    let new = store.give("new", plan()).await;
    let lease = store.claim_only(&new).await;
    let kept = store
        .queue
        .append_output(&lease.id, 0, b"new output".to_vec())
        .await;
    assert_eq!(kept.unwrap(), Fenced::Recorded);
    store.succeed(&lease).await;
    let new_letter = store
        .keep_dead(DeadLetterDraft {
            raw: Some(b"[".to_vec()),
            ..letter()
        })
        .await;

    assert_eq!(
        store.upkeep.prune(&nothing(), 100).await.unwrap(),
        Pruned::default()
    );

    // Output goes first, and the rest of history stays.
    let only_output = Cutoffs {
        output: cutoff,
        ..nothing()
    };
    let mut steps = 0;
    loop {
        let pruned = store.upkeep.prune(&only_output, 2).await.unwrap();
        assert!(pruned.outputs <= 2, "small steps");
        assert_eq!((pruned.events, pruned.dead), (0, 0));
        if pruned == Pruned::default() {
            break;
        }
        steps += 1;
        assert!(steps < 20, "it comes to an end");
    }
    assert!(steps >= 3, "five outputs, two at a time");
    for job in &old {
        let left = output(store, job, 1).await;
        assert_eq!(
            left.as_deref(),
            Some(&b""[..]),
            "the attempt is known still"
        );
        assert_eq!(store.job(job).await.attempts.len(), 1);
    }
    assert_eq!(output(store, &new, 1).await.unwrap(), b"new output");

    // Then events with all that belongs to them, and dead letters.
    let cutoffs = Cutoffs {
        events: cutoff,
        output: cutoff,
        dead: cutoff,
    };
    let mut total = Pruned::default();
    loop {
        let pruned = store.upkeep.prune(&cutoffs, 2).await.unwrap();
        assert!(pruned.events <= 2 && pruned.dead <= 2, "small steps");
        if pruned == Pruned::default() {
            break;
        }
        total.events += pruned.events;
        total.dead += pruned.dead;
        assert!(total.events <= 6 && total.dead <= 3, "it comes to an end");
    }
    assert_eq!(total.events, 6);
    assert_eq!(
        total.dead, 3,
        "the failed job's, the old one, the closed one"
    );
    for job in &old {
        assert_eq!(store.history.job(job).await.unwrap(), None);
        assert_eq!(output(store, job, 1).await, None);
    }
    assert_eq!(store.verdicts("old0").await, []);
    let gone = store.history.event(&"old0".parse().unwrap()).await;
    assert_eq!(gone.unwrap(), None);
    for letter in [&old_letter, &closed_letter] {
        assert_eq!(store.history.dead_letter(letter).await.unwrap(), None);
    }
    assert_eq!(store.dead(&new_letter).await.state, DeadState::Open);
    assert_eq!(store.all_events().await, 1);
    assert_eq!(output(store, &new, 1).await.unwrap(), b"new output");
    assert_eq!(store.verdicts("new").await.len(), 1);

    // An id that is gone is free again.
    let again = judged(event("old0", store.now()), vec![]);
    assert!(!store.accept_one(again).await.duplicate);
}

pub async fn retention_keeps_what_an_open_job_needs(store: &Fixture) {
    let running = store.give("running", plan()).await;
    let retries = store.give("retrying", plan()).await;
    let is_held = store.give("held", plan()).await;
    let leases = store.claim(10).await;
    store
        .finish(&leases[1], failed(), retrying(Duration::from_secs(86_400)))
        .await;
    store.finish(&leases[2], failed(), held()).await;
    let holder = store.give("holder", keyed("k")).await;
    let waits = store.give("waits", keyed("k")).await;
    // One rule's job has ended, the other's has not.
    let mixed = judged(
        event("mixed", store.now()),
        vec![
            super::fire("ended", plan()),
            super::fire("open", keyed("k")),
        ],
    );
    let mixed = store.accept_one(mixed).await.jobs;
    store.control.cancel(&mixed[0], &by("ann")).await.unwrap();
    let kept = store
        .queue
        .append_output(&leases[0].id, 0, b"so far".to_vec())
        .await;
    assert_eq!(kept.unwrap(), Fenced::Recorded);

    // Time passes, and the one that runs keeps its lease.
    store
        .clock
        .set_wall(store.now().plus(Duration::from_secs(3600)));
    let before = store.all_jobs().await;
    let pruned = store
        .upkeep
        .prune(&everything(store.now()), 100)
        .await
        .unwrap();
    assert_eq!(pruned.events, 0);
    assert_eq!(store.all_jobs().await, before);
    assert_eq!(store.all_events().await, 6);
    assert_eq!(output(store, &running, 1).await.unwrap(), b"so far");
    assert_eq!(store.verdicts("mixed").await.len(), 2);

    // They go when they have ended.
    store.succeed(&leases[0]).await;
    for job in [&retries, &is_held, &holder, &waits, &mixed[1]] {
        store.control.cancel(job, &by("ann")).await.unwrap();
    }
    let pruned = store
        .upkeep
        .prune(&everything(store.now()), 100)
        .await
        .unwrap();
    assert_eq!(pruned.events, 6);
    assert_eq!(store.all_jobs().await, []);

    // A key is free when its jobs are gone.
    let next = store.give("next", keyed("k")).await;
    store.claim_only(&next).await;
}

pub async fn status_counts_what_is_there(store: &Fixture) {
    let empty = store.upkeep.status().await.unwrap();
    assert!(!empty.kind.is_empty());
    assert_eq!((empty.events, empty.open_dead_letters), (0, 0));
    assert!(empty.jobs.values().all(|count| *count == 0));
    assert_eq!(empty.oldest_queued, None);
    assert_eq!((empty.accept_commits, empty.accepted_events), (0, 0));
    store.upkeep.probe().await.unwrap();

    let fragile = JobPlan {
        steps: steps(1, OnLost::Fail),
        ..plan()
    };
    store.give("fails", fragile).await;
    store.give("retries", plan()).await;
    store.claim(10).await;
    store.expire();
    store.recover().await;
    let since = store.now();
    store.give("queued", keyed("k")).await;
    store.clock.advance(Duration::from_secs(1));
    store.give("waits-1", keyed("k")).await;
    store.give("waits-2", keyed("k")).await;
    store.keep_dead(letter()).await;
    let batch = (0..3)
        .map(|n| judged(event(&format!("quiet{n}"), store.now()), vec![]))
        .collect();
    store.accept(batch).await;

    let status = store.upkeep.status().await.unwrap();
    let count = |state: &str| status.jobs.get(state).copied().unwrap_or(0);
    assert_eq!(status.events, 8);
    assert_eq!(count("failed"), 1);
    assert_eq!(count("retrying"), 1);
    assert_eq!(count("queued"), 1);
    assert_eq!(count("waiting"), 2);
    assert_eq!((count("running"), count("succeeded")), (0, 0));
    assert_eq!(status.open_dead_letters, 2);
    assert_eq!(status.accepted_events, 8);
    assert!((1..=6).contains(&status.accept_commits));
    assert_eq!(
        status.oldest_queued,
        Some(since.minus(LEASE)),
        "a retry that is due could run as well"
    );
    store.claim(1).await;
    let status = store.upkeep.status().await.unwrap();
    assert_eq!(status.oldest_queued, Some(since));
    store.claim(1).await;
    let status = store.upkeep.status().await.unwrap();
    assert_eq!(status.oldest_queued, None, "what waits could not run");
    assert_eq!(status.jobs.get("running").copied(), Some(2));
}
