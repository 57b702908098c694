//! What becomes of returned jobs when their delivery comes to this store again.

use model::{
    custody::Custody,
    job::{Job, JobPlan, JobState, OnLost},
    ports::{AcceptError, Fenced},
    verdict::Verdict,
};

use super::{
    Fixture, QUEUE_LIMIT,
    build::{
        by, delivered, delivering, end, event, fire, judged, keyed, plan, succeeded, taken_over,
        worker,
    },
    custody::{give_back, plan_of, standing},
    under, words,
};

/// The event comes again under another custody; its one job is answered.
async fn again(store: &Fixture, custody: &Custody, event: &str, plan: JobPlan) -> Job {
    let answer = store
        .accept_one(under(custody, event, store.now(), plan))
        .await;
    assert!(answer.duplicate && !answer.conflict);
    assert_eq!(answer.jobs.len(), 1, "the job that it has is named");
    store.job(&answer.jobs[0]).await
}

pub(super) async fn a_lost_job_goes_on_where_it_was(store: &Fixture) {
    let w1 = delivering("w1");
    let two = plan_of(&[OnLost::Hold, OnLost::Retry]);
    let job = store
        .give_under(&delivered("w1"), "lost", two.clone())
        .await;
    let lease = store.claim_only_as(&w1, &job).await;
    let fenced = store.queue.advance(&lease.id, &end(0, succeeded())).await;
    assert_eq!(fenced.unwrap(), Fenced::Recorded);
    store.expire();
    store.recover().await;
    assert_eq!(store.state(&job).await, JobState::Returned);
    let shown = again(store, &delivered("w2"), "lost", two.clone()).await;
    assert_eq!(shown.id, job);
    assert_eq!(shown.state, JobState::Queued);
    assert_eq!((shown.finished, shown.reason), (None, None));
    let noted = store.verdicts("lost").await;
    assert_eq!(
        words(&noted),
        [("r", Verdict::Fired), ("r", Verdict::Duplicate)]
    );
    assert_eq!(store.claim_as(&w1, 10).await, [], "it is another's now");
    let lease = store.claim_only_as(&delivering("w2"), &job).await;
    assert_eq!((lease.id.attempt, lease.step), (2, 1));
    // A job in any other state is left as it is.
    let shown = again(store, &taken_over("w3"), "lost", two.clone()).await;
    assert_eq!(shown.state, JobState::Running);
    assert_eq!(
        standing(store, "lost").await[0].delivery,
        Some(worker("w2"))
    );
    store.succeed(&lease).await;
    let shown = again(store, &taken_over("w3"), "lost", two).await;
    assert_eq!(shown.state, JobState::Succeeded);
}

pub(super) async fn each_follows_its_on_lost(store: &Fixture) {
    for (name, on_lost, state) in [
        ("holds", OnLost::Hold, JobState::Held),
        ("fails", OnLost::Fail, JobState::Failed),
    ] {
        let plan = plan_of(&[on_lost]);
        let job = store.give_under(&delivered("w1"), name, plan.clone()).await;
        // Nothing of it has begun: it can be begun.
        assert_eq!(give_back(store, &[name]).await, std::slice::from_ref(&job));
        let shown = again(store, &delivered("w1"), name, plan.clone()).await;
        assert_eq!(shown.state, JobState::Queued);
        // It was lost in a step that may not be repeated.
        store.claim_only_as(&delivering("w1"), &job).await;
        store.expire();
        store.recover().await;
        let letters = store.open_dead().await.len();
        let shown = again(store, &delivered("w1"), name, plan.clone()).await;
        assert_eq!(shown.state, state);
        assert_eq!(shown.finished.is_some(), state.is_ended());
        let reason = shown.reason.expect("it says why");
        let open = store.open_dead().await;
        assert_eq!(open.len() - letters, usize::from(state.is_ended()));
        if state.is_ended() {
            assert_eq!(open[0].content.cause, reason);
            assert_eq!(open[0].content.job_id, Some(job));
            continue;
        }
        // Going back and coming again makes it no safer.
        assert_eq!(give_back(store, &[name]).await, std::slice::from_ref(&job));
        let shown = again(store, &Custody::Store, name, plan).await;
        assert_eq!(shown.state, JobState::Held);
        assert_eq!(standing(store, name).await[0].delivery, None);
    }
    // Another process may have had it meanwhile.
    let plan = plan_of(&[OnLost::Hold]);
    store
        .give_under(&delivered("w1"), "elsewhere", plan.clone())
        .await;
    give_back(store, &["elsewhere"]).await;
    let shown = again(store, &taken_over("w1"), "elsewhere", plan).await;
    assert_eq!(shown.state, JobState::Held);

    // Another event under its id is not it.
    store
        .give_under(&delivered("w1"), "same-id", plan_of(&[OnLost::Retry]))
        .await;
    give_back(store, &["same-id"]).await;
    let mut other = event("same-id", store.now());
    other.body = serde_json::json!("another");
    let answer = store
        .accept_one(judged(other, vec![fire("r", plan_of(&[]))]))
        .await;
    assert!(answer.conflict);
    assert_eq!(
        standing(store, "same-id").await[0].state,
        JobState::Returned
    );
}

