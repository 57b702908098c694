//! Lines about rules that throttle, debounce, or look at who waits: of
//! [`model::ports::Intake`], [`model::ports::JobQueue`] and those beside them.

use std::{num::NonZeroU32, time::Duration};

use model::{
    custody::Custody,
    flow::{Debounce, Excess, FlowPlan, Throttle, WhenBusy},
    id::JobId,
    job::{Job, JobPlan, JobState, OnLost},
    ports::{AcceptError, Controlled, Judged},
    verdict::{Decision, Firing, Verdict},
};

use super::{
    Fixture, QUEUE_LIMIT,
    build::{
        by, debounced, delivered, delivering, event, failed, fire, gave_up, ids, judged, keyed,
        plan, rule, steps, taken_over,
    },
    custody::{give_back, standing},
    words,
};

const MINUTE: Duration = Duration::from_secs(60);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn with_key(key: &str, plan: JobPlan) -> JobPlan {
    JobPlan {
        key: Some(key.to_owned()),
        ..plan
    }
}

fn bounded(quiet: Duration, max: Duration) -> JobPlan {
    let mut plan = debounced(quiet);
    plan.flow.debounce = Some(Debounce {
        quiet,
        max: Some(max),
    });
    plan
}

/// At most `limit` in a minute.
fn throttled(limit: u32, by: Option<&str>, then: Excess) -> JobPlan {
    JobPlan {
        flow: FlowPlan {
            throttle: Some(Throttle {
                limit: NonZeroU32::new(limit).unwrap(),
                per: MINUTE,
                by: by.map(str::to_owned),
                then,
            }),
            ..FlowPlan::default()
        },
        ..plan()
    }
}

fn busy(key: &str, when_busy: WhenBusy) -> JobPlan {
    let mut plan = keyed(key);
    plan.flow.when_busy = when_busy;
    plan
}

impl Fixture {
    /// As [`Fixture::give`] when the rule may make nothing of the event.
    async fn offer(&self, id: &str, plan: JobPlan) -> Option<JobId> {
        let judged = judged(event(id, self.now()), vec![fire("r", plan)]);
        self.accept_one(judged).await.jobs.pop()
    }

    /// Why the only rule made nothing of an event.
    async fn suppressed(&self, id: &str) -> String {
        let mut verdicts = self.verdicts(id).await;
        assert_eq!(words(&verdicts), [("r", Verdict::Suppressed)], "{id}");
        assert_eq!(verdicts[0].job_id, None);
        verdicts.remove(0).reason
    }

    async fn check_states(&self, expect: &[(&JobId, JobState)]) {
        for (job, state) in expect {
            let found = self.job(job).await;
            assert_eq!(found.state, *state, "{found:?}");
        }
    }
}

fn superseded(old: &Job, by: &JobId, why: &str) {
    assert_eq!(old.state, JobState::Cancelled);
    let reason = format!("superseded by job {by} ({why})");
    assert_eq!(old.reason.as_deref(), Some(&*reason));
    assert!(old.finished.is_some() && old.attempts.is_empty());
}

pub async fn a_debounced_job_is_delayed_until_its_rule_is_quiet(store: &Fixture) {
    let job = store.give("e1", debounced(secs(30))).await;
    let shown = store.job(&job).await;
    assert_eq!(shown.state, JobState::Delayed);
    let due = store.now().plus(secs(30));
    assert_eq!(shown.due, Some(due));
    let reason = format!("delayed until {due} (debounce: 30s)");
    assert_eq!(shown.reason.as_ref(), Some(&reason));
    let verdicts = store.verdicts("e1").await;
    assert_eq!(words(&verdicts), [("r", Verdict::Fired)]);
    assert_eq!(
        (&verdicts[0].reason, verdicts[0].job_id.as_ref()),
        (&reason, Some(&job))
    );
    assert_eq!(store.upkeep.status().await.unwrap().jobs["delayed"], 1);

    store.clock.advance(secs(29));
    assert_eq!(store.claim(10).await, []);
    assert_eq!(store.state(&job).await, JobState::Delayed);
    store.clock.advance(secs(1));
    let lease = store.claim_only(&job).await;
    assert_eq!(store.job(&job).await.due, None);
    store.succeed(&lease).await;
}

