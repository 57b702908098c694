//! What rules decided about an event, and why.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::{EventId, JobId, Revision, RuleName},
    job::JobPlan,
};

/// The six things a rule can say about an event. `no_match` is not stored:
/// it is recomputed from the event and the revision that judged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fired,
    NoMatch,
    Suppressed,
    /// The rule is on trial: it would have fired, and nothing was done.
    Shadow,
    Duplicate,
    Error,
}

impl Verdict {
    pub const ALL: [Self; 6] = [
        Self::Fired,
        Self::NoMatch,
        Self::Suppressed,
        Self::Shadow,
        Self::Duplicate,
        Self::Error,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::NoMatch => "no_match",
            Self::Suppressed => "suppressed",
            Self::Shadow => "shadow",
            Self::Duplicate => "duplicate",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The three truth values of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
        })
    }
}

/// One sub-condition of a rule, as it was evaluated for one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The expression, printed.
    pub expr: String,
    /// What its left side was; absent when undefined or not a comparison.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    pub result: Truth,
    /// Why it is unknown, or which name was undefined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// Nesting inside `and`, `or` and `not`, from 0.
    #[serde(default)]
    pub depth: usize,
}

/// What the rules alone say, before anything that depends on other events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub rule: RuleName,
    pub firing: Firing,
}

/// Topic and condition held, and this is what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firing {
    /// The rule fires; the plan is what the store needs to know of it.
    Fire(JobPlan),
    /// The rule holds itself back, for example for a playbook that is missing.
    Suppress { reason: String },
    /// The rule is on trial (`mode: shadow`): this is what would have followed.
    Shadow { reason: String },
    /// The rule matched and its key or variables cannot be computed.
    Error { reason: String },
}

/// A verdict as it is stored: never `no_match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVerdict {
    pub event_id: EventId,
    pub rule: RuleName,
    pub revision: Revision,
    pub verdict: Verdict,
    pub reason: String,
    pub job_id: Option<JobId>,
}

/// A verdict with its trace, as the API and `lariat explain` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub rule: RuleName,
    pub revision: Revision,
    pub verdict: Verdict,
    pub reason: String,
    pub job_id: Option<JobId>,
    pub conditions: Vec<Trace>,
}
