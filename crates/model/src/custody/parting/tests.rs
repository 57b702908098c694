use super::*;
use crate::id::JobId;

/// Words such as `running`, `queued*` (begun), `held-` (the store's).
fn jobs(words: &str) -> Vec<JobStanding> {
    words
        .split_whitespace()
        .map(|word| JobStanding {
            job: JobId::generate(),
            state: word.trim_end_matches(['*', '-']).parse().unwrap(),
            begun: word.contains('*'),
            delivery: (!word.contains('-')).then(|| "w1".parse().unwrap()),
        })
        .collect()
}

#[track_caller]
fn check(words: &str, expect_gone: Gone, expect_leaving: Due) {
    let jobs = jobs(words);
    assert_eq!(expect_gone, gone(&jobs), "gone");
    assert_eq!(expect_leaving, leaving(&jobs), "leaving");
}

#[test]
fn what_has_not_begun_goes_to_another() {
    check("queued", Gone::GiveBack, Due::Requeue);
    check("queued queued", Gone::GiveBack, Due::Requeue);
}

#[test]
fn what_waits_for_a_key_is_kept_when_the_process_ends() {
    check("waiting", Gone::GiveBack, Due::Park);
    check("held*", Gone::KeepOn, Due::Park);
}

#[test]
fn what_has_begun_stays_here_with_the_rest_of_its_event() {
    check("running*", Gone::KeepOn, Due::Later);
    check("running* queued", Gone::KeepOn, Due::Later);
    check("succeeded* queued", Gone::KeepOn, Due::Park);
    check("retrying*", Gone::KeepOn, Due::Park);
}

#[test]
fn what_has_ended_or_is_the_stores_is_nobodys_business() {
    check("", Gone::Forget, Due::Ack);
    check("succeeded* failed*", Gone::Forget, Due::Ack);
    check("running*-", Gone::Forget, Due::Ack);
    check("returned*", Gone::Forget, Due::Requeue);
}

#[test]
fn only_what_another_may_have_begun_is_asked_about() {
    let check = |kept: Option<&str>, makes_jobs, takeover, expect| {
        let kept = kept.map(jobs);
        let takeover = Duration::from_secs(takeover);
        assert_eq!(expect, came_again(kept.as_deref(), makes_jobs, takeover));
    };
    check(None, true, 20, Again::Ask);
    check(None, true, 0, Again::Accept);
    check(None, false, 20, Again::Accept);
    check(Some(""), true, 20, Again::Accept);
    check(Some("running*"), true, 20, Again::Accept);
    check(Some("succeeded* returned"), true, 20, Again::Ask);
    check(Some("returned"), true, 0, Again::Accept);
}
