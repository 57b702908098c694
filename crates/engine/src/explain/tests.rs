use model::verdict::{Explanation, StoredVerdict, Verdict};

use super::merge;

fn recomputed(rule: &str, verdict: Verdict) -> Explanation {
    Explanation {
        rule: rule.parse().unwrap(),
        revision: "aa".parse().unwrap(),
        verdict,
        reason: "recomputed".to_owned(),
        job_id: None,
        conditions: Vec::new(),
    }
}

fn stored(rule: &str, verdict: Verdict, reason: &str) -> StoredVerdict {
    StoredVerdict {
        event_id: "e".parse().unwrap(),
        rule: rule.parse().unwrap(),
        revision: "aa".parse().unwrap(),
        verdict,
        reason: reason.to_owned(),
        job_id: None,
    }
}

#[track_caller]
fn check(recomputed: Vec<Explanation>, stored: Vec<StoredVerdict>, expect: &str) {
    let lines: Vec<String> = merge(recomputed, stored)
        .iter()
        .map(|item| format!("{} {} {}", item.rule, item.verdict, item.reason))
        .collect();
    assert_eq!(expect, lines.join(", "));
}

#[test]
fn what_is_stored_wins_and_the_rest_is_recomputed() {
    use Verdict::{Duplicate, Error, Fired, NoMatch, Suppressed};
    check(
        vec![recomputed("a", NoMatch), recomputed("b", Fired)],
        vec![stored("b", Fired, "")],
        "a no_match recomputed, b fired recomputed",
    );
    check(
        vec![recomputed("b", Fired)],
        vec![stored("b", Suppressed, "off")],
        "b suppressed off",
    );
    check(
        vec![recomputed("a", Fired), recomputed("b", NoMatch)],
        vec![stored("a", Fired, "x"), stored("a", Duplicate, "again")],
        "a fired x, a duplicate again, b no_match recomputed",
    );
    check(
        vec![recomputed("a", Error)],
        vec![stored("a", Error, "no key"), stored("a", Fired, "retried")],
        "a error no key, a fired retried",
    );
    check(
        Vec::new(),
        vec![stored("gone", Fired, "then")],
        "gone fired then",
    );
}
