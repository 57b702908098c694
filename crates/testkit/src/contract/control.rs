//! Lines of [`model::ports::JobControl`].

use std::time::Duration;

use model::{
    id::JobId,
    job::{JobPlan, JobState, NextState, OnLost, Outcome, StepState, Tries},
    ports::{Controlled, DeadKind, DeadLetterDraft, DeadState, Fenced},
};

use super::{
    Fixture,
    build::{
        by, debounced, end, failed, gave_up, held, keyed, plan, retrying, rule, steps, succeeded,
        worker,
    },
};

/// Brings a new job without key into a state.
async fn job_in(store: &Fixture, state: JobState) -> JobId {
    let id = format!("in-{state}");
    if state == JobState::Waiting {
        store.give("holder", keyed("job-in")).await;
        let job = store.give(&id, keyed("job-in")).await;
        assert_eq!(store.state(&job).await, state);
        return job;
    }
    if state == JobState::Delayed {
        return store.give(&id, debounced(Duration::from_secs(3600))).await;
    }
    let job = store.give(&id, plan()).await;
    let end = match state {
        JobState::Waiting | JobState::Delayed | JobState::Queued => return job,
        JobState::Running => None,
        JobState::Retrying => Some((failed(), retrying(Duration::from_secs(3600)))),
        JobState::Succeeded => Some((succeeded(), NextState::Succeeded)),
        JobState::Failed => Some((failed(), gave_up())),
        JobState::Cancelled => Some((
            Outcome::Cancelled { by: by("ann") },
            NextState::Cancelled { by: by("ann") },
        )),
        JobState::Held => Some((failed(), held())),
        JobState::Returned => Some((
            Outcome::Lost {
                worker: worker("w1"),
            },
            NextState::Returned {
                reason: "gone".to_owned(),
            },
        )),
    };
    let lease = store
        .claim(100)
        .await
        .into_iter()
        .find(|lease| lease.id.job == job)
        .expect("the job can be claimed");
    if let Some((outcome, next)) = end {
        store.finish(&lease, outcome, next).await;
    }
    assert_eq!(store.state(&job).await, state);
    job
}

pub async fn cancelling_ends_what_does_not_run_and_asks_what_does(store: &Fixture) {
    for state in JobState::ALL {
        let job = job_in(store, state).await;
        let before = store.job(&job).await;
        store.clock.advance(Duration::from_millis(5));
        let answer = store.control.cancel(&job, &by("ann")).await.unwrap();
        let after = store.job(&job).await;
        match state {
            JobState::Waiting
            | JobState::Delayed
            | JobState::Queued
            | JobState::Retrying
            | JobState::Held => {
                assert_eq!(answer, Controlled::Done(JobState::Cancelled), "{state}");
                assert_eq!(after.state, JobState::Cancelled);
                assert_eq!(after.finished, Some(store.now()));
                assert_eq!((&after.waits_for, after.due), (&None, None));
                let reason = after.reason.expect("it says who");
                assert!(reason.contains("ann"), "{reason}");
            }
            JobState::Running => {
                assert_eq!(answer, Controlled::Done(JobState::Running));
                assert_eq!(after, before, "it is only asked");
                let again = store.control.cancel(&job, &by("bob")).await.unwrap();
                assert_eq!(again, Controlled::Done(JobState::Running));
            }
            JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Returned => {
                assert_eq!(answer, Controlled::WrongState(state));
                assert_eq!(after, before);
            }
        }
    }
    let nobody = store
        .control
        .cancel(&"no-such-job".parse().unwrap(), &by("ann"))
        .await;
    assert_eq!(nobody.unwrap(), Controlled::NotFound);

    // What was asked holds against an attempt that would go on, and comes too
    // late for one that is done.
    for (name, outcome, next, expect) in [
        ("a", failed(), retrying(Duration::ZERO), JobState::Cancelled),
        ("b", failed(), held(), JobState::Cancelled),
        ("c", succeeded(), NextState::Succeeded, JobState::Succeeded),
        ("d", failed(), gave_up(), JobState::Failed),
    ] {
        let job = store.give(name, plan()).await;
        let leases = store.claim(100).await;
        let lease = leases.iter().find(|lease| lease.id.job == job).unwrap();
        store.control.cancel(&job, &by("ann")).await.unwrap();
        store.finish(lease, outcome.clone(), next).await;
        let shown = store.job(&job).await;
        assert_eq!(shown.state, expect, "{name}");
        assert_eq!(shown.attempts[0].outcome, Some(outcome));
    }
}

