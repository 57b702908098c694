//! What an event must say for a condition to be true.
//!
//! A need is necessary and seldom enough: it leads to the rules that may fire,
//! and their conditions decide. Only what is certain is a need, whatever the
//! other parts of the condition are, undefined or too dear to compute.

use regex_syntax::hir::{Look, literal::Extractor};
use serde_json::Value;

use super::tree::{Args, Comparison, Expr, Is as IsTest, Name};
use crate::{
    filters::{Method, Test},
    value::{Val, equal_hash, fact_id},
};

/// Facts in one need. A list with more items does not lead to rules.
const MOST_FACTS: usize = 1_000;

/// Bytes of a beginning that are looked at.
const LONGEST_BEGINNING: usize = 128;

/// Beginnings that a regular expression may have.
const MOST_BEGINNINGS: usize = 64;

/// One of these must hold; none of them: nothing can make the condition true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) any: Vec<Fact>,
}

/// A field of the event is something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    /// From the event downwards.
    pub(crate) path: Box<[Box<str>]>,
    pub(crate) is: Is,
    /// Equal for equal facts.
    pub(crate) id: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Is {
    /// A value of this hash, and of this many bytes when it is a text.
    Equal { hash: u64, len: usize },
    /// Its text begins with these bytes, of which there are some.
    Beginning(Box<[u8]>),
}

impl Fact {
    fn new(path: Box<[Box<str>]>, is: Is) -> Self {
        let id = match &is {
            Is::Equal { hash, .. } => fact_id(&path, 0, &hash.to_le_bytes()),
            Is::Beginning(text) => fact_id(&path, 1, text),
        };
        Self { path, is, id }
    }
}

/// Everything that the condition needs.
pub(super) fn needs(expr: &Expr) -> Vec<Need> {
    match expr {
        Expr::And(parts) => parts.iter().flat_map(needs).collect(),
        other => need(other).into_iter().collect(),
    }
}

fn need(expr: &Expr) -> Option<Need> {
    let any = match expr {
        Expr::And(_) => return needs(expr).into_iter().min_by_key(|need| need.any.len()),
        Expr::Or(parts) => {
            let mut any = Vec::new();
            for part in parts {
                any.extend(need(part)?.any);
            }
            any
        }
        Expr::Compare(left, rest) => match rest.as_slice() {
            [(Comparison::Eq, right)] => equal(left, right).or_else(|| equal(right, left))?,
            [(Comparison::In, list)] => one_of(left, list)?,
            _ => return None,
        },
        Expr::Test(is) if !is.is_not => tested(is)?,
        Expr::Call(of, Method::StartsWith, args) => begins(of, [text(args.get(0)?)?.as_bytes()])?,
        _ => return None,
    };
    (any.len() <= MOST_FACTS).then_some(Need { any })
}

fn tested(is: &IsTest) -> Option<Vec<Fact>> {
    let first = is.args.get(0)?;
    match is.test {
        Test::Eq => equal(&is.of, first),
        Test::In => one_of(&is.of, first),
        Test::StartsWith => begins(&is.of, [text(first)?.as_bytes()]),
        Test::Match | Test::Search | Test::Regex | Test::Glob => {
            let is_anchored = is.test == Test::Match;
            let beginnings = beginnings(&is.args, is_anchored)?;
            begins(&is.of, beginnings.iter().map(Vec::as_slice))
        }
        _ => None,
    }
}

fn equal(of: &Expr, to: &Expr) -> Option<Vec<Fact>> {
    let Expr::Const(value) = to else { return None };
    Some(vec![fact(path(of)?, value)?])
}

fn one_of(of: &Expr, list: &Expr) -> Option<Vec<Fact>> {
    let Expr::Const(Value::Array(items)) = list else {
        return None;
    };
    if items.len() > MOST_FACTS {
        return None;
    }
    let path = path(of)?;
    items.iter().map(|item| fact(path.clone(), item)).collect()
}

fn begins<'b>(of: &Expr, with: impl IntoIterator<Item = &'b [u8]>) -> Option<Vec<Fact>> {
    let path = path(of)?;
    with.into_iter()
        .map(|text| {
            let text = text.get(..LONGEST_BEGINNING).unwrap_or(text);
            let is = Is::Beginning(text.into());
            (!text.is_empty()).then(|| Fact::new(path.clone(), is))
        })
        .collect()
}

fn fact(path: Box<[Box<str>]>, value: &Value) -> Option<Fact> {
    let hash = equal_hash(&Val::json(value))?;
    let len = value.as_str().map_or(0, str::len);
    Some(Fact::new(path, Is::Equal { hash, len }))
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Const(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// How a text begins that the pattern matches, when it is one of a few.
fn beginnings(args: &Args, is_anchored: bool) -> Option<Vec<Vec<u8>>> {
    // A flag can make other beginnings of it.
    if args.slots.iter().skip(1).any(Option::is_some) {
        return None;
    }
    let pattern = args.pattern.as_ref()?;
    let mut parser = regex_syntax::ParserBuilder::new().nest_limit(50).build();
    let hir = parser.parse(pattern.regex.as_str()).ok()?;
    let starts = hir.properties().look_set_prefix().contains(Look::Start);
    if !is_anchored && !starts {
        return None;
    }
    let found = Extractor::new().limit_total(MOST_BEGINNINGS).extract(&hir);
    let literals = found.literals()?;
    Some(literals.iter().map(|it| it.as_bytes().to_vec()).collect())
}

/// The keys that lead from the event to what is named.
fn path(expr: &Expr) -> Option<Box<[Box<str>]>> {
    let mut keys: Vec<Box<str>> = Vec::new();
    let mut at = expr;
    loop {
        match at {
            Expr::Attr(of, key) => {
                keys.push(key.as_str().into());
                at = of;
            }
            Expr::Name(Name::Msg) => {
                keys.push("body".into());
                break;
            }
            Expr::Name(Name::Event) if !keys.is_empty() => break,
            _ => return None,
        }
    }
    keys.reverse();
    Some(keys.into())
}
