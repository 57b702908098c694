//! Lines of [`model::ports::custody::JobCustody`], and what deliveries ask of
//! intake and of the queue.

use std::time::Duration;

use model::{
    custody::JobStanding,
    id::{EventId, JobId},
    job::{
        JobPlan, JobState, LostLease, NextState, OnLost, Outcome, StepState, Tries,
        after_lost_lease,
    },
    ports::{AcceptError, Controlled, DeadKind, DeadState},
    verdict::Verdict,
};

use super::{
    Fixture, QUEUE_LIMIT,
    build::{
        LEASE, by, claimant, delivered, delivering, event, failed, fire, held, judged, keyed, plan,
        retrying, revision, steps, taken_over, worker,
    },
    resume, under, words,
};

/// Longer than a store may take for anything, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

pub(super) fn plan_of(on_lost: &[OnLost]) -> JobPlan {
    JobPlan {
        steps: on_lost.iter().flat_map(|word| steps(1, *word)).collect(),
        ..plan()
    }
}

fn with_key(key: &str, plan: JobPlan) -> JobPlan {
    JobPlan {
        key: Some(key.to_owned()),
        ..plan
    }
}

pub(super) async fn standing(store: &Fixture, event: &str) -> Vec<JobStanding> {
    let mut found = store.custody.standing(&[id(event)]).await.unwrap();
    assert_eq!(found.len(), 1, "`{event}` is there");
    let (found, jobs) = found.remove(0);
    assert_eq!(found, id(event));
    jobs
}

pub(super) async fn give_back(store: &Fixture, events: &[&str]) -> Vec<JobId> {
    let events: Vec<EventId> = events.iter().map(|event| id(event)).collect();
    let given = store.custody.give_back(&events, "the connection is gone");
    given.await.unwrap()
}

pub async fn a_job_of_a_delivery_is_claimed_by_its_worker_alone(store: &Fixture) {
    let w1 = delivering("w1");
    let own = store.give_under(&delivered("w1"), "own", plan()).await;
    let free = store.give("free", plan()).await;
    let second = store.give_under(&delivered("w1"), "second", plan()).await;

    // Others have only what is the store's, whatever they may do with
    // deliveries of their own.
    store.claim_only_as(&delivering("w2"), &free).await;
    assert_eq!(store.claim_as(&claimant("w2"), 10).await, []);
    // Nor has the worker itself while it may not begin what is delivered.
    assert_eq!(store.claim_as(&claimant("w1"), 10).await, []);
    let brief = Duration::from_millis(30);
    let w2 = claimant("w2");
    let waited = store.queue.claim(&w2, 10, LEASE, brief);
    let empty = tokio::time::timeout(PATIENCE, waited).await;
    assert_eq!(empty.expect("the wait ends").unwrap(), []);

    let lease = store.claim_as(&w1, 1).await.remove(0);
    assert_eq!(lease.id.job, own, "oldest first");
    let other = store.claim_only_as(&w1, &second).await;

    // A retry is its worker's as well, though others wait.
    let delay = Duration::from_secs(90);
    store.finish(&lease, failed(), retrying(delay)).await;
    store.succeed(&other).await;
    store.clock.advance(delay);
    let waited = store.queue.claim(&w2, 10, LEASE, brief);
    let empty = tokio::time::timeout(PATIENCE, waited).await;
    assert_eq!(empty.expect("the wait ends").unwrap(), []);
    let lease = store.claim_only_as(&w1, &own).await;

    // And so is a job that gets a key from another.
    store.finish(&lease, failed(), held()).await;
    let first = store.give("k1", keyed("k")).await;
    let waits = store.give_under(&delivered("w1"), "k2", keyed("k")).await;
    let running = store.claim_only_as(&w1, &first).await;
    store.succeed(&running).await;
    assert_eq!(store.state(&waits).await, JobState::Queued);
    assert_eq!(store.claim_as(&delivering("w2"), 10).await, []);
    let lease = store.claim_only_as(&w1, &waits).await;
    store.succeed(&lease).await;

    // What a person has tried again is the store's.
    let answer = store.control.retry(&own, &by("ann")).await.unwrap();
    assert_eq!(answer, Controlled::Done(JobState::Queued));
    store.claim_only_as(&claimant("w2"), &own).await;

    // A claim wakes for what is delivered.
    let claim = store.queue.claim(&w1, 10, LEASE, PATIENCE * 2);
    let custody = delivered("w1");
    let arriving = store.give_under(&custody, "late", plan());
    let (woken, late) = tokio::join!(tokio::time::timeout(PATIENCE, claim), arriving);
    let woken = woken.expect("the claim wakes").unwrap();
    assert_eq!(woken[0].id.job, late);
}

