//! The values that conditions and templates compute with.
//!
//! A value borrows from the event wherever it can, and cloning one never copies
//! what it holds. *Undefined* is a value of its own that knows what was missing.
//! Numbers keep the text they came with until something is computed from them.
//! Nothing in here evaluates anything: a string that looks like a template is a
//! string.

mod compare;
mod hash;
mod number;

use std::{borrow::Cow, cell::Cell, fmt, ops::Deref, rc::Rc};

use indexmap::IndexMap;
use model::{
    event::{Cause, Event, Origin},
    json::Object,
};
use serde_json::Value;

pub(crate) use compare::{contains, equal, order};
pub(crate) use hash::{beginning_hasher, equal_hash, fact_id};
pub(crate) use number::{Num, Operand};

use crate::expr::tree::Expr;

/// A value during one evaluation.
#[derive(Debug, Clone)]
pub(crate) enum Val<'a> {
    Undefined(Missing<'a>),
    None,
    Bool(bool),
    Num(Num<'a>),
    Str(Text<'a>),
    List(List<'a>),
    Map(Dict<'a>),
}

/// What was missing, or why there is no answer.
#[derive(Debug, Clone)]
pub(crate) enum Missing<'a> {
    /// This name, attribute or item.
    Path(&'a Expr),
    /// Values of these kinds have no order.
    Order(Kind, Kind),
    /// Anything else, as a sentence fragment.
    Note(Rc<str>),
}

impl<'a> Missing<'a> {
    pub(crate) fn note(text: impl Into<Rc<str>>) -> Self {
        Self::Note(text.into())
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(expr) => write!(f, "`{expr}` is undefined"),
            Self::Order(left, right) if left == right => {
                write!(f, "{} has no order", left.plural())
            }
            Self::Order(left, right) => write!(f, "cannot order {left} and {right}"),
            Self::Note(text) => f.write_str(text),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Undefined,
    None,
    Bool,
    Number,
    String,
    List,
    Mapping,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::None => "none",
            Self::Bool => "a truth value",
            Self::Number => "a number",
            Self::String => "a string",
            Self::List => "a list of different kinds",
            Self::Mapping => "a mapping",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undefined => "an undefined value",
            Self::None => "none",
            Self::Bool => "a truth value",
            Self::Number => "a number",
            Self::String => "a string",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        })
    }
}

/// Why something cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The values do not allow it: division by zero, a wrong kind.
    Failed(String),
    /// It would cost too much; this is never overruled by another operand.
    Limit(&'static str),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::Limit(text) => f.write_str(text),
        }
    }
}

pub(crate) fn failed<T>(text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Failed(text.into()))
}

/// What one evaluation may cost. Everything that loops or allocates asks first.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: Cell<u64>,
    bytes: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(steps: u64, bytes: usize) -> Self {
        Self {
            steps: Cell::new(steps),
            bytes: Cell::new(bytes),
        }
    }

    pub(crate) fn steps(&self, count: usize) -> Result<(), Trouble> {
        match self.steps.get().checked_sub(count as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Trouble::Limit("it takes too many steps")),
        }
    }

    /// Room for `count` bytes; working through them costs steps as well.
    pub(crate) fn bytes(&self, count: usize) -> Result<(), Trouble> {
        match self.bytes.get().checked_sub(count) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(Trouble::Limit("it makes too much text")),
        }
    }
}

