//! What a rule says about storms, stored with each of its jobs: how often it
//! may fire, what it waits for, and what becomes of a firing whose key is held.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

/// The keys `when_busy`, `debounce` and `throttle` of a rule, for one firing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowPlan {
    #[serde(skip_serializing_if = "WhenBusy::is_queue")]
    pub when_busy: WhenBusy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Debounce>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
}

impl FlowPlan {
    /// Whether the rule says nothing of the kind: then nothing more must be
    /// known of other jobs than who has the key.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a firing may end jobs of its rule and key that have not begun.
    pub fn looks_at_pending(&self) -> bool {
        self.debounce.is_some() || self.when_busy == WhenBusy::Latest
    }
}

/// What becomes of a firing whose key another job holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenBusy {
    /// Its job waits for its turn.
    #[default]
    Queue,
    /// Its job waits, and those of the same rule and key that wait are ended.
    Latest,
    /// It makes no job.
    Drop,
}

impl WhenBusy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Latest => "latest",
            Self::Drop => "drop",
        }
    }

    fn is_queue(&self) -> bool {
        *self == Self::Queue
    }
}

/// A job begins when the rule has been quiet for a while; a firing before that
/// takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debounce {
    pub quiet: Duration,
    /// How long after the first firing a job begins at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// At most `limit` jobs in any window of `per`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    pub limit: NonZeroU32,
    pub per: Duration,
    /// What is counted apart, rendered; absent: the rule as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub then: Excess,
}

impl Throttle {
    /// How it is called in reasons.
    pub(super) fn words(&self) -> String {
        let words = format!("throttle: {} in {}", self.limit, span(self.per));
        match &self.by {
            Some(by) => format!("{words} for `{by}`"),
            None => words,
        }
    }
}

/// What becomes of a firing for which the window has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// It makes no job.
    #[default]
    Drop,
    /// Its job is delayed until the window has room.
    Queue,
}

impl Excess {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Queue => "queue",
        }
    }
}

/// A duration as rules write it.
pub(super) fn span(duration: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let millis = duration.as_millis();
    let unit = UNITS
        .into_iter()
        .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    match unit {
        Some((unit, letter)) => format!("{}{letter}", millis / unit),
        None => format!("{millis}ms"),
    }
}
