//! One rule: on, when, run, and what to do when it goes wrong.
//!
//! A rule looks at one event alone. Duplicates and keys that are taken are
//! `model::flow`'s, applied where the store can see other events.

mod account;
mod flow;
mod literal;
mod read;

use std::{sync::Arc, time::Duration};

use model::{
    event::Event,
    flow::FlowPlan,
    id::{AccountName, RuleName},
    job::{JobPlan, OnLost, RetryPolicy, StepKind, StepPlan},
    topic::TopicPattern,
    verdict::{Firing, Trace, Truth},
};

use flow::Flow;
pub(crate) use read::{Found, Names, read_rules};

use crate::{
    expr::{Condition, Need, Scope},
    listing::Listing,
    step::{Field, NoCall, Prepared, Rehearsed, RenderError, Renderer, Step, StepScope},
    suggest,
};

/// Longest key, and longest text to count by, in characters.
const MAX_KEY: usize = 500;

/// Whether a rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Live,
    /// It is judged, and does nothing.
    Shadow,
    Off,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// A step as lists and `check` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSummary {
    pub kind: StepKind,
    /// The playbook or the command line, templates unrendered.
    pub what: String,
    pub timeout: Duration,
    /// What becomes of a job that is interrupted in this step.
    pub on_lost: OnLost,
}

/// A checked rule.
#[derive(Debug)]
pub struct Rule {
    name: RuleName,
    file: Arc<str>,
    line: usize,
    description: Option<String>,
    on: Vec<TopicPattern>,
    when: Option<String>,
    /// All of them must hold.
    conditions: Vec<Condition>,
    mode: Mode,
    key: Option<Field>,
    account: Option<AccountName>,
    /// Absent when it says nothing about storms.
    flow: Option<Box<Flow>>,
    retry: RetryPolicy,
    steps: Vec<Step>,
    summaries: Vec<StepSummary>,
    listing: Arc<Listing>,
}

impl Rule {
    pub fn name(&self) -> &RuleName {
        &self.name
    }

    /// Relative to the project.
    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn line(&self) -> usize {
        self.line
    }

    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    pub fn on(&self) -> &[TopicPattern] {
        &self.on
    }

