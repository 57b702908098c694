//! The sections of `lariat.yml`, each checked by itself.
//!
//! A value that is wrong is reported and leaves its default in place.

use std::{collections::BTreeSet, path::Path};

use model::account::ACCOUNTS_FILE;
use rules::{
    Code,
    yaml::{Data, Mapping, Node, Reader},
};

use crate::config::{
    CENTURY, Config, DAY, HOUR, Limits, Log, LogFormat, SECOND, Scope, StoreUrl, Workers, ansible,
    listen, listener, route, sink, source,
};

/// Keys of the file that a later version will have.
const LATER: [&str; 2] = ["subscriptions", "destinations"];

pub(super) fn root(reader: &mut Reader<'_>, node: &Node, (project, config): (&Path, &mut Config)) {
    let Some(mut root) = reader.mapping(node, "`lariat.yml`") else {
        return;
    };
    if let Some(address) = root
        .optional("listen")
        .and_then(|node| listen(reader, node))
    {
        config.listen = address;
    }
    if let Some(url) = root.optional("store").and_then(|node| store(reader, node)) {
        config.store = url;
    }
    if let Some(node) = root.optional("workers") {
        workers(reader, node, &mut config.workers);
    }
    if let Some(node) = root.optional("retention") {
        retention(reader, node, config);
    }
    if let Some(node) = root.optional("limits") {
        limits(reader, node, &mut config.limits);
    }
    if let Some(node) = root.optional("ansible") {
        ansible::read(reader, node, &mut config.ansible);
    }
    if let Some(node) = root.optional("log") {
        log(reader, node, &mut config.log);
    }
    links(reader, &mut root, (project, config));
    // Rules have files of their own; a reader of examples may not know.
    if let Some(entry) = root.entry("rules") {
        reader.error(
            Code::UnknownKey,
            entry.key_span,
            "`lariat.yml` has no rules in it".to_owned(),
            Some("rules stand in files of their own, `rules/*.yml`".to_owned()),
        );
    }
    if let Some(entry) = root.entry("accounts") {
        reader.error(
            Code::UnknownKey,
            entry.key_span,
            "a project grants no accounts".to_owned(),
            Some(format!(
                "an administrator grants them outside of it, in `{ACCOUNTS_FILE}`"
            )),
        );
    }
    root.finish(reader, &LATER);
}

/// Certificates, sources, sinks and routes; what they may say depends on the workers.
fn links(reader: &mut Reader<'_>, root: &mut Mapping<'_>, (project, config): (&Path, &mut Config)) {
    let scope = Scope {
        project,
        concurrency: config.workers.concurrency,
        lease: config.workers.lease,
        renew: config.workers.renew,
    };
    if let Some(node) = root.optional("listen_tls") {
        config.listen_tls = listener::tls(reader, node, &scope);
    }
    let sources = root.optional("sources");
    let sinks = root.optional("sinks");
    if let Some(node) = sources {
        config.sources = source::read(reader, node, &scope);
    }
    if let Some(node) = sinks {
        config.sinks = sink::read(reader, node, &scope);
    }
    if let Some(node) = root.optional("routes") {
        let names = route::Names {
            sources: keys(sources),
            sinks: keys(sinks),
        };
        config.routes = route::read(reader, node, &names);
    }
}

fn keys(node: Option<&Node>) -> BTreeSet<String> {
    match node.map(|node| &node.data) {
        Some(Data::Mapping(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
        Some(Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_))
        | None => BTreeSet::new(),
    }
}

fn store(reader: &mut Reader<'_>, node: &Node) -> Option<StoreUrl> {
    let text = reader.string(node)?;
    match text.parse() {
        Ok(url) => Some(url),
        Err(error) => {
            let code = match error {
                super::StoreUrlError::Later => Code::LaterVersion,
                super::StoreUrlError::Form | super::StoreUrlError::NotAFile => Code::BadValue,
            };
            let hint = Some("write `sqlite:lariat.db`; the path starts at the project".to_owned());
            reader.error(code, node.span, error.to_string(), hint);
            None
        }
    }
}

fn workers(reader: &mut Reader<'_>, node: &Node, workers: &mut Workers) {
    let Some(mut section) = reader.mapping(node, "`workers`") else {
        return;
    };
    count(
        reader,
        &mut section,
        ("concurrency", 1, 1000),
        &mut workers.concurrency,
    );
    if let Some(node) = section.optional("lease")
        && let Some(lease) = reader.duration(node, SECOND..=HOUR)
    {
        workers.lease = lease;
        workers.renew = lease / 3;
    }
    section.finish(reader, &[]);
}

fn retention(reader: &mut Reader<'_>, node: &Node, config: &mut Config) {
    let Some(mut section) = reader.mapping(node, "`retention`") else {
        return;
    };
    for (key, value) in [
        ("events", &mut config.retention.events),
        ("output", &mut config.retention.output),
        ("dead", &mut config.retention.dead),
    ] {
        if let Some(node) = section.optional(key)
            && let Some(duration) = reader.duration(node, DAY / 24..=CENTURY)
        {
            *value = duration;
        }
    }
    if let Some(node) = section.optional("every")
        && let Some(every) = reader.duration(node, SECOND..=HOUR)
    {
        config.prune_every = every;
    }
    section.finish(reader, &[]);
}

fn limits(reader: &mut Reader<'_>, node: &Node, limits: &mut Limits) {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    let Some(mut section) = reader.mapping(node, "`limits`") else {
        return;
    };
    for (key, most, value) in [
        ("event", 64 * MIB, &mut limits.event),
        ("request", 128 * MIB, &mut limits.request),
    ] {
        if let Some(node) = section.optional(key)
            && let Some(size) = reader.size(node, KIB..=most)
        {
            *value = usize::try_from(size).unwrap_or(usize::MAX);
        }
    }
    count(
        reader,
        &mut section,
        ("nesting", 1, 100),
        &mut limits.nesting,
    );
    count(
        reader,
        &mut section,
        ("queue", 1, 10_000_000),
        &mut limits.queue,
    );
    count(
        reader,
        &mut section,
        ("streams", 1, 100_000),
        &mut limits.streams,
    );
    for (key, value) in [
        ("requests_per_token", &mut limits.requests_per_token),
        ("requests_per_address", &mut limits.requests_per_address),
    ] {
        if let Some(node) = section.optional(key)
            && let Some(rate) = listener::rate(reader, node)
        {
            *value = rate;
        }
    }
    if limits.request < limits.event {
        reader.error(
            Code::BadValue,
            section.span(),
            "`request` is smaller than `event`: such an event could not be sent".to_owned(),
            Some("`request` is at least `event`".to_owned()),
        );
    }
    section.finish(reader, &[]);
}

fn log(reader: &mut Reader<'_>, node: &Node, log: &mut Log) {
    let Some(mut section) = reader.mapping(node, "`log`") else {
        return;
    };
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(node) = section.optional("format")
        && let Some(format) = reader.word(node, &formats)
    {
        log.format = format;
    }
    let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
    if let Some(node) = section.optional("level")
        && let Some(level) = reader.word(node, &levels)
    {
        log.level = level;
    }
    section.finish(reader, &[]);
}

pub(super) fn count(
    reader: &mut Reader<'_>,
    section: &mut Mapping<'_>,
    (key, least, most): (&'static str, u64, u64),
    value: &mut usize,
) {
    if let Some(node) = section.optional(key)
        && let Some(number) = reader.integer(node, least..=most)
    {
        *value = usize::try_from(number).unwrap_or(usize::MAX);
    }
}
