//! The filters, tests and methods of the language: their names, their
//! parameters, and what they do.
//!
//! They do what Jinja's and Ansible's of the same name do, on JSON's values.
//! An undefined operand or argument never gets here, except to `default`,
//! `ternary`, `defined` and `undefined`, which the evaluator handles itself.

mod lists;
mod pattern;
mod predicates;
mod text;

use std::rc::Rc;

pub(crate) use lists::items;
pub(crate) use pattern::{Cost, PatternUse, compile, compile_glob};
pub(crate) use predicates::test;

use crate::{
    expr::tree::Pattern,
    value::{Budget, Num, Operand, Text, Trouble, Val, failed},
};

/// What is known of a filter, test or method when it is parsed.
pub(crate) struct Spec<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) what: T,
    pub(crate) params: &'static [&'static str],
    /// How many of the parameters must be given.
    pub(crate) required: usize,
}

macro_rules! table {
    ($(#[$doc:meta])* $kind:ident, $table:ident, { $($name:literal => $what:ident ($required:literal $(, $param:literal)*)),* $(,)? }
     also { $($alias:literal => $same:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $kind { $($what),* }

        static $table: &[Spec<$kind>] = &[$(Spec {
            name: $name,
            what: $kind::$what,
            params: &[$($param),*],
            required: $required,
        }),*];

        impl $kind {
            pub(crate) fn find(name: &str) -> Option<&'static Spec<Self>> {
                let what = match name {
                    $($alias => return Some(Self::$same.spec()),)*
                    other => $table.iter().find(|spec| spec.name == other)?,
                };
                Some(what)
            }

            pub(crate) fn spec(self) -> &'static Spec<Self> {
                // The table is in the order of the variants.
                &$table[self as usize]
            }

            pub(crate) fn names() -> impl Iterator<Item = &'static str> {
                [$($name),*, $($alias),*].into_iter()
            }
        }
    };
}

table! {
    /// `value | name(…)`.
    Filter, FILTERS, {
        "abs" => Abs(0),
        "b64decode" => B64Decode(0),
        "b64encode" => B64Encode(0),
        "basename" => Basename(0),
        "bool" => Bool(0),
        "capitalize" => Capitalize(0),
        "default" => Default(0, "default_value", "boolean"),
        "dict2items" => Dict2Items(0),
        "difference" => Difference(1, "other"),
        "dirname" => Dirname(0),
        "first" => First(0),
        "flatten" => Flatten(0, "levels"),
        "float" => Float(0, "default"),
        "from_json" => FromJson(0),
        "int" => Int(0, "default"),
        "intersect" => Intersect(1, "other"),
        "join" => Join(0, "d", "attribute"),
        "last" => Last(0),
        "length" => Length(0),
        "list" => List(0),
        "lower" => Lower(0),
        "max" => Max(0, "case_sensitive", "attribute"),
        "min" => Min(0, "case_sensitive", "attribute"),
        "regex_findall" => RegexFindall(1, "regex", "multiline", "ignorecase"),
        "regex_replace" => RegexReplace(2, "pattern", "replacement", "ignorecase", "multiline", "count"),
        "regex_search" => RegexSearch(1, "regex", "group1", "group2", "group3", "ignorecase", "multiline"),
        "replace" => Replace(2, "old", "new", "count"),
        "reverse" => Reverse(0),
        "round" => Round(0, "precision"),
        "sort" => Sort(0, "reverse", "case_sensitive", "attribute"),
        "split" => Split(0, "sep", "maxsplit"),
        "string" => String(0),
        "sum" => Sum(0, "attribute", "start"),
        "ternary" => Ternary(2, "true_val", "false_val", "none_val"),
        "title" => Title(0),
        "to_json" => ToJson(0),
        "trim" => Trim(0, "chars"),
        "union" => Union(1, "other"),
        "unique" => Unique(0, "case_sensitive", "attribute"),
        "upper" => Upper(0),
    }
    also { "d" => Default, "count" => Length, "tojson" => ToJson }
}