pub async fn a_lost_job_of_a_delivery_is_returned(store: &Fixture) {
    let w1 = delivering("w1");
    let mut jobs = Vec::new();
    for (name, on_lost) in [
        ("retry", OnLost::Retry),
        ("hold", OnLost::Hold),
        ("fail", OnLost::Fail),
    ] {
        let plan = with_key(name, plan_of(&[on_lost]));
        jobs.push(store.give_under(&delivered("w1"), name, plan).await);
    }
    let cancelled = store
        .give_under(&delivered("w1"), "cancelled", plan())
        .await;
    let own = store.give("own", plan()).await;
    let leases = store.claim_as(&w1, 10).await;
    let next = store.give("next", keyed("hold")).await;
    assert_eq!(store.state(&next).await, JobState::Waiting);
    store.control.cancel(&cancelled, &by("ann")).await.unwrap();
    store.expire();
    let recovered = store.recover().await;
    assert_eq!(recovered.len(), 5);

    for (job, lease) in jobs.iter().zip(&leases) {
        let found = recovered.iter().find(|one| one.lease == lease.id);
        let found = found.expect("every lease ran out");
        let lost = LostLease {
            worker: &worker("w1"),
            tries: Tries { failed: 0, lost: 1 },
            interrupted: Some(0),
            is_delivered: true,
        };
        assert_eq!(found.next, after_lost_lease(&lease.plan, &lost, 0.5));
        let shown = store.job(job).await;
        assert_eq!(shown.state, JobState::Returned);
        assert_eq!(shown.finished, Some(store.now()), "it has ended here");
        assert!(shown.reason.expect("it says why").contains("w1"));
        assert_eq!(shown.attempts[0].steps[0].state, StepState::Lost);
        assert!(matches!(
            shown.attempts[0].outcome,
            Some(Outcome::Lost { .. })
        ));
    }
    assert_eq!(store.state(&cancelled).await, JobState::Cancelled);
    assert_eq!(store.state(&own).await, JobState::Retrying, "the store's");
    assert_eq!(store.open_dead().await, [], "nothing has given up");
    assert_eq!(
        store.state(&next).await,
        JobState::Queued,
        "the key is free"
    );
    let answer = store.control.retry(&jobs[0], &by("ann")).await.unwrap();
    assert_eq!(answer, Controlled::WrongState(JobState::Returned));
    assert_eq!(store.recover().await, []);
}

