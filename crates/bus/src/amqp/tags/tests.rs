//! Few messages, and none that covers what is not settled.

use super::*;

#[track_caller]
fn check(outstanding: &[u64], settled: &[u64], expect: &str) {
    let mut tags = Outstanding::default();
    outstanding.iter().for_each(|number| tags.add(*number));
    let shown: Vec<String> = tags
        .settle(settled)
        .iter()
        .map(|one| format!("{}{}", if one.multiple { "<=" } else { "" }, one.number))
        .collect();
    assert_eq!(expect, shown.join(" "));
}

#[test]
fn everything_up_to_a_tag_is_one_message() {
    check(&[1, 2, 3], &[1, 2, 3], "<=3");
    check(&[4, 5, 6], &[5, 4], "<=5");
    check(&[7], &[7], "7");
}

#[test]
fn what_has_something_unsettled_before_it_goes_alone() {
    check(&[1, 2, 3, 4], &[1, 3, 4], "1 3 4");
    check(&[1, 2, 3, 4], &[1, 2, 4], "<=2 4");
    check(&[1, 2], &[2], "2");
}

#[test]
fn a_tag_is_settled_once() {
    check(&[1, 2], &[1, 1, 9], "1");
    check(&[], &[3], "");
}
