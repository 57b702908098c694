//! Expressions as text that parses to the same tree.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::tree::{Args, Each, Expr, Is, Math};
use crate::filters::{Filter, Method, Test};

/// How tightly an expression binds; what binds less than its place asks for is
/// put in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    If,
    Or,
    And,
    Not,
    Compare,
    Add,
    Concat,
    Mul,
    Pow,
    Unary,
    Primary,
}

impl Level {
    fn tighter(self) -> Self {
        match self {
            Self::If => Self::Or,
            Self::Or => Self::And,
            Self::And => Self::Not,
            Self::Not => Self::Compare,
            Self::Compare => Self::Add,
            Self::Add => Self::Concat,
            Self::Concat => Self::Mul,
            Self::Mul => Self::Pow,
            Self::Pow => Self::Unary,
            Self::Unary | Self::Primary => Self::Primary,
        }
    }
}

fn level(expr: &Expr) -> Level {
    match expr {
        Expr::If(_) => Level::If,
        Expr::Or(_) => Level::Or,
        Expr::And(_) => Level::And,
        Expr::Not(_) => Level::Not,
        Expr::Compare(..) => Level::Compare,
        Expr::Math(op, ..) => math_level(*op),
        Expr::Neg(_) | Expr::Filter(..) => Level::Unary,
        Expr::Each(Each::Map | Each::Select | Each::Reject, ..) => Level::Unary,
        // A test takes what follows it for its argument, so it gets parentheses
        // wherever something can follow.
        Expr::Test(_) | Expr::Each(Each::Any | Each::NotAny, ..) => Level::Compare,
        Expr::Const(Value::Number(number)) if number.as_str().starts_with('-') => Level::Unary,
        Expr::Const(_)
        | Expr::Name(_)
        | Expr::It
        | Expr::Attr(..)
        | Expr::Item(..)
        | Expr::Slice(..)
        | Expr::Call(..)
        | Expr::List(_)
        | Expr::Map(_) => Level::Primary,
    }
}

fn math_level(op: Math) -> Level {
    match op {
        Math::Add | Math::Sub => Level::Add,
        Math::Concat => Level::Concat,
        Math::Mul | Math::Div | Math::FloorDiv | Math::Rem => Level::Mul,
        Math::Pow => Level::Pow,
    }
}

/// An expression at a place that asks for `1`.
struct At<'a>(&'a Expr, Level);

