//! Conditions: Jinja expressions that are true, false or unknown.
//!
//! The language is Jinja's, as Ansible's users know it, on JSON's values:
//!
//! - A part that uses something undefined, orders values of different kinds, or
//!   cannot be computed (division by zero) is *unknown*. `and`, `or` and `not`
//!   follow Kleene. `is defined`, `is undefined` and `default` accept undefined.
//! - Values of different kinds are not equal. A truth value is no number:
//!   `true == 1` is false. Numbers are compared by their exact value.
//! - A condition whose value is no truth value counts as in Jinja: empty texts,
//!   lists and mappings, zero and none are false.
//! - Parentheses around several items make a list.
//! - Regular expressions are those of the `regex` crate: linear in time, without
//!   look-around.
//!
//! Templates share everything but the three values; see `template.rs`.

mod convert;
mod eval;
mod math;
mod needs;
mod parse;
mod print;
pub(crate) mod tree;
mod truth;

use std::sync::OnceLock;

use model::{
    event::Event,
    id::JobId,
    json::Object,
    verdict::{Trace, Truth},
};

pub(crate) use convert::{Converter, Names};
pub(crate) use eval::Machine;
pub(crate) use needs::{Fact, Is, Need};
pub(crate) use parse::{Place, explain, look_over};
use tree::Expr;

/// What conditions and templates may name: `event`, `msg` (its body), `rule`,
/// and in steps `job`, `attempt` and `result`. What is absent is undefined.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub event: &'a Event,
    pub rule: &'a str,
    pub job: Option<&'a JobId>,
    pub attempt: Option<u32>,
    pub result: Option<&'a Object>,
}

impl<'a> Scope<'a> {
    /// The scope of a condition or a key: there is no job yet.
    pub fn of_event(event: &'a Event, rule: &'a str) -> Self {
        Self {
            event,
            rule,
            job: None,
            attempt: None,
            result: None,
        }
    }
}

/// A text that is not an expression or a template, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    pub message: String,
    /// In bytes, from the start of the given text.
    pub offset: usize,
    /// In bytes; 0 at the end of the text.
    pub len: usize,
    /// What to write instead.
    pub hint: Option<String>,
    /// What else is wrong with the same text.
    more: Vec<Self>,
}

impl ExprError {
    pub(crate) fn new(message: impl Into<String>, offset: usize, len: usize) -> Self {
        Self {
            message: message.into(),
            offset,
            len,
            hint: None,
            more: Vec::new(),
        }
    }

    /// This one and another of the same text.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.more.extend(other.each());
        self
    }

    /// Every error of the text, in its order.
    pub(crate) fn each(mut self) -> impl Iterator<Item = Self> {
        let more = std::mem::take(&mut self.more);
        std::iter::once(self).chain(more)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A condition that was parsed without an error.
#[derive(Debug, Clone)]
pub struct Condition {
    text: Box<str>,
    /// Absent while nobody asks: most of many conditions are never evaluated,
    /// and a tree takes ten times the memory of its text.
    tree: OnceLock<Box<Expr>>,
}

impl Condition {
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let tree = parse::condition(text)?;
        Ok(Self {
            text: text.into(),
            tree: OnceLock::from(Box::new(tree)),
        })
    }

    /// The same without its tree, which comes again with the first question.
    #[must_use]
    pub(crate) fn folded(self) -> Self {
        Self {
            tree: OnceLock::new(),
            ..self
        }
    }

    /// What an event must say for the condition to be true. The tree is not
    /// kept for this.
    pub(crate) fn needs(&self) -> Vec<Need> {
        match self.tree.get() {
            Some(tree) => needs::needs(tree),
            None => needs::needs(&self.parse_again()),
        }
    }

    fn tree(&self) -> &Expr {
        self.tree.get_or_init(|| Box::new(self.parse_again()))
    }

    fn parse_again(&self) -> Expr {
        parse::condition(&self.text).expect("a text that was parsed once can be parsed again")
    }

    /// The condition as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The hot path: no trace, stops as soon as the answer is certain.
    pub fn holds(&self, scope: &Scope<'_>) -> Truth {
        truth::holds(self.tree(), Some(*scope))
    }

    /// The answer with every sub-condition, the whole first, then its parts.
    pub fn trace(&self, scope: &Scope<'_>) -> (Truth, Vec<Trace>) {
        let mut traces = Vec::new();
        let truth = truth::trace(self.tree(), Some(*scope), 0, &mut traces);
        (truth, traces)
    }

    /// The answer, when it is the same for every event: the condition uses no
    /// name, or what uses none decides it.
    pub fn constant(&self) -> Option<Truth> {
        truth::fixed(self.tree())
    }

    /// The names used, such as `event.body.status`, each once.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.tree().collect_paths(&mut paths);
        paths
    }
}

/// Conditions are the same when they mean the same, however they are spaced.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.tree() == other.tree()
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.tree().fmt(f)
    }
}

#[cfg(test)]
pub(crate) mod tests;
