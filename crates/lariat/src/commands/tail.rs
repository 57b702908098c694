//! `lariat tail`: events as they are accepted.
//!
//! It asks for what is newer than the last answer, so nothing is missed and
//! nothing comes twice, whatever happens to the connection in between.

use std::time::Duration;

use api::json::{Event, List};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    args::Tail,
    client::{Client, Refusal},
    commands::{Query, events::severity},
    console::{Console, Span, Style},
    failure::Failure,
};

const POLL: Duration = Duration::from_millis(250);
/// How long a service may be away before it counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(30);
/// Columns of the longest severity.
const WIDEST: usize = "warning".len();
/// Before the first event of any list.
const BEGINNING: &str = "c0";

/// Prints until it is interrupted or its reader goes away.
pub(crate) async fn run(
    command: &Tail,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut after = start(command, client).await?;
    // One pattern is matched by the service, several are matched here.
    let topic = match command.patterns.as_slice() {
        [only] => Some(only),
        [] | [_, _, ..] => None,
    };
    let mut last_seen = Instant::now();
    loop {
        let query = Query::new()
            .add("after", Some(&after.cursor))
            .add("since", after.since.as_ref())
            .add("topic", topic)
            .add("limit", Some(&500));
        let list: List<Value> = match client.try_get(&["events"], query.pairs()).await {
            Ok(answer) => answer.read()?,
            Err(Refusal::Unreachable(failure)) => {
                if last_seen.elapsed() > PATIENCE {
                    return Err(failure);
                }
                sleep(POLL).await;
                continue;
            }
            Err(refusal) => return Err(refusal.into()),
        };
        last_seen = Instant::now();
        for item in &list.items {
            print(item, command, console)?;
        }
        let is_behind = !list.items.is_empty();
        if let Some(next) = list.next {
            after = After {
                cursor: next,
                since: None,
            };
        }
        if !is_behind {
            sleep(POLL).await;
        }
    }
}

/// Where to go on.
struct After {
    cursor: String,
    since: Option<String>,
}

async fn start(command: &Tail, client: &Client) -> Result<After, Failure> {
    let cursor = BEGINNING.to_owned();
    if let Some(since) = &command.since {
        return Ok(After {
            cursor,
            since: Some(since.clone()),
        });
    }
    // The newest event there is marks the end of the past.
    let query = Query::new()
        .add("limit", Some(&1))
        .add("since", Some(&"36500d"));
    let answer = client.get(&["events"], query.pairs()).await?;
    let newest: List<Event> = answer.read()?;
    let Some(newest) = newest.items.first() else {
        return Ok(After {
            cursor,
            since: Some("36500d".to_owned()),
        });
    };
    // Its place in the list is that of the page that begins with it.
    let mut since = Some(newest.accepted.to_string());
    let mut after = cursor;
    loop {
        let query = Query::new()
            .add("after", Some(&after))
            .add("since", since.as_ref())
            .add("limit", Some(&500));
        let answer = client.get(&["events"], query.pairs()).await?;
        let list: List<Event> = answer.read()?;
        let is_end = list.items.len() < 500;
        if let Some(next) = list.next {
            after = next;
            since = None;
        }
        if is_end {
            return Ok(After {
                cursor: after,
                since,
            });
        }
    }
}

fn print(item: &Value, command: &Tail, console: &mut Console) -> Result<(), Failure> {
    let event: Event = serde_json::from_value(item.clone()).map_err(|error| {
        Failure::unexpected(error)
            .context("the service answered what this version does not understand")
    })?;
    let patterns = &command.patterns;
    if !patterns.is_empty() && !patterns.iter().any(|pattern| pattern.matches(&event.topic)) {
        return Ok(());
    }
    if command.json {
        return console.json_line(item);
    }
    console.spans(&[
        Span::new(Style::Dim, event.accepted.to_string()),
        Span::plain("  "),
        severity(event.severity),
        Span::plain(" ".repeat(WIDEST.saturating_sub(event.severity.as_str().len()) + 2)),
        Span::new(Style::Bold, event.topic.as_str()),
        Span::plain(format!("  {}", event.id)),
    ])
}