pub async fn an_ended_job_releases_its_key_to_the_next(store: &Fixture) {
    let mut jobs = Vec::new();
    for n in 0..6 {
        jobs.push(store.give(&format!("e{n}"), keyed("k")).await);
    }
    let ends = [
        (succeeded(), NextState::Succeeded),
        (failed(), gave_up()),
        (
            Outcome::Cancelled { by: by("ann") },
            NextState::Cancelled { by: by("ann") },
        ),
    ];
    for (at, (outcome, next)) in ends.into_iter().enumerate() {
        let lease = store.claim_only(&jobs[at]).await;
        assert_eq!(store.state(&jobs[at + 1]).await, JobState::Waiting);
        store.finish(&lease, outcome, next).await;
        let released = store.job(&jobs[at + 1]).await;
        assert_eq!(released.state, JobState::Queued);
        assert_eq!((released.reason, released.waits_for), (None, None));
    }
    // A queued job that is cancelled, and one from the middle of the line.
    store.control.cancel(&jobs[4], &by("ann")).await.unwrap();
    assert_eq!(store.state(&jobs[5]).await, JobState::Waiting);
    store.control.cancel(&jobs[3], &by("ann")).await.unwrap();
    assert_eq!(store.state(&jobs[5]).await, JobState::Queued);

    // A loss that ends the job.
    let fragile = JobPlan {
        steps: steps(1, OnLost::Fail),
        ..keyed("fragile")
    };
    store.control.cancel(&jobs[5], &by("ann")).await.unwrap();
    let first = store.give("f1", fragile.clone()).await;
    let second = store.give("f2", fragile).await;
    store.claim_only(&first).await;
    store.expire();
    store.recover().await;
    assert_eq!(store.state(&first).await, JobState::Failed);
    store.claim_only(&second).await;
}

pub async fn retrying_is_for_failed_cancelled_and_held_jobs_and_resets_the_budget(store: &Fixture) {
    for state in JobState::ALL {
        let job = job_in(store, state).await;
        let before = store.job(&job).await;
        let answer = store.control.retry(&job, &by("ann")).await.unwrap();
        let after = store.job(&job).await;
        if state.is_retryable() {
            assert_eq!(answer, Controlled::Done(JobState::Queued), "{state}");
            assert_eq!(after.state, JobState::Queued);
            assert_eq!((after.finished, after.reason), (None, None));
            assert_eq!(after.attempts, before.attempts);
        } else {
            assert_eq!(answer, Controlled::WrongState(state));
            assert_eq!(after, before);
        }
        store.control.cancel(&job, &by("ann")).await.unwrap();
    }
    let nobody = store
        .control
        .retry(&"no-such-job".parse().unwrap(), &by("ann"))
        .await;
    assert_eq!(nobody.unwrap(), Controlled::NotFound);
    store.clock.reboot();
    store.recover().await;
    for lease in store.claim(100).await {
        store.succeed(&lease).await;
    }

    // The same job goes on at the step that did not end well, with a whole
    // budget, and a cancel of long ago is forgotten.
    let job = store
        .give(
            "steps",
            JobPlan {
                steps: steps(3, OnLost::Retry),
                ..plan()
            },
        )
        .await;
    let lease = store.claim_only(&job).await;
    let fenced = store.queue.advance(&lease.id, &end(0, succeeded())).await;
    assert_eq!(fenced.unwrap(), Fenced::Recorded);
    store.expire();
    store.recover().await;
    let mut lease = store.claim_only(&job).await;
    assert_eq!((lease.step, lease.tries.lost), (1, 1));
    store
        .finish(&lease, failed(), retrying(Duration::ZERO))
        .await;
    lease = store.claim_only(&job).await;
    assert_eq!(lease.tries, Tries { failed: 1, lost: 1 });
    store.control.cancel(&job, &by("bob")).await.unwrap();
    let cancelled = Outcome::Cancelled { by: by("bob") };
    store
        .finish(&lease, cancelled, NextState::Cancelled { by: by("bob") })
        .await;
    assert_eq!(
        store.job(&job).await.attempts[2].steps[0].state,
        StepState::Cancelled
    );
    store.control.retry(&job, &by("ann")).await.unwrap();
    let lease = store.claim_only(&job).await;
    assert_eq!((lease.id.attempt, lease.step), (4, 1));
    assert_eq!(lease.tries, Tries::default());
    let renewed = store
        .queue
        .renew(std::slice::from_ref(&lease.id), super::LEASE)
        .await
        .unwrap();
    assert_eq!(renewed[0].cancel, None);
    store
        .finish(&lease, failed(), retrying(Duration::ZERO))
        .await;
    assert_eq!(store.state(&job).await, JobState::Retrying);
}

