//! Running cases: what the rules do, beside what the case says.

use std::collections::BTreeMap;

use model::{
    event::Event,
    id::RuleName,
    suggest::nearest,
    verdict::{Firing, Verdict},
};
use serde_json::Value;

use super::{About, Case, Expected, Outcome, Surprise};
use crate::{
    rule::Rule,
    ruleset::RuleSet,
    step::Rehearsed,
    value::{Budget, Val, equal},
};

/// What comparing two values may cost.
const STEPS: u64 = 1_000_000;
const BYTES: usize = 8 << 20;

impl Case {
    /// Judges the event and compares.
    pub fn run(&self, rules: &RuleSet) -> Outcome {
        let firings: BTreeMap<RuleName, Firing> = rules
            .judge(&self.event)
            .into_iter()
            .map(|decision| {
                let firing = in_earnest(decision.firing, rules.rule(&decision.rule), &self.event);
                (decision.rule, firing)
            })
            .collect();
        let mut surprises = self.verdicts(&firings);
        for expected in &self.fires {
            if let (Some(Firing::Fire(_)), Some(rule)) =
                (firings.get(&expected.rule), rules.rule(&expected.rule))
            {
                let about = expected
                    .about_key(rule.rehearse_key(&self.event))
                    .into_iter()
                    .chain(expected.about_vars(rule, self));
                surprises.extend(about.map(|about| Surprise {
                    rule: expected.rule.clone(),
                    about,
                }));
            }
        }
        let mut named: Vec<&RuleName> = surprises.iter().map(|surprise| &surprise.rule).collect();
        named.dedup();
        let explanations = named
            .into_iter()
            .flat_map(|rule| rules.explain(&self.event, Some(rule)))
            .collect();
        Outcome {
            surprises,
            explanations,
        }
    }

    /// In the order of the names, each rule once.
    fn verdicts(&self, firings: &BTreeMap<RuleName, Firing>) -> Vec<Surprise> {
        let mut rules: BTreeMap<&RuleName, (Verdict, Verdict)> = BTreeMap::new();
        for (rule, firing) in firings {
            let got = match firing {
                Firing::Fire(_) => Verdict::Fired,
                Firing::Shadow { .. } => Verdict::Shadow,
                Firing::Suppress { .. } => Verdict::Suppressed,
                Firing::Error { .. } => Verdict::Error,
            };
            // That a rule holds itself back is nobody's surprise by itself.
            let is_free = got == Verdict::Suppressed && self.suppressed.is_none();
            let expected = if is_free { got } else { Verdict::NoMatch };
            rules.insert(rule, (expected, got));
        }
        let mut expect = |rule, verdict| {
            rules.entry(rule).or_insert((verdict, Verdict::NoMatch)).0 = verdict;
        };
        for rule in self.suppressed.iter().flatten() {
            expect(rule, Verdict::Suppressed);
        }
        for rule in &self.error {
            expect(rule, Verdict::Error);
        }
        for expected in &self.fires {
            expect(&expected.rule, Verdict::Fired);
        }
        rules
            .into_iter()
            .filter(|(_, (expected, got))| expected != got)
            .map(|(rule, (expected, got))| Surprise {
                rule: rule.clone(),
                about: About::Verdict { expected, got },
            })
            .collect()
    }
}

/// A rule in the shadow is tested as what it would do.
fn in_earnest(firing: Firing, rule: Option<&Rule>, event: &Event) -> Firing {
    match (firing, rule) {
        (Firing::Shadow { .. }, Some(rule)) => rule.fire_live(event),
        (firing, _) => firing,
    }
}

impl Expected {
    fn about_key(&self, got: Option<String>) -> Option<About> {
        let expected = self.key.clone()?;
        (got.as_ref() != Some(&expected)).then_some(About::Key { expected, got })
    }

    /// A variable is as expected when it is in every playbook that has it, and
    /// one has it.
    fn about_vars(&self, rule: &Rule, case: &Case) -> Vec<About> {
        if self.vars.is_empty() {
            return Vec::new();
        }
        let steps = rule.rehearse_vars(&case.event);
        let mut about = Vec::new();
        for (name, expected) in &self.vars {
            let found: Vec<&Rehearsed> = steps
                .iter()
                .flatten()
                .filter(|(known, _)| known == name)
                .map(|(_, value)| value)
                .collect();
            let differs = |got: Option<&Value>, note: Option<String>| About::Variable {
                name: name.clone(),
                expected: expected.clone(),
                got: got.cloned(),
                note,
            };
            if found.is_empty() {
                let known = steps.iter().flatten().map(|(name, _)| name.as_str());
                let note = nearest(name, known).map(|meant| format!("did you mean `{meant}`?"));
                about.push(differs(None, note));
            }
            about.extend(found.into_iter().find_map(|found| match found {
                Rehearsed::Value(got) if same(expected, got) => None,
                Rehearsed::Value(got) => Some(differs(Some(got), None)),
                Rehearsed::Later => {
                    let note = "it needs the job, so a test cannot know it; leave it out";
                    Some(differs(None, Some(note.to_owned())))
                }
                Rehearsed::Bad(reason) => Some(differs(None, Some(reason.clone()))),
            }));
        }
        about
    }
}

/// As conditions compare: `1.0` is `1`.
fn same(expected: &Value, got: &Value) -> bool {
    expected == got
        || equal(
            &Val::json(expected),
            &Val::json(got),
            &Budget::new(STEPS, BYTES),
        )
        .unwrap_or(false)
}
