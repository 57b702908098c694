//! All rules of a project at one moment: checked together, indexed by topic and
//! content.

mod read;

use std::sync::Arc;

use model::{
    diagnostic::{Diagnostic, Level},
    event::Event,
    id::{Revision, RuleName},
    json::hex,
    ports::ProjectText,
    verdict::{Decision, Explanation, Firing, Trace, Truth, Verdict},
};
use sha2::{Digest, Sha256};

use crate::{
    expr::Need,
    index::{Entry, Index},
    listing::{Listing, Surroundings},
    rule::{Mode, Rule},
    suggest,
    yaml::shorten,
};

/// Rules without an error in them.
#[derive(Debug)]
pub struct Checked {
    pub rules: RuleSet,
    /// Warnings and notes.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles rules that were checked once: whether the sinks that they publish
/// to still exist, and their accounts are still granted, is not asked. `Err` is as that of [`check`].
pub fn compile(text: Arc<ProjectText>) -> Result<Checked, Vec<Diagnostic>> {
    let listing = Listing::new(&text.listing);
    checked(text, listing)
}

/// Checks the rules of a project in its surroundings, and reports everything
/// at once: `Err` holds at least one error, and the warnings.
pub fn check(text: Arc<ProjectText>, around: Surroundings) -> Result<Checked, Vec<Diagnostic>> {
    let listing = Listing::new(&text.listing).within(around);
    checked(text, listing)
}

fn checked(text: Arc<ProjectText>, listing: Listing) -> Result<Checked, Vec<Diagnostic>> {
    let (rules, findings) = read::read(&text.files, &Arc::new(listing));
    if findings.iter().any(|found| found.level == Level::Error) {
        return Err(findings);
    }
    Ok(Checked {
        rules: RuleSet::new(text, rules),
        warnings: findings,
    })
}

/// Checked rules with their index.
#[derive(Debug)]
pub struct RuleSet {
    revision: Revision,
    text: Arc<ProjectText>,
    /// In rule order: by path of the file, then as they stand in it.
    rules: Vec<Rule>,
    /// Positions in `rules`, by name.
    by_name: Box<[u32]>,
    index: Index,
}

impl RuleSet {
    fn new(text: Arc<ProjectText>, rules: Vec<Rule>) -> Self {
        // When all that stays has its place: what goes again leaves no gaps
        // between it, through which every later allocation would have to search.
        let needs: Vec<Vec<Need>> = rules.iter().map(Rule::needs).collect();
        let entries: Vec<Entry<'_>> = (0_u32..)
            .zip(rules.iter().zip(needs))
            .filter(|(_, (rule, _))| rule.mode() != Mode::Off)
            .map(|(number, (rule, needs))| Entry {
                number,
                on: rule.on(),
                needs,
            })
            .collect();
        let index = Index::new(&entries);
        drop(entries);
        let mut by_name: Box<[u32]> = (0_u32..).zip(&rules).map(|(number, _)| number).collect();
        by_name.sort_unstable_by_key(|number| rules.get(*number as usize).map(Rule::name));
        Self {
            revision: revision(&text),
            text,
            rules,
            by_name,
            index,
        }
    }

    /// SHA-256 over the rule files and the listing.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    pub fn text(&self) -> &Arc<ProjectText> {
        &self.text
    }

    #[cfg(test)]
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// What the rules that match decide, in rule order.
    pub fn judge(&self, event: &Event) -> Vec<Decision> {
        let candidates = self.index.find(event);
        let mut decisions = Vec::new();
        for number in &candidates {
            let Some(rule) = self.rules.get(*number as usize) else {
                continue;
            };
            if !rule.holds(event) {
                continue;
            }
            if decisions.is_empty() {
                // Decisions are large, and most events have none.
                decisions.reserve_exact(candidates.len());
            }
            decisions.push(Decision {
                rule: rule.name().clone(),
                firing: rule.fire(event),
            });
        }
        decisions
    }