pub async fn a_firing_takes_the_place_of_one_that_waits_for_quiet(store: &Fixture) {
    let first = store.give("e1", bounded(secs(30), secs(45))).await;
    let other_key = store.give("e2", with_key("k", debounced(secs(30)))).await;
    store.clock.advance(secs(20));
    let second = store.give("e3", bounded(secs(30), secs(45))).await;
    superseded(&store.job(&first).await, &second, "debounce: 30s");
    let verdicts = store.verdicts("e3").await;
    let instead = format!("; it takes the place of job {first}");
    assert!(verdicts[0].reason.ends_with(&instead), "{verdicts:?}");
    assert_eq!(
        store.job(&second).await.due,
        Some(store.now().plus(secs(25))),
        "no later than 45 s after the first"
    );
    assert_eq!(store.state(&other_key).await, JobState::Delayed);

    // The same event again is no firing, and what is due gives way no more.
    let again = judged(
        event("e3", store.now()),
        vec![fire("r", bounded(secs(30), secs(45)))],
    );
    assert_eq!(
        store.accept_one(again).await.jobs,
        std::slice::from_ref(&second)
    );
    assert_eq!(store.state(&second).await, JobState::Delayed);
    store.clock.advance(secs(25));
    let third = store.give("e4", bounded(secs(30), secs(45))).await;
    assert_eq!(
        store.job(&third).await.due,
        Some(store.now().plus(secs(30))),
        "a new burst"
    );
    let leases = store.claim(10).await;
    let claimed: Vec<&JobId> = leases.iter().map(|lease| &lease.id.job).collect();
    assert_eq!(claimed, [&other_key, &second]);

    // A person may want the old one after all; it is not delayed again.
    let retried = store.control.retry(&first, &by("ann")).await.unwrap();
    assert_eq!(retried, Controlled::Done(JobState::Queued));
    store.claim_only(&first).await;
}

pub async fn a_throttle_lets_through_what_its_window_has_room_for(store: &Fixture) {
    let drop = || throttled(2, None, Excess::Drop);
    let start = store.now();
    let first = store.give("e1", drop()).await;
    store.clock.advance(secs(10));
    store.give("e2", drop()).await;
    assert_eq!(store.offer("e3", drop()).await, None);
    let next = start.plus(MINUTE);
    assert_eq!(
        store.suppressed("e3").await,
        format!("suppressed by throttle: 2 in 1m, the next at {next}")
    );
    // Other values of `by`, and other rules, are counted apart.
    let for_a = || throttled(1, Some("a"), Excess::Drop);
    assert!(store.offer("e4", for_a()).await.is_some());
    assert_eq!(store.offer("e5", for_a()).await, None);
    assert!(store.suppressed("e5").await.contains("1 in 1m for `a`"));
    let other = judged(event("e6", store.now()), vec![fire("other", drop())]);
    assert_eq!(store.accept_one(other).await.jobs.len(), 1);

    // What has ended counts still; the window moves on by itself.
    let lease = store.claim(1).await.remove(0);
    assert_eq!(lease.id.job, first);
    store.finish(&lease, failed(), gave_up()).await;
    assert_eq!(store.offer("e7", drop()).await, None);
    store.clock.advance(secs(49));
    assert_eq!(store.offer("e8", drop()).await, None);
    store.clock.advance(secs(1));
    assert!(store.offer("e9", drop()).await.is_some());
    assert_eq!(store.offer("e10", drop()).await, None);
    // A person's wish is no firing.
    let retried = store.control.retry(&first, &by("ann")).await.unwrap();
    assert_eq!(retried, Controlled::Done(JobState::Queued));
}

pub async fn a_throttle_that_queues_gives_each_job_its_own_time(store: &Fixture) {
    let queue = || throttled(2, None, Excess::Queue);
    let start = store.now();
    let mut jobs = Vec::new();
    for n in 0..6 {
        jobs.push(store.give(&format!("e{n}"), queue()).await);
        store.clock.advance(secs(1));
    }
    let mut due = Vec::new();
    for job in &jobs {
        due.push(store.job(job).await.due);
    }
    let at = |secs: u64| Some(start.plus(Duration::from_secs(secs)));
    assert_eq!(due, [None, None, at(60), at(61), at(120), at(121)]);
    let shown = store.job(&jobs[4]).await;
    assert_eq!(shown.state, JobState::Delayed);
    let reason = format!(
        "delayed until {} by throttle: 2 in 1m",
        start.plus(secs(120))
    );
    assert_eq!(shown.reason, Some(reason));
    assert_eq!(store.claim(10).await.len(), 2);
    store.clock.advance(secs(54));
    store.claim_only(&jobs[2]).await;
    store.clock.advance(secs(60));
    let leases = store.claim(10).await;
    let claimed: Vec<&JobId> = leases.iter().map(|lease| &lease.id.job).collect();
    assert_eq!(claimed, [&jobs[3], &jobs[4]]);
}

