//! What the pages show, as plain texts: templates decide nothing.

use std::collections::HashMap;

use model::{
    clock::Timestamp,
    event::{Event, RecordedEvent},
    id::JobId,
    job::{Job, JobState},
    json::Object,
    page::Cursor,
    task::Recap,
    verdict::{Explanation, StoredVerdict, Truth, Verdict},
};
use serde::Serialize;
use serde_json::Value;

use self::{
    badge::{Badge, job_badge, severity_badge, verdict_badge},
    task::{RecapLine, recap_line},
    time::{ago, between},
};
use crate::{json::Status, problem::Problem};

mod badge;
mod time;

pub(super) mod job;
pub(super) mod link;
pub(super) mod task;

/// Characters of a body that are shown; the API has the rest.
const MAX_BODY: usize = 64 * 1024;

/// Rules without a match that are listed.
const MAX_NO_MATCH: usize = 500;

/// Headers that are listed, and characters of each.
const MAX_HEADERS: usize = 200;
const MAX_HEADER: usize = 1_000;

#[derive(Debug, Serialize)]
pub(super) struct Link {
    href: String,
    text: String,
}

/// A moment: how long ago, and which.
#[derive(Debug, Serialize)]
pub(super) struct Moment {
    relative: String,
    absolute: String,
}

impl Moment {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        Self {
            relative: ago(at, now),
            absolute: at.to_string(),
        }
    }
}

/// The line at the top of every page.
#[derive(Debug, Serialize)]
pub(super) struct Service {
    version: String,
    revision: String,
    revision_short: String,
    commit: Option<String>,
    rules: String,
    worker: String,
    running: String,
    queued: Option<String>,
    dead: Option<String>,
    started: Moment,
    notices: Vec<Notice>,
}

#[derive(Debug, Serialize)]
struct Notice {
    message: String,
    hint: Option<String>,
    place: Option<String>,
}

