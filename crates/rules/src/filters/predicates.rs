//! What can be asked with `is`.
//!
//! The answer is true, false, or undefined where the question makes no sense:
//! whether a mapping is even is unknown, not false. Questions about the kind of
//! a value always have an answer. `defined` and `undefined` never get here.

use std::cmp::Ordering;

use super::{Given, Test, lists::items, pattern, text_of};
use crate::value::{Kind, Missing, Trouble, Val, contains, equal, failed, order};

pub(crate) fn test<'a>(
    test: Test,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let kind = value.kind();
    let answer = match test {
        Test::None => kind == Kind::None,
        Test::Boolean => kind == Kind::Bool,
        Test::True => matches!(value, Val::Bool(true)),
        Test::False => matches!(value, Val::Bool(false)),
        Test::String => kind == Kind::String,
        Test::Number => kind == Kind::Number,
        Test::Integer => matches!(value, Val::Num(number) if number.is_integer()),
        Test::Float => matches!(value, Val::Num(number) if !number.is_integer()),
        Test::Mapping => kind == Kind::Mapping,
        // Jinja counts strings and mappings, too.
        Test::Sequence | Test::Iterable => {
            matches!(kind, Kind::List | Kind::String | Kind::Mapping)
        }
        Test::Even | Test::Odd => match value {
            Val::Num(number) if number.as_int().is_some() => {
                let is_even = number.as_int().is_some_and(|value| value % 2 == 0);
                is_even == (test == Test::Even)
            }
            _ => return Ok(needs(test, "an integer", kind)),
        },
        Test::DivisibleBy => match (value, given.integer(0)?) {
            (_, Some(0)) => return failed("division by zero"),
            (Val::Num(number), Some(by)) if number.as_int().is_some() => number
                .as_int()
                .and_then(|value| value.checked_rem(by))
                .is_none_or(|rest| rest == 0),
            _ => return Ok(needs(test, "an integer", kind)),
        },
        Test::Eq => equal(value, given.need(0)?, given.budget)?,
        Test::Ne => !equal(value, given.need(0)?, given.budget)?,
        Test::Lt => return ordered(value, given, Ordering::is_lt),
        Test::Le => return ordered(value, given, Ordering::is_le),
        Test::Gt => return ordered(value, given, Ordering::is_gt),
        Test::Ge => return ordered(value, given, Ordering::is_ge),
        Test::In => return contains(given.need(0)?, value, given.budget),
        Test::Contains => return contains(value, given.need(0)?, given.budget),
        Test::Lower | Test::Upper | Test::StartsWith | Test::EndsWith => {
            let Val::Str(text) = value else {
                return Ok(needs(test, "a string", kind));
            };
            given.budget.steps(text.len() / 64)?;
            match test {
                Test::Lower => is_cased(text, char::is_uppercase, char::is_lowercase),
                Test::Upper => is_cased(text, char::is_lowercase, char::is_uppercase),
                Test::StartsWith => text.starts_with(&*given.text(0)?),
                _ => text.ends_with(&*given.text(0)?),
            }
        }
        Test::Match | Test::Search | Test::Regex | Test::Glob => {
            return matches_pattern(test, value, given);
        }
        Test::Any | Test::All => return all_or_any(test, value, given),
        Test::Subset | Test::Superset => {
            let (small, large) = match test {
                Test::Subset => (value, given.need(0)?),
                _ => (given.need(0)?, value),
            };
            let large = Val::list(items(large, given.budget)?);
            for item in items(small, given.budget)? {
                if !matches!(contains(&large, &item, given.budget)?, Val::Bool(true)) {
                    return Ok(Val::Bool(false));
                }
            }
            true
        }
        Test::Defined | Test::Undefined => return failed("this test is the evaluator's own"),
    };
    Ok(Val::Bool(answer))
}

fn needs<'a>(test: Test, what: &str, found: Kind) -> Val<'a> {
    Val::unknown(format!("`is {test}` needs {what}, this is {found}"))
}

/// Python's `islower`: no letter of the other case, and one of this.
fn is_cased(text: &str, other: fn(char) -> bool, this: fn(char) -> bool) -> bool {
    !text.chars().any(other) && text.chars().any(this)
}

fn ordered<'a>(
    value: &Val<'a>,
    given: &Given<'a, '_>,
    holds: fn(Ordering) -> bool,
) -> Result<Val<'a>, Trouble> {
    let right = given.need(0)?;
    Ok(match order(value, right, given.budget)? {
        Some(ordering) => Val::Bool(holds(ordering)),
        None => Val::Undefined(Missing::Order(value.kind(), right.kind())),
    })
}

fn matches_pattern<'a>(
    test: Test,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    if !matches!(value, Val::Str(_) | Val::Num(_) | Val::Bool(_)) {
        return Ok(needs(test, "a string", value.kind()));
    }
    let Some(usage) = test.pattern_use() else {
        return failed("this test has no pattern");
    };
    let text = text_of(value, given.budget)?;
    let pattern = pattern::of_call(given, usage)?;
    given.budget.steps(pattern.cost.reading(text.len()))?;
    Ok(Val::Bool(match test {
        // The leftmost match starts the text if any match does.
        Test::Match => pattern
            .regex
            .find(&text)
            .is_some_and(|found| found.start() == 0),
        _ => pattern.regex.is_match(&text),
    }))
}

fn all_or_any<'a>(test: Test, value: &Val<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let wanted = test == Test::Any;
    for item in items(value, given.budget)? {
        match item.truthy() {
            Some(truth) if truth == wanted => return Ok(Val::Bool(wanted)),
            Some(_) => {}
            None => return Ok(item),
        }
    }
    Ok(Val::Bool(!wanted))
}
