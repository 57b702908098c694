//! Rule files become checked, indexed rules, and rules judge events.
//!
//! Everything in here is pure: the same text, listing and event give the same
//! answer at any time, so a stored revision can explain an old event.

mod code;
mod filters;
mod index;
mod lint;
mod listing;
mod rule;
mod ruleset;
mod step;
mod suggest;
mod value;

pub mod cases;
pub mod expr;
pub mod render;
pub mod schema;
pub mod template;
pub mod yaml;

pub use code::Code;
pub use lint::{Doubt, Feeds, Need, lint, needs, unseen};
pub use listing::Surroundings;
pub use rule::{Mode, Rule, StepSummary};
pub use ruleset::{Checked, RuleSet, check, compile};
pub use step::{LiteralPlaybook, Prepared, RenderError, StepScope};
