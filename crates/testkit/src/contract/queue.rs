//! Lines of [`model::ports::JobQueue`].

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use model::{
    clock::Clock,
    id::{JobId, LeaseId},
    job::{
        Exit, JobPlan, JobState, MAX_LOST, NextState, OnLost, Outcome, StepEnd, StepKind, StepPlan,
        StepState, Tries, after_attempt,
    },
    ports::{DeadKind, Fenced},
};
use serde_json::json;

use super::{
    Fixture,
    build::{
        LEASE, by, claimant, end, failed, gave_up, held, ids, keyed, object, plan, retrying,
        revision, rule, steps, succeeded, worker,
    },
    random,
    stale::{output, refused_everything},
};

/// Longer than a store may take for anything, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn a_job_is_leased_to_one_worker_at_a_time(store: &Fixture) {
    assert_eq!(store.claim(10).await, [], "there is nothing to claim");
    let mut jobs = Vec::new();
    for n in 0..12 {
        jobs.push(store.give(&format!("e{n}"), plan()).await);
    }
    let first = store.claim(4).await;
    assert_eq!(
        first.iter().map(|lease| &lease.id.job).collect::<Vec<_>>(),
        jobs.iter().take(4).collect::<Vec<_>>(),
        "oldest first, no more than was asked for"
    );
    let lease = &first[0];
    assert_eq!(lease.id.attempt, 1);
    assert_eq!(lease.rule, rule("r"));
    assert_eq!(lease.revision, revision());
    assert_eq!(lease.plan, plan());
    assert_eq!(lease.event.id.as_str(), "e0");
    assert_eq!(lease.event.body, json!({"name": "e0"}));
    assert_eq!((lease.step, lease.tries), (0, Tries::default()));
    assert_eq!(lease.result, None);
    assert_eq!(lease.created, store.now());

    let job = store.job(&jobs[0]).await;
    assert_eq!(job.state, JobState::Running);
    assert_eq!(job.started, Some(store.now()));
    assert_eq!(job.attempts.len(), 1);
    let attempt = &job.attempts[0];
    assert_eq!((attempt.number, &attempt.worker), (1, &worker("w1")));
    assert_eq!((attempt.finished, &attempt.outcome), (None, &None));
    assert_eq!(attempt.steps.len(), 1, "its first step has begun");
    assert_eq!(attempt.steps[0].state, StepState::Running);
    assert_eq!(attempt.steps[0].kind, StepKind::Playbook);

    // Many workers at once share what is left, and nothing is given twice.
    let (a, b, c, d) = tokio::join!(
        claim_as(store, "w2", 3),
        claim_as(store, "w3", 3),
        claim_as(store, "w4", 3),
        claim_as(store, "w5", 3),
    );
    let claimed: Vec<JobId> = [
        first.iter().map(|lease| lease.id.job.clone()).collect(),
        a,
        b,
        c,
        d,
    ]
    .concat();
    let distinct: BTreeSet<&JobId> = claimed.iter().collect();
    assert_eq!(claimed.len(), 12, "every job was given");
    assert_eq!(distinct.len(), 12, "to one worker each");
    assert_eq!(store.claim(10).await, []);
}

async fn claim_as(store: &Fixture, name: &str, max: usize) -> Vec<JobId> {
    let leases = store
        .queue
        .claim(&claimant(name), max, LEASE, Duration::ZERO)
        .await
        .unwrap();
    leases.into_iter().map(|lease| lease.id.job).collect()
}

pub async fn an_expired_lease_is_claimed_again_with_a_higher_attempt_number(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let first = store.claim_only(&job).await;
    store.clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(store.recover().await, [], "it is still held");
    assert_eq!(store.claim(10).await, []);

    store.clock.advance(Duration::from_millis(1));
    assert_eq!(store.claim(10).await, [], "the loss is not recorded yet");
    assert_eq!(store.state(&job).await, JobState::Running);
    let recovered = store.recover().await;
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].lease, first.id);
    assert_eq!(recovered[0].worker, worker("w1"));
    assert_eq!(recovered[0].rule, rule("r"));
    assert_eq!(recovered[0].next.state(), JobState::Retrying);
    assert_eq!(store.recover().await, [], "once is enough");

    let second = store.claim_only(&job).await;
    assert_eq!(second.id.attempt, 2);
    assert_eq!(second.tries, Tries { failed: 0, lost: 1 });
    let shown = store.job(&job).await;
    assert_eq!(shown.attempts.len(), 2);
    assert_eq!(
        shown.attempts[0].outcome,
        Some(Outcome::Lost {
            worker: worker("w1")
        })
    );
    assert_eq!(shown.attempts[0].finished, Some(store.now()));
    assert_eq!(shown.attempts[0].steps[0].state, StepState::Lost);
    assert_eq!(shown.attempts[1].outcome, None);

    // Whatever was measured before a reboot has passed.
    store.clock.reboot();
    assert_eq!(store.recover().await.len(), 1);
}

