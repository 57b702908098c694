//! What playbooks did to which hosts: part of `lariat jobs show`, and
//! `lariat jobs tasks`.

use std::time::Duration;

use api::json::{Job, List, TaskCounts, TaskEvent};
use model::{
    id::JobId,
    job::StepKind,
    task::{TaskEventKind, TaskStatus},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    args::Tasks,
    client::Client,
    commands::{Query, counted, follow},
    console::{Column, Console, Span, Style, Table},
    exit::Exit,
    failure::Failure,
    span,
};

const POLL: Duration = Duration::from_millis(200);

/// What the API gives at once.
const PAGE: usize = 500;

/// Hosts, failures and results that `jobs show` looks at.
const MOST_HOSTS: usize = 50;
const MOST_FAILURES: usize = 20;
const MOST_RESULTS: usize = 2_000;

/// Names of hosts in one line.
const MOST_NAMES: usize = 4;

/// Whether a job may have told of tasks.
pub(crate) fn may_have(job: &Job) -> bool {
    let mut steps = job.attempts.iter().flat_map(|attempt| &attempt.steps);
    steps.any(|step| step.kind == StepKind::Playbook)
}

/// `lariat jobs tasks`.
pub(crate) async fn run(
    command: &Tasks,
    client: &Client,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let filter = || {
        Query::new()
            .add("attempt", command.attempt.as_ref())
            .add("status", command.status.as_ref())
            .add("host", command.host.as_ref())
    };
    if command.follow {
        return followed(client, console, (&command.id, filter)).await;
    }
    if command.json {
        console.json(&Value::Array(all(client, &command.id, filter).await?))?;
        return Ok(Exit::Ok);
    }
    let query = || filter().add("kind", Some(&TaskEventKind::Result));
    let found = pages(client, &command.id, (query, usize::MAX)).await?;
    if found.is_empty() {
        console.say("no results of tasks");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[
        Column::Elastic("TASK"),
        Column::Fixed("HOST"),
        Column::Fixed("RESULT"),
        Column::Spare("TOOK"),
        Column::Note("SAID"),
    ]);
    for result in &found {
        table.row(vec![
            Span::plain(text(&result.task)),
            Span::plain(text(&result.host)),
            status(result.status),
            Span::plain(result.duration_ms.map(took).unwrap_or_default()),
            Span::plain(said(result)),
        ]);
    }
    console.table(&table)?;
    Ok(Exit::Ok)
}

/// What an attempt told, as the API has it.
pub(crate) async fn all(
    client: &Client,
    id: &JobId,
    query: impl Fn() -> Query,
) -> Result<Vec<Value>, Failure> {
    let found = pages(client, id, (query, usize::MAX)).await?;
    Ok(found.iter().map(|event| json!(event)).collect())
}

/// For `lariat jobs show`: what failed, what became of the hosts, and each
/// task with the hosts that it went the same way on.
pub(crate) async fn show(
    client: &Client,
    console: &mut Console,
    id: &JobId,
) -> Result<(), Failure> {
    for bad in [TaskStatus::Failed, TaskStatus::Unreachable] {
        let query = || Query::new().add("status", Some(&bad));
        for result in pages(client, id, (query, MOST_FAILURES)).await? {
            console.spans(&result_line(&result))?;
        }
    }
    let recaps = || Query::new().add("kind", Some(&TaskEventKind::Recap));
    show_hosts(pages(client, id, (recaps, usize::MAX)).await?, console)?;
    let results = || Query::new().add("kind", Some(&TaskEventKind::Result));
    let results = pages(client, id, (results, MOST_RESULTS)).await?;
    show_tasks(&results, console)?;
    if results.len() >= MOST_RESULTS {
        console.say(&format!("these are the first {MOST_RESULTS} results"));
    }
    if !results.is_empty() {
        console.say(&format!("each result: `lariat jobs tasks {id}`"));
    }
    Ok(())
}