    /// What every rule, or the one asked for, decides and why.
    pub fn explain(&self, event: &Event, rule: Option<&RuleName>) -> Vec<Explanation> {
        match rule {
            Some(name) => self
                .rule(name)
                .into_iter()
                .map(|rule| self.explain_rule(rule, event))
                .collect(),
            None => self
                .rules
                .iter()
                .map(|rule| self.explain_rule(rule, event))
                .collect(),
        }
    }

    pub fn rule(&self, name: &RuleName) -> Option<&Rule> {
        let rule = |number: &u32| self.rules.get(*number as usize);
        let found = self
            .by_name
            .binary_search_by_key(&Some(name), |number| rule(number).map(Rule::name));
        self.by_name.get(found.ok()?).and_then(rule)
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

    fn explain_rule(&self, rule: &Rule, event: &Event) -> Explanation {
        let (verdict, reason, conditions) = verdict(rule, event);
        let mut explanation = Explanation {
            rule: rule.name().clone(),
            revision: self.revision.clone(),
            verdict,
            reason,
            job_id: None,
            conditions,
        };
        suggest::explain(&mut explanation, event);
        explanation
    }
}

fn verdict(rule: &Rule, event: &Event) -> (Verdict, String, Vec<Trace>) {
    if rule.mode() == Mode::Off {
        let reason = "the rule is off (`mode: off`)".to_owned();
        return (Verdict::NoMatch, reason, Vec::new());
    }
    if !rule.is_about(event) {
        return (Verdict::NoMatch, topic_reason(rule, event), Vec::new());
    }
    let (truth, traces) = rule.trace(event);
    match truth {
        Truth::True => {}
        Truth::False => {
            return (
                Verdict::NoMatch,
                "the condition is false".to_owned(),
                traces,
            );
        }
        Truth::Unknown => {
            let reason = match unknown_note(&traces) {
                Some(note) => format!("the condition is unknown: {note}"),
                None => "the condition is unknown".to_owned(),
            };
            return (Verdict::NoMatch, reason, traces);
        }
    }
    let (verdict, reason) = match rule.fire(event) {
        Firing::Fire(_) if traces.is_empty() => (Verdict::Fired, "the topic matches".to_owned()),
        Firing::Fire(_) => (
            Verdict::Fired,
            "the topic matches and the condition is true".to_owned(),
        ),
        Firing::Suppress { reason } => (Verdict::Suppressed, reason),
        Firing::Shadow { reason } => (Verdict::Shadow, reason),
        Firing::Error { reason } => (Verdict::Error, reason),
    };
    (verdict, reason, traces)
}

fn topic_reason(rule: &Rule, event: &Event) -> String {
    let patterns: Vec<String> = rule
        .on()
        .iter()
        .take(5)
        .map(|pattern| format!("`{}`", shorten(&pattern.to_string())))
        .collect();
    let more = match rule.on().len().saturating_sub(patterns.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let matches = if rule.on().len() == 1 {
        "does not match"
    } else {
        "matches none of"
    };
    let engine = if event.topic.is_reserved() {
        "; topics of the engine are matched only by patterns that start with `lariat`"
    } else {
        ""
    };
    format!(
        "topic `{}` {matches} {}{more}{engine}",
        event.topic,
        patterns.join(", ")
    )
}

/// Why the condition is unknown: the innermost part that says so.
fn unknown_note(traces: &[Trace]) -> Option<&str> {
    traces
        .iter()
        .filter(|trace| trace.result == Truth::Unknown)
        .filter_map(|trace| trace.note.as_deref().map(|note| (trace.depth, note)))
        .reduce(|deepest, next| if next.0 > deepest.0 { next } else { deepest })
        .map(|(_, note)| note)
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
    let mut listing: Vec<&String> = text.listing.iter().collect();
    listing.sort_unstable();
    for path in listing {
        feed(b'l', path);
    }
    hex(&hasher.finalize())
        .parse()
        .expect("64 hexadecimal digits are a revision")
}

#[cfg(test)]
mod tests;