pub async fn jobs_of_one_key_are_claimed_in_order_one_at_a_time(store: &Fixture) {
    let a1 = store.give("a1", keyed("a")).await;
    let a2 = store.give("a2", keyed("a")).await;
    let b1 = store.give("b1", keyed("b")).await;
    let a3 = store.give("a3", keyed("a")).await;
    let free = store.give("free", plan()).await;
    let b2 = store.give("b2", keyed("b")).await;

    let leases = store.claim(100).await;
    let claimed: Vec<&JobId> = leases.iter().map(|lease| &lease.id.job).collect();
    assert_eq!(claimed, [&a1, &b1, &free]);
    store.succeed(&leases[0]).await;
    let lease = store.claim_only(&a2).await;
    store.succeed(&leases[2]).await;
    assert_eq!(store.claim(100).await, [], "no key is free");
    store.succeed(&leases[1]).await;
    let lease_b2 = store.claim_only(&b2).await;
    store.succeed(&lease).await;
    let lease = store.claim_only(&a3).await;
    store.succeed(&lease).await;
    store.succeed(&lease_b2).await;
    assert_eq!(store.claim(100).await, []);

    for seed in [1, 2, 3, 0xBAD_5EED] {
        random::many_keys_interleaved(store, seed).await;
    }
}

pub async fn a_job_that_retries_or_is_held_keeps_its_key(store: &Fixture) {
    let first = store.give("e1", keyed("k")).await;
    let second = store.give("e2", keyed("k")).await;
    let lease = store.claim_only(&first).await;
    store
        .finish(&lease, failed(), retrying(Duration::from_secs(60)))
        .await;
    assert_eq!(store.claim(10).await, []);
    assert_eq!(store.state(&second).await, JobState::Waiting);
    let late = store.give("e3", keyed("k")).await;
    assert_eq!(store.state(&late).await, JobState::Waiting);

    store.clock.advance(Duration::from_secs(60));
    let lease = store.claim_only(&first).await;
    store.finish(&lease, failed(), held()).await;
    let shown = store.job(&first).await;
    assert_eq!(shown.state, JobState::Held);
    assert_eq!(shown.reason.as_deref(), Some("interrupted"));
    assert_eq!(shown.finished, None, "a held job has not ended");
    store.clock.advance(Duration::from_secs(86_400));
    assert_eq!(store.claim(10).await, []);
    assert_eq!(store.recover().await, []);
    assert_eq!(store.state(&second).await, JobState::Waiting);
    let later = store.give("e4", keyed("k")).await;
    assert_eq!(store.state(&later).await, JobState::Waiting);

    store.control.cancel(&first, &by("ann")).await.unwrap();
    store.claim_only(&second).await;
}

pub async fn a_retrying_job_is_claimed_when_its_delay_has_passed(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let delay = Duration::from_secs(90);
    let lease = store.claim_only(&job).await;
    store.finish(&lease, failed(), retrying(delay)).await;
    let shown = store.job(&job).await;
    assert_eq!(shown.state, JobState::Retrying);
    assert_eq!(shown.due, Some(store.now().plus(delay)));
    assert_eq!(shown.reason.as_deref(), Some("exit code 2"));
    assert_eq!(shown.finished, None);
    assert_eq!(shown.attempts[0].outcome, Some(failed()));
    assert_eq!(shown.attempts[0].exit(), Some(Exit::Code(2)));

    store.clock.advance(delay - Duration::from_millis(1));
    assert_eq!(store.claim(10).await, []);
    store.clock.advance(Duration::from_millis(1));
    let lease = store.claim_only(&job).await;
    assert_eq!((lease.id.attempt, lease.step), (2, 0));
    assert_eq!(lease.tries, Tries { failed: 1, lost: 0 });
    let shown = store.job(&job).await;
    assert_eq!((shown.due, shown.reason), (None, None));

    // The boot-time clock alone decides, and a reboot ends every delay.
    let timed_out = Outcome::TimedOut {
        after: Duration::from_secs(5),
        killed: true,
    };
    store
        .finish(&lease, timed_out.clone(), retrying(delay))
        .await;
    store.clock.set_wall(store.now().plus(delay * 10));
    assert_eq!(store.claim(10).await, []);
    store.clock.reboot();
    let lease = store.claim_only(&job).await;
    assert_eq!(lease.tries, Tries { failed: 2, lost: 0 });
    let shown = store.job(&job).await;
    assert_eq!(shown.attempts[1].outcome, Some(timed_out));

    // No delay at all.
    store
        .finish(&lease, failed(), retrying(Duration::ZERO))
        .await;
    store.claim_only(&job).await;
}

