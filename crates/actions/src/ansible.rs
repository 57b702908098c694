//! Steps of kind `playbook`: Ansible, with the event as data.
//!
//! How Ansible is started is [`cold`]'s; this file knows what its ends mean.
//! Nothing of an event is ever templated, decrypted or taken for a variable's
//! name: that is [`vars`]' invariant.

mod arguments;
mod by_hand;
mod cold;
mod config;
mod inventory;
mod secrets;
mod told;
mod vars;
mod warm;

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    action::{StepCall, StepContext, StepControl, StepReport},
    diagnostic::{Diagnostic, Level},
    job::{Exit, Outcome, Retry, StepKind},
    json::Object,
    ports::Action,
    warm::Starts,
};
use serde::Deserialize;
use tracing::{debug, warn};

pub use by_hand::{ByHand, Looked};

use self::{cold::Recipe, warm::Pool};
use crate::{
    process::{self, End, Ended},
    settings::ActionSettings,
    step::{self, StepFiles},
};

/// Runs steps of kind `playbook`.
#[derive(Debug)]
pub struct PlaybookAction {
    settings: ActionSettings,
    pool: Pool,
}

impl PlaybookAction {
    pub fn new(settings: ActionSettings) -> Self {
        let settings = settings.absolute();
        Self {
            pool: Pool::new(settings.clone()),
            settings,
        }
    }
}

/// What our callback plugin tells at the end of a run.
#[derive(Debug, Deserialize)]
struct Told {
    recap: Recap,
    result: Option<Object>,
}

#[derive(Debug, Default, Deserialize)]
struct Recap {
    hosts: usize,
    ok: usize,
    changed: usize,
    failed: usize,
    failed_names: Vec<String>,
    unreachable: usize,
    unreachable_names: Vec<String>,
}

impl Recap {
    fn summary(&self) -> String {
        if self.hosts == 0 {
            return "no host matched".to_owned();
        }
        format!(
            "hosts {}, tasks ok {}, changed {}",
            self.hosts, self.ok, self.changed
        )
    }

