use super::*;

/// Words such as `running`, `queued*` (begun), `held-` (the store's).
#[track_caller]
fn check(jobs: &str, expect_due: Due, expect_overdue: Due, expect_kept: bool) {
    let jobs: Vec<JobStanding> = jobs
        .split_whitespace()
        .map(|word| JobStanding {
            job: JobId::generate(),
            state: word.trim_end_matches(['*', '-']).parse().unwrap(),
            begun: word.contains('*'),
            delivery: (!word.contains('-')).then(|| "w1".parse().unwrap()),
        })
        .collect();
    assert_eq!(expect_due, due(&jobs, false), "due");
    assert_eq!(expect_overdue, due(&jobs, true), "overdue");
    assert_eq!(expect_kept, is_kept(&jobs), "kept");
}

#[test]
fn a_delivery_is_acknowledged_when_everything_has_ended() {
    check("", Due::Ack, Due::Ack, true);
    check("succeeded* failed* cancelled", Due::Ack, Due::Ack, true);
    check("succeeded* retrying*-", Due::Ack, Due::Ack, true);
}

#[test]
fn a_delivery_whose_jobs_wait_is_parked() {
    check("waiting", Due::Park, Due::Park, true);
    check("succeeded* retrying* held*", Due::Park, Due::Park, true);
    check("running* retrying*", Due::Later, Due::Park, true);
    check("queued", Due::Later, Due::Park, true);
}

#[test]
fn a_delivery_that_went_back_is_not_ours() {
    check("returned", Due::Requeue, Due::Requeue, false);
    check("returned*", Due::Requeue, Due::Requeue, false);
    check("succeeded* returned", Due::Requeue, Due::Requeue, false);
    check("running* returned*", Due::Later, Due::Later, false);
}

#[test]
fn nothing_is_begun_on_an_old_answer_and_nothing_runs_on_at_the_end() {
    let takeover = Duration::from_secs(20);
    let at = |secs: i64| BootTime {
        boot: "b".to_owned(),
        millis: secs * 1000,
    };
    let live = Contact::Live {
        connection: 1,
        answered: at(100),
    };
    let silent = Contact::Silent { since: at(100) };
    assert_eq!(hold(&live, takeover, &at(109)), Hold::Sure);
    assert_eq!(hold(&live, takeover, &at(110)), Hold::Unsure);
    assert_eq!(hold(&live, takeover, &at(115)), Hold::Fenced);
    assert_eq!(hold(&silent, takeover, &at(101)), Hold::Unsure);
    assert_eq!(hold(&silent, takeover, &at(115)), Hold::Fenced);
    assert_eq!(hold(&Contact::Down, takeover, &at(500)), Hold::Unsure);
    assert_eq!(hold(&silent, Duration::ZERO, &at(500)), Hold::Sure);
}
