//! Conditions that nothing can make true, and fields that the engine's own
//! events do not have.

use std::collections::HashSet;

use model::{
    event::{Event, Origin, Severity},
    job::JobState,
    topic::TopicPattern,
};
use serde_json::{Value, json};

use super::{field, one_or_list, text_of, unseen_path};
use crate::{
    code::Code,
    expr::{Condition, Is, Need},
    value::{Val, equal_hash},
    yaml::{Node, Reader},
};

/// Conditions of one rule, all of which have to be true.
pub(super) fn look_at(reader: &mut Reader<'_>, rule: &Node) {
    let conditions: Vec<(&Node, Condition)> = one_or_list(field(rule, "when"))
        .iter()
        .filter_map(|node| Some((node, Condition::parse(text_of(node)?).ok()?)))
        .collect();
    let mut needs: Vec<Need> = Vec::new();
    for (node, condition) in &conditions {
        let mut why = None;
        for need in condition.needs() {
            why = why.or_else(|| unknown_severity(&need));
            let is_against = needs.iter().any(|other| excludes(other, &need));
            why = why.or_else(|| {
                is_against.then(|| "one field would have to be two things at once".to_owned())
            });
            needs.push(need);
        }
        if let Some(why) = why {
            let message = "this can never be true".to_owned();
            reader.warning(Code::ConstantCondition, node.span, message, Some(why));
        }
    }
    if is_about_jobs(rule) {
        let event = of_a_job();
        for (node, condition) in &conditions {
            for path in condition.paths() {
                unseen_path(reader, (node, &path), &[&event], |path| {
                    format!("`{path}` is in no event that is about a job")
                });
            }
        }
    }
}

/// What a field may equal, when that is all that is asked.
fn equals(need: &Need) -> Option<(&[Box<str>], HashSet<u64>)> {
    let (first, rest) = need.any.split_first()?;
    let is_same = rest.iter().all(|fact| fact.path == first.path);
    let hashes = need.any.iter().map(|fact| match &fact.is {
        Is::Equal { hash, .. } => Some(*hash),
        Is::Beginning(_) => None,
    });
    let hashes: Option<HashSet<u64>> = hashes.collect();
    is_same.then_some((&*first.path, hashes?))
}

fn excludes(one: &Need, other: &Need) -> bool {
    match (equals(one), equals(other)) {
        (Some((path, these)), Some((same, those))) => path == same && these.is_disjoint(&those),
        (_, _) => false,
    }
}

/// An event has one of four severities.
fn unknown_severity(need: &Need) -> Option<String> {
    let (path, wanted) = equals(need)?;
    let known = Severity::ALL.map(|severity| Value::from(severity.as_str()));
    let hashes: HashSet<u64> = known
        .iter()
        .filter_map(|text| equal_hash(&Val::json(text)))
        .collect();
    let is_severity = path.len() == 1 && &*path[0] == "severity";
    (is_severity && hashes.is_disjoint(&wanted)).then(|| {
        let names = Severity::ALL.map(|severity| format!("`{}`", severity.as_str()));
        format!("the severity of an event is {}", names.join(", "))
    })
}

/// Whether the rule hears of jobs and of nothing else.
fn is_about_jobs(rule: &Node) -> bool {
    let on: Vec<TopicPattern> = one_or_list(field(rule, "on"))
        .iter()
        .filter_map(|node| text_of(node)?.parse().ok())
        .collect();
    !on.is_empty() && on.iter().all(TopicPattern::names_reserved)
}

/// An event that the engine makes of what becomes of a job.
fn of_a_job() -> Event {
    let topic = format!("lariat.job.{}", JobState::Failed);
    let (id, time) = crate::cases::usual();
    Event {
        id,
        topic: topic.parse().expect("three words are a topic"),
        time,
        accepted: time,
        source: "lariat".to_owned(),
        severity: Severity::Error,
        headers: model::json::Object::new(),
        body: json!({
            "job": "", "rule": "", "state": "", "reason": "", "key": null, "attempt": 1,
            "outcome": null, "summary": null, "result": null,
            "event": {"id": "", "topic": ""},
        }),
        origin: Origin::open_http(),
        cause: None,
    }
}
