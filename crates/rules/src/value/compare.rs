//! Equality, order and containment of values.
//!
//! Values of different kinds are never equal, a truth value is no number, and
//! what has no order has none: these functions say so instead of guessing.
//! None of them may be called with an undefined value.

use std::cmp::Ordering;

use super::{Budget, List, Missing, Trouble, Val};

/// Whether two values are the same.
pub(crate) fn equal(left: &Val<'_>, right: &Val<'_>, budget: &Budget) -> Result<bool, Trouble> {
    Ok(match (left, right) {
        (Val::None, Val::None) => true,
        (Val::Bool(left), Val::Bool(right)) => left == right,
        (Val::Num(left), Val::Num(right)) => {
            budget.steps(left.weight() + right.weight())?;
            left.order(right) == Ordering::Equal
        }
        (Val::Str(left), Val::Str(right)) => {
            if left.len() == right.len() {
                budget.steps(left.len() / 256)?;
            }
            **left == **right
        }
        (Val::List(left), Val::List(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                budget.steps(1)?;
                if !equal(&left, &right, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Val::Map(left), Val::Map(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (key, value) in left.entries() {
                budget.steps(1)?;
                match right.get(&key) {
                    Some(other) if equal(&value, &other, budget)? => {}
                    Some(_) | None => return Ok(false),
                }
            }
            true
        }
        (
            Val::Undefined(_)
            | Val::None
            | Val::Bool(_)
            | Val::Num(_)
            | Val::Str(_)
            | Val::List(_)
            | Val::Map(_),
            _,
        ) => false,
    })
}

/// The order of two values, when they have one.
pub(crate) fn order(
    left: &Val<'_>,
    right: &Val<'_>,
    budget: &Budget,
) -> Result<Option<Ordering>, Trouble> {
    Ok(match (left, right) {
        (Val::Bool(left), Val::Bool(right)) => Some(left.cmp(right)),
        (Val::Num(left), Val::Num(right)) => {
            budget.steps(left.weight() + right.weight())?;
            Some(left.order(right))
        }
        (Val::Str(left), Val::Str(right)) => {
            budget.steps(left.len().min(right.len()) / 256)?;
            Some((**left).cmp(&**right))
        }
        (Val::List(left), Val::List(right)) => return order_lists(left, right, budget),
        (
            Val::Undefined(_)
            | Val::None
            | Val::Bool(_)
            | Val::Num(_)
            | Val::Str(_)
            | Val::List(_)
            | Val::Map(_),
            _,
        ) => None,
    })
}

fn order_lists(
    left: &List<'_>,
    right: &List<'_>,
    budget: &Budget,
) -> Result<Option<Ordering>, Trouble> {
    for (left, right) in left.iter().zip(right.iter()) {
        budget.steps(1)?;
        if !equal(&left, &right, budget)? {
            return order(&left, &right, budget);
        }
    }
    Ok(Some(left.len().cmp(&right.len())))
}

/// Whether `needle` is an item of a list, a key of a mapping, or a part of a
/// string. Undefined when that cannot be asked.
pub(crate) fn contains<'a>(
    haystack: &Val<'_>,
    needle: &Val<'_>,
    budget: &Budget,
) -> Result<Val<'a>, Trouble> {
    let is_in = match (haystack, needle) {
        (Val::List(items), _) => {
            for item in items.iter() {
                budget.steps(1)?;
                if equal(&item, needle, budget)? {
                    return Ok(Val::Bool(true));
                }
            }
            false
        }
        (Val::Map(fields), Val::Str(key)) => fields.has(key),
        (Val::Map(_), _) => false,
        (Val::Str(text), Val::Str(part)) => {
            budget.steps(text.len() / 64)?;
            text.contains(&**part)
        }
        (Val::Str(_) | Val::Undefined(_) | Val::None | Val::Bool(_) | Val::Num(_), _) => {
            return Ok(Val::Undefined(Missing::note(format!(
                "cannot look for {} in {}",
                needle.kind(),
                haystack.kind()
            ))));
        }
    };
    Ok(Val::Bool(is_in))
}
