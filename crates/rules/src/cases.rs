//! Test files: events, and what the rules must make of them.
//!
//! A file is a list of cases. All that is wrong with it is recorded like what
//! is wrong with rules; only a case without an error comes out. Running a case
//! judges its event as the service would, apart from what depends on other
//! events.

mod read;
mod run;

use std::{collections::BTreeSet, sync::Arc};

use model::{
    event::Event,
    id::RuleName,
    json::Object,
    verdict::{Explanation, Verdict},
};
use serde_json::Value;

pub use read::{Source, Unusable, read_cases, usual};

/// One event with what is expected of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// As the file says, or the topic of its event.
    pub name: String,
    /// Relative to the project.
    pub file: Arc<str>,
    pub line: usize,
    pub event: Arc<Event>,
    /// All rules that fire.
    pub fires: Vec<Expected>,
    /// All rules that hold themselves back; absent: any may.
    pub suppressed: Option<BTreeSet<RuleName>>,
    /// All rules whose key or templates cannot be computed.
    pub error: BTreeSet<RuleName>,
}

/// One firing that a case expects.
#[derive(Debug, Clone)]
pub struct Expected {
    pub rule: RuleName,
    /// Absent: any, or none.
    pub key: Option<String>,
    /// Variables of the rule's playbooks; those that are not named may be
    /// anything.
    pub vars: Object,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Empty: the case passes.
    pub surprises: Vec<Surprise>,
    /// Why, for each rule that surprised.
    pub explanations: Vec<Explanation>,
}

impl Outcome {
    pub fn passes(&self) -> bool {
        self.surprises.is_empty()
    }
}

/// One difference between what a case says and what the rules do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surprise {
    pub rule: RuleName,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Verdict {
        expected: Verdict,
        got: Verdict,
    },
    /// Absent: the rule has no key.
    Key {
        expected: String,
        got: Option<String>,
    },
    /// Absent: no playbook of the rule has such a variable.
    Variable {
        name: String,
        expected: Value,
        got: Option<Value>,
        /// Why there is none, or what was probably meant.
        note: Option<String>,
    },
}

#[cfg(test)]
mod tests;
