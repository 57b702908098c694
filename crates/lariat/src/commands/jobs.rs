//! `lariat jobs`: what runs, what ran, and what it printed.

use api::json::{Attempt, Job, List, OutcomeWord, Step};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{
    clock::Timestamp,
    id::JobId,
    job::{JobState, StepState},
};
use serde_json::{Value, json};

use crate::{
    args::Jobs,
    client::{Answer, Client},
    commands::{Query, fact, follow, job_state, more, tasks},
    config::Environment,
    console::{Column, Console, Span, Style, Table},
    exit::Exit,
    failure::Failure,
    span,
};

pub(crate) async fn run(
    command: &Jobs,
    (client, environment): (&Client, &Environment),
    console: &mut Console,
) -> Result<Exit, Failure> {
    match command {
        Jobs::List {
            event,
            rule,
            state,
            window,
        } => {
            let query = Query::new()
                .add("event", event.as_ref())
                .add("rule", rule.as_ref())
                .add("state", state.as_ref())
                .window(window);
            let answer = client.get(&["jobs"], query.pairs()).await?;
            if window.page.json.json {
                console.json(&answer.value()?)?;
            } else {
                list(&answer.read()?, console)?;
            }
        }
        Jobs::Show { id, json } => {
            let answer = client.get(&["jobs", id.as_str()], &[]).await?;
            let job: Job = answer.read()?;
            let has_tasks = tasks::may_have(&job);
            if json.json {
                let mut whole = answer.value()?;
                if has_tasks {
                    whole["tasks"] = Value::Array(tasks::all(client, id, Query::new).await?);
                }
                console.json(&whole)?;
            } else {
                show(&job, console)?;
                if has_tasks {
                    tasks::show(client, console, id).await?;
                }
                advise(&job, console);
            }
        }
        Jobs::Tasks(command) => return tasks::run(command, client, console).await,
        Jobs::Output {
            id,
            follow: true,
            attempt: _,
            step,
            json: _,
        } => return follow::output(client, console, id, *step).await,
        Jobs::Output {
            id,
            follow: false,
            attempt,
            step,
            json: false,
        } => output(client, console, (id, *attempt, *step)).await?,
        Jobs::Output {
            id,
            follow: false,
            attempt,
            step,
            json: true,
        } => {
            let whole = whole_output(client, (id, *attempt, *step)).await?;
            console.json(&whole)?;
        }
        Jobs::Retry { id, json } => control(client, console, (id, "retry", json.json)).await?,
        Jobs::Cancel { id, json } => control(client, console, (id, "cancel", json.json)).await?,
        Jobs::Rerun(rerun) => {
            return Box::pin(super::rerun::run(rerun, (client, environment), console)).await;
        }
    }
    Ok(Exit::Ok)
}

fn list(list: &List<Job>, console: &mut Console) -> Result<(), Failure> {
    if list.items.is_empty() {
        console.say("no such jobs");
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::Time("CREATED"),
        Column::Fixed("STATE"),
        Column::Elastic("RULE"),
        Column::Spare("TRIES"),
        Column::Spare("TOOK"),
        Column::Fixed("ID"),
        Column::Note("REASON"),
    ]);
    for job in &list.items {
        table.row(vec![
            Span::plain(job.created.to_string()),
            job_state(job.state),
            Span::new(Style::Bold, job.rule.as_str()),
            Span::plain(job.attempts.len().to_string()),
            Span::plain(took(job.started, job.finished)),
            Span::plain(job.id.as_str()),
            Span::plain(job.reason.clone().unwrap_or_default()),
        ]);
    }
    console.table(&table)?;
    more(console, list.next.as_ref());
    Ok(())
}

fn took(started: Option<Timestamp>, finished: Option<Timestamp>) -> String {
    let (Some(started), Some(finished)) = (started, finished) else {
        return String::new();
    };
    let millis = finished.as_millis().saturating_sub(started.as_millis());
    let millis = u64::try_from(millis).unwrap_or(0);
    span::display(std::time::Duration::from_millis(millis))
}

fn show(job: &Job, console: &mut Console) -> Result<(), Failure> {
    fact(console, "id", job.id.as_str())?;
    fact(console, "rule", job.rule.as_str())?;
    fact(console, "revision", job.revision.as_str())?;
    fact(console, "event", job.event_id.as_str())?;
    fact(console, "key", job.key.clone().unwrap_or_default())?;
    let account = job.account.as_ref().map(ToString::to_string);
    fact(console, "account", account.unwrap_or_default())?;
    console.spans(&[
        Span::new(Style::Dim, format!("{:<10} ", "state")),
        job_state(job.state),
    ])?;
    fact(console, "reason", job.reason.clone().unwrap_or_default())?;
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let waits_for = job.waits_for.as_ref().map(ToString::to_string);
    fact(console, "waits for", waits_for.unwrap_or_default())?;
    fact(console, "due", time(job.due))?;
    fact(console, "created", job.created.to_string())?;
    fact(console, "started", time(job.started))?;
    fact(console, "finished", time(job.finished))?;
    fact(console, "took", took(job.started, job.finished))?;
    if let Some(result) = &job.result {
        console.line("result")?;
        console.json(&Value::Object(result.clone()))?;
    }
    for attempt in &job.attempts {
        show_attempt(attempt, console)?;
    }
    Ok(())
}