/// A string, borrowed or shared.
#[derive(Debug, Clone)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Owned(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// A list, borrowed from JSON or made here.
#[derive(Debug, Clone)]
pub(crate) enum List<'a> {
    Json(&'a [Value]),
    Owned(Rc<[Val<'a>]>),
}

impl<'a> List<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Owned(items) => items.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Val<'a>> {
        match self {
            Self::Json(items) => items.get(index).map(Val::json),
            Self::Owned(items) => items.get(index).cloned(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Val<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A mapping with string keys: JSON, the event and its origin, or made here.
#[derive(Debug, Clone)]
pub(crate) enum Dict<'a> {
    Json(&'a Object),
    Event(&'a Event),
    Origin(&'a Origin),
    Cause(&'a Cause),
    /// `loop` inside a `for`: which item this is, from 0, and of how many.
    Loop(usize, usize),
    Owned(Rc<IndexMap<String, Val<'a>>>),
}

/// The last only of an event that is a follow-up.
const EVENT_KEYS: [&str; 10] = [
    "id", "topic", "time", "accepted", "source", "severity", "headers", "body", "origin", "cause",
];
const CAUSE_KEYS: [&str; 3] = ["event", "job", "hops"];
const ORIGIN_KEYS: [&str; 3] = ["verified", "by", "via"];
const LOOP_KEYS: [&str; 7] = [
    "index",
    "index0",
    "revindex",
    "revindex0",
    "first",
    "last",
    "length",
];

/// Up to this many fields are compared faster than the key is hashed.
const FEW: usize = 8;

pub(crate) fn field<'a>(fields: &'a Object, key: &str) -> Option<&'a Value> {
    if fields.len() > FEW {
        return fields.get(key);
    }
    let found = fields.iter().find(|(name, _)| *name == key);
    found.map(|(_, value)| value)
}

impl<'a> Dict<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(fields) => fields.len(),
            Self::Event(event) => event_keys(event).len(),
            Self::Cause(_) => CAUSE_KEYS.len(),
            Self::Origin(_) => ORIGIN_KEYS.len(),
            Self::Loop(..) => LOOP_KEYS.len(),
            Self::Owned(fields) => fields.len(),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Val<'a>> {
        match self {
            Self::Json(fields) => field(fields, key).map(Val::json),
            Self::Event(event) => event_field(event, key),
            Self::Origin(origin) => match key {
                "verified" => Some(Val::Bool(origin.verified)),
                "by" => Some(origin.by.as_deref().map_or(Val::None, Val::str)),
                "via" => Some(Val::str(&origin.via)),
                _ => None,
            },
            Self::Cause(cause) => match key {
                "event" => Some(Val::str(cause.event.as_str())),
                "job" => Some(Val::str(cause.job.as_str())),
                "hops" => Some(Val::count(usize::from(cause.hops))),
                _ => None,
            },
            Self::Loop(index, len) => loop_field(*index, *len, key),
            Self::Owned(fields) => fields.get(key).cloned(),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        match self {
            Self::Json(fields) => fields.contains_key(key),
            Self::Event(event) => event_keys(event).contains(&key),
            Self::Cause(_) => CAUSE_KEYS.contains(&key),
            Self::Origin(_) => ORIGIN_KEYS.contains(&key),
            Self::Loop(..) => LOOP_KEYS.contains(&key),
            Self::Owned(fields) => fields.contains_key(key),
        }
    }

    pub(crate) fn keys(&self) -> Vec<Text<'a>> {
        match self {
            Self::Json(fields) => fields.keys().map(|key| Text::Borrowed(key)).collect(),
            Self::Event(event) => {
                let keys = event_keys(event).iter();
                keys.map(|key| Text::Borrowed(key)).collect()
            }
            Self::Cause(_) => CAUSE_KEYS.iter().map(|key| Text::Borrowed(key)).collect(),
            Self::Origin(_) => ORIGIN_KEYS.iter().map(|key| Text::Borrowed(key)).collect(),
            Self::Loop(..) => LOOP_KEYS.iter().map(|key| Text::Borrowed(key)).collect(),
            Self::Owned(fields) => fields
                .keys()
                .map(|key| Text::Owned(Rc::from(key.as_str())))
                .collect(),
        }
    }

    pub(crate) fn entries(&self) -> Vec<(Text<'a>, Val<'a>)> {
        self.keys()
            .into_iter()
            .filter_map(|key| self.get(&key).map(|value| (key, value)))
            .collect()
    }
}

fn event_keys(event: &Event) -> &'static [&'static str] {
    let len = EVENT_KEYS.len() - usize::from(event.cause.is_none());
    EVENT_KEYS.get(..len).unwrap_or_default()
}

fn event_field<'a>(event: &'a Event, key: &str) -> Option<Val<'a>> {
    Some(match key {
        "id" => Val::str(event.id.as_str()),
        "topic" => Val::str(event.topic.as_str()),
        "time" => Val::string(event.time.to_string()),
        "accepted" => Val::string(event.accepted.to_string()),
        "source" => Val::str(&event.source),
        "severity" => Val::str(event.severity.as_str()),
        "headers" => Val::Map(Dict::Json(&event.headers)),
        "body" => Val::json(&event.body),
        "origin" => Val::Map(Dict::Origin(&event.origin)),
        "cause" => Val::Map(Dict::Cause(event.cause.as_ref()?)),
        _ => return None,
    })
}

fn loop_field<'a>(index: usize, len: usize, key: &str) -> Option<Val<'a>> {
    Some(match key {
        "index" => Val::count(index + 1),
        "index0" => Val::count(index),
        "revindex" => Val::count(len - index),
        "revindex0" => Val::count(len - index - 1),
        "first" => Val::Bool(index == 0),
        "last" => Val::Bool(index + 1 == len),
        "length" => Val::count(len),
        _ => return None,
    })
}

impl<'a> Val<'a> {
    /// Borrows JSON as it is.
    pub(crate) fn json(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Num(Num::Json(number)),
            Value::String(text) => Self::str(text),
            Value::Array(items) => Self::List(List::Json(items)),
            Value::Object(fields) => Self::Map(Dict::Json(fields)),
        }
    }

    /// Takes JSON that nothing else holds.
    pub(crate) fn owned(value: Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Num(Num::Shared(Rc::new(number))),
            Value::String(text) => Self::string(text),
            Value::Array(items) => Self::list(items.into_iter().map(Self::owned).collect()),
            Value::Object(fields) => Self::Map(Dict::Owned(Rc::new(
                fields
                    .into_iter()
                    .map(|(key, value)| (key, Self::owned(value)))
                    .collect(),
            ))),
        }
    }

    pub(crate) fn str(text: &'a str) -> Self {
        Self::Str(Text::Borrowed(text))
    }

    pub(crate) fn string(text: impl Into<Rc<str>>) -> Self {
        Self::Str(Text::Owned(text.into()))
    }

    pub(crate) fn int(value: i128) -> Self {
        Self::Num(Num::Int(value))
    }

    pub(crate) fn count(value: usize) -> Self {
        Self::Num(Num::Int(value as i128))
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(List::Owned(items.into()))
    }

    /// No answer, and why.
    pub(crate) fn unknown(note: impl Into<Rc<str>>) -> Self {
        Self::Undefined(Missing::note(note))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Undefined(_) => Kind::Undefined,
            Self::None => Kind::None,
            Self::Bool(_) => Kind::Bool,
            Self::Num(_) => Kind::Number,
            Self::Str(_) => Kind::String,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Mapping,
        }
    }

    /// Jinja's truthiness; none for undefined.
    pub(crate) fn truthy(&self) -> Option<bool> {
        match self {
            Self::Undefined(_) => None,
            Self::None => Some(false),
            Self::Bool(value) => Some(*value),
            Self::Num(number) => Some(!number.is_zero()),
            Self::Str(text) => Some(!text.is_empty()),
            Self::List(items) => Some(items.len() > 0),
            Self::Map(fields) => Some(fields.len() > 0),
        }
    }

    /// As JSON, numbers with the text they came with.
    pub(crate) fn to_json(&self, budget: &Budget) -> Result<Value, Trouble> {
        budget.steps(1)?;
        Ok(match self {
            Self::Undefined(missing) => return failed(missing.to_string()),
            Self::None => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Num(number) => {
                let number = number.to_json();
                budget.bytes(number.as_str().len())?;
                Value::Number(number)
            }
            Self::Str(text) => {
                budget.bytes(text.len())?;
                Value::String(str::to_owned(text))
            }
            Self::List(List::Json(items)) => {
                for item in *items {
                    weigh(item, budget)?;
                }
                Value::Array(items.to_vec())
            }
            Self::List(items) => Value::Array(
                items
                    .iter()
                    .map(|item| item.to_json(budget))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Map(Dict::Json(fields)) => {
                for (key, value) in *fields {
                    budget.bytes(key.len())?;
                    weigh(value, budget)?;
                }
                Value::Object((*fields).clone())
            }
            Self::Map(fields) => {
                let mut object = Object::new();
                for (key, value) in fields.entries() {
                    budget.bytes(key.len())?;
                    object.insert(str::to_owned(&key), value.to_json(budget)?);
                }
                Value::Object(object)
            }
        })
    }

    /// As text: strings as they are, everything else as JSON writes it, except
    /// that nothing is `none`.
    pub(crate) fn to_text(&self, budget: &Budget) -> Result<Text<'a>, Trouble> {
        let text: Cow<'static, str> = match self {
            Self::Str(text) => return Ok(text.clone()),
            Self::Num(Num::Json(number)) => return Ok(Text::Borrowed(number.as_str())),
            Self::Undefined(missing) => return failed(missing.to_string()),
            Self::None => Cow::Borrowed("none"),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Num(number) => Cow::Owned(number.to_string()),
            Self::List(_) | Self::Map(_) => Cow::Owned(self.to_json(budget)?.to_string()),
        };
        budget.bytes(text.len())?;
        Ok(match text {
            Cow::Borrowed(text) => Text::Borrowed(text),
            Cow::Owned(text) => Text::Owned(text.into()),
        })
    }
}

/// Charges for a copy of `value`.
fn weigh(value: &Value, budget: &Budget) -> Result<(), Trouble> {
    budget.steps(1)?;
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => budget.bytes(number.as_str().len()),
        Value::String(text) => budget.bytes(text.len()),
        Value::Array(items) => items.iter().try_for_each(|item| weigh(item, budget)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            budget.bytes(key.len())?;
            weigh(value, budget)
        }),
    }
}

#[cfg(test)]
mod tests;
