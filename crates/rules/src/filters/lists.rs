//! Filters on lists, and on what can be taken for one.

use std::{cmp::Ordering, rc::Rc};

use indexmap::IndexMap;

use super::{Filter, Given, number, text_of};
use crate::value::{
    Budget, Dict, List, Num, Operand, Text, Trouble, Val, contains, equal, failed, order,
};

pub(super) fn filter<'a>(
    filter: Filter,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let budget = given.budget;
    match filter {
        Filter::Length => match value {
            Val::Str(text) => {
                budget.steps(text.len() / 64)?;
                Ok(Val::count(text.chars().count()))
            }
            Val::List(items) => Ok(Val::count(items.len())),
            Val::Map(fields) => Ok(Val::count(fields.len())),
            other => failed(format!("{} has no length", other.kind())),
        },
        Filter::List => Ok(Val::list(items(value, budget)?)),
        Filter::First => end(value, budget, End::First),
        Filter::Last => end(value, budget, End::Last),
        Filter::Reverse => match value {
            Val::Str(text) => {
                budget.steps(text.len() / 16)?;
                given.string(text.chars().rev().collect())
            }
            other => {
                let mut items = items(other, budget)?;
                items.reverse();
                Ok(Val::list(items))
            }
        },
        Filter::Join => {
            let separator = match given.get(0) {
                Some(_) => given.text(0)?,
                None => Text::Borrowed(""),
            };
            let chosen: Vec<Val<'a>> = items(value, budget)?
                .into_iter()
                .map(|item| attribute(item, given, 1))
                .collect::<Result<_, _>>()?;
            join(&Val::list(chosen), &separator, given)
        }
        Filter::Flatten => {
            let levels = given
                .integer(0)?
                .map_or(usize::MAX, |levels| usize::try_from(levels).unwrap_or(0));
            let mut out = Vec::new();
            flatten(&items(value, budget)?, levels, budget, &mut out)?;
            Ok(Val::list(out))
        }
        Filter::Sum => sum(value, given),
        Filter::Min => extreme(value, given, Ordering::Less),
        Filter::Max => extreme(value, given, Ordering::Greater),
        Filter::Sort => {
            let mut items = items(value, budget)?;
            sort(&mut items, given)?;
            Ok(Val::list(items))
        }
        Filter::Unique => {
            let mut seen: Vec<Val<'a>> = Vec::new();
            let mut out = Vec::new();
            for item in items(value, budget)? {
                let key = fold(attribute(item.clone(), given, 1)?, given.flag(0));
                if !has(&seen, &key, budget)? {
                    seen.push(key);
                    out.push(item);
                }
            }
            Ok(Val::list(out))
        }
        Filter::Difference | Filter::Intersect | Filter::Union => sets(filter, value, given),
        Filter::Dict2Items => {
            let Val::Map(fields) = value else {
                return failed(format!("expected a mapping, found {}", value.kind()));
            };
            budget.steps(fields.len())?;
            Ok(Val::list(
                fields
                    .entries()
                    .into_iter()
                    .map(|(key, value)| {
                        let pair = [("key", Val::Str(key)), ("value", value)];
                        let pair: IndexMap<String, Val<'a>> = pair
                            .into_iter()
                            .map(|(name, value)| (name.to_owned(), value))
                            .collect();
                        Val::Map(Dict::Owned(Rc::new(pair)))
                    })
                    .collect(),
            ))
        }
        _ => failed("this is no filter on lists"),
    }
}

/// What iterating over a value gives: items, keys, or characters.
pub(crate) fn items<'a>(value: &Val<'a>, budget: &Budget) -> Result<Vec<Val<'a>>, Trouble> {
    match value {
        Val::List(items) => {
            budget.steps(items.len())?;
            Ok(items.iter().collect())
        }
        Val::Map(fields) => {
            budget.steps(fields.len())?;
            Ok(fields.keys().into_iter().map(Val::Str).collect())
        }
        Val::Str(text) => chars(text, budget),
        other => failed(format!("expected a list, found {}", other.kind())),
    }
}

fn chars<'a>(text: &Text<'a>, budget: &Budget) -> Result<Vec<Val<'a>>, Trouble> {
    budget.steps(text.len())?;
    Ok(text
        .char_indices()
        .filter_map(|(at, c)| super::part(text, at..at + c.len_utf8()))
        .map(Val::Str)
        .collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

fn end<'a>(value: &Val<'a>, budget: &Budget, end: End) -> Result<Val<'a>, Trouble> {
    let found = match (value, end) {
        (Val::List(items), End::First) => items.get(0),
        (Val::List(items), End::Last) => items.len().checked_sub(1).and_then(|at| items.get(at)),
        (other, End::First) => items(other, budget)?.into_iter().next(),
        (other, End::Last) => items(other, budget)?.into_iter().next_back(),
    };
    Ok(found.unwrap_or_else(|| Val::unknown(format!("{} is empty and has no item", value.kind()))))
}

pub(super) fn join<'a>(
    value: &Val<'a>,
    separator: &str,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let mut out = String::new();
    for (index, item) in items(value, given.budget)?.iter().enumerate() {
        let text = item.to_text(given.budget)?;
        let gap = if index > 0 { separator } else { "" };
        given.budget.bytes(text.len() + gap.len())?;
        out.push_str(gap);
        out.push_str(&text);
    }
    Ok(Val::string(out))
}

