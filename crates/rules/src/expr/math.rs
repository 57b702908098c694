//! Arithmetic, concatenation and slices.
//!
//! Integers stay exact or are refused; a double that leaves its range is
//! refused, too. What is built is paid for before it is built.

use super::tree::Math;
use crate::value::{Budget, Num, Operand, Trouble, Val, failed};

pub(super) fn negate<'a>(value: &Val<'a>) -> Result<Val<'a>, Trouble> {
    let Val::Num(number) = value else {
        return failed(format!("cannot negate {}", value.kind()));
    };
    match number.operand()? {
        Operand::Int(value) => match value.checked_neg() {
            Some(value) => Ok(Val::int(value)),
            None => failed("the result is too large"),
        },
        Operand::Float(value) => Num::float(-value).map(Val::Num),
    }
}

pub(super) fn compute<'a>(
    op: Math,
    left: &Val<'a>,
    right: &Val<'a>,
    budget: &Budget,
) -> Result<Val<'a>, Trouble> {
    match (op, left, right) {
        (Math::Concat, _, _) => {
            let (left, right) = (left.to_text(budget)?, right.to_text(budget)?);
            budget.bytes(left.len() + right.len())?;
            Ok(Val::string([&*left, &*right].concat()))
        }
        (_, Val::Num(left), Val::Num(right)) => numbers(op, left.operand()?, right.operand()?),
        (Math::Add, Val::Str(left), Val::Str(right)) => {
            budget.bytes(left.len() + right.len())?;
            Ok(Val::string([&**left, &**right].concat()))
        }
        (Math::Add, Val::List(left), Val::List(right)) => {
            budget.steps(left.len() + right.len())?;
            Ok(Val::list(left.iter().chain(right.iter()).collect()))
        }
        (Math::Mul, Val::Str(text), Val::Num(count))
        | (Math::Mul, Val::Num(count), Val::Str(text)) => {
            let count = times(count)?;
            budget.bytes(text.len().saturating_mul(count))?;
            Ok(Val::string(text.repeat(count)))
        }
        (Math::Mul, Val::List(items), Val::Num(count))
        | (Math::Mul, Val::Num(count), Val::List(items)) => {
            let count = times(count)?;
            budget.steps(items.len().saturating_mul(count))?;
            let once: Vec<Val<'a>> = items.iter().collect();
            Ok(Val::list(
                std::iter::repeat_n(once, if items.len() == 0 { 0 } else { count })
                    .flatten()
                    .collect(),
            ))
        }
        (
            Math::Add | Math::Sub | Math::Mul | Math::Div | Math::FloorDiv | Math::Rem | Math::Pow,
            _,
            _,
        ) => failed(format!(
            "`{}` does not work on {} and {}",
            op.as_str(),
            left.kind(),
            right.kind()
        )),
    }
}

/// How often something is repeated; less than none is none.
fn times(count: &Num<'_>) -> Result<usize, Trouble> {
    match count.as_int() {
        Some(count) if count <= 0 => Ok(0),
        Some(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        None => failed("a text or list is repeated an integer number of times"),
    }
}

fn numbers<'a>(op: Math, left: Operand, right: Operand) -> Result<Val<'a>, Trouble> {
    let is_zero = right.as_f64() == 0.0;
    if is_zero && matches!(op, Math::Div | Math::FloorDiv | Math::Rem) {
        return failed("division by zero");
    }
    if let (Operand::Int(left), Operand::Int(right)) = (left, right) {
        let result = match op {
            Math::Add => left.checked_add(right),
            Math::Sub => left.checked_sub(right),
            Math::Mul => left.checked_mul(right),
            Math::FloorDiv => floor_div(left, right),
            Math::Rem => floor_div(left, right)
                .and_then(|quotient| left.checked_sub(quotient.checked_mul(right)?)),
            Math::Pow if right >= 0 => u32::try_from(right)
                .ok()
                .and_then(|right| left.checked_pow(right)),
            Math::Pow | Math::Div | Math::Concat => {
                return floats(op, left as f64, right as f64);
            }
        };
        return match result {
            Some(value) => Ok(Val::int(value)),
            None => failed("the result is too large"),
        };
    }
    floats(op, left.as_f64(), right.as_f64())
}

fn floor_div(left: i128, right: i128) -> Option<i128> {
    let quotient = left.checked_div(right)?;
    let is_exact = quotient.checked_mul(right)? == left;
    if !is_exact && (left < 0) != (right < 0) {
        quotient.checked_sub(1)
    } else {
        Some(quotient)
    }
}

fn floats<'a>(op: Math, left: f64, right: f64) -> Result<Val<'a>, Trouble> {
    Num::float(match op {
        Math::Add => left + right,
        Math::Sub => left - right,
        Math::Mul => left * right,
        Math::Div => left / right,
        Math::FloorDiv => (left / right).floor(),
        Math::Rem => left - right * (left / right).floor(),
        Math::Pow => left.powf(right),
        Math::Concat => return failed("`~` is not for numbers"),
    })
    .map(Val::Num)
}

/// The indices that Python's `[start:stop:step]` picks of `len` items.
pub(super) fn slice(len: usize, bounds: [Option<i128>; 3]) -> Result<Vec<usize>, Trouble> {
    let [start, stop, step] = bounds;
    let step = step.unwrap_or(1);
    if step == 0 {
        return failed("the step of a slice is zero");
    }
    let len = len as i128;
    let clamp = |bound: Option<i128>, otherwise: i128| match bound {
        None => otherwise,
        Some(bound) => {
            let bound = if bound < 0 {
                bound.saturating_add(len)
            } else {
                bound
            };
            if step > 0 {
                bound.clamp(0, len)
            } else {
                bound.clamp(-1, len - 1)
            }
        }
    };
    let (start, stop) = if step > 0 {
        (clamp(start, 0), clamp(stop, len))
    } else {
        (clamp(start, len - 1), clamp(stop, -1))
    };
    let mut indices = Vec::new();
    let mut index = start;
    while (step > 0 && index < stop) || (step < 0 && index > stop) {
        indices.extend(usize::try_from(index));
        index = index.saturating_add(step);
    }
    Ok(indices)
}
