//! `lariat publish`: sends an event, and follows what comes of it.
//!
//! The id is made here, before anything is sent: a request whose answer was
//! lost is repeated with the same id and accepted once.

use std::{collections::BTreeMap, io::Read, time::Duration};

use api::json::{AcceptedEvents, Explanation, List};
use model::{
    event::Severity,
    id::{EventId, JobId},
    job::JobState,
    ports::Accepted,
    topic::Topic,
    verdict::Verdict,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::sleep;

use crate::{
    args::Publish,
    client::{Answer, Client, Refusal},
    clock,
    commands::{
        Query,
        follow::{self, Followed, Show},
    },
    console::Console,
    exit::Exit,
    failure::Failure,
};

/// Pauses before an unanswered request is repeated.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];
/// The service takes less; this only keeps a mistake from filling memory.
const LARGEST_BODY: u64 = 64 * 1024 * 1024;

pub(crate) async fn run(
    command: &Publish,
    client: &Client,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let id = match &command.id {
        Some(id) => id.clone(),
        None => EventId::generate(clock::wall()),
    };
    let event = event(command, &id)?;
    let answer = send(client, &event).await?;
    if command.json.json {
        console.json(&answer.value()?)?;
    } else {
        console.line(id.as_str())?;
    }
    let accepted: AcceptedEvents = answer.read()?;
    let Some(accepted) = accepted.events.into_iter().next() else {
        return Err(Failure::message(
            Exit::Unexpected,
            "the service did not say what became of the event",
        ));
    };
    if accepted.conflict {
        return Err(Failure::message(
            Exit::Unexpected,
            format!("another event has the id `{id}` already"),
        )
        .hint("this one is kept as a dead letter, see `lariat dead list`"));
    }
    if accepted.duplicate {
        console.say("this event was accepted before; nothing new was started");
    }
    if !command.wait {
        return Ok(Exit::Ok);
    }
    wait(command, client, console, &accepted).await
}

/// An event as the service takes it.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    id: &'a EventId,
    topic: &'a str,
    /// As it was given: what is ambiguous in it is the service's to refuse.
    body: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    headers: BTreeMap<&'a str, &'a str>,
}

fn event<'a>(command: &'a Publish, id: &'a EventId) -> Result<Sent<'a>, Failure> {
    let mut headers = BTreeMap::new();
    for (key, value) in &command.headers {
        if headers.insert(key.as_str(), value.as_str()).is_some() {
            let message = format!("the header `{key}` is given twice");
            return Err(Failure::message(Exit::Usage, message));
        }
    }
    Topic::from_outside(&command.topic).map_err(|error| {
        let topic = &command.topic;
        Failure::new(Exit::Usage, error)
            .context(format!("the topic {topic:?} is refused"))
            .hint(
                "a topic is words joined by dots, such as `org.example.hello`; no word has a space, `/`, `*` or `#` in it",
            )
    })?;
    Ok(Sent {
        id,
        topic: &command.topic,
        body: body(&command.body)?,
        time: command.time.map(|time| time.to_string()),
        severity: command.severity.map(Severity::as_str),
        headers,
    })
}

fn body(argument: &str) -> Result<Box<RawValue>, Failure> {
    let (text, whence) = match argument.strip_prefix('@') {
        Some(path) => {
            let file = fs_err::File::open(path).map_err(|error| {
                Failure::new(Exit::Usage, error).context("cannot read the body")
            })?;
            (read(file)?, format!("`{path}`"))
        }
        None if argument == "-" => (read(std::io::stdin())?, "standard input".to_owned()),
        None => (argument.to_owned(), "the body".to_owned()),
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .context(format!("{whence} is not JSON"))
            .hint("a body is JSON such as '{\"name\": \"world\"}', `-` for standard input, or `@FILE`")
    })
}

fn read(source: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    source
        .take(LARGEST_BODY)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Exit::Usage, error).context("cannot read the body"))?;
    Ok(text)
}

