//! `lariat tail`: events as they are committed.
//!
//! It reads a stream that goes on where it broke off, so nothing is missed and
//! nothing comes twice, whatever happens to the connection in between.

use api::json::Event;
use model::page::Cursor;
use rules::expr::Condition;
use serde_json::Value;

use crate::{
    args::Tail,
    client::{
        Client,
        messages::Message,
        stream::{Address, Subscription},
    },
    commands::{Query, events::severity},
    console::{Console, Span, Style},
    exit::Exit,
    failure::Failure,
};

/// Columns of the longest severity.
const WIDEST: usize = "warning".len();
/// Fields of a body that are shown, and characters of each.
const MOST_FIELDS: usize = 20;
const LONGEST: usize = 160;

/// How an event is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Terse,
    Pretty,
}

/// Prints until it is interrupted or its reader goes away.
pub(crate) async fn run(
    command: &Tail,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let form = match command {
        Tail { json: true, .. } => Form::Json,
        Tail { terse: true, .. } => Form::Terse,
        Tail { pretty: true, .. } => Form::Pretty,
        Tail { .. } if console.is_terminal() => Form::Pretty,
        Tail { .. } => Form::Terse,
    };
    if let Some(text) = &command.condition {
        check(text)?;
    }
    let mut stream = Subscription::open(client, address(command)).await?;
    loop {
        let message = stream.next(console).await?;
        print(&message, form, console)?;
    }
}

/// A condition that cannot be read, with what was probably meant.
fn check(text: &str) -> Result<(), Failure> {
    let Err(error) = Condition::parse(text) else {
        return Ok(());
    };
    let before = text.get(..error.offset).unwrap_or(text);
    let character = before.chars().count() + 1;
    let message = format!("`--where`: at character {character}: {}", error.message);
    let failure = Failure::message(Exit::Usage, message);
    Err(match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

fn address(command: &Tail) -> Address {
    let mut query = Query::new()
        .add("where", command.condition.as_ref())
        .add("source", command.source.as_ref())
        .add("severity", command.severity.as_ref());
    for pattern in &command.patterns {
        query = query.add("topic", Some(pattern));
    }
    let since = command.since.as_ref();
    let is_cursor = since.is_some_and(|since| since.parse::<Cursor>().is_ok());
    let query = query.add(if is_cursor { "after" } else { "since" }, since);
    Address {
        path: ["events", "stream"].map(str::to_owned).to_vec(),
        query: query.pairs().to_vec(),
    }
}

fn print(message: &Message, form: Form, console: &mut Console) -> Result<(), Failure> {
    match message.event.as_str() {
        "event" => {}
        "gap" => {
            console.say("events are missing here: retention has removed them");
            return Ok(());
        }
        // What a later version has to say.
        _ => return Ok(()),
    }
    let value: Value = serde_json::from_str(&message.data).map_err(not_understood)?;
    if form == Form::Json {
        return console.json_line(&value);
    }
    let event: Event = serde_json::from_value(value).map_err(not_understood)?;
    let word = event.severity.as_str();
    console.spans(&[
        Span::new(Style::Dim, event.accepted.to_string()),
        Span::plain("  "),
        severity(event.severity),
        Span::plain(" ".repeat(WIDEST.saturating_sub(word.len()) + 2)),
        Span::new(Style::Bold, event.topic.as_str()),
        Span::plain(format!("  {}", event.id)),
    ])?;
    match form {
        Form::Pretty => body(&event, console),
        Form::Json | Form::Terse => Ok(()),
    }
}

/// A few lines of what an event says.
fn body(event: &Event, console: &mut Console) -> Result<(), Failure> {
    let label = |name: &str| Span::new(Style::Dim, format!("    {name}: "));
    console.spans(&[label("source"), Span::plain(event.source.as_str())])?;
    if let Some(cause) = &event.cause {
        let of = format!("job {} of event {}", cause.job, cause.event);
        console.spans(&[label("caused by"), Span::plain(of)])?;
    }
    match &event.body {
        Value::Object(fields) => {
            for (name, value) in fields.iter().take(MOST_FIELDS) {
                console.spans(&[label(&short(name)), Span::plain(short_json(value))])?;
            }
            match fields.len().saturating_sub(MOST_FIELDS) {
                0 => Ok(()),
                more => console.spans(&[Span::new(Style::Dim, format!("    … and {more} more"))]),
            }
        }
        Value::Null => Ok(()),
        other => console.spans(&[label("body"), Span::plain(short_json(other))]),
    }
}

fn short_json(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => short(text),
        other => short(&other.to_string()),
    }
}

fn short(text: &str) -> String {
    let mut rest = text.chars();
    let mut short: String = rest.by_ref().take(LONGEST).collect();
    if rest.next().is_some() {
        short.push('…');
    }
    short
}

fn not_understood(error: serde_json::Error) -> Failure {
    Failure::new(Exit::Unexpected, error)
        .context("the service sent what this version does not understand")
        .hint("`lariat status` shows the service's version, `lariat --version` this one's")
}
