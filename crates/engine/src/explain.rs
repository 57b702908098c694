//! Why each rule did or did not fire for an event of the history.
//!
//! Stored verdicts say what happened; the revision that judged says why, and
//! what did not match. Where both speak the stored one wins.

use std::{collections::VecDeque, sync::Arc};

use model::{
    event::Event,
    id::{EventId, RuleName},
    ports::StoreError,
    verdict::{Explanation, StoredVerdict, Trace, Verdict},
};
use rules::RuleSet;

use crate::{
    revisions::{self, RevisionError},
    shared::Shared,
    tasks,
};

/// What every rule, or the one asked for, decided about an event. `None` when
/// there is no such event.
pub(crate) async fn verdicts(
    shared: &Shared,
    id: &EventId,
    rule: Option<&RuleName>,
) -> Result<Option<Vec<Explanation>>, StoreError> {
    let history = &shared.parts.history;
    let Some(recorded) = history.event(id).await? else {
        return Ok(None);
    };
    let mut stored = history.verdicts(id).await?;
    if let Some(rule) = rule {
        stored.retain(|verdict| verdict.rule == *rule);
    }
    let event = Arc::new(recorded.event);
    let recomputed = match rules_of(shared, &recorded.revision).await? {
        Some(rules) => recompute(rules, &event, rule).await?,
        None => Vec::new(),
    };
    let mut explained = merge(recomputed, stored);
    for explanation in &mut explained {
        // Fired again by later rules: they know the conditions.
        if explanation.revision != recorded.revision
            && let Some(rules) = rules_of(shared, &explanation.revision).await?
        {
            let again = recompute(rules, &event, Some(&explanation.rule)).await?;
            explanation.conditions = conditions(again);
        }
    }
    Ok(Some(explained))
}

/// Rules that are gone or no longer valid explain nothing; that is no reason
/// to withhold what is stored.
async fn rules_of(
    shared: &Shared,
    revision: &model::id::Revision,
) -> Result<Option<Arc<RuleSet>>, StoreError> {
    match revisions::get(shared, revision).await {
        Ok(rules) => Ok(Some(rules)),
        Err(RevisionError::Missing(_) | RevisionError::Broken { .. }) => Ok(None),
        Err(RevisionError::Store(error)) => Err(error),
    }
}

async fn recompute(
    rules: Arc<RuleSet>,
    event: &Arc<Event>,
    rule: Option<&RuleName>,
) -> Result<Vec<Explanation>, StoreError> {
    let event = Arc::clone(event);
    let rule = rule.cloned();
    tasks::blocking(move || rules.explain(&event, rule.as_ref()))
        .await
        .map_err(|panicked| StoreError::Corrupt {
            what: format!("the rules cannot be applied to it: {}", panicked.message),
        })
}

fn conditions(explanations: Vec<Explanation>) -> Vec<Trace> {
    explanations
        .into_iter()
        .next()
        .map(|explanation| explanation.conditions)
        .unwrap_or_default()
}

/// One item for each rule in the order of the rules, in it what is stored;
/// further stored verdicts of a rule follow it, rules that are unknown come
/// last.
fn merge(recomputed: Vec<Explanation>, stored: Vec<StoredVerdict>) -> Vec<Explanation> {
    let mut stored: VecDeque<StoredVerdict> = stored.into();
    let mut items = Vec::with_capacity(recomputed.len());
    for explanation in recomputed {
        let (own, others): (VecDeque<_>, VecDeque<_>) = stored
            .into_iter()
            .partition(|verdict| verdict.rule == explanation.rule);
        stored = others;
        let (again, mut decided): (VecDeque<_>, VecDeque<_>) = own
            .into_iter()
            .partition(|verdict| verdict.verdict == Verdict::Duplicate);
        let conditions = explanation.conditions.clone();
        items.push(match decided.pop_front() {
            Some(first) => overlay(explanation, first),
            None => explanation,
        });
        for verdict in decided.into_iter().chain(again) {
            items.push(alone(verdict, conditions.clone()));
        }
    }
    items.extend(stored.into_iter().map(|verdict| alone(verdict, Vec::new())));
    items
}

fn overlay(explanation: Explanation, stored: StoredVerdict) -> Explanation {
    let reason = if stored.reason.is_empty() {
        explanation.reason
    } else {
        stored.reason
    };
    Explanation {
        rule: explanation.rule,
        revision: stored.revision,
        verdict: stored.verdict,
        reason,
        job_id: stored.job_id,
        conditions: explanation.conditions,
    }
}

fn alone(stored: StoredVerdict, conditions: Vec<Trace>) -> Explanation {
    Explanation {
        rule: stored.rule,
        revision: stored.revision,
        verdict: stored.verdict,
        reason: stored.reason,
        job_id: stored.job_id,
        conditions,
    }
}

#[cfg(test)]
mod tests;