pub async fn a_busy_key_is_waited_for_by_the_latest_or_not_at_all(store: &Fixture) {
    let holder = store.give("e1", busy("k", WhenBusy::Latest)).await;
    let old = store.give("e2", busy("k", WhenBusy::Latest)).await;
    let other_rule = vec![fire("other", keyed("k"))];
    let other = judged(event("e3", store.now()), other_rule);
    let other = store.accept_one(other).await.jobs.remove(0);
    let new = store.give("e4", busy("k", WhenBusy::Latest)).await;
    superseded(&store.job(&old).await, &new, "when_busy: latest");
    store
        .check_states(&[
            (&holder, JobState::Queued),
            (&other, JobState::Waiting),
            (&new, JobState::Waiting),
        ])
        .await;
    let verdicts = store.verdicts("e4").await;
    assert_eq!(
        verdicts[0].reason,
        format!("waiting for key `k` held by job {holder}; it takes the place of job {old}")
    );

    assert_eq!(store.offer("e5", busy("k", WhenBusy::Drop)).await, None);
    assert_eq!(
        store.suppressed("e5").await,
        format!("key `k` is held by job {holder} (when_busy: drop)")
    );
    let free = store.give("e6", busy("free", WhenBusy::Drop)).await;
    assert_eq!(store.state(&free).await, JobState::Queued);

    let lease = store.claim(1).await.remove(0);
    store.succeed(&lease).await;
    assert_eq!(store.state(&other).await, JobState::Queued, "in order");
}

pub async fn events_of_one_batch_are_decided_one_after_the_other(store: &Fixture) {
    let batch = |first: usize, plan: &dyn Fn(usize) -> JobPlan| -> Vec<Judged> {
        (first..first + 5)
            .map(|n| {
                let decision = fire("r", plan(n));
                judged(event(&format!("e{n}"), store.now()), vec![decision])
            })
            .collect()
    };
    let accepted = store.accept(batch(0, &|_| debounced(secs(30)))).await;
    let jobs: Vec<&JobId> = accepted.iter().map(|it| &it.jobs[0]).collect();
    for pair in jobs.windows(2) {
        superseded(&store.job(pair[0]).await, pair[1], "debounce: 30s");
    }
    assert_eq!(store.state(jobs[4]).await, JobState::Delayed);
    // The next batch ends what is left of the one before.
    let next = store.accept(batch(5, &|_| debounced(secs(30)))).await;
    superseded(&store.job(jobs[4]).await, &next[0].jobs[0], "debounce: 30s");
    let status = store.upkeep.status().await.unwrap();
    assert_eq!((status.jobs["delayed"], status.jobs["cancelled"]), (1, 9));

    let accepted = store
        .accept(batch(10, &|_| throttled(2, Some("x"), Excess::Drop)))
        .await;
    let made: Vec<usize> = accepted.iter().map(|it| it.jobs.len()).collect();
    assert_eq!(made, [1, 1, 0, 0, 0]);
    let accepted = store
        .accept(batch(15, &|n| {
            let by = if n % 2 == 0 { "even" } else { "odd" };
            throttled(1, Some(by), Excess::Queue)
        }))
        .await;
    let mut due = Vec::new();
    for one in &accepted {
        due.push(store.job(&one.jobs[0]).await.due);
    }
    let after = |minutes: u32| Some(store.now().plus(MINUTE * minutes));
    assert_eq!(due, [None, None, after(1), after(1), after(2)]);

    let accepted = store
        .accept(batch(20, &|_| busy("b", WhenBusy::Latest)))
        .await;
    let jobs: Vec<&JobId> = accepted.iter().map(|it| &it.jobs[0]).collect();
    store
        .check_states(&[
            (jobs[0], JobState::Queued),
            (jobs[1], JobState::Cancelled),
            (jobs[3], JobState::Cancelled),
            (jobs[4], JobState::Waiting),
        ])
        .await;
    let accepted = store
        .accept(batch(25, &|_| busy("d", WhenBusy::Drop)))
        .await;
    let made: Vec<usize> = accepted.iter().map(|it| it.jobs.len()).collect();
    assert_eq!(made, [1, 0, 0, 0, 0]);
}

pub async fn a_firing_counts_towards_the_queue_limit_whatever_stands_against_it(store: &Fixture) {
    let drop = || throttled(1, None, Excess::Drop);
    store.give("e0", drop()).await;
    for n in 1..QUEUE_LIMIT {
        store.give(&format!("e{n}"), plan()).await;
    }
    // What is refused comes again; what was suppressed would not.
    let full = judged(event("full", store.now()), vec![fire("r", drop())]);
    let refused = store.intake.accept(vec![full.clone()]).await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { .. })));
    let lease = store.claim(1).await.remove(0);
    store.succeed(&lease).await;
    assert_eq!(store.accept_one(full).await.jobs, []);
    store.suppressed("full").await;
}

