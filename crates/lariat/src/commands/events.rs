//! `lariat events`: the history of events.

use api::json::{Chain, Event, List, Member};
use model::{
    event::{Cause, Severity},
    id::EventId,
};

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
        Events::Chain { id, json } => {
            let answer = client.get(&["events", id.as_str(), "chain"], &[]).await?;
            if json.json {
                return console.json(&answer.value()?);
            }
            print_chain(&answer.read()?, id, console)
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

/// The chain as a tree; `asked` is marked in it.
fn print_chain(chain: &Chain, asked: &EventId, console: &mut Console) -> Result<(), Failure> {
    print_member(chain, (&chain.root, asked), 0, console)?;
    if chain.truncated {
        console.say("the chain has more than is shown");
    }
    Ok(())
}

fn print_member(
    chain: &Chain,
    (id, asked): (&EventId, &EventId),
    depth: usize,
    console: &mut Console,
) -> Result<(), Failure> {
    let Some(member) = chain.events.iter().find(|member| member.id == *id) else {
        return Ok(());
    };
    let indent = "  ".repeat(depth);
    let mark = if id == asked { "  (this event)" } else { "" };
    let line = match &member.topic {
        Some(topic) => format!("{indent}{topic}  {id}{mark}"),
        None => format!("{indent}(not kept any more)  {id}{mark}"),
    };
    console.line(&line)?;
    for job in &member.jobs {
        console.line(&format!("{indent}  {} {}  {}", job.rule, job.state, job.id))?;
        for child in children(chain, id) {
            if child
                .cause
                .as_ref()
                .is_some_and(|cause| cause.job == job.id)
            {
                print_member(chain, (&child.id, asked), depth + 2, console)?;
            }
        }
    }
    // Of jobs that are not kept any more, or that another store had.
    for child in children(chain, id) {
        let job = child.cause.as_ref().map(|cause| &cause.job);
        if job.is_some_and(|job| member.jobs.iter().all(|known| known.id != *job)) {
            print_member(chain, (&child.id, asked), depth + 1, console)?;
        }
    }
    Ok(())
}

/// The follow-ups of an event. The root is nobody's, whatever it claims.
fn children<'c>(chain: &'c Chain, id: &'c EventId) -> impl Iterator<Item = &'c Member> {
    chain.events.iter().filter(move |member| {
        let cause = member.cause.as_ref().filter(|_| member.id != chain.root);
        cause.is_some_and(|cause| cause.event == *id)
    })
}
