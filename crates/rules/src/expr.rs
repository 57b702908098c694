//! Conditions: Jinja expressions that are true, false or unknown.

use model::{
    event::Event,
    id::JobId,
    json::Object,
    verdict::{Trace, Truth},
};

/// What conditions and templates may name: `event`, `msg`, `rule`, `job`,
/// `attempt` and `result`.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub event: &'a Event,
    pub rule: &'a str,
    pub job: Option<&'a JobId>,
    pub attempt: Option<u32>,
    pub result: Option<&'a Object>,
}

impl<'a> Scope<'a> {
    /// The scope of a condition, a key: no job exists yet.
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
    /// In bytes, at least 1 unless the text is empty.
    pub len: usize,
    /// What to write instead.
    pub hint: Option<String>,
}

/// A parsed condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {}

impl Condition {
    pub fn parse(_text: &str) -> Result<Self, ExprError> {
        Ok(Self {})
    }

    /// The hot path: no trace, stops as soon as the answer is certain.
    pub fn holds(&self, _scope: &Scope<'_>) -> Truth {
        Truth::Unknown
    }

    /// The answer with every sub-condition, the whole first.
    pub fn trace(&self, _scope: &Scope<'_>) -> (Truth, Vec<Trace>) {
        (Truth::Unknown, Vec::new())
    }

    /// The answer of a condition that uses no name at all.
    pub fn constant(&self) -> Option<Truth> {
        None
    }

    /// The names used, such as `event.body.status`.
    pub fn paths(&self) -> Vec<String> {
        Vec::new()
    }
}