pub async fn a_rule_on_trial_leaves_a_verdict_and_no_job(store: &Fixture) {
    let shadow = || Decision {
        rule: rule("trial"),
        firing: Firing::Shadow {
            reason: "would have fired: playbook `x.yml`".to_owned(),
        },
    };
    let decisions = vec![shadow(), fire("live", plan())];
    let accepted = store
        .accept_one(judged(event("e1", store.now()), decisions))
        .await;
    assert_eq!(accepted.jobs.len(), 1);
    let verdicts = store.verdicts("e1").await;
    assert_eq!(
        words(&verdicts),
        [("trial", Verdict::Shadow), ("live", Verdict::Fired)]
    );
    assert_eq!(verdicts[0].reason, "would have fired: playbook `x.yml`");
    assert_eq!(verdicts[0].job_id, None);
    assert_eq!(store.open_dead().await.len(), 0);
    let again = judged(event("e1", store.now()), vec![shadow()]);
    assert!(store.accept_one(again).await.duplicate);
    assert_eq!(store.all_jobs().await.len(), 1);
}

pub async fn a_delayed_job_that_is_due_takes_its_place_by_acceptance(store: &Fixture) {
    let delayed = store.give("e1", with_key("k", debounced(secs(30)))).await;
    let holder = store.give("e2", keyed("k")).await;
    let later = store.give("e3", keyed("k")).await;
    assert_eq!(
        store.state(&holder).await,
        JobState::Queued,
        "it has no key"
    );
    let lease = store.claim_only(&holder).await;
    store.clock.advance(secs(29));
    let renewed = store
        .queue
        .renew(&ids(std::slice::from_ref(&lease)), MINUTE)
        .await;
    assert_eq!(renewed.unwrap().len(), 1);
    store.clock.advance(secs(1));
    // Nobody claims, and it is told to wait all the same.
    assert_eq!(store.recover().await, []);
    let shown = store.job(&delayed).await;
    assert_eq!((shown.state, shown.due), (JobState::Waiting, None));
    assert_eq!(shown.waits_for.as_ref(), Some(&holder));
    let reason = format!("waiting for key `k` held by job {holder}");
    assert_eq!(shown.reason, Some(reason));
    store.succeed(&lease).await;
    let lease = store.claim_only(&delayed).await;
    store.succeed(&lease).await;
    store.claim_only(&later).await;

    // One that may not wait is dropped when it is due.
    let mut drop = with_key("k", debounced(secs(1)));
    drop.flow.when_busy = WhenBusy::Drop;
    assert_eq!(store.offer("e4", drop.clone()).await, None);
    let free = with_key("free", drop);
    let dropped = store.give("e5", free).await;
    let holder = store.give("e6", keyed("free")).await;
    store.clock.advance(secs(1));
    store.claim_only(&holder).await;
    let shown = store.job(&dropped).await;
    assert_eq!(shown.state, JobState::Cancelled);
    let reason = format!("key `free` is held by job {holder} (when_busy: drop)");
    assert_eq!(shown.reason, Some(reason));
}

pub async fn delays_and_windows_follow_the_boot_clock_and_after_a_reboot_the_wall(store: &Fixture) {
    let drop = || throttled(1, Some("w"), Excess::Drop);
    let delayed = store.give("e1", debounced(MINUTE)).await;
    let counted = store.give("e2", drop()).await;
    let lease = store.claim_only(&counted).await;
    store.succeed(&lease).await;
    // Somebody sets the wall clock: nothing happens sooner or later.
    let noon = store.now();
    store.clock.set_wall(noon.plus(secs(86_400)));
    assert_eq!(store.claim(10).await, []);
    assert_eq!(store.offer("e3", drop()).await, None);
    store.clock.set_wall(noon.minus(secs(86_400)));
    store.clock.advance(secs(59));
    assert_eq!(store.claim(10).await, []);
    assert_eq!(store.offer("e4", drop()).await, None);
    store.clock.advance(secs(1));
    let lease = store.claim_only(&delayed).await;
    store.succeed(&lease).await;
    store.clock.set_wall(noon.plus(secs(60)));
    let counted = store.give("e5", drop()).await;
    let delayed = store.give("e6", debounced(MINUTE)).await;

    // After a reboot the wall clock says how long it took.
    store.clock.set_wall(noon.plus(secs(90)));
    store.clock.reboot();
    store.claim_only(&counted).await;
    assert_eq!(store.offer("e7", drop()).await, None);
    assert_eq!(store.state(&delayed).await, JobState::Delayed);
    store.clock.advance(secs(29));
    assert_eq!(store.claim(10).await, []);
    assert_eq!(store.offer("e8", drop()).await, None);
    store.clock.advance(secs(1));
    assert!(store.claim(10).await.iter().any(|it| it.id.job == delayed));
    assert!(store.offer("e9", drop()).await.is_some());
    // A clock that has not been set yet makes the past come again no further
    // than to what was last seen.
    let late = store.give("e10", debounced(MINUTE)).await;
    store.clock.set_wall(model::clock::Timestamp::default());
    store.clock.reboot();
    assert!(store.claim(10).await.iter().all(|it| it.id.job != late));
    store.clock.advance(MINUTE);
    assert!(store.claim(10).await.iter().any(|it| it.id.job == late));
}

