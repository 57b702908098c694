//! `lariat dead`: what gave up, kept with its cause.

use api::json::{DeadLetter, DeadRetried, List};
use model::ports::DeadState;
use serde_json::json;

use crate::{
    args::Dead,
    client::Client,
    commands::{Query, fact, more},
    console::{Column, Console, Span, Style, Table},
    failure::Failure,
};

pub(crate) async fn run(
    command: &Dead,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    match command {
        Dead::List {
            kind,
            rule,
            state,
            page,
        } => {
            let query = Query::new()
                .add("kind", kind.as_ref())
                .add("rule", rule.as_ref())
                .add("state", state.as_ref())
                .page(page);
            let answer = client.get(&["dead"], query.pairs()).await?;
            if page.json.json {
                return console.json(&answer.value()?);
            }
            list(&answer.read()?, console)
        }
        Dead::Show { id, json } => {
            let answer = client.get(&["dead", id.as_str()], &[]).await?;
            if json.json {
                return console.json(&answer.value()?);
            }
            show(&answer.read()?, console)
        }
        Dead::Retry { id, json } => {
            let path = ["dead", id.as_str(), "retry"];
            let answer = client.post(&path, &json!({})).await?;
            if json.json {
                return console.json(&answer.value()?);
            }
            let retried: DeadRetried = answer.read()?;
            console.say(&retried.summary);
            if let Some(job) = retried.job_id {
                console.line(job.as_str())?;
            }
            Ok(())
        }
        Dead::Discard { id, json } => {
            let path = ["dead", id.as_str(), "discard"];
            let answer = client.post(&path, &json!({})).await?;
            if json.json {
                return console.json(&answer.value()?);
            }
            console.say(&format!("dead letter {id} is discarded"));
            Ok(())
        }
    }
}

fn list(list: &List<DeadLetter>, console: &mut Console) -> Result<(), Failure> {
    if list.items.is_empty() {
        console.say("no such dead letters");
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::Time("CREATED"),
        Column::Fixed("KIND"),
        Column::Spare("STATE"),
        Column::Elastic("RULE"),
        Column::Fixed("ID"),
        Column::Note("CAUSE"),
    ]);
    for letter in &list.items {
        let rule = letter.rule.as_ref().map(ToString::to_string);
        table.row(vec![
            Span::plain(letter.created.to_string()),
            Span::plain(letter.kind.as_str()),
            state(letter.state),
            Span::plain(rule.unwrap_or_default()),
            Span::plain(letter.id.as_str()),
            Span::plain(&letter.cause),
        ]);
    }
    console.table(&table)?;
    more(console, list.next.as_ref());
    Ok(())
}

fn state(state: DeadState) -> Span {
    let style = match state {
        DeadState::Open => Style::Yellow,
        DeadState::Retried | DeadState::Discarded => Style::Plain,
    };
    Span::new(style, state.as_str())
}

fn show(letter: &DeadLetter, console: &mut Console) -> Result<(), Failure> {
    let text = |value: Option<String>| value.unwrap_or_default();
    fact(console, "id", letter.id.as_str())?;
    fact(console, "kind", letter.kind.as_str())?;
    fact(console, "state", letter.state.as_str())?;
    fact(console, "cause", &letter.cause)?;
    let event = letter.event_id.as_ref().map(ToString::to_string);
    fact(console, "event", text(event))?;
    let rule = letter.rule.as_ref().map(ToString::to_string);
    fact(console, "rule", text(rule))?;
    let job = letter.job_id.as_ref().map(ToString::to_string);
    fact(console, "job", text(job))?;
    fact(console, "source", &letter.source)?;
    fact(console, "created", letter.created.to_string())?;
    let closed = letter.closed.map(|at| at.to_string());
    fact(console, "closed", text(closed))?;
    let by = letter.closed_by.as_ref().map(ToString::to_string);
    fact(console, "closed by", text(by))?;
    if let Some(raw) = &letter.raw {
        console.line("what arrived")?;
        console.block(raw)?;
    }
    Ok(())
}