async fn send(client: &Client, event: &Sent<'_>) -> Result<Answer, Failure> {
    for pause in PAUSES {
        match client.post(&["events"], event).await {
            Ok(answer) => return Ok(answer),
            Err(Refusal::Unreachable(_)) => sleep(pause).await,
            Err(refusal @ (Refusal::Problem(..) | Refusal::Other(_))) => return Err(refusal.into()),
        }
    }
    Ok(client.post(&["events"], event).await?)
}

async fn wait(
    command: &Publish,
    client: &Client,
    console: &mut Console,
    accepted: &Accepted,
) -> Result<Exit, Failure> {
    let judged = tell_verdicts(client, console, &accepted.id).await?;
    if accepted.jobs.is_empty() {
        if !judged.has_matched {
            console.say("no rule matched");
        }
        return judged.finish(console, &accepted.id);
    }
    let show = if command.json.json {
        Show::Nothing
    } else {
        Show::Output
    };
    let timeout = command.timeout.map(|span| span.0);
    console.wait_for(&match accepted.jobs.as_slice() {
        [job] => format!("waiting for job {job}"),
        jobs => format!("waiting for {} jobs", jobs.len()),
    });
    let followed = follow::jobs(client, console, &accepted.jobs, (show, timeout)).await?;
    console.waited();
    let jobs = match followed {
        Followed::Ended(jobs) => jobs,
        Followed::TimedOut => {
            return Err(Failure::message(
                Exit::Unreachable,
                "the jobs have not ended within `--timeout`",
            )
            .hint(format!(
                "they go on; `lariat jobs list --event {}` shows them",
                accepted.id
            )));
        }
    };
    let not_well: Vec<&JobId> = jobs
        .iter()
        .filter(|job| job.state != JobState::Succeeded)
        .map(|job| &job.id)
        .collect();
    match not_well.first() {
        None if judged.cannot_run => judged.finish(console, &accepted.id),
        None => Ok(Exit::Ok),
        Some(first) => {
            console.hint(&format!("`lariat jobs show {first}` says more"));
            Err(Failure::Told(Exit::JobFailed))
        }
    }
}

/// What the rules decided, as far as an exit code depends on it.
#[derive(Debug, Default)]
struct Judged {
    has_matched: bool,
    /// A rule matched and could not compute its job.
    cannot_run: bool,
}

impl Judged {
    fn finish(&self, console: &mut Console, id: &EventId) -> Result<Exit, Failure> {
        console.hint(&format!("`lariat explain {id}` says why"));
        if self.cannot_run {
            return Err(Failure::Told(Exit::JobFailed));
        }
        Ok(Exit::Ok)
    }
}

/// Says which rules matched and made no job.
async fn tell_verdicts(
    client: &Client,
    console: &mut Console,
    id: &EventId,
) -> Result<Judged, Failure> {
    let path = ["events", id.as_str(), "verdicts"];
    let answer = client.get(&path, Query::new().pairs()).await?;
    let verdicts: List<Explanation> = answer.read()?;
    let mut judged = Judged::default();
    for explanation in &verdicts.items {
        let (rule, reason) = (&explanation.rule, &explanation.reason);
        match explanation.verdict {
            Verdict::NoMatch => {}
            Verdict::Fired | Verdict::Duplicate => judged.has_matched = true,
            Verdict::Shadow => {
                judged.has_matched = true;
                console.say(&format!("`{rule}` is on trial and {reason}"));
            }
            Verdict::Suppressed => {
                judged.has_matched = true;
                console.say(&format!("`{rule}` matched and did nothing: {reason}"));
            }
            Verdict::Error => {
                judged.has_matched = true;
                judged.cannot_run = true;
                console.error(&format!("`{rule}` matched and cannot run: {reason}"));
            }
        }
    }
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn a_body_keeps_its_numbers_exactly() {
        let text = r#"{"n":12345678901234567890123.0,"e":1E400,"z":-0}"#;
        assert_eq!(text, body(text).unwrap().get());
    }

    #[test]
    fn a_body_that_is_not_json_is_a_usage_error() {
        for bad in ["", "{", "nope", "{} {}", "@/does/not/exist"] {
            let failure = body(bad).unwrap_err();
            assert_eq!(crate::exit::Exit::Usage, failure.exit(), "{bad}");
        }
    }
}
