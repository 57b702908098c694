//! `lariat events`: the history of events.

use api::json::{Event, List};
use model::event::{Cause, Severity};

use crate::{
    args::Events,
    client::Client,
    commands::{Query, fact, more},
    console::{Column, Console, Span, Style, Table},
    failure::Failure,
};

pub(crate) async fn run(
    command: &Events,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    match command {
        Events::List {
            topic,
            source,
            severity,
            window,
        } => {
            let query = Query::new()
                .add("topic", topic.as_ref())
                .add("source", source.as_ref())
                .add("severity", severity.as_ref())
                .window(window);
            let answer = client.get(&["events"], query.pairs()).await?;
            if window.page.json.json {
                return console.json(&answer.value()?);
            }
            let list: List<Event> = answer.read()?;
            print(&list, window.since.is_none(), console)
        }
        Events::Show { id, json } => {
            let answer = client.get(&["events", id.as_str()], &[]).await?;
            if json.json {
                return console.json(&answer.value()?);
            }
            show(&answer.read()?, console)
        }
    }
}

fn print(list: &List<Event>, is_last_day: bool, console: &mut Console) -> Result<(), Failure> {
    if list.items.is_empty() {
        console.say(if is_last_day {
            "no such events in the last 24 hours; `--since 30d` looks further back"
        } else {
            "no such events"
        });
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::Time("ACCEPTED"),
        Column::Spare("SEVERITY"),
        Column::Spare("SOURCE"),
        Column::Elastic("TOPIC"),
        Column::Fixed("ID"),
    ]);
    for event in &list.items {
        table.row(vec![
            Span::plain(event.accepted.to_string()),
            severity(event.severity),
            Span::plain(&event.source),
            Span::new(Style::Bold, event.topic.as_str()),
            Span::plain(event.id.as_str()),
        ]);
    }
    console.table(&table)?;
    more(console, list.next.as_ref());
    Ok(())
}

pub(super) fn severity(severity: Severity) -> Span {
    let style = match severity {
        Severity::Debug => Style::Dim,
        Severity::Info => Style::Plain,
        Severity::Warning => Style::Yellow,
        Severity::Error => Style::Red,
    };
    Span::new(style, severity.as_str())
}

fn show(event: &Event, console: &mut Console) -> Result<(), Failure> {
    let Event {
        id,
        topic,
        time,
        accepted,
        source,
        severity,
        headers,
        body,
        origin,
        cause,
        revision,
    } = event;
    fact(console, "id", id.as_str())?;
    fact(console, "topic", topic.as_str())?;
    fact(console, "accepted", accepted.to_string())?;
    fact(console, "time", time.to_string())?;
    fact(console, "source", source)?;
    fact(console, "severity", severity.as_str())?;
    let by = origin.by.as_deref().unwrap_or("nobody known");
    let proof = if origin.verified {
        ""
    } else {
        ", not verified"
    };
    fact(console, "origin", format!("{by} via {}{proof}", origin.via))?;
    if let Some(Cause { event, job, hops }) = cause {
        let what = format!("event {event}, job {job}, hop {hops}");
        fact(console, "follow-up of", what)?;
    }
    fact(console, "revision", revision.as_str())?;
    if !headers.is_empty() {
        console.line("headers")?;
        console.json(&headers.clone().into())?;
    }
    console.line("body")?;
    console.json(body)
}
