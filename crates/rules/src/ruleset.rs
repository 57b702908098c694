//! All rules of a project at one moment: checked together, indexed by topic and
//! content.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use model::{
    diagnostic::{Diagnostic, Level},
    event::Event,
    id::{Revision, RuleName, SinkName},
    json::hex,
    ports::ProjectText,
    verdict::{Decision, Explanation, Firing, Trace, Truth, Verdict},
};
use sha2::{Digest, Sha256};

use crate::{
    expr::Need,
    index::{Entry, Index},
    listing::Listing,
    rule::{Known, Mode, Rule, read_rules},
    yaml::{Reader, shorten},
};
    suggest,

/// Rules without an error in them.
#[derive(Debug)]
pub struct Checked {
    pub rules: RuleSet,
    /// Warnings and notes.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles rules that were checked once: whether the sinks that they publish
/// to still exist is not asked. `Err` is as that of [`check`].
pub fn compile(text: Arc<ProjectText>) -> Result<Checked, Vec<Diagnostic>> {
    let listing = Listing::new(&text.listing);
    read(text, listing)
}

/// Checks the rules of a project, which has these sinks, and reports everything
/// at once: `Err` holds at least one error, and the warnings.
pub fn check(
    text: Arc<ProjectText>,
    sinks: &BTreeSet<SinkName>,
) -> Result<Checked, Vec<Diagnostic>> {
    let listing = Listing::new(&text.listing).with_sinks(sinks);
    read(text, listing)
}

fn read(text: Arc<ProjectText>, listing: Listing) -> Result<Checked, Vec<Diagnostic>> {
    let mut known = Known {
        listing: Arc::new(listing),
        names: HashMap::new(),
    };
    let mut rules = Vec::new();
    let mut findings = Vec::new();
    for (file, content) in &text.files {
        let mut reader = Reader::new(file, content);
        read_rules(&mut reader, &mut known, &mut rules);
        findings.extend(reader.finish());
    }
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
    names: HashMap<RuleName, usize>,
    index: Index,
}

impl RuleSet {
    fn new(text: Arc<ProjectText>, mut rules: Vec<Rule>) -> Self {
        let needs: Vec<Vec<Need>> = rules.iter_mut().map(Rule::take_needs).collect();
        let entries: Vec<Entry<'_>> = (0_u32..)
            .zip(rules.iter().zip(needs))
            .filter(|(_, (rule, _))| rule.mode() == Mode::Live)
            .map(|(number, (rule, needs))| Entry {
                number,
                on: rule.on(),
                needs,
            })
            .collect();
        let index = Index::new(&entries);
        drop(entries);
        let names = rules
            .iter()
            .enumerate()
            .map(|(position, rule)| (rule.name().clone(), position))
            .collect();
        Self {
            revision: revision(&text),
            text,
            rules,
            names,
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
        self.index
            .find(event)
            .into_iter()
            .filter_map(|number| self.rules.get(usize::try_from(number).ok()?))
            .filter(|rule| rule.holds(event))
            .map(|rule| Decision {
                rule: rule.name().clone(),
                firing: rule.fire(event),
            })
            .collect()
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
        self.names
            .get(name)
            .and_then(|position| self.rules.get(*position))
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
        }
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
        };
        suggest::explain(&mut explanation, event);
        explanation
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