pub async fn a_job_taken_over_follows_its_on_lost(store: &Fixture) {
    let custody = taken_over("w2");
    let give = async |event: &str, plan| store.give_under(&custody, event, plan).await;
    let retry = give("retry", plan_of(&[OnLost::Retry, OnLost::Retry])).await;
    let hold = give(
        "hold",
        with_key("h", plan_of(&[OnLost::Retry, OnLost::Hold])),
    )
    .await;
    let fail = give(
        "fail",
        with_key("f", plan_of(&[OnLost::Hold, OnLost::Fail])),
    )
    .await;
    // The key is held by what was taken over before.
    let waits = give("waits", with_key("h", plan())).await;
    let late = give("late", with_key("h", plan_of(&[OnLost::Hold]))).await;
    // … and not by what failed at once.
    let next = give("next", with_key("f", plan())).await;
    for (job, state) in [
        (&retry, JobState::Queued),
        (&hold, JobState::Held),
        (&fail, JobState::Failed),
        (&waits, JobState::Waiting),
        (&late, JobState::Failed),
        (&next, JobState::Queued),
    ] {
        assert_eq!(store.state(job).await, state);
    }
    assert_eq!(store.job(&waits).await.waits_for.as_ref(), Some(&hold));

    let shown = store.job(&fail).await;
    assert_eq!(shown.finished, Some(store.now()));
    assert_eq!((shown.started, shown.attempts.len()), (None, 0));
    let reason = shown.reason.expect("it says why");
    let verdicts = store.verdicts("fail").await;
    assert_eq!(words(&verdicts), [("r", Verdict::Fired)]);
    assert_eq!(verdicts[0].reason, reason);
    let letters = store.open_dead().await;
    let failed: Vec<_> = letters.iter().map(|it| &it.content.job_id).collect();
    assert_eq!(failed, [&Some(late), &Some(fail.clone())], "newest first");
    let content = &letters[1].content;
    assert_eq!(content.kind, DeadKind::JobFailed);
    assert_eq!(content.cause, reason);
    assert_eq!(content.event_id, Some(id("fail")));
    assert_eq!(content.rule, Some(shown.rule));
    assert_eq!((content.source.as_str(), &content.raw), ("api", &None));
    assert!(store.job(&hold).await.reason.is_some(), "it says why");

    // They belong to the delivery until a person has a word.
    assert_eq!(
        standing(store, "retry").await[0].delivery,
        Some(worker("w2"))
    );
    assert_eq!(store.claim_as(&claimant("w2"), 10).await, []);
    store.control.retry(&hold, &by("ann")).await.unwrap();
    store.claim_only_as(&claimant("w1"), &hold).await;
    let answer = store.control.retry(&fail, &by("ann")).await.unwrap();
    assert_eq!(answer, Controlled::Done(JobState::Waiting));
    assert_eq!(store.dead(&letters[1].id).await.state, DeadState::Retried);

    // What fails at once takes no place in the queue.
    while store
        .all_jobs()
        .await
        .iter()
        .filter(|it| !it.state.is_ended())
        .count()
        < QUEUE_LIMIT
    {
        let event = format!("fill{}", store.all_events().await);
        store.give(&event, plan()).await;
    }
    let one_more = give("one-more", plan_of(&[OnLost::Fail])).await;
    assert_eq!(store.state(&one_more).await, JobState::Failed);
    let over = under(&custody, "over", store.now(), plan_of(&[OnLost::Hold]));
    let refused = store.intake.accept(vec![over]).await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { .. })));
}

pub async fn a_returned_job_is_resumed_when_its_delivery_comes_again(store: &Fixture) {
    resume::a_lost_job_goes_on_where_it_was(store).await;
    resume::each_follows_its_on_lost(store).await;
    resume::they_wait_for_their_keys(store).await;
    resume::they_take_places(store).await;
}

pub async fn standing_shows_the_jobs_of_an_event_and_whose_they_are(store: &Fixture) {
    let mut both = judged(
        event("both", store.now()),
        vec![fire("one", plan()), fire("two", plan())],
    );
    both.custody = delivered("w1");
    let jobs = store.accept_one(both).await.jobs;
    let own = store.give("own", plan()).await;
    store
        .accept_one(judged(event("quiet", store.now()), vec![]))
        .await;
    let lease = store.claim_as(&delivering("w1"), 1).await.remove(0);
    assert_eq!(lease.id.job, jobs[0]);

    let asked = ["own", "nobody", "both", "quiet"].map(id);
    let found = store.custody.standing(&asked).await.unwrap();
    let of_w1 = |job: &JobId, state, begun| JobStanding {
        job: job.clone(),
        state,
        begun,
        delivery: Some(worker("w1")),
    };
    let expect = [
        (
            id("own"),
            vec![JobStanding {
                job: own,
                state: JobState::Queued,
                begun: false,
                delivery: None,
            }],
        ),
        (
            id("both"),
            vec![
                of_w1(&jobs[0], JobState::Running, true),
                of_w1(&jobs[1], JobState::Queued, false),
            ],
        ),
        (id("quiet"), vec![]),
    ];
    assert_eq!(found, expect, "in the order in which they were asked for");

    // What has begun once has begun, however it went on.
    store.finish(&lease, failed(), retrying(LEASE)).await;
    let shown = standing(store, "both").await;
    assert_eq!(shown[0], of_w1(&jobs[0], JobState::Retrying, true));

    // Many at once.
    assert_eq!(store.custody.standing(&[]).await.unwrap(), []);
    let mut many: Vec<EventId> = (0..1_200).map(|n| id(&format!("no{n}"))).collect();
    many.insert(700, id("quiet"));
    let found = store.custody.standing(&many).await.unwrap();
    assert_eq!(found, [(id("quiet"), vec![])]);
}