    /// Which hosts are to blame, if any.
    fn blame(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.failed > 0 {
            parts.push(format!(
                "failed on {} of {} hosts: {}",
                self.failed,
                self.hosts,
                names(&self.failed_names, self.failed)
            ));
        }
        if self.unreachable > 0 {
            parts.push(format!(
                "unreachable {} of {} hosts: {}",
                self.unreachable,
                self.hosts,
                names(&self.unreachable_names, self.unreachable)
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// The first few names, which may be anything that an inventory made them.
fn names(names: &[String], count: usize) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| {
            name.chars()
                .take(80)
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect()
        })
        .collect();
    if count > shown.len() {
        shown.push(format!("and {} more", count - shown.len()));
    }
    shown.join(", ")
}

/// What an exit code of `ansible-playbook` means, and whether a retry helps.
/// Without a recap the playbook did not come to its end.
fn explain(code: i32, recap: Option<&Recap>) -> (String, Retry) {
    let blame = recap.and_then(Recap::blame);
    let ended = |what: &str| match &blame {
        Some(blame) => format!("exit code {code}: {blame}"),
        None => format!("exit code {code}: {what}"),
    };
    match code {
        1 => (ended("Ansible reports an error"), Retry::Worthwhile),
        2 => (ended("tasks failed"), Retry::Worthwhile),
        3 | 6 => (ended("hosts failed or were unreachable"), Retry::Worthwhile),
        4 if recap.is_none() => (
            ended("the playbook, its variables or its inventory cannot be parsed"),
            Retry::Pointless,
        ),
        4 => (ended("hosts were unreachable"), Retry::Worthwhile),
        5 => (
            ended("`ansible-playbook` does not accept its options"),
            Retry::Pointless,
        ),
        99 => (ended("Ansible was interrupted"), Retry::Worthwhile),
        250 => (
            ended("Ansible stopped with an unexpected exception"),
            Retry::Worthwhile,
        ),
        _ => (ended("the playbook failed"), Retry::Worthwhile),
    }
}

fn conclude(ended: &Ended, files: StepFiles, context: &StepContext) -> StepReport {
    if let Some(report) = step::interrupted(ended, context) {
        return report;
    }
    let Some(exit) = ended.exit else {
        return step::unstartable("`ansible-playbook` ended without an exit status".to_owned());
    };
    let (told, note) = match step::read_result(files.result) {
        Ok(None) => (None, None),
        Ok(Some(object)) => match serde_json::from_value::<Told>(object.into()) {
            Ok(told) => (Some(told), None),
            Err(_) => (
                None,
                Some("its result was overwritten and not kept".to_owned()),
            ),
        },
        Err(note) => (None, Some(note)),
    };
    let (recap, result) = match told {
        Some(told) => (Some(told.recap), told.result),
        None => (None, None),
    };
    let (summary, retry) = match exit {
        Exit::Code(0) => {
            let summary = recap
                .as_ref()
                .map_or_else(|| step::describe(exit), Recap::summary);
            (summary, None)
        }
        Exit::Code(code) => {
            let (summary, retry) = explain(code, recap.as_ref());
            (summary, Some(retry))
        }
        Exit::Signal(_) => (step::describe(exit), Some(Retry::Worthwhile)),
    };
    let summary = match note {
        Some(note) => format!("{summary}; {note}"),
        None => summary,
    };
    let outcome = match retry {
        None => Outcome::Succeeded { summary },
        Some(retry) => Outcome::Failed {
            exit: Some(exit),
            summary,
            retry,
        },
    };
    StepReport {
        outcome,
        exit: Some(exit),
        result,
    }
}

/// A playbook that is ready to be started.
struct Run<'a> {
    recipe: &'a Recipe,
    files: &'a StepFiles,
    context: &'a StepContext,
    control: StepControl,
}

impl PlaybookAction {
    /// By a fork server when one is ready, else cold. What has begun is not
    /// begun again.
    async fn warm(&self, run: Run<'_>) -> Result<Ended, String> {
        let ticket = match self.pool.ticket(run.recipe) {
            Ok(ticket) => ticket,
            Err(reason) => {
                debug!(job.id = %run.context.job, "the playbook starts cold: {reason}");
                return self.cold(run).await;
            }
        };
        let mut program = run.recipe.program(run.files)?;
        let listener = told::listen_to(&mut program)?;
        let reason = match self.pool.fork(&ticket, &program).await {
            Ok(pipes) => {
                let control = run.control.clone();
                let running =
                    process::run_warm(program, run.context, control, &self.settings, pipes);
                let keeper = (&*run.control.tasks, &*self.settings.clock);
                let ended = listener.while_running(running, keeper).await;
                let End::Unstartable { reason } = ended.end else {
                    self.pool.began(&ticket);
                    return Ok(ended);
                };
                reason
            }
            Err(reason) => reason,
        };
        warn!(job.id = %run.context.job, "a playbook starts cold: {reason}");
        let ended = self.cold(run).await?;
        if !matches!(ended.end, End::Unstartable { .. }) {
            // What cannot start cold either says nothing about the server.
            self.pool.failed(&ticket, &reason);
        }
        Ok(ended)
    }

    async fn cold(&self, run: Run<'_>) -> Result<Ended, String> {
        let Run {
            recipe,
            files,
            context,
            control,
        } = run;
        let mut program = recipe.program(files)?;
        let listener = told::listen_to(&mut program)?;
        self.pool.began_cold();
        let tasks = Arc::clone(&control.tasks);
        let running = process::run(program, context, control, &self.settings);
        let keeper = (&*tasks, &*self.settings.clock);
        Ok(listener.while_running(running, keeper).await)
    }
}

#[async_trait]
impl Action for PlaybookAction {
    fn kind(&self) -> StepKind {
        StepKind::Playbook
    }

    async fn run(&self, call: StepCall, context: StepContext, control: StepControl) -> StepReport {
        let StepCall::Playbook(call) = call else {
            return step::unstartable(format!("a {} step is not a playbook", call.kind()));
        };
        let files = match StepFiles::create(&self.settings, &context) {
            Ok(files) => files,
            Err(reason) => return step::unstartable(reason),
        };
        let secrets = match secrets::read(&call, &context, &self.settings).await {
            Ok(secrets) => secrets,
            Err(reason) => return step::unstartable(reason),
        };
        let recipe = match cold::prepare((&call, secrets), &context, &files, &self.settings) {
            Ok(recipe) => recipe,
            Err(reason) => return step::unstartable(reason),
        };
        let run = Run {
            recipe: &recipe,
            files: &files,
            context: &context,
            control,
        };
        let ended = if call.cold {
            self.cold(run).await
        } else {
            self.warm(run).await
        };
        match ended {
            Ok(ended) => conclude(&ended, files, &context),
            Err(reason) => step::unstartable(reason),
        }
    }

    async fn preflight(&self) -> Vec<Diagnostic> {
        match cold::find(&self.settings) {
            Ok(_) => Vec::new(),
            Err(reason) => vec![Diagnostic::without_place(
                Level::Warning,
                "ansible-missing",
                format!("playbooks cannot run: {reason}"),
            )],
        }
    }

    fn starts(&self) -> Option<Starts> {
        Some(self.pool.starts())
    }
}