pub async fn a_claim_wakes_when_a_job_arrives(store: &Fixture) {
    // The wait ends by itself when nothing comes.
    let brief = Duration::from_millis(30);
    let w1 = claimant("w1");
    let waited = store.queue.claim(&w1, 1, LEASE, brief);
    let empty = tokio::time::timeout(PATIENCE, waited).await;
    assert_eq!(empty.expect("the wait ends").unwrap(), []);

    let waiter = || async {
        let claim = store.queue.claim(&w1, 10, LEASE, PATIENCE * 2);
        let leases = tokio::time::timeout(PATIENCE, claim).await;
        leases.expect("the claim wakes").unwrap()
    };
    let (leases, first) = tokio::join!(waiter(), store.give("e1", keyed("k")));
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].id.job, first);

    // A key that becomes free.
    let second = store.give("e2", keyed("k")).await;
    let (woken, ()) = tokio::join!(waiter(), store.succeed(&leases[0]));
    assert_eq!(woken[0].id.job, second);

    // A person who asks for another attempt.
    store.finish(&woken[0], failed(), gave_up()).await;
    let ann = by("ann");
    let (woken, retried) = tokio::join!(waiter(), store.control.retry(&second, &ann));
    retried.unwrap();
    assert_eq!(woken[0].id.job, second);

    // A loss that is recorded.
    store.expire();
    let (woken, recovered) = tokio::join!(waiter(), store.recover());
    assert_eq!(recovered.len(), 1);
    assert_eq!(woken[0].id.attempt, 3);
}

pub async fn renewing_returns_the_leases_still_held_and_what_is_to_be_cancelled(store: &Fixture) {
    let kept = store.give("kept", plan()).await;
    let asked = store.give("asked", plan()).await;
    let done = store.give("done", plan()).await;
    let leases = store.claim(10).await;
    store.succeed(&leases[2]).await;
    store.control.cancel(&asked, &by("ann")).await.unwrap();
    store.control.cancel(&asked, &by("bob")).await.unwrap();

    let stranger = LeaseId {
        job: "no-such-job".parse().unwrap(),
        attempt: 1,
    };
    let other_attempt = LeaseId {
        job: kept.clone(),
        attempt: 2,
    };
    let mut asked_for = ids(&leases);
    asked_for.extend([stranger, other_attempt]);
    store.clock.advance(LEASE / 2);
    let renewed = store.queue.renew(&asked_for, LEASE).await.unwrap();
    let seen: Vec<(&JobId, Option<&str>)> = renewed
        .iter()
        .map(|one| {
            assert_eq!(one.lease.attempt, 1);
            (&one.lease.job, one.cancel.as_ref().map(|by| by.0.as_str()))
        })
        .collect();
    assert_eq!(seen.len(), 2, "{done} has ended, and the others never were");
    assert!(seen.contains(&(&kept, None)));
    assert!(seen.contains(&(&asked, Some("ann"))), "who asked first");

    // It counts from now, not from the end of the lease before.
    store.clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(store.recover().await, []);
    let only = [leases[0].id.clone()];
    assert_eq!(store.queue.renew(&only, LEASE).await.unwrap().len(), 1);
    store.clock.advance(Duration::from_millis(1));
    let late = store.queue.renew(&ids(&leases), LEASE).await.unwrap();
    assert_eq!(late.len(), 1, "a lease that has passed is not revived");
    assert_eq!(late[0].lease, leases[0].id);
    let recovered = store.recover().await;
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].lease.job, asked);
    assert_eq!(store.queue.renew(&[], LEASE).await.unwrap(), []);
}

