//! Computes the value of an expression, in one walk over the tree.
//!
//! Undefined travels upwards until something accepts it, and never becomes
//! false or an empty string on the way. Nothing is copied out of the event, and
//! everything that loops or allocates is paid for from one budget.

use std::cell::RefCell;

use serde_json::Value;

use super::{
    Scope, math,
    tree::{Args, Choice, Comparison, Each, Expr, Is, Name},
};
use crate::{
    filters::{self, Filter, Given, Test},
    value::{Budget, Dict, Missing, Num, Trouble, Val, contains, equal, failed, field, order},
};

/// One evaluation: what names mean, and what it may still cost.
pub(crate) struct Machine<'a> {
    /// Absent for expressions that use no name.
    scope: Option<Scope<'a>>,
    pub(crate) budget: Budget,
    /// Variables of a template, innermost last.
    pub(crate) locals: Vec<(&'a str, Val<'a>)>,
    /// What `map`, `select` and their like look at, innermost last.
    items: RefCell<Vec<Val<'a>>>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(scope: Option<Scope<'a>>, budget: Budget) -> Self {
        Self {
            scope,
            budget,
            locals: Vec::new(),
            items: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn eval(&self, expr: &'a Expr) -> Result<Val<'a>, Trouble> {
        self.budget.steps(1)?;
        match expr {
            Expr::Const(value) => Ok(Val::json(value)),
            Expr::Name(name) => Ok(self
                .lookup(name)
                .unwrap_or(Val::Undefined(Missing::Path(expr)))),
            Expr::It => Ok(self
                .items
                .borrow()
                .last()
                .cloned()
                .unwrap_or(Val::Undefined(Missing::Path(expr)))),
            Expr::Attr(of, key) => Ok(match self.in_event(expr) {
                Some(found) => Val::json(found),
                None => self.attribute(expr, of, key)?,
            }),
            Expr::Compare(first, rest) => self.compare(first, rest),
            Expr::Test(is) => self.test(is),
            Expr::Not(of) => Ok(match self.eval(of)? {
                missing @ Val::Undefined(_) => missing,
                value => Val::Bool(value.truthy() == Some(false)),
            }),
            Expr::And(parts) => self.connect(parts, false),
            Expr::Or(parts) => self.connect(parts, true),
            Expr::Item(of, key) => self.item(expr, of, key),
            Expr::Slice(of, bounds) => self.slice(of, bounds),
            Expr::Neg(of) => match self.eval(of)? {
                missing @ Val::Undefined(_) => Ok(missing),
                value => math::negate(&value),
            },
            Expr::Math(op, left, right) => match (self.eval(left)?, self.eval(right)?) {
                (missing @ Val::Undefined(_), _) | (_, missing @ Val::Undefined(_)) => Ok(missing),
                (left, right) => math::compute(*op, &left, &right, &self.budget),
            },
            Expr::If(choice) => self.choose(choice),
            Expr::Filter(of, Filter::Default, args) => self.default(of, args),
            Expr::Filter(of, Filter::Ternary, args) => self.ternary(of, args),
            Expr::Filter(of, filter, args) => match self.operands(of, args)? {
                Ok((value, given)) => filters::filter(*filter, &value, &given),
                Err(missing) => Ok(missing),
            },
            Expr::Call(of, method, args) => match self.operands(of, args)? {
                Ok((value, given)) => filters::method(*method, &value, &given),
                Err(missing) => Ok(missing),
            },
            Expr::Each(each, of, body) => self.each(*each, of, body),
            Expr::List(parts) => {
                let mut items = Vec::with_capacity(parts.len());
                for part in parts {
                    match self.eval(part)? {
                        missing @ Val::Undefined(_) => return Ok(missing),
                        value => items.push(value),
                    }
                }
                Ok(Val::list(items))
            }
            Expr::Map(parts) => {
                let mut fields = indexmap::IndexMap::new();
                for (key, part) in parts {
                    match self.eval(part)? {
                        missing @ Val::Undefined(_) => return Ok(missing),
                        value => fields.insert(key.clone(), value),
                    };
                }
                Ok(Val::Map(Dict::Owned(fields.into())))
            }
        }
    }

    /// What a path such as `event.body.build.state` leads to, without a value
    /// for each part of it: conditions consist of little else. When nothing is
    /// there, the long way says what is missing.
    fn in_event(&self, expr: &'a Expr) -> Option<&'a Value> {
        if matches!(expr, Expr::Name(Name::Msg)) {
            return self.scope.map(|scope| &scope.event.body);
        }
        let Expr::Attr(of, key) = expr else {
            return None;
        };
        if matches!(**of, Expr::Name(Name::Event)) {
            return self
                .scope
                .filter(|_| key == "body")
                .map(|scope| &scope.event.body);
        }
        field(self.in_event(of)?.as_object()?, key)
    }

    fn attribute(&self, expr: &'a Expr, of: &'a Expr, key: &str) -> Result<Val<'a>, Trouble> {
        Ok(match self.eval(of)? {
            Val::Map(fields) => fields
                .get(key)
                .unwrap_or(Val::Undefined(Missing::Path(expr))),
            missing @ Val::Undefined(_) => missing,
            _ => Val::Undefined(Missing::Path(expr)),
        })
    }

    fn lookup(&self, name: &Name) -> Option<Val<'a>> {
        if let Name::Local(wanted) = name {
            let found = self.locals.iter().rev().find(|(name, _)| name == wanted);
            return found.map(|(_, value)| value.clone());
        }
        let scope = self.scope.as_ref()?;
        match name {
            Name::Event => Some(Val::Map(Dict::Event(scope.event))),
            Name::Msg => Some(Val::json(&scope.event.body)),
            Name::Rule => Some(Val::str(scope.rule)),
            Name::Job => scope.job.map(|job| Val::str(job.as_str())),
            Name::Attempt => scope.attempt.map(|attempt| Val::int(i128::from(attempt))),
            Name::Result => scope.result.map(|fields| Val::Map(Dict::Json(fields))),
            Name::Local(_) => None,
        }
    }

    fn item(&self, expr: &'a Expr, of: &'a Expr, key: &'a Expr) -> Result<Val<'a>, Trouble> {
        let found = match (self.eval(of)?, self.eval(key)?) {
            (missing @ Val::Undefined(_), _) | (_, missing @ Val::Undefined(_)) => {
                return Ok(missing);
            }
            (Val::Map(fields), Val::Str(key)) => fields.get(&key),
            (Val::List(items), Val::Num(index)) => {
                at(&index, items.len()).and_then(|index| items.get(index))
            }
            (Val::Str(text), Val::Num(index)) => {
                let chars = filters::items(&Val::Str(text), &self.budget)?;
                at(&index, chars.len()).and_then(|index| chars.get(index).cloned())
            }
            _ => None,
        };
        Ok(found.unwrap_or(Val::Undefined(Missing::Path(expr))))
    }

    fn slice(&self, of: &'a Expr, bounds: &'a [Option<Expr>; 3]) -> Result<Val<'a>, Trouble> {
        let value = self.eval(of)?;
        if matches!(value, Val::Undefined(_)) {
            return Ok(value);
        }
        let mut numbers = [None; 3];
        for (number, bound) in numbers.iter_mut().zip(bounds) {
            let Some(bound) = bound else { continue };
            *number = match self.eval(bound)? {
                missing @ Val::Undefined(_) => return Ok(missing),
                Val::None => None,
                Val::Num(bound) if bound.as_int().is_some() => bound.as_int(),
                other => {
                    return failed(format!("cannot slice with {}", other.kind()));
                }
            };
        }
        let items = match &value {
            Val::List(_) | Val::Str(_) => filters::items(&value, &self.budget)?,
            other => return failed(format!("cannot slice {}", other.kind())),
        };
        let picked = math::slice(items.len(), numbers)?
            .into_iter()
            .filter_map(|index| items.get(index).cloned());
        if matches!(value, Val::Str(_)) {
            let mut text = String::new();
            for part in picked {
                if let Val::Str(part) = part {
                    text.push_str(&part);
                }
            }
            self.budget.bytes(text.len())?;
            return Ok(Val::string(text));
        }
        Ok(Val::list(picked.collect()))
    }

    /// `and` and `or` as Jinja has them: the operand that decides. When an
    /// operand is undefined only a truth value can still decide.
    fn connect(&self, parts: &'a [Expr], decisive: bool) -> Result<Val<'a>, Trouble> {
        let mut pending: Option<Result<Val<'a>, Trouble>> = None;
        let mut last = Val::Bool(!decisive);
        for part in parts {
            match self.eval(part) {
                Err(Trouble::Limit(why)) => return Err(Trouble::Limit(why)),
                Err(error) => {
                    pending.get_or_insert(Err(error));
                }
                Ok(value) => match value.truthy() {
                    None => {
                        pending.get_or_insert(Ok(value));
                    }
                    Some(truth) if truth == decisive => {
                        if pending.is_none() || matches!(value, Val::Bool(_)) {
                            return Ok(value);
                        }
                    }
                    Some(_) => last = value,
                },
            }
        }
        pending.unwrap_or(Ok(last))
    }

    /// Whether a text of the event is or is not a given one, which is what most
    /// conditions ask first. `None`: it is another question.
    fn same_text(&self, first: &'a Expr, rest: &'a [(Comparison, Expr)]) -> Option<bool> {
        let [(op @ (Comparison::Eq | Comparison::Ne), Expr::Const(Value::String(wanted)))] = rest
        else {
            return None;
        };
        let Value::String(text) = self.in_event(first)? else {
            return None;
        };
        Some((text == wanted) == (*op == Comparison::Eq))
    }

    fn compare(&self, first: &'a Expr, rest: &'a [(Comparison, Expr)]) -> Result<Val<'a>, Trouble> {
        if let Some(answer) = self.same_text(first, rest) {
            return Ok(Val::Bool(answer));
        }
        let mut left = self.eval(first)?;
        let mut answer = Val::Bool(true);
        for (op, right) in rest {
            let right = self.eval(right)?;
            match self.compare_two(*op, &left, &right)? {
                Val::Bool(true) => {}
                Val::Undefined(missing) => answer = Val::Undefined(missing),
                other => return Ok(other),
            }
            left = right;
        }
        Ok(answer)
    }

    fn compare_two(
        &self,
        op: Comparison,
        left: &Val<'a>,
        right: &Val<'a>,
    ) -> Result<Val<'a>, Trouble> {
        if let (missing @ Val::Undefined(_), _) | (_, missing @ Val::Undefined(_)) = (left, right) {
            return Ok(missing.clone());
        }
        let budget = &self.budget;
        let ordered = |holds: fn(std::cmp::Ordering) -> bool| {
            Ok(match order(left, right, budget)? {
                Some(ordering) => Val::Bool(holds(ordering)),
                None => Val::Undefined(Missing::Order(left.kind(), right.kind())),
            })
        };
        match op {
            Comparison::Eq => equal(left, right, budget).map(Val::Bool),
            Comparison::Ne => equal(left, right, budget).map(|same| Val::Bool(!same)),
            Comparison::Lt => ordered(std::cmp::Ordering::is_lt),
            Comparison::Le => ordered(std::cmp::Ordering::is_le),
            Comparison::Gt => ordered(std::cmp::Ordering::is_gt),
            Comparison::Ge => ordered(std::cmp::Ordering::is_ge),
            Comparison::In => contains(right, left, budget),
            Comparison::NotIn => contains(right, left, budget).map(negated),
        }
    }

    fn choose(&self, choice: &'a Choice) -> Result<Val<'a>, Trouble> {
        let test = self.eval(&choice.test)?;
        match (test.truthy(), &choice.no) {
            (None, _) => Ok(test),
            (Some(true), _) => self.eval(&choice.yes),
            (Some(false), Some(no)) => self.eval(no),
            (Some(false), None) => Ok(Val::unknown("an `if` without `else` gave nothing")),
        }
    }

    fn default(&self, of: &'a Expr, args: &'a Args) -> Result<Val<'a>, Trouble> {
        let value = self.eval(of)?;
        let is_missing = match value.truthy() {
            None => true,
            Some(true) => false,
            Some(false) => match args.get(1) {
                Some(boolean) => self.eval(boolean)?.truthy() == Some(true),
                None => false,
            },
        };
        match args.get(0) {
            Some(fallback) if is_missing => self.eval(fallback),
            None if is_missing => Ok(Val::str("")),
            Some(_) | None => Ok(value),
        }
    }

    fn ternary(&self, of: &'a Expr, args: &'a Args) -> Result<Val<'a>, Trouble> {
        let value = self.eval(of)?;
        let chosen = match (&value, args.get(2)) {
            (Val::None, Some(none)) => Some(none),
            _ => match value.truthy() {
                None => return Ok(value),
                Some(true) => args.get(0),
                Some(false) => args.get(1),
            },
        };
        match chosen {
            Some(expr) => self.eval(expr),
            None => failed("an argument is missing"),
        }
    }

    fn test(&self, is: &'a Is) -> Result<Val<'a>, Trouble> {
        let answer = match is.test {
            Test::Defined | Test::Undefined => {
                let is_undefined = matches!(self.eval(&is.of)?, Val::Undefined(_));
                Val::Bool(is_undefined == (is.test == Test::Undefined))
            }
            other => match self.operands(&is.of, &is.args)? {
                Ok((value, given)) => filters::test(other, &value, &given)?,
                Err(missing) => missing,
            },
        };
        Ok(if is.is_not { negated(answer) } else { answer })
    }

    /// The operand and the arguments, or the first of them that is undefined.
    fn operands(
        &self,
        of: &'a Expr,
        args: &'a Args,
    ) -> Result<Result<(Val<'a>, Given<'a, '_>), Val<'a>>, Trouble> {
        let value = self.eval(of)?;
        if matches!(value, Val::Undefined(_)) {
            return Ok(Err(value));
        }
        let mut slots = Vec::with_capacity(args.slots.len());
        for slot in &args.slots {
            slots.push(match slot {
                None => None,
                Some(expr) => match self.eval(expr)? {
                    missing @ Val::Undefined(_) => return Ok(Err(missing)),
                    value => Some(value),
                },
            });
        }
        let given = Given {
            slots,
            pattern: args.pattern.as_ref(),
            budget: &self.budget,
        };
        Ok(Ok((value, given)))
    }

    fn each(&self, each: Each, of: &'a Expr, body: &'a Expr) -> Result<Val<'a>, Trouble> {
        let value = self.eval(of)?;
        if matches!(value, Val::Undefined(_)) {
            return Ok(value);
        }
        let mut kept = Vec::new();
        let mut unknown = None;
        for item in filters::items(&value, &self.budget)? {
            self.items.borrow_mut().push(item.clone());
            let result = self.eval(body);
            self.items.borrow_mut().pop();
            let result = result?;
            let truth = result.truthy();
            match (each, truth) {
                (Each::Any, Some(true)) => return Ok(Val::Bool(true)),
                (Each::NotAny, Some(true)) => return Ok(Val::Bool(false)),
                (Each::Any | Each::NotAny, Some(false)) => {}
                (Each::Any | Each::NotAny, None) => {
                    unknown.get_or_insert(result);
                }
                (Each::Map | Each::Select | Each::Reject, None) => return Ok(result),
                (Each::Map, Some(_)) => kept.push(result),
                (Each::Select, Some(is_kept)) | (Each::Reject, Some(is_kept)) => {
                    if is_kept == (each == Each::Select) {
                        kept.push(item);
                    }
                }
            }
        }
        Ok(match each {
            Each::Any => unknown.unwrap_or(Val::Bool(false)),
            Each::NotAny => unknown.unwrap_or(Val::Bool(true)),
            Each::Map | Each::Select | Each::Reject => Val::list(kept),
        })
    }
}

fn negated(answer: Val<'_>) -> Val<'_> {
    match answer {
        Val::Bool(answer) => Val::Bool(!answer),
        other => other,
    }
}

/// The place that an index means; negative ones count from the end.
fn at(index: &Num<'_>, len: usize) -> Option<usize> {
    let index = index.as_int()?;
    let index = if index < 0 {
        index.checked_add(i128::try_from(len).ok()?)?
    } else {
        index
    };
    usize::try_from(index).ok()
}
