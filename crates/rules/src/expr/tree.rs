//! The expression tree, owned and free of the parser's types.
//!
//! A tree is canonical: printing it and parsing the text gives an equal tree.
//! `and` and `or` hold all their operands in one node, `not in` and `is not`
//! are operators of their own, constant lists and mappings are constants, and
//! `a["b"]` is `a.b`.

use regex::Regex;
use serde_json::Value;

use crate::filters::{Cost, Filter, Method, Test};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Const(Value),
    Name(Name),
    /// The item that `map`, `select` and their like look at.
    It,
    Attr(Box<Self>, String),
    Item(Box<Self>, Box<Self>),
    Slice(Box<Self>, Box<[Option<Self>; 3]>),
    Not(Box<Self>),
    Neg(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    /// `a < b <= c` is one comparison.
    Compare(Box<Self>, Vec<(Comparison, Self)>),
    Math(Math, Box<Self>, Box<Self>),
    If(Box<Choice>),
    Filter(Box<Self>, Filter, Args),
    Test(Box<Is>),
    Call(Box<Self>, Method, Args),
    /// One expression for each item of a list.
    Each(Each, Box<Self>, Box<Self>),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) test: Expr,
    pub(crate) yes: Expr,
    pub(crate) no: Option<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Is {
    pub(crate) of: Expr,
    pub(crate) is_not: bool,
    pub(crate) test: Test,
    pub(crate) args: Args,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Event,
    Msg,
    Rule,
    Job,
    Attempt,
    Result,
    /// A variable of the template itself: `for`, `set`.
    Local(String),
}

impl Name {
    pub(crate) const WORDS: [&'static str; 6] =
        ["event", "msg", "rule", "job", "attempt", "result"];

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "event" => Self::Event,
            "msg" => Self::Msg,
            "rule" => Self::Rule,
            "job" => Self::Job,
            "attempt" => Self::Attempt,
            "result" => Self::Result,
            _ => return None,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Event => "event",
            Self::Msg => "msg",
            Self::Rule => "rule",
            Self::Job => "job",
            Self::Attempt => "attempt",
            Self::Result => "result",
            Self::Local(name) => name,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

impl Comparison {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Math {
    Add,
    Sub,
    Concat,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

impl Math {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Concat => "~",
            Self::Mul => "*",
            Self::Div => "/",
            Self::FloorDiv => "//",
            Self::Rem => "%",
            Self::Pow => "**",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Each {
    Map,
    Select,
    Reject,
    /// ansible-rulebook's `is select` and `is selectattr`: any item will do.
    Any,
    NotAny,
}

/// Arguments by the parameters they fill, and the pattern among them when it
/// is constant.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Args {
    pub(crate) slots: Vec<Option<Expr>>,
    pub(crate) pattern: Option<Pattern>,
}

impl Args {
    pub(crate) fn get(&self, index: usize) -> Option<&Expr> {
        self.slots.get(index).and_then(Option::as_ref)
    }
}

/// A regular expression, equal to another when its text is.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) regex: Regex,
    pub(crate) cost: Cost,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Expr {
    /// The expressions right below this one.
    pub(crate) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Const(_) | Self::Name(_) | Self::It => Vec::new(),
            Self::Attr(of, _) | Self::Not(of) | Self::Neg(of) => vec![of],
            Self::Item(of, key) => vec![of, key],
            Self::Slice(of, bounds) => std::iter::once(&**of)
                .chain(bounds.iter().flatten())
                .collect(),
            Self::And(parts) | Self::Or(parts) | Self::List(parts) => parts.iter().collect(),
            Self::Compare(first, rest) => std::iter::once(&**first)
                .chain(rest.iter().map(|(_, expr)| expr))
                .collect(),
            Self::Math(_, left, right) => vec![left, right],
            Self::If(choice) => [&choice.yes, &choice.test]
                .into_iter()
                .chain(choice.no.as_ref())
                .collect(),
            Self::Filter(of, _, args) | Self::Call(of, _, args) => std::iter::once(&**of)
                .chain(args.slots.iter().flatten())
                .collect(),
            Self::Test(is) => std::iter::once(&is.of)
                .chain(is.args.slots.iter().flatten())
                .collect(),
            Self::Each(_, of, body) => vec![of, body],
            Self::Map(fields) => fields.iter().map(|(_, value)| value).collect(),
        }
    }

    /// Whether a name that `wanted` accepts is used anywhere.
    pub(crate) fn uses(&self, wanted: &dyn Fn(&Name) -> bool) -> bool {
        match self {
            Self::Name(name) => wanted(name),
            other => other.children().into_iter().any(|child| child.uses(wanted)),
        }
    }

    /// The longest dotted names in here, in order, each once.
    pub(crate) fn collect_paths(&self, into: &mut Vec<String>) {
        if self.is_path() {
            let path = self.to_string();
            if !into.contains(&path) {
                into.push(path);
            }
            return;
        }
        for child in self.children() {
            child.collect_paths(into);
        }
    }

    /// A name, followed by attributes only.
    pub(crate) fn is_path(&self) -> bool {
        match self {
            Self::Name(_) => true,
            Self::Attr(of, _) => of.is_path(),
            _ => false,
        }
    }
}