pub async fn a_retried_job_waits_when_its_key_is_taken(store: &Fixture) {
    let first = store.give("e1", keyed("k")).await;
    let second = store.give("e2", keyed("k")).await;
    let third = store.give("e3", keyed("k")).await;
    let lease = store.claim_only(&first).await;
    store.finish(&lease, failed(), gave_up()).await;
    let running = store.claim_only(&second).await;

    let answer = store.control.retry(&first, &by("ann")).await.unwrap();
    assert_eq!(answer, Controlled::Done(JobState::Waiting));
    let shown = store.job(&first).await;
    assert_eq!(shown.state, JobState::Waiting);
    assert_eq!(shown.waits_for.as_ref(), Some(&second));
    assert_eq!(store.claim(10).await, []);

    store.succeed(&running).await;
    let lease = store.claim_only(&first).await;
    assert_eq!(lease.id.attempt, 2, "in its place by acceptance");
    store.succeed(&lease).await;
    let lease = store.claim_only(&third).await;

    // A held job holds its key itself.
    store.finish(&lease, failed(), held()).await;
    let fourth = store.give("e4", keyed("k")).await;
    let answer = store.control.retry(&third, &by("ann")).await.unwrap();
    assert_eq!(answer, Controlled::Done(JobState::Queued));
    let lease = store.claim_only(&third).await;
    store.succeed(&lease).await;
    store.claim_only(&fourth).await;
}

pub async fn retrying_a_job_closes_its_dead_letter(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let other = store.give("e2", plan()).await;
    for lease in store.claim(10).await {
        store.finish(&lease, failed(), gave_up()).await;
    }
    let letters = store.open_dead().await;
    let of = |job: &JobId| {
        let found = letters
            .iter()
            .find(|it| it.content.job_id.as_ref() == Some(job));
        found.expect("a failed job is a dead letter").id.clone()
    };
    store.clock.advance(Duration::from_secs(1));
    store.control.retry(&job, &by("ann")).await.unwrap();
    let letter = store.dead(&of(&job)).await;
    assert_eq!(letter.state, DeadState::Retried);
    assert_eq!(letter.closed, Some((store.now(), by("ann"))));
    assert_eq!(store.dead(&of(&other)).await.state, DeadState::Open);

    // Failing again is another letter.
    let lease = store.claim_only(&job).await;
    store.finish(&lease, failed(), gave_up()).await;
    let open = store.open_dead().await;
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|it| it.id != letter.id));

    // A letter that a person discarded stays discarded.
    let closed = store
        .control
        .close_dead(&of(&other), DeadState::Discarded, &by("bob"))
        .await;
    assert!(closed.unwrap());
    store.control.retry(&other, &by("ann")).await.unwrap();
    let letter = store.dead(&of(&other)).await;
    assert_eq!(letter.state, DeadState::Discarded);
    assert_eq!(letter.closed.map(|(_, by)| by), Some(by("bob")));
}