table! {
    /// `value is name(…)`.
    Test, TESTS, {
        "all" => All(0),
        "any" => Any(0),
        "boolean" => Boolean(0),
        "contains" => Contains(1, "item"),
        "defined" => Defined(0),
        "divisibleby" => DivisibleBy(1, "num"),
        "endswith" => EndsWith(1, "suffix"),
        "eq" => Eq(1, "other"),
        "even" => Even(0),
        "false" => False(0),
        "float" => Float(0),
        "ge" => Ge(1, "other"),
        "glob" => Glob(1, "pattern"),
        "gt" => Gt(1, "other"),
        "in" => In(1, "seq"),
        "integer" => Integer(0),
        "iterable" => Iterable(0),
        "le" => Le(1, "other"),
        "lower" => Lower(0),
        "lt" => Lt(1, "other"),
        "mapping" => Mapping(0),
        "match" => Match(1, "pattern", "ignorecase", "multiline"),
        "ne" => Ne(1, "other"),
        "none" => None(0),
        "number" => Number(0),
        "odd" => Odd(0),
        "regex" => Regex(1, "pattern", "ignorecase", "multiline"),
        "search" => Search(1, "pattern", "ignorecase", "multiline"),
        "sequence" => Sequence(0),
        "startswith" => StartsWith(1, "prefix"),
        "string" => String(0),
        "subset" => Subset(1, "other"),
        "superset" => Superset(1, "other"),
        "true" => True(0),
        "undefined" => Undefined(0),
        "upper" => Upper(0),
    }
    also {
        "==" => Eq, "equalto" => Eq, "!=" => Ne, "<" => Lt, "lessthan" => Lt, "<=" => Le,
        ">" => Gt, "greaterthan" => Gt, ">=" => Ge, "starts_with" => StartsWith,
        "ends_with" => EndsWith, "issubset" => Subset, "issuperset" => Superset,
    }
}

table! {
    /// `value.name(…)`.
    Method, METHODS, {
        "capitalize" => Capitalize(0),
        "count" => Count(1, "value"),
        "endswith" => EndsWith(1, "suffix"),
        "get" => Get(1, "key", "default"),
        "items" => Items(0),
        "join" => Join(1, "iterable"),
        "keys" => Keys(0),
        "lower" => Lower(0),
        "lstrip" => LStrip(0, "chars"),
        "replace" => Replace(2, "old", "new", "count"),
        "rstrip" => RStrip(0, "chars"),
        "split" => Split(0, "sep", "maxsplit"),
        "startswith" => StartsWith(1, "prefix"),
        "strip" => Strip(0, "chars"),
        "title" => Title(0),
        "upper" => Upper(0),
        "values" => Values(0),
    }
    also {}
}

impl Filter {
    /// Which parameter is a regular expression, and which are its flags.
    pub(crate) fn pattern_use(self) -> Option<PatternUse> {
        let (ignorecase, multiline) = match self {
            Self::RegexFindall => (2, 1),
            Self::RegexReplace => (2, 3),
            Self::RegexSearch => (4, 5),
            _ => return None,
        };
        Some(PatternUse::Regex {
            ignorecase,
            multiline,
        })
    }
}

impl Test {
    pub(crate) fn pattern_use(self) -> Option<PatternUse> {
        match self {
            Self::Match | Self::Search | Self::Regex => Some(PatternUse::Regex {
                ignorecase: 1,
                multiline: 2,
            }),
            Self::Glob => Some(PatternUse::Glob),
            _ => None,
        }
    }
}

/// Evaluated arguments, and the pattern among them when it is constant.
pub(crate) struct Given<'a, 'm> {
    pub(crate) slots: Vec<Option<Val<'a>>>,
    pub(crate) pattern: Option<&'a Pattern>,
    pub(crate) budget: &'m Budget,
}