pub async fn advancing_records_a_step_and_begins_the_next(store: &Fixture) {
    let job = store
        .give(
            "e1",
            JobPlan {
                steps: vec![
                    StepPlan {
                        kind: StepKind::Command,
                        on_lost: OnLost::Hold,
                    },
                    StepPlan {
                        kind: StepKind::Playbook,
                        on_lost: OnLost::Retry,
                    },
                    StepPlan {
                        kind: StepKind::Playbook,
                        on_lost: OnLost::Retry,
                    },
                ],
                ..plan()
            },
        )
        .await;
    let lease = store.claim_only(&job).await;
    let began = store.now();
    store.clock.advance(Duration::from_secs(1));
    let result = object(json!({"version": 1.10, "list": [1, {"a": null}]}));
    let ended = StepEnd {
        result: Some(result.clone()),
        ..end(0, succeeded())
    };
    for _ in 0..2 {
        let fenced = store.queue.advance(&lease.id, &ended).await.unwrap();
        assert_eq!(fenced, Fenced::Recorded);
        let shown = store.job(&job).await;
        assert_eq!(shown.next_step, 1);
        assert_eq!(shown.result.as_ref(), Some(&result));
        let steps = &shown.attempts[0].steps;
        assert_eq!(steps.len(), 2, "doing it again changes nothing");
        assert_eq!((steps[0].index, steps[1].index), (0, 1));
        assert_eq!(steps[0].kind, StepKind::Command);
        assert_eq!(steps[0].state, StepState::Succeeded);
        assert_eq!(steps[0].exit, Some(Exit::Code(0)));
        assert_eq!(steps[0].summary.as_deref(), Some("all is well"));
        assert_eq!(steps[0].started, began);
        assert_eq!(steps[0].finished, Some(store.now()));
        assert_eq!(steps[1].kind, StepKind::Playbook);
        assert_eq!(steps[1].state, StepState::Running);
        assert_eq!(steps[1].started, store.now());
        assert_eq!((steps[1].finished, &steps[1].summary), (None, &None));
    }

    // A retry begins at the step that did not end well, with the result of
    // the one before.
    let failing = end(1, failed());
    let fenced = store
        .queue
        .finish(
            &lease.id,
            Some(&failing),
            &failed(),
            &retrying(Duration::ZERO),
        )
        .await
        .unwrap();
    assert_eq!(fenced, Fenced::Recorded);
    let lease = store.claim_only(&job).await;
    assert_eq!((lease.id.attempt, lease.step), (2, 1));
    assert_eq!(lease.result, Some(result));
    let shown = store.job(&job).await;
    assert_eq!(shown.attempts[0].steps[1].state, StepState::Failed);
    assert_eq!(shown.attempts[0].steps[1].exit, Some(Exit::Code(2)));
    assert_eq!(shown.attempts[1].steps.len(), 1);
    assert_eq!(shown.attempts[1].steps[0].index, 1);

    // A step that its rule leaves out counts as done.
    let skipped = StepEnd {
        skipped: true,
        exit: None,
        ..end(1, succeeded())
    };
    let fenced = store.queue.advance(&lease.id, &skipped).await.unwrap();
    assert_eq!(fenced, Fenced::Recorded);
    store.expire();
    store.recover().await;
    let lease = store.claim_only(&job).await;
    assert_eq!(
        (lease.id.attempt, lease.step),
        (3, 2),
        "progress is durable"
    );
    let last = StepEnd {
        result: Some(object(json!({"done": true}))),
        ..end(2, succeeded())
    };
    let fenced = store
        .queue
        .finish(&lease.id, Some(&last), &succeeded(), &NextState::Succeeded)
        .await
        .unwrap();
    assert_eq!(fenced, Fenced::Recorded);
    let shown = store.job(&job).await;
    assert_eq!(shown.state, JobState::Succeeded);
    assert_eq!(shown.finished, Some(store.now()));
    assert_eq!(shown.result, Some(object(json!({"done": true}))));
    assert_eq!(shown.attempts[1].steps[0].state, StepState::Skipped);
    assert_eq!(shown.attempts[1].steps[1].state, StepState::Lost);
    assert_eq!(shown.attempts[2].outcome, Some(succeeded()));
    assert_eq!(shown.started, Some(began), "the first attempt's");
}