pub async fn the_same_bytes_again_are_one_open_letter(store: &Fixture) {
    let draft = DeadLetterDraft {
        kind: DeadKind::Undecodable,
        cause: "byte 3 is not JSON".to_owned(),
        event_id: None,
        rule: None,
        job_id: None,
        source: "fedora".to_owned(),
        raw: Some(vec![0, 255, b'{', 0xe2, 0x9c]),
    };
    let first = store.keep_dead(draft.clone()).await;
    store.clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(store.keep_dead(draft.clone()).await, first);
    }
    let kept = store.dead(&first).await;
    assert_eq!(kept.content, draft, "the first is what is kept");
    assert_eq!(store.open_dead().await, [kept]);

    // Another cause, which names another message, other bytes, another source
    // and another kind are letters of their own, and so is what has no bytes
    // at all.
    let others = [
        DeadLetterDraft {
            cause: "another message: byte 3 is not JSON".to_owned(),
            ..draft.clone()
        },
        DeadLetterDraft {
            raw: Some(vec![0, 255, b'{', 0xe2]),
            ..draft.clone()
        },
        DeadLetterDraft {
            source: "centos".to_owned(),
            ..draft.clone()
        },
        DeadLetterDraft {
            kind: DeadKind::Unsendable,
            ..draft.clone()
        },
        DeadLetterDraft {
            raw: None,
            ..draft.clone()
        },
        DeadLetterDraft {
            raw: None,
            ..draft.clone()
        },
    ];
    let mut ids = vec![first.clone()];
    for other in others {
        let id = store.keep_dead(other).await;
        assert!(!ids.contains(&id), "it is another letter");
        ids.push(id);
    }

    // Once it is closed, the bytes are news again.
    let closed = store
        .control
        .close_dead(&first, DeadState::Discarded, &by("ann"))
        .await;
    assert!(closed.unwrap());
    let second = store.keep_dead(draft.clone()).await;
    assert!(!ids.contains(&second));
    assert_eq!(store.keep_dead(draft).await, second);
}

pub async fn a_dead_letter_is_closed_once(store: &Fixture) {
    let draft = DeadLetterDraft {
        kind: DeadKind::Undecodable,
        cause: "byte 3 is not JSON".to_owned(),
        event_id: None,
        rule: None,
        job_id: None,
        source: "fedora".to_owned(),
        raw: Some(vec![0, 255, b'{', 0xe2, 0x9c]),
    };
    let first = store.keep_dead(draft.clone()).await;
    let second = store
        .keep_dead(DeadLetterDraft {
            rule: Some(rule("r")),
            raw: None,
            ..draft.clone()
        })
        .await;
    assert_ne!(first, second);
    let kept = store.dead(&first).await;
    assert_eq!(kept.content, draft, "as it came, byte for byte");
    assert_eq!((kept.created, kept.state), (store.now(), DeadState::Open));
    assert_eq!(kept.closed, None);
    let open: Vec<_> = store
        .open_dead()
        .await
        .into_iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(open, [second.clone(), first.clone()], "newest first");

    let close = async |id: &str, how| {
        let id = id.parse().unwrap();
        store
            .control
            .close_dead(&id, how, &by("ann"))
            .await
            .unwrap()
    };
    store.clock.advance(Duration::from_secs(1));
    assert!(close(first.as_str(), DeadState::Discarded).await);
    let at = store.now();
    store.clock.advance(Duration::from_secs(1));
    assert!(!close(first.as_str(), DeadState::Discarded).await);
    assert!(!close(first.as_str(), DeadState::Retried).await);
    let letter = store.dead(&first).await;
    assert_eq!(letter.state, DeadState::Discarded);
    assert_eq!(letter.closed, Some((at, by("ann"))));
    assert!(close(second.as_str(), DeadState::Retried).await);
    assert_eq!(store.dead(&second).await.state, DeadState::Retried);
    assert!(!close("no-such-letter", DeadState::Discarded).await);
    assert_eq!(store.open_dead().await, []);
    let nobody = store
        .history
        .dead_letter(&"no-such-letter".parse().unwrap())
        .await;
    assert_eq!(nobody.unwrap(), None);
}
