//! All rules of a project at one moment.

use std::sync::Arc;

use model::{
    diagnostic::Diagnostic,
    event::Event,
    id::{Revision, RuleName},
    json::hex,
    ports::ProjectText,
    verdict::{Decision, Explanation},
};
use sha2::{Digest, Sha256};

use crate::rule::Rule;

/// Rules without an error in them.
#[derive(Debug)]
pub struct Checked {
    pub rules: RuleSet,
    pub warnings: Vec<Diagnostic>,
}

/// Checks the rules of a project and reports everything at once: `Err` holds
/// at least one error, and the warnings.
pub fn compile(text: Arc<ProjectText>) -> Result<Checked, Vec<Diagnostic>> {
    let revision = revision(&text);
    Ok(Checked {
        rules: RuleSet {
            revision,
            text,
            rules: Vec::new(),
        },
        warnings: Vec::new(),
    })
}

fn revision(text: &ProjectText) -> Revision {
    let mut hasher = Sha256::new();
    let mut feed = |kind: u8, text: &str| {
        hasher.update([kind]);
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for (path, content) in &text.files {
        feed(b'f', path);
        feed(b't', content);
    }
    for path in &text.listing {
        feed(b'l', path);
    }
    hex(&hasher.finalize())
        .parse()
        .expect("64 hexadecimal digits are a revision")
}

/// Checked rules with their index.
#[derive(Debug)]
pub struct RuleSet {
    revision: Revision,
    text: Arc<ProjectText>,
    rules: Vec<Rule>,
}

impl RuleSet {
    /// SHA-256 over the rule files and the listing.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    pub fn text(&self) -> &Arc<ProjectText> {
        &self.text
    }

    /// What the rules that match decide, in rule order.
    pub fn judge(&self, _event: &Event) -> Vec<Decision> {
        Vec::new()
    }

    /// What every rule, or the one asked for, decides and why.
    pub fn explain(&self, _event: &Event, _rule: Option<&RuleName>) -> Vec<Explanation> {
        Vec::new()
    }

    pub fn rule(&self, name: &RuleName) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name() == name)
    }

    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}