fn show_hosts(mut recaps: Vec<TaskEvent>, console: &mut Console) -> Result<(), Failure> {
    if recaps.is_empty() {
        return Ok(());
    }
    let count = recaps.len();
    let counts = |recap: &TaskEvent| recap.counts.unwrap_or(NOTHING);
    // What is worth looking at comes first.
    recaps.sort_by_key(|recap| {
        let counts = counts(recap);
        (counts.failed + counts.unreachable == 0, counts.changed == 0)
    });
    console.line("")?;
    let mut table = Table::new(&[
        Column::Elastic("HOST"),
        Column::Fixed("OK"),
        Column::Fixed("CHANGED"),
        Column::Fixed("FAILED"),
        Column::Fixed("UNREACHABLE"),
        Column::Spare("SKIPPED"),
        Column::Spare("RESCUED"),
        Column::Spare("IGNORED"),
    ]);
    for recap in recaps.iter().take(MOST_HOSTS) {
        let counts = counts(recap);
        let number = |count: u32, style: Style| {
            let style = if count == 0 { Style::Dim } else { style };
            Span::new(style, count.to_string())
        };
        table.row(vec![
            Span::plain(text(&recap.host)),
            number(counts.ok, Style::Green),
            number(counts.changed, Style::Yellow),
            number(counts.failed, Style::Red),
            number(counts.unreachable, Style::Red),
            number(counts.skipped, Style::Plain),
            number(counts.rescued, Style::Plain),
            number(counts.ignored, Style::Plain),
        ]);
    }
    console.table(&table)?;
    if count > MOST_HOSTS {
        console.say(&format!("and {} more hosts", count - MOST_HOSTS));
    }
    Ok(())
}

const NOTHING: TaskCounts = TaskCounts {
    ok: 0,
    changed: 0,
    unreachable: 0,
    failed: 0,
    skipped: 0,
    rescued: 0,
    ignored: 0,
};

/// The hosts on which a task went one way.
struct Group<'a> {
    play: &'a Option<String>,
    task: &'a Option<String>,
    status: Option<TaskStatus>,
    hosts: Vec<&'a str>,
    longest: u64,
}

fn show_tasks(results: &[TaskEvent], console: &mut Console) -> Result<(), Failure> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut begins = 0;
    for result in results {
        let is_same = |group: &Group<'_>| group.play == &result.play && group.task == &result.task;
        if !groups.last().is_some_and(is_same) {
            begins = groups.len();
        }
        let took = result.duration_ms.unwrap_or(0);
        let host = result.host.as_deref().unwrap_or_default();
        let of_task = groups.iter_mut().skip(begins);
        match of_task.into_iter().find(|it| it.status == result.status) {
            Some(group) => {
                group.hosts.push(host);
                group.longest = group.longest.max(took);
            }
            None => groups.push(Group {
                play: &result.play,
                task: &result.task,
                status: result.status,
                hosts: vec![host],
                longest: took,
            }),
        }
    }
    if groups.is_empty() {
        return Ok(());
    }
    console.line("")?;
    let mut table = Table::new(&[
        Column::Elastic("TASK"),
        Column::Fixed("RESULT"),
        Column::Elastic("HOSTS"),
        Column::Spare("LONGEST"),
    ]);
    for group in &mut groups {
        group.hosts.sort_unstable();
        let shown: Vec<&str> = group.hosts.iter().copied().take(MOST_NAMES).collect();
        let mut hosts = shown.join(", ");
        let more = group.hosts.len() - shown.len();
        if more > 0 {
            hosts = format!("{hosts} and {more} more");
        }
        table.row(vec![
            Span::plain(text(group.task)),
            status(group.status),
            Span::plain(hosts),
            Span::plain(took(group.longest)),
        ]);
    }
    console.table(&table)
}