impl<'a> Given<'a, '_> {
    pub(crate) fn get(&self, index: usize) -> Option<&Val<'a>> {
        self.slots.get(index).and_then(Option::as_ref)
    }

    pub(crate) fn need(&self, index: usize) -> Result<&Val<'a>, Trouble> {
        match self.get(index) {
            Some(value) => Ok(value),
            None => failed("an argument is missing"),
        }
    }

    pub(crate) fn flag(&self, index: usize) -> bool {
        self.get(index).and_then(Val::truthy).unwrap_or(false)
    }

    pub(crate) fn text(&self, index: usize) -> Result<Text<'a>, Trouble> {
        text_of(self.need(index)?, self.budget)
    }

    pub(crate) fn integer(&self, index: usize) -> Result<Option<i128>, Trouble> {
        match self.get(index) {
            None => Ok(None),
            Some(Val::Num(number)) if number.as_int().is_some() => Ok(number.as_int()),
            Some(other) => failed(format!("expected an integer, found {}", other.kind())),
        }
    }

    /// A new string, paid for.
    pub(crate) fn string(&self, text: String) -> Result<Val<'a>, Trouble> {
        self.budget.bytes(text.len())?;
        Ok(Val::string(text))
    }
}

/// A string, a number or a truth value as text; containers are refused.
pub(crate) fn text_of<'a>(value: &Val<'a>, budget: &Budget) -> Result<Text<'a>, Trouble> {
    match value {
        Val::Str(_) | Val::Num(_) | Val::Bool(_) => value.to_text(budget),
        Val::Undefined(_) | Val::None | Val::List(_) | Val::Map(_) => {
            failed(format!("expected a string, found {}", value.kind()))
        }
    }
}

/// What `value | filter(…)` is.
pub(crate) fn filter<'a>(
    filter: Filter,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let budget = given.budget;
    match filter {
        Filter::Abs => number(value).and_then(|number| match number.operand()? {
            Operand::Int(value) => match value.checked_abs() {
                Some(value) => Ok(Val::int(value)),
                None => failed("the result is too large"),
            },
            Operand::Float(value) => Num::float(value.abs()).map(Val::Num),
        }),
        Filter::Bool => Ok(Val::Bool(to_bool(value))),
        Filter::Float => to_float(value, given),
        Filter::Int => to_int(value, given),
        Filter::Round => round(value, given),
        Filter::String => value.to_text(budget).map(Val::Str),
        Filter::ToJson => {
            let text = value.to_json(budget)?.to_string();
            given.string(text)
        }
        Filter::FromJson => from_json(value, given),
        Filter::B64Decode
        | Filter::B64Encode
        | Filter::Basename
        | Filter::Capitalize
        | Filter::Dirname
        | Filter::Lower
        | Filter::Replace
        | Filter::Split
        | Filter::Title
        | Filter::Trim
        | Filter::Upper => text::filter(filter, value, given),
        Filter::RegexFindall | Filter::RegexReplace | Filter::RegexSearch => {
            pattern::filter(filter, value, given)
        }
        Filter::Dict2Items
        | Filter::Difference
        | Filter::First
        | Filter::Flatten
        | Filter::Intersect
        | Filter::Join
        | Filter::Last
        | Filter::Length
        | Filter::List
        | Filter::Max
        | Filter::Min
        | Filter::Reverse
        | Filter::Sort
        | Filter::Sum
        | Filter::Union
        | Filter::Unique => lists::filter(filter, value, given),
        Filter::Default | Filter::Ternary => failed("this filter is the evaluator's own"),
    }
}

/// What `value.method(…)` is.
pub(crate) fn method<'a>(
    method: Method,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    match method {
        Method::Get | Method::Items | Method::Keys | Method::Values => {
            let Val::Map(fields) = value else {
                return failed(format!(
                    "`{}` needs a mapping, this is {}",
                    method.spec().name,
                    value.kind()
                ));
            };
            given.budget.steps(fields.len())?;
            Ok(match method {
                Method::Get => {
                    let found = match given.need(0)? {
                        Val::Str(key) => fields.get(key),
                        _ => None,
                    };
                    found.or_else(|| given.get(1).cloned()).unwrap_or(Val::None)
                }
                Method::Keys => Val::list(fields.keys().into_iter().map(Val::Str).collect()),
                Method::Values => Val::list(
                    fields
                        .entries()
                        .into_iter()
                        .map(|(_, value)| value)
                        .collect(),
                ),
                _ => Val::list(
                    fields
                        .entries()
                        .into_iter()
                        .map(|(key, value)| Val::list(vec![Val::Str(key), value]))
                        .collect(),
                ),
            })
        }
        Method::Capitalize
        | Method::Count
        | Method::EndsWith
        | Method::Join
        | Method::Lower
        | Method::LStrip
        | Method::Replace
        | Method::RStrip
        | Method::Split
        | Method::StartsWith
        | Method::Strip
        | Method::Title
        | Method::Upper => text::method(method, value, given),
    }
}

