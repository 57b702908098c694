//! Numbers by value, and what is never copied.

use std::cmp::Ordering;

use proptest::prelude::*;
use serde_json::Number;

use super::{Budget, Num, Trouble, Val};

fn order(left: &str, right: &str) -> Ordering {
    let (left, right): (Number, Number) = (
        serde_json::from_str(left).unwrap(),
        serde_json::from_str(right).unwrap(),
    );
    Num::Json(&left).order(&Num::Json(&right))
}

#[track_caller]
fn check(left: &str, expect: &str, right: &str) {
    let sign = |ordering: Ordering| match ordering {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    };
    assert_eq!(expect, sign(order(left, right)), "{left} {expect} {right}");
    assert_eq!(order(left, right), order(right, left).reverse());
}

#[test]
fn numbers_are_ordered_by_their_value() {
    check("1", "=", "1.0");
    check("1", "=", "1.000e0");
    check("100", "=", "1e2");
    check("0.001", "=", "1e-3");
    check("0", "=", "-0");
    check("0", "=", "-0.00e99");
    check("0", "<", "1e-400");
    check("0", ">", "-1e-400");
    check("9007199254740993", ">", "9007199254740992.0");
    check("1e400", "<", "1.0000000000000000000000000000001e400");
    check("-1e400", "<", "1");
    check("-2", "<", "-1.5");
    check(
        "99999999999999999999999999999999999999999999",
        "<",
        "100000000000000000000000000000000000000000000",
    );
    check("1e99999999999999999999999", ">", "1e5000");
    check("1e-99999999999999999999999", "<", "1e-5000");
    check("0.1", "<", "0.10000000000000001");
    check("12", "<", "120");
    check("0.12", "<", "0.2");
}

proptest! {
    #[test]
    fn integers_and_doubles_keep_their_order(a in any::<i64>(), b in any::<i64>(), x in -1e9..1e9_f64, y in -1e9..1e9_f64) {
        prop_assert_eq!(a.cmp(&b), order(&format!("{a}.0"), &b.to_string()));
        let text = |value: f64| Number::from_f64(value).unwrap().to_string();
        prop_assert_eq!(x.total_cmp(&y), order(&text(x), &text(y)));
        prop_assert_eq!(Num::Float(x).order(&Num::Float(y)), order(&text(x), &text(y)));
    }
}

#[test]
fn a_budget_ends() {
    let budget = Budget::new(3, 10);
    assert_eq!(Ok(()), budget.steps(3));
    assert!(matches!(budget.steps(1), Err(Trouble::Limit(_))));
    assert!(matches!(
        Val::str("12345678901").to_json(&Budget::new(9, 10)),
        Err(Trouble::Limit(_))
    ));
}