pub async fn a_parked_job_is_the_stores_and_survives_its_worker(store: &Fixture) {
    let w1 = delivering("w1");
    let custody = delivered("w1");
    let lost = store.give_under(&custody, "lost", keyed("k")).await;
    let waits = store.give_under(&custody, "waits", keyed("k")).await;
    let retries = store.give_under(&custody, "retries", plan()).await;
    let is_held = store.give_under(&custody, "is-held", plan()).await;
    let leases = store.claim_as(&w1, 10).await;
    let delay = Duration::from_secs(600);
    store.finish(&leases[1], failed(), retrying(delay)).await;
    store.finish(&leases[2], failed(), held()).await;
    let queued = store.give_under(&custody, "queued", plan()).await;
    store.give_under(&custody, "gone", plan()).await;
    give_back(store, &["gone"]).await;
    let left = store.give_under(&custody, "left", plan()).await;

    let before = store.all_jobs().await;
    let parked = [
        "lost", "waits", "retries", "is-held", "queued", "gone", "nobody",
    ]
    .map(id);
    for _ in 0..2 {
        store.custody.park(&parked).await.unwrap();
        assert_eq!(store.all_jobs().await, before, "only whose it is changes");
        for event in ["lost", "waits", "retries", "is-held", "queued"] {
            assert_eq!(standing(store, event).await[0].delivery, None, "{event}");
        }
    }
    assert_eq!(
        standing(store, "left").await[0].delivery,
        Some(worker("w1"))
    );
    assert_eq!(standing(store, "gone").await[0].state, JobState::Returned);

    // Nothing of it goes back, and anybody may run it.
    assert_eq!(give_back(store, &["waits", "retries", "queued"]).await, []);
    let w2 = worker("w2");
    let others = store.custody.give_back_of_others(&w2, 10, "gone");
    assert_eq!(others.await.unwrap(), 1, "{left} was not parked");
    let lease = store.claim_only_as(&claimant("w2"), &queued).await;
    store.succeed(&lease).await;

    // The worker vanishes, and the store tries again.
    store.expire();
    let recovered = store.recover().await;
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].next.state(), JobState::Retrying);
    let lease = store.claim_only_as(&claimant("w2"), &lost).await;
    assert_eq!(lease.id.attempt, 2);
    store.succeed(&lease).await;
    let lease = store.claim_only_as(&claimant("w2"), &waits).await;
    store.succeed(&lease).await;
    store.clock.advance(delay);
    store.claim_only_as(&claimant("w2"), &retries).await;
    assert_eq!(store.state(&is_held).await, JobState::Held);

    // Parking wakes those that may not begin what is delivered.
    let late = store.give_under(&custody, "late", plan()).await;
    let w2 = claimant("w2");
    let claim = store.queue.claim(&w2, 10, LEASE, PATIENCE * 2);
    let events = [id("late")];
    let parking = store.custody.park(&events);
    let (woken, parked) = tokio::join!(tokio::time::timeout(PATIENCE, claim), parking);
    parked.unwrap();
    assert_eq!(woken.expect("the claim wakes").unwrap()[0].id.job, late);
}

