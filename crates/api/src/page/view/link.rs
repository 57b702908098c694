//! Sources and sinks, each a line.

use model::clock::Timestamp;
use serde::Serialize;

use super::{
    Moment,
    badge::{Badge, link_badge},
    cut_at, plural,
};
use crate::json::{Sink, Source};

/// Characters of what a peer said that are shown.
const MAX_DETAIL: usize = 500;

#[derive(Debug, Serialize)]
pub(in crate::page) struct LinkLine {
    name: String,
    /// `source` or `sink`.
    direction: &'static str,
    kind: String,
    badge: Badge,
    since: Moment,
    peer: Option<String>,
    messages: String,
    /// What is held or waits, and how often the connection was lost.
    notes: Vec<String>,
    /// What the peer said, or why it is not connected, and what is not taken.
    details: Vec<String>,
}

/// Sources first, each in the order of the configuration.
pub(in crate::page) fn links(sources: &[Source], sinks: &[Sink], now: Timestamp) -> Vec<LinkLine> {
    let sources = sources.iter().map(|source| source_line(source, now));
    let sinks = sinks.iter().map(|sink| sink_line(sink, now));
    sources.chain(sinks).collect()
}

fn source_line(source: &Source, now: Timestamp) -> LinkLine {
    let held = (source.held > 0).then(|| format!("{} not acknowledged yet", source.held));
    LinkLine {
        name: source.name.to_string(),
        direction: "source",
        kind: format!("{}, ack: {}", source.kind, source.ack.as_str()),
        badge: link_badge(source.state),
        since: Moment::new(source.since, now),
        peer: source.peer.clone(),
        messages: format!("{} received", source.messages),
        notes: held.into_iter().chain(losses(source.losses)).collect(),
        details: shortened([&source.detail]),
    }
}

fn sink_line(sink: &Sink, now: Timestamp) -> LinkLine {
    let backlog = &sink.backlog;
    let waiting = (backlog.events > 0).then(|| match backlog.oldest {
        Some(oldest) => format!(
            "{} to be sent, the oldest {}",
            backlog.events,
            Moment::new(oldest, now).relative
        ),
        None => format!("{} to be sent", backlog.events),
    });
    LinkLine {
        name: sink.name.to_string(),
        direction: "sink",
        kind: sink.kind.clone(),
        badge: link_badge(sink.state),
        since: Moment::new(sink.since, now),
        peer: sink.peer.clone(),
        messages: format!("{} published", sink.messages),
        notes: waiting.into_iter().chain(losses(sink.losses)).collect(),
        details: shortened([&sink.detail, &sink.trouble]),
    }
}

fn losses(count: u64) -> Option<String> {
    (count > 0).then(|| {
        let times = plural(usize::try_from(count).unwrap_or(usize::MAX), "time");
        format!("connection lost {times}")
    })
}

fn shortened<const N: usize>(texts: [&Option<String>; N]) -> Vec<String> {
    let texts = texts.into_iter().flatten();
    texts
        .filter(|text| !text.is_empty())
        .map(|text| cut_at(MAX_DETAIL, text).0)
        .collect()
}
