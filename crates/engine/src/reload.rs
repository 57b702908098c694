//! Reads the project and puts its rules in force.
//!
//! Rules are replaced in one step and only by rules without an error, after
//! their text is in the store: whatever judges an event can be read back. A
//! bad project leaves the old rules where they are.

use std::sync::Arc;

use model::{
    account::Grants,
    diagnostic::{Diagnostic, Level},
    fault::FaultPoint,
    job::StepKind,
    ports::{ProjectText, StoreError},
};
use rules::{Checked, Surroundings};

use crate::{
    engine::{EngineParts, ReloadError, Reloaded},
    lifecycle,
    shared::Shared,
    tasks::{self, Policy, Task},
    telemetry::{ReloadRefused, RulesLoaded, StepsMiss, StoreFailed},
};

/// What may be put in force: rules without an error, and the grants that they
/// were checked against.
#[derive(Debug)]
pub struct Sound {
    pub rules: Checked,
    pub grants: Grants,
}

/// Reads and checks the project, with the sinks that this process has and the
/// accounts that are granted now.
pub(crate) async fn check(parts: &EngineParts) -> Result<Sound, Vec<Diagnostic>> {
    let (grants, mut problems) = match parts.project.grants().await {
        Ok(grants) => (Some(grants), Vec::new()),
        Err(problems) => (None, problems),
    };
    let around = Surroundings {
        sinks: parts.sinks.iter().map(|sink| sink.name().clone()).collect(),
        grants: grants.clone(),
    };
    let checked = match parts.project.read().await {
        Ok(text) => compile(text, around).await,
        Err(more) => Err(more),
    };
    match (checked, grants) {
        (Ok(rules), Some(grants)) => Ok(Sound { rules, grants }),
        (Ok(_), None) => Err(problems),
        (Err(more), _) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

async fn compile(text: ProjectText, around: Surroundings) -> Result<Checked, Vec<Diagnostic>> {
    tasks::blocking(move || rules::check(Arc::new(text), around))
        .await
        .unwrap_or_else(|panicked| {
            Err(vec![Diagnostic::without_place(
                Level::Error,
                "internal",
                format!("checking the rules panicked: {}", panicked.message),
            )])
        })
}

/// Keeps the text of rules that are about to be in force.
pub(crate) async fn keep(parts: &EngineParts, checked: &Checked) -> Result<(), StoreError> {
    let rules = &checked.rules;
    parts
        .upkeep
        .save_revision(rules.revision(), rules.text())
        .await?;
    parts.faults.reach(FaultPoint::DuringReload);
    RulesLoaded {
        revision: rules.revision(),
        rules: rules.len(),
        warnings: checked
            .warnings
            .iter()
            .filter(|finding| finding.level == Level::Warning)
            .count(),
    }
    .emit();
    Ok(())
}

/// Puts the project's rules in force as they are now. Reloads that come at
/// the same time follow one another, so the last one read is in force.
pub(crate) async fn reload(shared: &Arc<Shared>) -> Result<Reloaded, ReloadError> {
    let _one_at_a_time = shared.reloading.lock().await;
    let notices = shared.parts.project.notices().await;
    let Sound {
        rules: checked,
        grants,
    } = match check(&shared.parts).await {
        Ok(sound) => sound,
        Err(mut problems) => {
            ReloadRefused {
                problems: problems.len(),
            }
            .emit();
            problems.extend(notices);
            return Err(ReloadError::Diagnostics(problems));
        }
    };
    if !grants.is_empty() && shared.parts.tokens.all().await?.is_empty() {
        ReloadRefused { problems: 1 }.emit();
        return Err(ReloadError::Diagnostics(vec![open_with_accounts(&grants)]));
    }
    keep(&shared.parts, &checked).await?;
    let Checked {
        rules,
        mut warnings,
    } = checked;
    warnings.extend(notices);
    let rules = Arc::new(rules);
    // Grants first: no job of the new rules finds those of before.
    shared.grants.store(Arc::new(grants));
    let old = shared.rules.swap(Arc::clone(&rules));
    // Told again by the task that tells, when the store does not take it now.
    if let Err(error) = lifecycle::refresh(shared).await {
        StoreFailed {
            what: "note which changes of jobs are listened to",
            error: &error,
        }
        .emit();
    }
    let changed = old.revision() != rules.revision();
    if changed {
        shared.revisions.keep(old);
    }
    preflight(shared);
    Ok(Reloaded {
        revision: rules.revision().clone(),
        rules: rules.len(),
        warnings,
        changed,
    })
}

/// Without a token the service does what every user of the machine says, so
/// nobody else's account is within its reach.
fn open_with_accounts(grants: &Grants) -> Diagnostic {
    Diagnostic {
        file: grants.source().display().to_string(),
        hint: Some(
            "`lariat token create --role admin --name NAME` makes the first token".to_owned(),
        ),
        ..Diagnostic::without_place(
            Level::Error,
            "no-token",
            "accounts are granted, and there is no token: every user of this machine could have programs run as them".to_owned(),
        )
    }
}

/// Finds out, aside, whether the steps that the rules have could run here.
pub(crate) fn preflight(shared: &Arc<Shared>) {
    let task = Task {
        name: "preflight",
        owner: "reload",
        policy: Policy::CutAfterDrain,
    };
    let own = Arc::clone(shared);
    shared.tasks.spawn(task, async move {
        let rules = own.rules.load_full();
        let is_used = |kind: StepKind| {
            rules
                .rules()
                .any(|rule| rule.steps().iter().any(|step| step.kind == kind))
        };
        let mut notices = Vec::new();
        for action in &own.parts.actions {
            if is_used(action.kind()) {
                notices.extend(action.preflight().await);
            }
        }
        let old = own.notices.swap(Arc::new(notices));
        for notice in own.notices.load().iter() {
            if !old.contains(notice) {
                StepsMiss { notice }.emit();
            }
        }
    });
}