pub async fn giving_back_returns_what_does_not_run(store: &Fixture) {
    let custody = delivered("w1");
    let running = store.give_under(&custody, "running", plan()).await;
    let retries = store.give_under(&custody, "retries", plan()).await;
    let is_held = store.give_under(&custody, "is-held", keyed("h")).await;
    store.give_under(&custody, "done", plan()).await;
    let leases = store.claim_as(&delivering("w1"), 10).await;
    store.finish(&leases[1], failed(), retrying(LEASE)).await;
    store.finish(&leases[2], failed(), held()).await;
    store.succeed(&leases[3]).await;
    let holder = store.give_under(&custody, "holder", keyed("k")).await;
    let waits = store.give_under(&custody, "waits", keyed("k")).await;
    let next = store.give("next", keyed("k")).await;
    let after_held = store.give("after-held", keyed("h")).await;
    // The store answers for what was fired late.
    let refired = store
        .intake
        .refire(&id("holder"), &revision(), &fire("late", plan()))
        .await;
    let refired = refired.unwrap().flatten().expect("the rule had no job");
    let left = store.give_under(&custody, "left", plan()).await;

    store.clock.advance(Duration::from_secs(1));
    let events = [
        "running", "retries", "is-held", "done", "holder", "waits", "next", "nobody",
    ];
    let given = give_back(store, &events).await;
    let expect = [&retries, &is_held, &holder, &waits].map(JobId::clone);
    assert_eq!(given, expect, "in the order in which they were accepted");
    for job in &given {
        let shown = store.job(job).await;
        assert_eq!(shown.state, JobState::Returned);
        assert_eq!(shown.reason.as_deref(), Some("the connection is gone"));
        assert_eq!(shown.finished, Some(store.now()));
        assert_eq!((shown.due, &shown.waits_for), (None, &None));
        let answer = store.control.cancel(job, &by("ann")).await.unwrap();
        assert_eq!(answer, Controlled::WrongState(JobState::Returned));
    }
    assert_eq!(give_back(store, &events).await, []);
    assert_eq!(store.open_dead().await, []);

    // Their keys are free, and what is not theirs is as it was.
    let states = [
        (&running, JobState::Running),
        (&next, JobState::Queued),
        (&after_held, JobState::Queued),
        (&refired, JobState::Queued),
        (&left, JobState::Queued),
    ];
    for (job, state) in states {
        assert_eq!(store.state(job).await, state);
    }
    store.succeed(&leases[0]).await;
    assert_eq!(store.state(&running).await, JobState::Succeeded);
    let claimed = store.claim_as(&delivering("w1"), 10).await;
    let claimed: Vec<&JobId> = claimed.iter().map(|lease| &lease.id.job).collect();
    assert_eq!(claimed, [&next, &after_held, &refired, &left]);
    let status = store.upkeep.status().await.unwrap();
    assert_eq!(status.jobs.get("returned"), Some(&4));
}

pub async fn the_deliveries_of_former_workers_are_given_back(store: &Fixture) {
    let former = delivered("w0");
    let running = store.give_under(&former, "running", plan()).await;
    store.claim_only_as(&delivering("w0"), &running).await;
    for n in 0..3 {
        store
            .give_under(&former, &format!("old{n}"), keyed("k"))
            .await;
    }
    let own = store.give_under(&delivered("w1"), "own", plan()).await;
    let parked = store.give("parked", keyed("k")).await;

    let w1 = worker("w1");
    for expect in [2, 1, 0] {
        let given = store
            .custody
            .give_back_of_others(&w1, 2, "it is gone")
            .await;
        assert_eq!(given.unwrap(), expect);
    }
    for n in 0..3 {
        let shown = standing(store, &format!("old{n}")).await.remove(0);
        assert_eq!(shown.state, JobState::Returned);
        let job = store.job(&shown.job).await;
        assert_eq!(job.reason.as_deref(), Some("it is gone"));
    }
    assert_eq!(store.state(&own).await, JobState::Queued);
    assert_eq!(
        store.state(&parked).await,
        JobState::Queued,
        "it has the key"
    );
    // What ran is found by its lease.
    assert_eq!(store.state(&running).await, JobState::Running);
    store.expire();
    let recovered = store.recover().await;
    assert_eq!(recovered.len(), 1);
    let returned = matches!(recovered[0].next, NextState::Returned { .. });
    assert!(returned, "{:?}", recovered[0].next);
    let claimed = store.claim_as(&delivering("w1"), 10).await;
    assert_eq!(claimed.len(), 2);
}