    /// The condition as the rule writes it; a list is joined by `and`.
    pub fn when(&self) -> Option<&str> {
        self.when.as_deref()
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The key as the rule writes it.
    pub fn key(&self) -> Option<&str> {
        self.key.as_ref().map(Field::source)
    }

    /// Who its programs run as; absent: the user of the service.
    pub fn account(&self) -> Option<&AccountName> {
        self.account.as_ref()
    }

    pub fn steps(&self) -> &[StepSummary] {
        &self.summaries
    }

    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Whether one of the patterns matches the topic.
    pub(crate) fn is_about(&self, event: &Event) -> bool {
        self.on.iter().any(|pattern| pattern.matches(&event.topic))
    }

    /// What an event must say for the condition to be true.
    pub(crate) fn needs(&self) -> Vec<Need> {
        self.conditions.iter().flat_map(Condition::needs).collect()
    }

    /// Whether the condition is true. Stops at the first that is not.
    pub(crate) fn holds(&self, event: &Event) -> bool {
        let scope = self.scope(event);
        self.conditions
            .iter()
            .all(|condition| condition.holds(&scope) == Truth::True)
    }

    /// What the condition is, with every part of it.
    pub(crate) fn trace(&self, event: &Event) -> (Truth, Vec<Trace>) {
        let scope = self.scope(event);
        let mut truth = Truth::True;
        let mut traces = Vec::new();
        for condition in &self.conditions {
            let (part, trace) = condition.trace(&scope);
            truth = match (truth, part) {
                (Truth::False, _) | (_, Truth::False) => Truth::False,
                (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
                (Truth::True, Truth::True) => Truth::True,
            };
            traces.extend(trace);
        }
        (truth, traces)
    }

    /// What follows when topic and condition hold: the key and every template
    /// that needs nothing but the event are rendered now, so that a value that
    /// is missing is a verdict and not a surprise in a job.
    pub(crate) fn fire(&self, event: &Event) -> Firing {
        let firing = self.fire_live(event);
        match self.mode {
            Mode::Live | Mode::Off => firing,
            Mode::Shadow => self.shadow(&firing),
        }
    }

    /// What a rule on trial says instead of doing anything.
    fn shadow(&self, firing: &Firing) -> Firing {
        let reason = match firing {
            Firing::Fire(plan) => {
                let steps = self.summaries.iter();
                let steps: Vec<String> = steps
                    .map(|step| format!("{} `{}`", step.kind, step.what))
                    .collect();
                let key = plan.key.as_ref();
                let key = key.map_or_else(String::new, |key| format!(", with key `{key}`"));
                format!("would have fired: {}{key}", steps.join(", "))
            }
            Firing::Suppress { reason } => format!("would have been suppressed: {reason}"),
            Firing::Error { reason } => format!("would have been an error: {reason}"),
            Firing::Shadow { reason } => reason.clone(),
        };
        Firing::Shadow { reason }
    }

    /// What follows when the rule is not on trial, whatever its mode.
    pub(crate) fn fire_live(&self, event: &Event) -> Firing {
        let scope = self.scope(event);
        let key = match self.render_key(scope) {
            Ok(key) => key,
            Err(reason) => return error(format!("`key`: {reason}"), event),
        };
        let flow = match &self.flow {
            Some(flow) => match flow.plan(|by| render_text(by, scope)) {
                Ok(flow) => flow,
                Err(reason) => return error(format!("`throttle.by`: {reason}"), event),
            },
            None => FlowPlan::default(),
        };
        let rehearsal = Renderer {
            scope,
            is_rehearsal: true,
        };
        let mut skipped = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            match step.rehearse(&rehearsal, &self.listing) {
                // What is missing now may be there when the job runs.
                Ok(()) | Err(NoCall::Later | NoCall::Missing(_)) => {}
                Err(NoCall::Skip(reason)) => skipped.push(reason),
                Err(NoCall::Bad(reason)) => {
                    return error(format!("step {index} ({}): {reason}", step.kind()), event);
                }
            }
        }
        if skipped.len() == self.steps.len() {
            return Firing::Suppress {
                reason: skipped.join("; "),
            };
        }
        Firing::Fire(JobPlan {
            key,
            account: self.account.clone(),
            retry: self.retry.clone(),
            steps: self
                .summaries
                .iter()
                .map(|step| StepPlan {
                    kind: step.kind,
                    on_lost: step.on_lost,
                })
                .collect(),
            flow,
        })
    }

    /// The key of the rule's job, if there is one.
    pub(crate) fn rehearse_key(&self, event: &Event) -> Option<String> {
        self.render_key(self.scope(event)).ok().flatten()
    }

    /// The variables of each playbook, as far as the event alone says.
    pub(crate) fn rehearse_vars(&self, event: &Event) -> Vec<Vec<(String, Rehearsed)>> {
        let renderer = Renderer {
            scope: self.scope(event),
            is_rehearsal: true,
        };
        self.steps
            .iter()
            .map(|step| step.rehearse_vars(&renderer))
            .collect()
    }

    /// Renders a step for a job.
    pub fn prepare(&self, step: usize, scope: &StepScope<'_>) -> Result<Prepared, RenderError> {
        let Some(found) = self.steps.get(step) else {
            return Err(RenderError {
                message: format!("rule `{}` has no step {step}", self.name),
            });
        };
        let renderer = Renderer {
            scope: Scope {
                event: scope.event,
                rule: self.name.as_str(),
                job: Some(scope.job),
                attempt: Some(scope.attempt),
                result: scope.result,
            },
            is_rehearsal: false,
        };
        match found.render(&renderer, &self.listing) {
            Ok(call) => Ok(Prepared::Run {
                call,
                timeout: found.timeout,
                grace: found.grace,
                output_cap: found.output_cap,
            }),
            Err(NoCall::Skip(reason)) => Ok(Prepared::Skip { reason }),
            Err(NoCall::Missing(message) | NoCall::Bad(message)) => Err(RenderError { message }),
            Err(NoCall::Later) => Err(RenderError {
                message: "the step needs a job that is not there".to_owned(),
            }),
        }
    }

    fn scope<'a>(&'a self, event: &'a Event) -> Scope<'a> {
        Scope::of_event(event, self.name.as_str())
    }

    fn render_key(&self, scope: Scope<'_>) -> Result<Option<String>, String> {
        let key = self.key.as_ref();
        key.map(|field| render_text(field, scope)).transpose()
    }
}

/// A text by which jobs are told apart.
fn render_text(field: &Field, scope: Scope<'_>) -> Result<String, String> {
    let renderer = Renderer {
        scope,
        is_rehearsal: false,
    };
    let text = match field.text(&renderer) {
        Ok(text) => text,
        Err(NoCall::Bad(reason) | NoCall::Missing(reason) | NoCall::Skip(reason)) => {
            return Err(reason);
        }
        Err(NoCall::Later) => return Err("there is no job yet".to_owned()),
    };
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let length = text.chars().count();
    if length > MAX_KEY {
        return Err(format!("it has {length} characters, more than {MAX_KEY}"));
    }
    Ok(text.into_owned())
}

fn error(mut reason: String, event: &Event) -> Firing {
    suggest::add(&mut reason, event);
    Firing::Error { reason }
}