pub(super) async fn they_wait_for_their_keys(store: &Fixture) {
    let first = store.give_under(&delivered("w1"), "k1", keyed("k")).await;
    let second = store.give_under(&delivered("w1"), "k2", keyed("k")).await;
    assert_eq!(
        give_back(store, &["k1", "k2"]).await,
        [first.clone(), second.clone()]
    );
    let holder = store.give("k3", keyed("k")).await;
    let late = store.give("k4", keyed("k")).await;
    // Both come again at once, with one that is new.
    let batch = vec![
        under(&delivered("w1"), "k5", store.now(), keyed("k")),
        under(&delivered("w1"), "k2", store.now(), keyed("k")),
        under(&delivered("w1"), "k1", store.now(), keyed("k")),
    ];
    store.accept(batch).await;
    for job in [&first, &second] {
        let shown = store.job(job).await;
        assert_eq!(shown.state, JobState::Waiting);
        assert_eq!(shown.waits_for.as_ref(), Some(&holder));
    }
    // They have their place by acceptance.
    let w1 = delivering("w1");
    for job in [&holder, &first, &second, &late] {
        let lease = store.claim_only_as(&w1, job).await;
        store.succeed(&lease).await;
    }
    let last = standing(store, "k5").await.remove(0).job;
    let lease = store.claim_only_as(&w1, &last).await;
    store.succeed(&lease).await;

    // A key that nobody has is theirs before it is that of what is new.
    let first = store.give_under(&delivered("w1"), "f1", keyed("f")).await;
    give_back(store, &["f1"]).await;
    let batch = vec![
        under(&delivered("w1"), "f2", store.now(), keyed("f")),
        under(&delivered("w1"), "f1", store.now(), keyed("f")),
    ];
    let answers = store.accept(batch).await;
    let new = store.job(&answers[0].jobs[0]).await;
    assert_eq!(new.waits_for.as_ref(), Some(&first));
    let lease = store.claim_only_as(&w1, &first).await;
    store.succeed(&lease).await;
    let lease = store.claim_only_as(&w1, &new.id).await;
    store.succeed(&lease).await;
}

/// A job that is taken up again counts against the limit like a new one.
pub(super) async fn they_take_places(store: &Fixture) {
    let job = store.give_under(&delivered("w1"), "full", plan()).await;
    give_back(store, &["full"]).await;
    let open = || async {
        let jobs = store.all_jobs().await;
        jobs.iter().filter(|it| !it.state.is_ended()).count()
    };
    let mut last = None;
    for n in open().await..QUEUE_LIMIT {
        last = Some(store.give(&format!("place{n}"), plan()).await);
    }
    let comes = || under(&delivered("w1"), "full", store.now(), plan());
    let refused = store.intake.accept(vec![comes()]).await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { limit }) if limit == QUEUE_LIMIT));
    assert_eq!(store.state(&job).await, JobState::Returned);
    assert_eq!(standing(store, "full").await[0].state, JobState::Returned);
    let cancelled = last.expect("there was room");
    store.control.cancel(&cancelled, &by("ann")).await.unwrap();
    store.accept_one(comes()).await;
    assert_eq!(store.state(&job).await, JobState::Queued);
    let over = under(&Custody::Store, "over", store.now(), plan());
    let refused = store.intake.accept(vec![over]).await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { .. })));
    // It comes again and makes nothing.
    assert!(store.accept_one(comes()).await.duplicate);
}