fn flatten<'a>(
    items: &[Val<'a>],
    levels: usize,
    budget: &Budget,
    out: &mut Vec<Val<'a>>,
) -> Result<(), Trouble> {
    for item in items {
        budget.steps(1)?;
        match item {
            Val::List(inner) if levels > 0 => {
                let inner: Vec<Val<'a>> = inner.iter().collect();
                flatten(&inner, levels - 1, budget, out)?;
            }
            other => out.push(other.clone()),
        }
    }
    Ok(())
}

/// The attribute that the argument names, `a.b.0`, or the item itself.
fn attribute<'a>(item: Val<'a>, given: &Given<'a, '_>, slot: usize) -> Result<Val<'a>, Trouble> {
    let path = match given.get(slot) {
        None | Some(Val::None) => return Ok(item),
        Some(value) => text_of(value, given.budget)?,
    };
    let mut found = item;
    for step in path.split('.') {
        given.budget.steps(1)?;
        let next = match &found {
            Val::Map(fields) => fields.get(step),
            Val::List(List::Json(_) | List::Owned(_)) => match (&found, step.parse()) {
                (Val::List(items), Ok(index)) => items.get(index),
                _ => None,
            },
            _ => None,
        };
        match next {
            Some(next) => found = next,
            None => return failed(format!("an item has no `{}`", &*path)),
        }
    }
    Ok(found)
}

/// Without case, unless case matters.
fn fold<'a>(value: Val<'a>, case_sensitive: bool) -> Val<'a> {
    match &value {
        Val::Str(text) if !case_sensitive && text.chars().any(char::is_uppercase) => {
            Val::string(text.to_lowercase())
        }
        _ => value,
    }
}

fn has(seen: &[Val<'_>], wanted: &Val<'_>, budget: &Budget) -> Result<bool, Trouble> {
    for item in seen {
        budget.steps(1)?;
        if equal(item, wanted, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn sum<'a>(value: &Val<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let mut total = match given.get(1) {
        Some(start) => number(start)?.operand()?,
        None => Operand::Int(0),
    };
    for item in items(value, given.budget)? {
        let item = attribute(item, given, 0)?;
        total = match (total, number(&item)?.operand()?) {
            (Operand::Int(left), Operand::Int(right)) => match left.checked_add(right) {
                Some(sum) => Operand::Int(sum),
                None => return failed("the result is too large"),
            },
            (left, right) => Operand::Float(left.as_f64() + right.as_f64()),
        };
    }
    match total {
        Operand::Int(value) => Ok(Val::int(value)),
        Operand::Float(value) => Num::float(value).map(Val::Num),
    }
}

fn extreme<'a>(
    value: &Val<'a>,
    given: &Given<'a, '_>,
    wanted: Ordering,
) -> Result<Val<'a>, Trouble> {
    let mut best: Option<(Val<'a>, Val<'a>)> = None;
    for item in items(value, given.budget)? {
        let key = fold(attribute(item.clone(), given, 1)?, given.flag(0));
        let is_better = match &best {
            None => true,
            Some((best, _)) => in_order(&key, best, given.budget)? == wanted,
        };
        if is_better {
            best = Some((key, item));
        }
    }
    Ok(match best {
        Some((_, item)) => item,
        None => Val::unknown("an empty list has no smallest or largest item"),
    })
}

fn in_order(left: &Val<'_>, right: &Val<'_>, budget: &Budget) -> Result<Ordering, Trouble> {
    budget.steps(1)?;
    match order(left, right, budget)? {
        Some(ordering) => Ok(ordering),
        None => failed(format!("cannot order {} and {}", left.kind(), right.kind())),
    }
}

/// Sorts stably. What cannot be ordered fails the whole.
fn sort<'a>(list: &mut Vec<Val<'a>>, given: &Given<'a, '_>) -> Result<(), Trouble> {
    let mut keyed: Vec<(Val<'a>, Val<'a>)> = list
        .drain(..)
        .map(|item| {
            let key = fold(attribute(item.clone(), given, 2)?, given.flag(1));
            Ok((key, item))
        })
        .collect::<Result<_, Trouble>>()?;
    // All of one kind, or the sort would see an order that is none.
    for pair in keyed.windows(2) {
        in_order(&pair[0].0, &pair[1].0, given.budget)?;
    }
    let mut trouble = None;
    let is_reverse = given.flag(0);
    keyed.sort_by(|(left, _), (right, _)| {
        let ordering = in_order(left, right, given.budget).unwrap_or_else(|error| {
            trouble.get_or_insert(error);
            Ordering::Equal
        });
        if is_reverse {
            ordering.reverse()
        } else {
            ordering
        }
    });
    match trouble {
        Some(error) => Err(error),
        None => {
            list.extend(keyed.into_iter().map(|(_, item)| item));
            Ok(())
        }
    }
}

fn sets<'a>(filter: Filter, value: &Val<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let budget = given.budget;
    let left = items(value, budget)?;
    let right = items(given.need(0)?, budget)?;
    let candidates: Vec<Val<'a>> = match filter {
        Filter::Union => left.iter().chain(&right).cloned().collect(),
        _ => left,
    };
    let other = Val::list(right);
    let mut out: Vec<Val<'a>> = Vec::new();
    for item in candidates {
        let is_in_other = matches!(contains(&other, &item, budget)?, Val::Bool(true));
        let is_wanted = match filter {
            Filter::Difference => !is_in_other,
            Filter::Intersect => is_in_other,
            _ => true,
        };
        if is_wanted && !has(&out, &item, budget)? {
            out.push(item);
        }
    }
    Ok(Val::list(out))
}
