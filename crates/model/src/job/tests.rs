use proptest::prelude::*;

use super::*;

fn plan(on_lost: OnLost) -> JobPlan {
    JobPlan {
        key: None,
        account: None,
        retry: RetryPolicy::default(),
        steps: vec![StepPlan {
            kind: StepKind::Command,
            on_lost,
        }],
        flow: FlowPlan::default(),
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        exit: Some(Exit::Code(2)),
        summary: "exit code 2".to_owned(),
        retry: Retry::Worthwhile,
    }
}

fn lost() -> Outcome {
    Outcome::Lost {
        worker: "w1".parse().unwrap(),
    }
}

#[track_caller]
fn check(outcome: &Outcome, failed: u32, lost: u32, on_lost: OnLost, expect: &str) {
    let next = after_attempt(
        &plan(on_lost),
        Tries { failed, lost },
        outcome,
        Some(0),
        0.5,
    );
    let text = match next {
        NextState::Succeeded => "succeeded".to_owned(),
        NextState::Retrying { delay, reason } => format!("retrying {delay:?}: {reason}"),
        NextState::Failed { cause } => format!("failed: {cause}"),
        NextState::Cancelled { by } => format!("cancelled {by}"),
        NextState::Dropped { reason } => format!("dropped: {reason}"),
        NextState::Held { reason } => format!("held: {reason}"),
        NextState::Returned { reason } => format!("returned: {reason}"),
    };
    assert_eq!(expect, text);
}

#[test]
fn a_failure_is_retried_with_backoff_until_the_budget_is_used_up() {
    check(&failed(), 1, 0, OnLost::Hold, "retrying 30s: exit code 2");
    check(&failed(), 2, 0, OnLost::Hold, "retrying 60s: exit code 2");
    check(
        &failed(),
        3,
        0,
        OnLost::Hold,
        "failed: exit code 2; gave up after 3 attempts",
    );
}

#[test]
fn a_server_that_says_when_is_not_asked_before_and_the_plan_bounds_it() {
    let told = |secs| Outcome::Failed {
        exit: None,
        summary: "503".to_owned(),
        retry: Retry::After {
            least: Duration::from_secs(secs),
        },
    };
    check(&told(45), 1, 0, OnLost::Hold, "retrying 45s: 503");
    check(&told(45), 2, 0, OnLost::Hold, "retrying 60s: 503");
    check(&told(86_400), 1, 0, OnLost::Hold, "retrying 600s: 503");
    check(
        &told(45),
        3,
        0,
        OnLost::Hold,
        "failed: 503; gave up after 3 attempts",
    );
}

#[test]
fn what_cannot_start_is_not_tried_again() {
    let outcome = Outcome::Unstartable {
        reason: "`x` is missing".to_owned(),
    };
    check(&outcome, 1, 0, OnLost::Retry, "failed: `x` is missing");
}

#[test]
fn interrupted_work_follows_the_step() {
    check(
        &lost(),
        0,
        1,
        OnLost::Retry,
        "retrying 0ns: worker `w1` vanished",
    );
    check(
        &lost(),
        0,
        1,
        OnLost::Hold,
        "held: worker `w1` vanished in step 0 (command), which may have done part of its work",
    );
    check(
        &lost(),
        0,
        1,
        OnLost::Fail,
        "failed: worker `w1` vanished in step 0 (command)",
    );
}

#[test]
fn a_job_that_keeps_losing_workers_gives_up() {
    check(
        &lost(),
        0,
        3,
        OnLost::Retry,
        "retrying 60s: worker `w1` vanished",
    );
    check(
        &lost(),
        0,
        10,
        OnLost::Retry,
        "failed: worker `w1` vanished; lost 10 workers, it may be what ends them",
    );
}

#[test]
fn a_worker_lost_between_steps_did_no_harm() {
    let next = after_attempt(
        &plan(OnLost::Hold),
        Tries { failed: 0, lost: 1 },
        &lost(),
        None,
        0.5,
    );
    assert_eq!(JobState::Retrying, next.state());
}

proptest! {
    #[test]
    fn a_delay_keeps_its_bounds(failures in 1u32..100, roll in 0.0f64..1.0, delay in 0u64..1000) {
        let policy = RetryPolicy { delay: Duration::from_secs(delay), ..RetryPolicy::default() };
        let actual = policy.delay_after(failures, roll);
        prop_assert!(actual <= policy.max_delay);
        prop_assert!(actual >= policy.delay.min(policy.max_delay).mul_f64(0.8));
    }

    #[test]
    fn every_job_comes_to_an_end(rolls in prop::collection::vec((0.0f64..1.0, any::<bool>()), 40)) {
        let mut tries = Tries::default();
        let mut ended = false;
        for (roll, fails) in rolls {
            let outcome = if fails { tries.failed += 1; failed() } else { tries.lost += 1; lost() };
            let next = after_attempt(&plan(OnLost::Retry), tries, &outcome, Some(0), roll);
            if next.state().is_ended() {
                ended = true;
                break;
            }
        }
        prop_assert!(ended);
    }
}

#[test]
fn a_cancel_that_came_during_the_attempt_is_heeded() {
    let by = Principal("ann".to_owned());
    let retrying = NextState::Retrying {
        delay: Duration::ZERO,
        reason: "exit code 2".to_owned(),
    };
    assert_eq!(retrying.clone().heeding(None), retrying);
    assert_eq!(
        retrying.heeding(Some(&by)),
        NextState::Cancelled { by: by.clone() }
    );
    assert_eq!(
        NextState::Succeeded.heeding(Some(&by)),
        NextState::Succeeded,
        "what is done is done"
    );
}