pub(super) fn number<'v, 'a>(value: &'v Val<'a>) -> Result<&'v Num<'a>, Trouble> {
    match value {
        Val::Num(number) => Ok(number),
        other => failed(format!("expected a number, found {}", other.kind())),
    }
}

/// Ansible's `bool`: a few words are true, everything else is false.
fn to_bool(value: &Val<'_>) -> bool {
    match value {
        Val::Bool(value) => *value,
        Val::Num(number) => number.as_int() == Some(1),
        Val::Str(text) => matches!(
            text.to_lowercase().as_str(),
            "true" | "yes" | "on" | "1" | "t" | "y"
        ),
        Val::Undefined(_) | Val::None | Val::List(_) | Val::Map(_) => false,
    }
}

fn to_int<'a>(value: &Val<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let fallback = || given.get(0).cloned().unwrap_or(Val::int(0));
    let from_float = |value: f64| {
        // Beyond this a double does not fit 128 bits.
        if value.is_finite() && value.abs() < 1e38 {
            Val::int(value.trunc() as i128)
        } else {
            fallback()
        }
    };
    Ok(match value {
        Val::Bool(value) => Val::int(i128::from(*value)),
        Val::Num(number) if number.is_integer() => value.clone(),
        Val::Num(number) => from_float(number.operand()?.as_f64()),
        Val::Str(text) => {
            let text = text.trim();
            match text.parse::<i128>() {
                Ok(value) => Val::int(value),
                Err(_) => text.parse::<f64>().map_or_else(|_| fallback(), from_float),
            }
        }
        Val::Undefined(_) | Val::None | Val::List(_) | Val::Map(_) => fallback(),
    })
}

fn to_float<'a>(value: &Val<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let found = match value {
        Val::Bool(value) => Some(f64::from(u8::from(*value))),
        Val::Num(number) => Some(number.operand()?.as_f64()),
        Val::Str(text) => text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite()),
        Val::Undefined(_) | Val::None | Val::List(_) | Val::Map(_) => None,
    };
    match found {
        Some(value) => Num::float(value).map(Val::Num),
        None => match given.get(0) {
            Some(value) => Ok(value.clone()),
            None => Num::float(0.0).map(Val::Num),
        },
    }
}

fn round<'a>(value: &Val<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let places = given.integer(0)?.unwrap_or(0);
    let Ok(places) = i32::try_from(places) else {
        return failed("the precision is too large");
    };
    if !(-15..=15).contains(&places) {
        return failed("the precision is too large");
    }
    let factor = 10_f64.powi(places);
    let value = number(value)?.operand()?.as_f64();
    Num::float((value * factor).round() / factor).map(Val::Num)
}

fn from_json<'a>(value: &Val<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let text = text_of(value, given.budget)?;
    given.budget.bytes(text.len())?;
    given.budget.steps(text.len() / 16)?;
    match serde_json::from_str(&text) {
        Ok(value) => Ok(Val::owned(value)),
        Err(error) => failed(format!("this is not JSON: {error}")),
    }
}

/// A shared copy of a part of a text.
pub(super) fn part<'a>(text: &Text<'a>, range: std::ops::Range<usize>) -> Option<Text<'a>> {
    match text {
        Text::Borrowed(whole) => whole.get(range).map(Text::Borrowed),
        Text::Owned(whole) => whole.get(range).map(|part| Text::Owned(Rc::from(part))),
    }
}
