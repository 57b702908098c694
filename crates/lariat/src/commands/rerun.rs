//! `lariat jobs rerun ID --local`: the playbook of a job once more, by hand,
//! with the event that is recorded, in a working copy of the project.
//!
//! Nothing of it is recorded, and the service has no part in it but to say
//! what the job was. Steps that are no playbooks are not run.

use std::{sync::Arc, time::Duration};

use actions::ByHand;
use api::json::Job;
use model::{
    action::{PlaybookCall, StepCall, StepContext},
    event::Event,
    id::Revision,
    job::{Exit as Ended, StepKind},
};
use rules::{Prepared, Rule, StepScope};

use crate::{
    args::Rerun, check, client::Client, clock::SystemClock, commands::event_file,
    config::Environment, console::Console, exit::Exit, failure::Failure, wiring,
};

pub(crate) async fn run(
    command: &Rerun,
    (client, environment): (&Client, &Environment),
    console: &mut Console,
) -> Result<Exit, Failure> {
    let root = check::locate(&command.project)?;
    let answer = client.get(&["jobs", command.id.as_str()], &[]).await?;
    let job: Job = answer.read()?;
    let event = event_of(&job, client).await?;
    // Who the job ran as does not matter here.
    let checked = check::project(&root, None);
    let Some(rules) = &checked.rules else {
        let colour = console.colours_talk();
        console.rendered(&rules::render::diagnostics(&checked.findings, colour));
        return Err(Failure::Told(Exit::Configuration));
    };
    let Some(rule) = rules.rule(&job.rule) else {
        let message = format!("there is no rule `{}` in `{}`", job.rule, root.display());
        return Err(Failure::message(Exit::Configuration, message)
            .hint("`--project DIR` names another working copy"));
    };
    if *rules.revision() != job.revision {
        console.say(&format!(
            "note: the rules or the files of `{}` are not those that the job ran with, and `{}` may say something else now (revision {}, the job's {})",
            root.display(),
            rule.name(),
            start(rules.revision()),
            start(&job.revision),
        ));
    }
    let step = chosen(command.step, &job, rule)?;
    let call = playbook((&job, &event), (rule, step))?;
    let clock = SystemClock::new().map_err(Failure::unexpected)?;
    let settings = wiring::by_hand(&checked.config, environment, Arc::new(clock));
    let context = StepContext {
        job: job.id.clone(),
        attempt: attempt(&job),
        step,
        rule: job.rule.clone(),
        event: Arc::new(event),
        project: root,
        account: None,
        // Nothing ends it but the person.
        timeout: Duration::MAX,
        grace: Duration::ZERO,
        output_cap: u64::MAX,
    };
    let by_hand = ByHand::new(&call, context, &settings)
        .await
        .map_err(|reason| Failure::message(Exit::Unexpected, reason))
        .map_err(|failure| failure.context("the playbook cannot be run"))?
        .with_options(&command.options);
    if let Some(account) = rule.account() {
        console.say(&format!(
            "note: the job ran as the account `{account}`, this runs as you"
        ));
    }
    console.say(&by_hand.command_line());
    let finished = by_hand
        .run()
        .await
        .map_err(|error| Failure::new(Exit::Unexpected, error))?;
    if finished.interrupted {
        return Ok(Exit::Interrupted);
    }
    match finished.exit {
        Ended::Code(0) => Ok(Exit::Ok),
        exit @ (Ended::Code(_) | Ended::Signal(_)) => {
            console.say(&format!("the playbook ended with {exit}"));
            Ok(Exit::JobFailed)
        }
    }
}

/// Enough of a revision to tell two apart.
fn start(revision: &Revision) -> String {
    revision.as_str().chars().take(12).collect()
}

/// The event as the service recorded it.
async fn event_of(job: &Job, client: &Client) -> Result<Event, Failure> {
    let answer = client.get(&["events", job.event_id.as_str()], &[]).await?;
    event_file::read_answer(answer.bytes()).map_err(|problems| {
        let message = "the service answered what this version does not understand";
        Failure::message(Exit::Unexpected, message).details(problems)
    })
}

/// The last attempt that there was.
fn attempt(job: &Job) -> u32 {
    job.attempts.last().map_or(1, |attempt| attempt.number)
}

/// The step that is asked for; else the playbook that the job has come to, or
/// its last one.
fn chosen(wanted: Option<usize>, job: &Job, rule: &Rule) -> Result<usize, Failure> {
    let is_playbook = |index: usize| {
        let step = rule.steps().get(index);
        step.is_some_and(|step| step.kind == StepKind::Playbook)
    };
    if let Some(index) = wanted {
        if is_playbook(index) {
            return Ok(index);
        }
        let message = format!("step {index} of rule `{}` is no playbook", rule.name());
        return Err(Failure::message(Exit::Usage, message).hint("steps count from 0"));
    }
    let last = (0..rule.steps().len())
        .rev()
        .find(|index| is_playbook(*index));
    match last {
        Some(_) if is_playbook(job.next_step) => Ok(job.next_step),
        Some(last) => Ok(last),
        None => {
            let message = format!("rule `{}` runs no playbook", rule.name());
            Err(Failure::message(Exit::Usage, message))
        }
    }
}

/// What the rule runs for the event in this step.
fn playbook(
    (job, event): (&Job, &Event),
    (rule, step): (&Rule, usize),
) -> Result<PlaybookCall, Failure> {
    let scope = StepScope {
        event,
        job: &job.id,
        attempt: attempt(job),
        // Of earlier steps, only the result of the one before is kept.
        result: job.result.as_ref().filter(|_| step == job.next_step),
    };
    let cannot = |message: String| {
        let what = format!("step {step} of rule `{}` cannot be run", rule.name());
        Failure::message(Exit::Unexpected, message).context(what)
    };
    match rule.prepare(step, &scope) {
        Ok(Prepared::Run {
            call: StepCall::Playbook(call),
            ..
        }) => Ok(call),
        Ok(Prepared::Run { call, .. }) => {
            Err(cannot(format!("a {} step is not a playbook", call.kind())))
        }
        Ok(Prepared::Skip { reason }) => Err(cannot(reason)),
        Err(error) => Err(cannot(error.to_string())),
    }
}
