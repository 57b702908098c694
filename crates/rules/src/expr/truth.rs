//! Whether a condition holds, with and without the reasons.
//!
//! `and`, `or` and `not` follow Kleene: an unknown operand matters only when
//! the others do not decide. Everything below them is a leaf, computed with a
//! budget of its own, so that the short way and the way that looks at every
//! part always agree.

use model::verdict::{Trace, Truth};
use serde_json::Value;

use super::{Scope, eval::Machine, tree::Expr};
use crate::value::{Budget, Missing, Trouble, Val};

/// What one leaf of a condition may cost.
const STEPS: u64 = 200_000;
const BYTES: usize = 8 << 20;
/// How much of a value a trace shows.
const SHOWN_CHARS: usize = 500;
const SHOWN_NODES: usize = 50;

fn machine(scope: Option<Scope<'_>>) -> Machine<'_> {
    Machine::new(scope, Budget::new(STEPS, BYTES))
}

/// The short way.
pub(super) fn holds<'a>(expr: &'a Expr, scope: Option<Scope<'a>>) -> Truth {
    match expr {
        Expr::And(parts) => connect(parts, scope, Truth::False, Truth::True),
        Expr::Or(parts) => connect(parts, scope, Truth::True, Truth::False),
        Expr::Not(of) => not(holds(of, scope)),
        leaf => leaf_truth(&machine(scope).eval(leaf)),
    }
}

fn connect<'a>(
    parts: &'a [Expr],
    scope: Option<Scope<'a>>,
    decisive: Truth,
    otherwise: Truth,
) -> Truth {
    let mut result = otherwise;
    for part in parts {
        let truth = holds(part, scope);
        if truth == decisive {
            return decisive;
        }
        if truth == Truth::Unknown {
            result = Truth::Unknown;
        }
    }
    result
}

fn not(truth: Truth) -> Truth {
    match truth {
        Truth::True => Truth::False,
        Truth::False => Truth::True,
        Truth::Unknown => Truth::Unknown,
    }
}

/// The answer, when it is the same whatever the names mean.
pub(super) fn fixed(expr: &Expr) -> Option<Truth> {
    let decided = |parts: &[Expr], decisive: Truth, otherwise: Truth| {
        let truths: Vec<Option<Truth>> = parts.iter().map(fixed).collect();
        if truths.contains(&Some(decisive)) {
            return Some(decisive);
        }
        let all: Vec<Truth> = truths.into_iter().collect::<Option<_>>()?;
        let is_unknown = all.contains(&Truth::Unknown);
        Some(if is_unknown {
            Truth::Unknown
        } else {
            otherwise
        })
    };
    match expr {
        Expr::And(parts) => decided(parts, Truth::False, Truth::True),
        Expr::Or(parts) => decided(parts, Truth::True, Truth::False),
        Expr::Not(of) => fixed(of).map(not),
        leaf if leaf.uses(&|_| true) => None,
        leaf => Some(holds(leaf, None)),
    }
}

/// A value that is no truth value counts as Jinja counts it.
fn leaf_truth(result: &Result<Val<'_>, Trouble>) -> Truth {
    match result {
        Ok(value) => match value.truthy() {
            Some(true) => Truth::True,
            Some(false) => Truth::False,
            None => Truth::Unknown,
        },
        Err(_) => Truth::Unknown,
    }
}

/// The long way: every part, the whole before its parts.
pub(super) fn trace<'a>(
    expr: &'a Expr,
    scope: Option<Scope<'a>>,
    depth: usize,
    into: &mut Vec<Trace>,
) -> Truth {
    let parts: &[Expr] = match expr {
        Expr::And(parts) | Expr::Or(parts) => parts,
        Expr::Not(of) => std::slice::from_ref(of),
        leaf => {
            let entry = trace_leaf(leaf, scope, depth);
            let truth = entry.result;
            into.push(entry);
            return truth;
        }
    };
    let place = into.len();
    into.push(Trace {
        expr: expr.to_string(),
        value: None,
        result: Truth::Unknown,
        note: None,
        depth,
    });
    let truths: Vec<Truth> = parts
        .iter()
        .map(|part| trace(part, scope, depth + 1, into))
        .collect();
    let has = |truth: Truth| truths.contains(&truth);
    let result = match expr {
        Expr::Or(_) if has(Truth::True) => Truth::True,
        Expr::Or(_) if has(Truth::Unknown) => Truth::Unknown,
        Expr::Or(_) => Truth::False,
        Expr::And(_) if has(Truth::False) => Truth::False,
        Expr::And(_) if has(Truth::Unknown) => Truth::Unknown,
        Expr::And(_) => Truth::True,
        _ => not(truths.first().copied().unwrap_or(Truth::Unknown)),
    };
    into[place].result = result;
    result
}

fn trace_leaf<'a>(leaf: &'a Expr, scope: Option<Scope<'a>>, depth: usize) -> Trace {
    let subject = match leaf {
        Expr::Compare(first, _) => first,
        Expr::Test(is) => &is.of,
        Expr::Each(_, of, _) => of,
        other => other,
    };
    let machine_of_subject = machine(scope);
    let value = machine_of_subject.eval(subject);
    let result = machine(scope).eval(leaf);
    let note = match (&result, &value) {
        (Ok(Val::Undefined(missing)), _) => Some(missing.to_string()),
        (Ok(_), Ok(Val::Undefined(missing @ Missing::Path(_)))) => Some(missing.to_string()),
        (Ok(_), _) => None,
        (Err(error), _) => Some(error.to_string()),
    };
    let shown = match value {
        Ok(Val::Undefined(_)) | Err(_) => None,
        // Values are shown cut, but never a part of a part that is too dear.
        Ok(value) => Some(show(&value, &mut { SHOWN_NODES })),
    };
    Trace {
        expr: leaf.to_string(),
        value: shown,
        result: leaf_truth(&result),
        note,
        depth,
    }
}

/// A value as JSON, cut to what a person reads.
fn show(value: &Val<'_>, nodes: &mut usize) -> Value {
    *nodes = nodes.saturating_sub(1);
    match value {
        Val::Undefined(_) | Val::None => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Num(number) => {
            let number = number.to_json();
            if number.as_str().len() > SHOWN_CHARS {
                cut(number.as_str())
            } else {
                Value::Number(number)
            }
        }
        Val::Str(text) => cut(text),
        Val::List(items) => {
            let mut shown = Vec::new();
            for (index, item) in items.iter().enumerate() {
                if *nodes == 0 {
                    shown.push(Value::String(format!("… {} more", items.len() - index)));
                    break;
                }
                shown.push(show(&item, nodes));
            }
            Value::Array(shown)
        }
        Val::Map(fields) => {
            let mut shown = serde_json::Map::new();
            for (index, key) in fields.keys().into_iter().enumerate() {
                if *nodes == 0 {
                    let more = format!("{} more", fields.len() - index);
                    shown.insert("…".to_owned(), Value::String(more));
                    break;
                }
                if let (Value::String(name), Some(item)) = (cut(&key), fields.get(&key)) {
                    shown.insert(name, show(&item, nodes));
                }
            }
            Value::Object(shown)
        }
    }
}

fn cut(text: &str) -> Value {
    Value::String(match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => {
            let kept = text.get(..end).unwrap_or_default();
            format!("{kept}… ({} bytes in all)", text.len())
        }
        None => text.to_owned(),
    })
}