pub async fn finishing_with_a_stale_lease_changes_nothing_and_says_so(store: &Fixture) {
    let job = store.give("e1", keyed("k")).await;
    let waiting = store.give("e2", keyed("k")).await;
    let first = store.claim_only(&job).await;

    let strangers = [
        LeaseId {
            job: "no-such-job".parse().unwrap(),
            attempt: 1,
        },
        LeaseId {
            job: job.clone(),
            attempt: 0,
        },
        LeaseId {
            job: job.clone(),
            attempt: 2,
        },
        LeaseId {
            job: waiting.clone(),
            attempt: 1,
        },
    ];
    for stranger in &strangers {
        refused_everything(store, stranger).await;
    }

    // The time has passed, and nobody has noticed yet.
    store.expire();
    refused_everything(store, &first.id).await;
    // The loss is recorded.
    store.recover().await;
    refused_everything(store, &first.id).await;
    // Another attempt runs.
    let second = store.claim_only(&job).await;
    refused_everything(store, &first.id).await;
    // It has ended.
    store.finish(&second, failed(), gave_up()).await;
    refused_everything(store, &second.id).await;
    refused_everything(store, &first.id).await;
    assert_eq!(store.open_dead().await.len(), 1);
    store.claim_only(&waiting).await;
}

pub async fn output_is_kept_in_order_and_refused_from_a_stale_lease(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let lease = store.claim_only(&job).await;
    let flood: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    // A character may be cut anywhere, and not everything is one.
    let pieces: Vec<Vec<u8>> = vec![
        b"one\n".to_vec(),
        vec![],
        vec![0xe2, 0x9c],
        vec![0x93, b'\n'],
        vec![0xff, 0x00, 0x1b, b'['],
        flood,
        b"end".to_vec(),
    ];
    for piece in &pieces {
        let fenced = store.queue.append_output(&lease.id, 0, piece.clone()).await;
        assert_eq!(fenced.unwrap(), Fenced::Recorded);
    }
    assert_eq!(output(store, &job, 1).await, pieces.concat());

    store.expire();
    let late = store
        .queue
        .append_output(&lease.id, 0, b"late".to_vec())
        .await;
    assert_eq!(late.unwrap(), Fenced::Stale);
    store.recover().await;
    let second = store.claim_only(&job).await;
    let late = store
        .queue
        .append_output(&lease.id, 0, b"late".to_vec())
        .await;
    assert_eq!(late.unwrap(), Fenced::Stale);
    let fenced = store
        .queue
        .append_output(&second.id, 0, b"second".to_vec())
        .await;
    assert_eq!(fenced.unwrap(), Fenced::Recorded);
    assert_eq!(output(store, &job, 1).await, pieces.concat());
    assert_eq!(output(store, &job, 2).await, b"second");
}

pub async fn a_failed_job_is_a_dead_letter_with_its_cause(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let lease = store.claim_only(&job).await;
    store.finish(&lease, failed(), gave_up()).await;
    let shown = store.job(&job).await;
    assert_eq!(shown.state, JobState::Failed);
    assert_eq!(
        shown.reason.as_deref(),
        Some("exit code 2; gave up after 3 attempts")
    );
    assert_eq!(shown.finished, Some(store.now()));

    let letters = store.open_dead().await;
    assert_eq!(letters.len(), 1);
    let content = &letters[0].content;
    assert_eq!(content.kind, DeadKind::JobFailed);
    assert_eq!(content.cause, "exit code 2; gave up after 3 attempts");
    assert_eq!(content.event_id.as_ref(), Some(&shown.event_id));
    assert_eq!(content.rule, Some(rule("r")));
    assert_eq!(content.job_id, Some(job));
    assert_eq!(content.source, "api");

    // Nothing else is one.
    let quiet = [
        (succeeded(), NextState::Succeeded),
        (failed(), held()),
        (failed(), retrying(LEASE)),
        (
            Outcome::Cancelled { by: by("ann") },
            NextState::Cancelled { by: by("ann") },
        ),
    ];
    for (n, (outcome, next)) in quiet.into_iter().enumerate() {
        let job = store.give(&format!("quiet{n}"), plan()).await;
        let lease = store.claim_only(&job).await;
        store.finish(&lease, outcome, next.clone()).await;
        assert_eq!(store.state(&job).await, next.state());
    }
    assert_eq!(store.open_dead().await, letters);
}