pub async fn a_job_that_ends_before_it_begins_gives_its_place_back(store: &Fixture) {
    let drop = || throttled(1, None, Excess::Drop);
    let first = store.give("e1", drop()).await;
    assert_eq!(store.offer("e2", drop()).await, None);
    store.control.cancel(&first, &by("ann")).await.unwrap();
    let second = store.give("e3", drop()).await;
    let lease = store.claim_only(&second).await;
    store.finish(&lease, failed(), gave_up()).await;
    assert_eq!(store.offer("e4", drop()).await, None, "it has begun");

    // A delayed job is cancelled like any other, and those behind it stay.
    let queue = || throttled(1, Some("q"), Excess::Queue);
    store.give("e5", queue()).await;
    let delayed = store.give("e6", queue()).await;
    let behind = store.give("e7", queue()).await;
    let answer = store.control.cancel(&delayed, &by("ann")).await.unwrap();
    assert_eq!(answer, Controlled::Done(JobState::Cancelled));
    let due = store.job(&behind).await.due;
    assert_eq!(due, Some(store.now().plus(MINUTE * 2)));

    // Those that give way to a newer one count once.
    let mut both = throttled(1, Some("both"), Excess::Drop);
    both.flow.debounce = debounced(secs(5)).flow.debounce;
    for n in 10..15 {
        store.give(&format!("e{n}"), both.clone()).await;
        store.clock.advance(secs(1));
    }
    store.clock.advance(secs(4));
    assert_eq!(store.offer("e15", both).await, None, "one of them begins");
}

pub async fn a_delayed_job_goes_back_with_its_delivery_and_stays_delayed(store: &Fixture) {
    let custody = delivered("w1");
    let job = store.give_under(&custody, "e1", debounced(MINUTE)).await;
    let stands = standing(store, "e1").await;
    assert_eq!(
        (stands[0].state, stands[0].begun),
        (JobState::Delayed, false)
    );
    let due = store.job(&job).await.due;
    assert_eq!(give_back(store, &["e1"]).await, std::slice::from_ref(&job));
    store.clock.advance(secs(20));
    let again = super::under(&custody, "e1", store.now(), debounced(MINUTE));
    assert!(store.accept_one(again).await.duplicate);
    let shown = store.job(&job).await;
    assert_eq!((shown.state, shown.due), (JobState::Delayed, due));

    // Parked, it is the store's; given back for longer, it is due at once.
    store.custody.park(&["e1".parse().unwrap()]).await.unwrap();
    store.clock.advance(secs(40));
    let lease = store.claim_only(&job).await;
    store.succeed(&lease).await;
    let job = store.give_under(&custody, "e2", debounced(MINUTE)).await;
    give_back(store, &["e2"]).await;
    store.clock.advance(MINUTE);
    let again = super::under(&custody, "e2", store.now(), debounced(MINUTE));
    store.accept_one(again).await;
    store.claim_only_as(&delivering("w1"), &job).await;

    // Taken over, what may be repeated is delayed; what may not is held.
    let retried = store
        .give_under(&taken_over("w1"), "e3", debounced(MINUTE))
        .await;
    let mut once = throttled(1, None, Excess::Drop);
    once.steps = steps(1, OnLost::Hold);
    let held = store
        .give_under(&taken_over("w1"), "e4", once.clone())
        .await;
    store
        .check_states(&[(&retried, JobState::Delayed), (&held, JobState::Held)])
        .await;
    let next = store.give_under(&Custody::Store, "e5", once).await;
    assert_eq!(store.state(&next).await, JobState::Queued);
}