/// Prints results as they come, until the job has ended.
async fn followed(
    client: &Client,
    console: &mut Console,
    (id, filter): (&JobId, impl Fn() -> Query),
) -> Result<Exit, Failure> {
    let mut attempt = None;
    let mut after = None;
    loop {
        let answer = client.get(&["jobs", id.as_str()], &[]).await?;
        let job: Job = answer.read()?;
        let newest = job.attempts.last().map(|one| one.number);
        if newest != attempt {
            attempt = newest;
            after = None;
        }
        loop {
            let query = filter()
                .add("limit", Some(&PAGE))
                .add("after", after.as_ref());
            let page: List<TaskEvent> = page(client, id, &query).await?;
            for event in &page.items {
                follow_line(event, console)?;
            }
            after = page.next;
            if page.items.is_empty() {
                break;
            }
        }
        if follow::is_over(job.state) {
            return Ok(Exit::Ok);
        }
        sleep(POLL).await;
    }
}

fn follow_line(event: &TaskEvent, console: &mut Console) -> Result<(), Failure> {
    match event.kind {
        TaskEventKind::Play => console.spans(&[
            Span::new(Style::Dim, "play "),
            Span::new(Style::Bold, text(&event.play)),
        ]),
        TaskEventKind::Task => console.spans(&[
            Span::new(Style::Dim, "task "),
            Span::plain(text(&event.task)),
        ]),
        TaskEventKind::Result => console.spans(&result_line(event)),
        TaskEventKind::Recap => Ok(()),
        TaskEventKind::LeftOut => {
            let count = counted(event.count.unwrap_or(0), "result", "results");
            console.say(&format!("{count} more were not kept"));
            Ok(())
        }
    }
}

/// `failed web1  copy it: no room on the device`.
fn result_line(result: &TaskEvent) -> Vec<Span> {
    let said = said(result);
    let colon = if said.is_empty() { "" } else { ": " };
    vec![
        Span::plain("  "),
        status(result.status),
        Span::new(Style::Bold, format!("  {}", text(&result.host))),
        Span::plain(format!("  {}{colon}{said}", text(&result.task))),
    ]
}

/// What there is to say about a result, in a line.
fn said(result: &TaskEvent) -> String {
    let mut parts = Vec::new();
    if let Some(message) = &result.message {
        let lines = message.lines().map(str::trim);
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        parts.push(lines.join(" / "));
    }
    if result.censored == Some(true) {
        parts.push("hidden by no_log".to_owned());
    }
    for failure in result.items.iter().flat_map(|items| &items.failures) {
        let item = failure.item.as_deref().unwrap_or("an item");
        let message = failure.message.as_deref().unwrap_or("failed");
        parts.push(format!("{item}: {message}"));
    }
    if let Some(host) = &result.delegated_to {
        parts.push(format!("on {host}"));
    }
    if let Some(tries) = result.tries {
        parts.push(format!("tried {tries} times"));
    }
    parts.join("; ")
}

fn text(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn took(millis: u64) -> String {
    span::display(Duration::from_millis(millis))
}

fn status(status: Option<TaskStatus>) -> Span {
    let Some(status) = status else {
        return Span::plain("");
    };
    let style = match status {
        TaskStatus::Ok => Style::Green,
        TaskStatus::Changed | TaskStatus::Rescued | TaskStatus::Ignored => Style::Yellow,
        TaskStatus::Failed | TaskStatus::Unreachable => Style::Red,
        TaskStatus::Skipped => Style::Dim,
    };
    Span::new(style, status.as_str())
}

/// Task events, all pages of them up to a number.
async fn pages(
    client: &Client,
    id: &JobId,
    (query, most): (impl Fn() -> Query, usize),
) -> Result<Vec<TaskEvent>, Failure> {
    let mut found: Vec<TaskEvent> = Vec::new();
    let mut after: Option<String> = None;
    while found.len() < most {
        let limit = PAGE.min(most - found.len());
        let query = query()
            .add("limit", Some(&limit))
            .add("after", after.as_ref());
        let page = page(client, id, &query).await?;
        if page.items.is_empty() {
            break;
        }
        found.extend(page.items);
        after = page.next;
    }
    Ok(found)
}

async fn page(client: &Client, id: &JobId, query: &Query) -> Result<List<TaskEvent>, Failure> {
    let path = ["jobs", id.as_str(), "tasks"];
    client.get(&path, query.pairs()).await?.read()
}