pub async fn recovery_follows_what_the_interrupted_step_says(store: &Fixture) {
    let retry = store.give("retry", plan()).await;
    let plan_of = |on_lost| JobPlan {
        steps: steps(1, on_lost),
        ..plan()
    };
    let hold = store.give("hold", plan_of(OnLost::Hold)).await;
    let fail = store.give("fail", plan_of(OnLost::Fail)).await;
    // The second step is what was interrupted.
    let mixed = JobPlan {
        steps: [steps(1, OnLost::Fail), steps(1, OnLost::Hold)].concat(),
        ..plan()
    };
    let second_step = store.give("second-step", mixed).await;
    let cancelled = store.give("cancelled", plan()).await;
    let leases = store.claim(10).await;
    let ended = end(0, succeeded());
    let fenced = store.queue.advance(&leases[3].id, &ended).await.unwrap();
    assert_eq!(fenced, Fenced::Recorded);
    store.control.cancel(&cancelled, &by("ann")).await.unwrap();
    store.expire();

    let mut recovered = store.queue.recover(2, 0.5).await.unwrap();
    assert_eq!(recovered.len(), 2, "no more than was asked for");
    recovered.extend(store.recover().await);
    assert_eq!(recovered.len(), 5);
    let outcome = Outcome::Lost {
        worker: worker("w1"),
    };
    for lease in &leases {
        let found = recovered.iter().find(|one| one.lease == lease.id);
        let found = found.expect("every lease ran out");
        let tries = Tries { failed: 0, lost: 1 };
        let step = usize::from(lease.id.job == second_step);
        let cancel = by("ann");
        let asked = (lease.id.job == cancelled).then_some(&cancel);
        let next = after_attempt(&lease.plan, tries, &outcome, Some(step), 0.5).heeding(asked);
        assert_eq!(found.next, next);
        let shown = store.job(&lease.id.job).await;
        assert_eq!(shown.state, next.state());
        let attempt = &shown.attempts[0];
        assert_eq!(attempt.outcome, Some(outcome.clone()));
        assert_eq!(attempt.steps[step].state, StepState::Lost);
    }
    let states = [
        (&retry, JobState::Retrying),
        (&hold, JobState::Held),
        (&fail, JobState::Failed),
        (&second_step, JobState::Held),
        (&cancelled, JobState::Cancelled),
    ];
    for (job, state) in states {
        assert_eq!(store.state(job).await, state);
    }
    let shown = store.job(&second_step).await;
    assert_eq!(shown.attempts[0].steps[0].state, StepState::Succeeded);
    let letters = store.open_dead().await;
    assert_eq!(letters.len(), 1, "the one that may not be tried again");
    assert_eq!(letters[0].content.job_id, Some(fail));

    // A job that keeps losing its worker is given up.
    for lost in 2..=MAX_LOST {
        store.clock.advance(Duration::from_secs(3600));
        let lease = store.claim_only(&retry).await;
        assert_eq!(lease.tries.lost, lost - 1);
        store.expire();
        assert_eq!(store.recover().await.len(), 1);
    }
    assert_eq!(store.state(&retry).await, JobState::Failed);
}

pub async fn a_wall_clock_that_jumps_ends_no_lease(store: &Fixture) {
    let one_attempt = JobPlan {
        retry: model::job::RetryPolicy {
            attempts: NonZeroU32::MIN,
            ..plan().retry
        },
        ..plan()
    };
    let job = store.give("e1", one_attempt).await;
    let lease = store.claim_only(&job).await;
    let year = Duration::from_secs(365 * 86_400);
    let boot = store.clock.boot();
    for wall in [
        store.now().plus(year * 10),
        store.now().minus(year * 40),
        model::clock::Timestamp::from_millis(0),
    ] {
        store.clock.set_wall(wall);
        assert_eq!(store.recover().await, []);
        assert_eq!(store.claim(10).await, []);
        let renewed = store
            .queue
            .renew(std::slice::from_ref(&lease.id), LEASE)
            .await;
        assert_eq!(renewed.unwrap().len(), 1);
    }
    assert_eq!(store.clock.boot(), boot);

    // And it prolongs none.
    store.clock.set_wall(store.now().minus(year));
    store.clock.advance_boot(LEASE);
    assert_eq!(store.recover().await.len(), 1);
}