/// What there is to do about a job that does not go on by itself.
fn advise(job: &Job, console: &mut Console) {
    match job.state {
        JobState::Held => {
            let id = &job.id;
            console.hint(&format!(
                "look at how far it came, then `lariat jobs retry {id}` or `lariat jobs cancel {id}`"
            ));
        }
        JobState::Returned => console.hint(
            "nothing is to be done here: the broker has the event again and gives it to any instance, also to this one",
        ),
        JobState::Waiting
        | JobState::Delayed
        | JobState::Queued
        | JobState::Running
        | JobState::Retrying
        | JobState::Succeeded
        | JobState::Failed
        | JobState::Cancelled => {}
    }
}

fn show_attempt(attempt: &Attempt, console: &mut Console) -> Result<(), Failure> {
    let outcome = match attempt.outcome {
        Some(word) => Span::new(outcome_style(word), word.as_str()),
        None => Span::new(Style::Cyan, "running"),
    };
    let mut line = vec![
        Span::new(Style::Bold, format!("attempt {}  ", attempt.number)),
        outcome,
        Span::plain(format!("  by {}", attempt.worker)),
    ];
    if let Some(summary) = attempt.summary.as_ref().filter(|text| !text.is_empty()) {
        line.push(Span::plain(format!("  {summary}")));
    }
    console.spans(&line)?;
    for step in &attempt.steps {
        show_step(step, console)?;
    }
    Ok(())
}

fn show_step(step: &Step, console: &mut Console) -> Result<(), Failure> {
    let style = match step.state {
        StepState::Succeeded => Style::Green,
        StepState::Running => Style::Cyan,
        StepState::Failed
        | StepState::TimedOut
        | StepState::Cancelled
        | StepState::Unstartable
        | StepState::Lost => Style::Red,
        StepState::Skipped => Style::Plain,
    };
    let mut line = vec![
        Span::plain(format!("  step {} {}  ", step.index, step.kind)),
        Span::new(style, step.state.as_str()),
    ];
    let took = took(Some(step.started), step.finished);
    let summary = step.summary.clone();
    // A summary that says how the program ended is enough.
    let exit = step.exit.map(|exit| exit.to_string());
    let exit = exit.filter(|exit| !summary.as_ref().is_some_and(|said| said.contains(exit)));
    for part in [Some(took), exit, summary] {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            line.push(Span::plain(format!("  {part}")));
        }
    }
    console.spans(&line)
}

fn outcome_style(word: OutcomeWord) -> Style {
    match word {
        OutcomeWord::Succeeded => Style::Green,
        OutcomeWord::Cancelled => Style::Plain,
        OutcomeWord::Failed
        | OutcomeWord::TimedOut
        | OutcomeWord::Unstartable
        | OutcomeWord::Lost => Style::Red,
    }
}

async fn output(
    client: &Client,
    console: &mut Console,
    (id, attempt, step): (&JobId, Option<u32>, Option<usize>),
) -> Result<(), Failure> {
    let mut offset = 0_u64;
    loop {
        let answer = part(client, (id, attempt, step), offset).await?;
        let bytes = answer.bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        console.output(bytes)?;
        offset = answer.next_offset(offset);
    }
}

/// What stands in `text`, or in `base64`, as in the messages of a stream.
async fn whole_output(
    client: &Client,
    (id, attempt, step): (&JobId, Option<u32>, Option<usize>),
) -> Result<Value, Failure> {
    let mut all = Vec::new();
    let mut attempt = attempt;
    let mut offset = 0_u64;
    loop {
        let answer = part(client, (id, attempt, step), offset).await?;
        // The rest is of the same attempt, also when another has begun.
        attempt = attempt.or(answer.attempt().filter(|number| *number > 0));
        if answer.bytes().is_empty() {
            break;
        }
        all.extend_from_slice(answer.bytes());
        offset = answer.next_offset(offset);
    }
    let (name, content) = match String::from_utf8(all) {
        Ok(text) => ("text", text),
        Err(error) => ("base64", STANDARD.encode(error.as_bytes())),
    };
    Ok(json!({"job_id": id, "attempt": attempt.unwrap_or(0), "step": step, name: content}))
}

/// Output from an offset on.
async fn part(
    client: &Client,
    (id, attempt, step): (&JobId, Option<u32>, Option<usize>),
    offset: u64,
) -> Result<Answer, Failure> {
    let query = Query::new()
        .add("attempt", attempt.as_ref())
        .add("step", step.as_ref())
        .add("offset", Some(&offset));
    let path = ["jobs", id.as_str(), "output"];
    client.get(&path, query.pairs()).await
}

async fn control(
    client: &Client,
    console: &mut Console,
    (id, verb, as_json): (&JobId, &str, bool),
) -> Result<(), Failure> {
    let answer = client
        .post(&["jobs", id.as_str(), verb], &json!({}))
        .await?;
    if as_json {
        return console.json(&answer.value()?);
    }
    let job: Job = answer.read()?;
    match (verb, job.state) {
        ("cancel", JobState::Running) => {
            console.say(&format!("job {id} is asked to stop"));
        }
        (_, state) => console.say(&format!("job {id} is {state} now")),
    }
    Ok(())
}
