//! Every value that is in force, under the name that it has in `lariat.yml`,
//! and where it is said.
//!
//! Secrets are never in here: a place is shown as it is written, and what
//! stands in the file itself as `[secret]`.

use std::{net::SocketAddr, path::Path, time::Duration};

use rules::yaml::{Data, Node, Reader};
use serde_json::{Value, json};

use crate::config::{
    Config, Environment, FILE, LogFormat, StoreUrl,
    ansible::Ansible,
    listener::{self, ListenTls},
};

mod links;

/// Where a value is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In this line of `lariat.yml`.
    File(u32),
    Default,
    CommandLine,
    Environment,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(line) => write!(f, "{FILE}:{line}"),
            Self::Default => f.write_str("default"),
            Self::CommandLine => f.write_str("command line"),
            Self::Environment => f.write_str("environment"),
        }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// As the manual names it, such as `workers.lease`.
    pub(crate) key: String,
    /// As `lariat.yml` would have it.
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What goes before the file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Over<'a> {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) store: Option<&'a StoreUrl>,
    /// LARIAT_LOG.
    pub(crate) log: Option<&'a str>,
}

impl<'a> Over<'a> {
    pub(crate) fn new(
        listen: Option<SocketAddr>,
        store: Option<&'a StoreUrl>,
        environment: &'a Environment,
    ) -> Self {
        Self {
            listen,
            store,
            log: environment.log.as_deref(),
        }
    }
}

/// All values of a project whose configuration has no errors.
pub(crate) fn settings(config: &Config, project: &Path, over: Over<'_>) -> Vec<Setting> {
    let text = super::read(project).unwrap_or_default();
    written(config, &text, over)
}

fn written(config: &Config, text: &str, over: Over<'_>) -> Vec<Setting> {
    let root = Reader::new(FILE, text).parse();
    let mut list = Listing {
        root: root.as_ref(),
        settings: Vec::new(),
    };
    let Config {
        listen,
        listen_tls,
        store,
        workers,
        retention,
        prune_every,
        limits,
        ansible,
        log,
        sources,
        sinks,
        routes,
    } = config;
    match over.listen {
        Some(address) => list.put("listen", json!(address), Origin::CommandLine),
        None => list.add("listen", json!(listen)),
    }
    let tls = listen_tls.as_ref();
    let (cert, key) = tls.map(|ListenTls { cert, key }| (cert, key)).unzip();
    list.add("listen_tls.cert", json!(cert));
    list.add("listen_tls.key", json!(key));
    match over.store {
        Some(store) => list.put("store", json!(store.to_string()), Origin::CommandLine),
        None => list.add("store", json!(store.to_string())),
    }
    list.add("workers.concurrency", json!(workers.concurrency));
    list.add("workers.lease", duration(workers.lease));
    list.add("retention.events", duration(retention.events));
    list.add("retention.output", duration(retention.output));
    list.add("retention.dead", duration(retention.dead));
    list.add("retention.every", duration(*prune_every));
    list.add("limits.event", size(limits.event));
    list.add("limits.request", size(limits.request));
    list.add("limits.nesting", json!(limits.nesting));
    list.add("limits.queue", json!(limits.queue));
    list.add("limits.streams", json!(limits.streams));
    let rate = |rate| json!(listener::shown(rate));
    list.add("limits.requests_per_token", rate(limits.requests_per_token));
    list.add(
        "limits.requests_per_address",
        rate(limits.requests_per_address),
    );
    let Ansible {
        playbook_command,
        warm,
        warm_max,
        warm_idle,
    } = ansible;
    list.add("ansible.playbook_command", json!(playbook_command));
    list.add("ansible.warm", json!(warm));
    list.add("ansible.warm_max", json!(warm_max));
    list.add("ansible.warm_idle", duration(*warm_idle));
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    list.add("log.format", json!(format));
    match over.log {
        Some(filter) => list.put("log.level", json!(filter), Origin::Environment),
        None => list.add("log.level", json!(log.level)),
    }
    for source in sources {
        links::source(&mut list, source);
    }
    for sink in sinks {
        links::sink(&mut list, sink);
    }
    for (index, route) in routes.iter().enumerate() {
        links::route(&mut list, index, route);
    }
    list.settings
}

/// What has been found so far, and the file to look things up in.
struct Listing<'n> {
    root: Option<&'n Node>,
    settings: Vec<Setting>,
}

impl Listing<'_> {
    /// A value that the file says under its own key, or that is the default.
    fn add(&mut self, key: &str, value: Value) {
        let path: Vec<&str> = key.split('.').collect();
        let origin = self.line(&path).map_or(Origin::Default, Origin::File);
        self.put(key, value, origin);
    }

    fn put(&mut self, key: &str, value: Value, origin: Origin) {
        self.settings.push(Setting {
            key: key.to_owned(),
            value,
            origin,
        });
    }

    fn line(&self, path: &[&str]) -> Option<u32> {
        self.find(path).map(|(_, line)| line)
    }

    /// What the file has under this key, and in which line; a number is a
    /// place in a list.
    fn find(&self, path: &[&str]) -> Option<(&Node, u32)> {
        let mut node = self.root?;
        let mut line = node.span.line;
        for part in path {
            match &node.data {
                Data::Mapping(entries) => {
                    let entry = entries.iter().find(|entry| entry.key == *part)?;
                    node = &entry.value;
                    line = entry.key_span.line;
                }
                Data::List(items) => {
                    node = items.get(part.parse::<usize>().ok()?)?;
                    line = node.span.line;
                }
                Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => return None,
            }
        }
        Some((node, line))
    }
}

/// As it is written: the largest unit that leaves nothing over.
fn duration(duration: Duration) -> Value {
    let millis = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let found = units
        .into_iter()
        .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    json!(match found {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    })
}

fn size(bytes: usize) -> Value {
    let units = [(1024 * 1024, "MiB"), (1024, "KiB")];
    let found = units
        .into_iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    json!(match found {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    })
}

#[cfg(test)]
mod tests;