impl Display for At<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if level(self.0) < self.1 {
            write!(f, "({})", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Const(value) => constant(f, value),
            Self::Name(name) => f.write_str(name.as_str()),
            Self::It => f.write_str("item"),
            Self::Attr(of, key) => {
                // A number would take the dot for its fraction.
                let is_number = matches!(**of, Self::Const(Value::Number(_)));
                if is_number {
                    write!(f, "({of})")?;
                } else {
                    write!(f, "{}", At(of, Level::Primary))?;
                }
                if is_identifier(key) {
                    write!(f, ".{key}")
                } else {
                    write!(f, "[{}]", Quoted(key))
                }
            }
            Self::Item(of, key) => write!(f, "{}[{key}]", At(of, Level::Primary)),
            Self::Slice(of, bounds) => {
                let [start, stop, step] = &**bounds;
                write!(f, "{}[", At(of, Level::Primary))?;
                if let Some(start) = start {
                    write!(f, "{start}")?;
                }
                f.write_str(":")?;
                if let Some(stop) = stop {
                    write!(f, "{stop}")?;
                }
                if let Some(step) = step {
                    write!(f, ":{step}")?;
                }
                f.write_str("]")
            }
            Self::Not(of) => write!(f, "not {}", At(of, Level::Not)),
            Self::Neg(of) => {
                // Filters and tests would be applied after the sign.
                if matches!(**of, Self::Filter(..) | Self::Test(_) | Self::Each(..)) {
                    write!(f, "-({of})")
                } else {
                    write!(f, "-{}", At(of, Level::Unary))
                }
            }
            Self::And(parts) => joined(f, parts, " and ", Level::Not),
            Self::Or(parts) => joined(f, parts, " or ", Level::And),
            Self::Compare(first, rest) => {
                write!(f, "{}", At(first, Level::Add))?;
                for (op, right) in rest {
                    write!(f, " {} {}", op.as_str(), At(right, Level::Add))?;
                }
                Ok(())
            }
            Self::Math(op, left, right) => {
                let level = math_level(*op);
                write!(
                    f,
                    "{} {} {}",
                    At(left, level),
                    op.as_str(),
                    At(right, level.tighter())
                )
            }
            Self::If(choice) => {
                write!(
                    f,
                    "{} if {}",
                    At(&choice.yes, Level::Add),
                    At(&choice.test, Level::Or)
                )?;
                match &choice.no {
                    Some(no) => write!(f, " else {no}"),
                    None => Ok(()),
                }
            }
            Self::Filter(of, filter, args) => {
                let spec = filter.spec();
                write!(f, "{} | {}", At(of, Level::Unary), spec.name)?;
                arguments(f, spec.params, args, Parens::WhenNeeded)
            }
            Self::Test(is) => {
                write!(f, "{} is ", At(&is.of, Level::Unary))?;
                if is.is_not {
                    f.write_str("not ")?;
                }
                let spec = is.test.spec();
                f.write_str(spec.name)?;
                arguments(f, spec.params, &is.args, Parens::WhenNeeded)
            }
            Self::Call(of, method, args) => {
                let spec = method.spec();
                let is_number = matches!(**of, Self::Const(Value::Number(_)));
                if is_number {
                    write!(f, "({of}).{}", spec.name)?;
                } else {
                    write!(f, "{}.{}", At(of, Level::Primary), spec.name)?;
                }
                arguments(f, spec.params, args, Parens::Always)
            }
            Self::Each(each, of, body) => each_item(f, *each, of, body),
            Self::List(items) => {
                f.write_str("[")?;
                joined(f, items, ", ", Level::If)?;
                f.write_str("]")
            }
            Self::Map(fields) => {
                f.write_str("{")?;
                for (index, (key, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}: {value}", Quoted(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Expr], between: &str, level: Level) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{}", At(part, level))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parens {
    Always,
    WhenNeeded,
}

fn arguments(f: &mut Formatter<'_>, params: &[&str], args: &Args, parens: Parens) -> fmt::Result {
    let is_empty = args.slots.iter().all(Option::is_none);
    if is_empty && parens == Parens::WhenNeeded {
        return Ok(());
    }
    f.write_str("(")?;
    slots(f, params, args, true)?;
    f.write_str(")")
}

/// Arguments by position as far as there is no gap, then by name.
fn slots(f: &mut Formatter<'_>, params: &[&str], args: &Args, mut is_first: bool) -> fmt::Result {
    let mut is_gap = false;
    for (param, slot) in params.iter().zip(&args.slots) {
        let Some(value) = slot else {
            is_gap = true;
            continue;
        };
        if !is_first {
            f.write_str(", ")?;
        }
        is_first = false;
        if is_gap {
            write!(f, "{param}={value}")?;
        } else {
            write!(f, "{value}")?;
        }
    }
    Ok(())
}

/// `map('upper')`, `selectattr('state', 'eq', 'done')` and their like.
fn each_item(f: &mut Formatter<'_>, each: Each, of: &Expr, body: &Expr) -> fmt::Result {
    write!(f, "{} ", At(of, Level::Unary))?;
    match each {
        Each::Map => return map_item(f, body),
        Each::Select | Each::Reject => f.write_str("| ")?,
        Each::Any => f.write_str("is ")?,
        Each::NotAny => f.write_str("is not ")?,
    }
    f.write_str(match each {
        Each::Map | Each::Select | Each::Any | Each::NotAny => "select",
        Each::Reject => "reject",
    })?;
    let (subject, test) = match body {
        Expr::Test(is) => (&is.of, Some(is)),
        other => (other, None),
    };
    let path = item_path(subject);
    if path.is_none() && test.is_none() {
        return Ok(());
    }
    f.write_str(if path.is_some() { "attr(" } else { "(" })?;
    if let Some(path) = &path {
        write!(f, "{}", Quoted(path))?;
    }
    if let Some(is) = test {
        if path.is_some() {
            f.write_str(", ")?;
        }
        let Is {
            is_not, test, args, ..
        } = &**is;
        let not = if *is_not { "not " } else { "" };
        write!(f, "\"{not}{}\"", test.spec().name)?;
        slots(f, test.spec().params, args, false)?;
    }
    f.write_str(")")
}

fn map_item(f: &mut Formatter<'_>, body: &Expr) -> fmt::Result {
    f.write_str("| map(")?;
    match body {
        Expr::Filter(of, Filter::Default, args) if item_path(of).is_some() => {
            let path = item_path(of).unwrap_or_default();
            write!(f, "attribute={}", Quoted(&path))?;
            if let Some(default) = args.get(0) {
                write!(f, ", default={default}")?;
            }
        }
        Expr::Filter(_, filter, args) => {
            let spec = filter.spec();
            write!(f, "\"{}\"", spec.name)?;
            slots(f, spec.params, args, false)?;
        }
        other => {
            let path = item_path(other).unwrap_or_default();
            write!(f, "attribute={}", Quoted(&path))?;
        }
    }
    f.write_str(")")
}

/// The dotted path from the item to what is looked at; none for the item.
fn item_path(expr: &Expr) -> Option<String> {
    let (of, step) = match expr {
        Expr::Attr(of, key) => (of, key.clone()),
        Expr::Item(of, key) => (of, key.to_string()),
        _ => return None,
    };
    Some(match item_path(of) {
        Some(before) => format!("{before}.{step}"),
        None => step,
    })
}

fn constant(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Null => f.write_str("none"),
        Value::Bool(value) => write!(f, "{value}"),
        Value::Number(number) => f.write_str(number.as_str()),
        Value::String(text) => write!(f, "{}", Quoted(text)),
        Value::Array(items) => {
            f.write_str("[")?;
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                constant(f, item)?;
            }
            f.write_str("]")
        }
        Value::Object(fields) => {
            f.write_str("{")?;
            for (index, (key, item)) in fields.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{}: ", Quoted(key))?;
                constant(f, item)?;
            }
            f.write_str("}")
        }
    }
}

/// A string literal. JSON's escapes are Jinja's.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

pub(super) fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|first| first == '_' || first.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)
    }
}

impl Display for Method {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)
    }
}