pub(super) fn service(status: &Status, now: Timestamp) -> Service {
    let count = |state: JobState| status.store.jobs.get(state.as_str()).copied().unwrap_or(0);
    let waiting: Vec<String> = [
        JobState::Queued,
        JobState::Waiting,
        JobState::Delayed,
        JobState::Retrying,
        JobState::Held,
    ]
    .into_iter()
    .filter(|state| count(*state) > 0)
    .map(|state| format!("{} {state}", count(state)))
    .collect();
    Service {
        version: status.version.clone(),
        revision: status.revision.to_string(),
        revision_short: status.revision.as_str().chars().take(10).collect(),
        commit: status
            .commit
            .as_ref()
            .map(|commit| commit.chars().take(10).collect()),
        rules: plural(status.rules, "rule"),
        worker: status.worker.id.to_string(),
        running: format!("{} of {}", status.worker.running, status.worker.concurrency),
        queued: (!waiting.is_empty()).then(|| waiting.join(", ")),
        dead: match status.store.open_dead_letters {
            0 => None,
            1 => Some("1 open dead letter".to_owned()),
            count => Some(format!("{count} open dead letters")),
        },
        started: Moment::new(status.started, now),
        notices: status
            .notices
            .iter()
            .map(|notice| Notice {
                message: notice.message.clone(),
                hint: notice.hint.clone(),
                place: (!notice.file.is_empty()).then(|| notice.file.clone()),
            })
            .collect(),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Home {
    topic: String,
    is_filtered: bool,
    cards: Vec<Card>,
    older: Option<String>,
    is_older: bool,
    newest: String,
}

/// One event of the list.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    id: String,
    topic: String,
    topic_link: String,
    source: String,
    severity: Option<Badge>,
    accepted: Moment,
    /// What the rules said that made no job.
    verdicts: Vec<Line>,
    jobs: Vec<JobLine>,
}

#[derive(Debug, Serialize)]
struct Line {
    rule: String,
    badge: Badge,
    reason: String,
}

#[derive(Debug, Serialize)]
struct JobLine {
    id: String,
    rule: String,
    badge: Badge,
    attempts: Option<String>,
    duration: Option<String>,
    reason: Option<String>,
    recap: Option<RecapLine>,
}

fn job_line(job: &Job, recaps: &Recaps, now: Timestamp) -> JobLine {
    JobLine {
        id: job.id.to_string(),
        rule: job.rule.to_string(),
        badge: job_badge(job.state),
        attempts: (job.attempts.len() > 1).then(|| plural(job.attempts.len(), "attempt")),
        duration: duration(job.started, job.finished, now),
        reason: job.reason.as_deref().filter(|r| !r.is_empty()).map(line),
        recap: recaps.get(&job.id).map(recap_line),
    }
}

fn duration(
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    now: Timestamp,
) -> Option<String> {
    started.map(|started| between(started, finished.unwrap_or(now)))
}

/// What playbooks told of the hosts of jobs.
pub(super) type Recaps = HashMap<JobId, Recap>;

/// The first line of a text, shortened.
fn line(text: &str) -> String {
    cut_at(200, text.lines().next().unwrap_or_default()).0
}

pub(super) fn card(
    event: &Event,
    verdicts: &[StoredVerdict],
    (jobs, recaps): (&[Job], &Recaps),
    now: Timestamp,
) -> Card {
    let mut jobs: Vec<&Job> = jobs.iter().collect();
    jobs.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
    Card {
        id: event.id.to_string(),
        topic: event.topic.to_string(),
        topic_link: home_link(event.topic.as_str(), None, None),
        source: event.source.clone(),
        severity: severity_badge(event.severity),
        accepted: Moment::new(event.accepted, now),
        verdicts: verdicts
            .iter()
            .filter(|verdict| verdict.verdict != Verdict::Fired)
            .map(|verdict| Line {
                rule: verdict.rule.to_string(),
                badge: verdict_badge(verdict.verdict),
                reason: line(&verdict.reason),
            })
            .collect(),
        jobs: jobs
            .into_iter()
            .map(|job| job_line(job, recaps, now))
            .collect(),
    }
}

pub(super) fn home(topic: &str, cards: Vec<Card>, next: Option<Cursor>, is_older: bool) -> Home {
    Home {
        topic: topic.to_owned(),
        is_filtered: !topic.is_empty(),
        cards,
        older: next.map(|cursor| home_link(topic, Some(cursor), None)),
        is_older,
        newest: home_link(topic, None, None),
    }
}

/// Turns looking again by itself on or off.
pub(super) fn refresh_link(topic: &str, refresh: Option<u32>) -> Option<Link> {
    Some(match refresh {
        None => Link {
            href: home_link(topic, None, Some(5)),
            text: "refresh every 5 s".to_owned(),
        },
        Some(_) => Link {
            href: home_link(topic, None, None),
            text: "stop refreshing".to_owned(),
        },
    })
}

fn home_link(topic: &str, cursor: Option<Cursor>, refresh: Option<u32>) -> String {
    let mut parts = Vec::new();
    if !topic.is_empty() {
        parts.push(format!("topic={}", percent(topic)));
    }
    if let Some(cursor) = cursor {
        parts.push(format!("cursor={cursor}"));
    }
    if let Some(seconds) = refresh {
        parts.push(format!("refresh={seconds}"));
    }
    match parts.as_slice() {
        [] => "/".to_owned(),
        parts => format!("/?{}", parts.join("&")),
    }
}

fn percent(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    out
}

#[derive(Debug, Serialize)]
pub(super) struct EventView {
    id: String,
    topic: String,
    topic_link: String,
    source: String,
    origin: String,
    severity: &'static str,
    severity_badge: Option<Badge>,
    revision: String,
    revision_short: String,
    time: Moment,
    accepted: Moment,
    headers: Vec<Header>,
    unlisted_headers: usize,
    body: String,
    is_cut: bool,
    jobs: Vec<JobLine>,
    /// What matched, and behind a fold what did not; without empty ones.
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Header {
    name: String,
    /// As JSON: `"1"` is not `1`.
    value: String,
}

/// Verdicts that stand together.
#[derive(Debug, Serialize)]
struct Group {
    /// What stands on the fold; absent: there is none.
    summary: Option<String>,
    is_open: bool,
    entries: Vec<Explained>,
    unlisted: usize,
}

#[derive(Debug, Serialize)]
struct Explained {
    rule: String,
    badge: Badge,
    reason: String,
    job: Option<String>,
    conditions: Vec<ConditionLine>,
}

#[derive(Debug, Serialize)]
struct ConditionLine {
    expr: String,
    value: Option<String>,
    result: &'static str,
    tone: &'static str,
    note: Option<String>,
    /// For the style sheet, at most 6.
    depth: usize,
}

fn explained(explanation: &Explanation) -> Explained {
    Explained {
        rule: explanation.rule.to_string(),
        badge: verdict_badge(explanation.verdict),
        reason: explanation.reason.clone(),
        job: explanation.job_id.as_ref().map(ToString::to_string),
        conditions: explanation
            .conditions
            .iter()
            .map(|trace| {
                let (result, tone) = match trace.result {
                    Truth::True => ("true", "good"),
                    Truth::False => ("false", "plain"),
                    Truth::Unknown => ("unknown", "warn"),
                };
                ConditionLine {
                    expr: trace.expr.clone(),
                    value: trace.value.as_ref().map(|value| line(&value.to_string())),
                    result,
                    tone,
                    note: trace.note.clone(),
                    depth: trace.depth.min(6),
                }
            })
            .collect(),
    }
}

pub(super) fn event(
    recorded: &RecordedEvent,
    explanations: &[Explanation],
    (jobs, recaps): (&[Job], &Recaps),
    now: Timestamp,
) -> EventView {
    let RecordedEvent {
        event,
        revision,
        place: _,
    } = recorded;
    let (unmatched, matched): (Vec<_>, Vec<_>) = explanations
        .iter()
        .partition(|explanation| explanation.verdict == Verdict::NoMatch);
    let (body, is_cut) = cut(&pretty(&event.body));
    let proof = if event.origin.verified {
        "verified"
    } else {
        "not verified"
    };
    let by = event.origin.by.as_deref().unwrap_or("unknown sender");
    EventView {
        id: event.id.to_string(),
        topic: event.topic.to_string(),
        topic_link: home_link(event.topic.as_str(), None, None),
        source: event.source.clone(),
        origin: format!("{by}, {proof}, via {}", event.origin.via),
        severity: event.severity.as_str(),
        severity_badge: severity_badge(event.severity),
        revision: revision.to_string(),
        revision_short: revision.as_str().chars().take(10).collect(),
        time: Moment::new(event.time, now),
        accepted: Moment::new(event.accepted, now),
        headers: event
            .headers
            .iter()
            .take(MAX_HEADERS)
            .map(|(name, value)| Header {
                name: name.clone(),
                value: cut_at(MAX_HEADER, &value.to_string()).0,
            })
            .collect(),
        unlisted_headers: event.headers.len().saturating_sub(MAX_HEADERS),
        body,
        is_cut,
        jobs: jobs
            .iter()
            .rev()
            .map(|job| job_line(job, recaps, now))
            .collect(),
        groups: groups(&matched, &unmatched),
    }
}

fn groups(matched: &[&Explanation], unmatched: &[&Explanation]) -> Vec<Group> {
    let group = |summary: Option<String>, all: &[&Explanation], listed: usize| Group {
        summary,
        is_open: matched.is_empty(),
        entries: all.iter().take(listed).map(|one| explained(one)).collect(),
        unlisted: all.len().saturating_sub(listed),
    };
    let mut groups = Vec::new();
    if !matched.is_empty() {
        groups.push(group(None, matched, matched.len()));
    }
    if !unmatched.is_empty() {
        let summary = format!("{} did not match", plural(unmatched.len(), "rule"));
        groups.push(group(Some(summary), unmatched, MAX_NO_MATCH));
    }
    groups
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is JSON")
}

fn pretty_object(object: &Object) -> String {
    serde_json::to_string_pretty(object).expect("a JSON object is JSON")
}

fn cut(text: &str) -> (String, bool) {
    cut_at(MAX_BODY, text)
}

/// The first `limit` characters, and whether there are more.
fn cut_at(limit: usize, text: &str) -> (String, bool) {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(limit).collect();
    let is_cut = chars.next().is_some();
    if is_cut {
        short.push('…');
    }
    (short, is_cut)
}

/// Something went wrong, or is not there.
#[derive(Debug, Serialize)]
pub(super) struct ProblemView {
    status: u16,
    title: &'static str,
    detail: String,
}

pub(super) fn problem(problem: &Problem) -> ProblemView {
    ProblemView {
        status: problem.code.status(),
        title: problem.code.title(),
        detail: problem.detail.clone(),
    }
}

fn plural(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
