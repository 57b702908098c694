//! The section `routes`: which events go on to which sinks.

use std::collections::BTreeSet;

use model::{
    id::{SinkName, SourceName},
    route::Route,
    suggest::nearest,
    topic::TopicPattern,
};
use rules::{
    Code,
    yaml::{Node, Reader},
};

use crate::config::source::API;

/// The names that routes may use: of all sources and sinks that are written,
/// also of those that something is wrong with.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) sources: BTreeSet<String>,
    pub(super) sinks: BTreeSet<String>,
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, names: &Names) -> Vec<Route> {
    let Some(items) = reader.list(node) else {
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| one(reader, item, names))
        .collect()
}

fn one(reader: &mut Reader<'_>, node: &Node, names: &Names) -> Option<Route> {
    let mut section = reader.mapping(node, "a route")?;
    let from = section.required(reader, "from");
    let from = from.and_then(|node| {
        let name = reader.string(node)?;
        let is_known = name == API || names.sources.contains(name);
        if is_known {
            return Some(name.to_owned());
        }
        // A name that is no name, or is ours, is nothing to suggest.
        let is_free = |name: &&str| *name != API && name.parse::<SourceName>().is_ok();
        let known = names.sources.iter().map(String::as_str).filter(is_free);
        let known = known.chain([API]);
        unknown(reader, (Code::UnknownSource, node, name), known);
        None
    });
    let to = section.required(reader, "to");
    let to: Option<SinkName> = to.and_then(|node| {
        let name = reader.string(node)?;
        if names.sinks.contains(name) {
            // A name that is no name has been reported where it stands.
            return name.parse().ok();
        }
        let is_name = |name: &&str| name.parse::<SinkName>().is_ok();
        let known = names.sinks.iter().map(String::as_str).filter(is_name);
        unknown(reader, (Code::UnknownSink, node, name), known);
        None
    });
    let topics = match section.optional("topics") {
        Some(node) => topics(reader, node),
        None => Some(vec!["#".parse().expect("`#` is a pattern")]),
    };
    section.finish(reader, &[]);
    Some(Route {
        from: from?,
        to: to?,
        topics: topics?,
    })
}

fn unknown<'k>(
    reader: &mut Reader<'_>,
    (code, node, name): (Code, &Node, &str),
    known: impl Iterator<Item = &'k str> + Clone,
) {
    let what = if code == Code::UnknownSink {
        "sink"
    } else {
        "source"
    };
    let shown: String = name.chars().take(60).collect();
    let hint = match nearest(name, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let all: Vec<String> = known.map(|name| format!("`{name}`")).collect();
            if all.is_empty() {
                format!("there are none: `{what}s` has them")
            } else {
                format!("there are: {}", all.join(", "))
            }
        }
    };
    let message = format!("there is no {what} `{shown}`");
    reader.error(code, node.span, message, Some(hint));
}

fn topics(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<TopicPattern>> {
    let items = reader.one_or_list(node);
    let mut patterns = Vec::new();
    for item in items {
        let Some(text) = reader.string(item) else {
            continue;
        };
        match text.parse::<TopicPattern>() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => reader.error(Code::BadPattern, item.span, error.to_string(), None),
        }
    }
    if items.is_empty() {
        let message = "a route without topics sends nothing".to_owned();
        let hint = "remove `topics`, and it sends all; or remove the route".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
    }
    (!patterns.is_empty() && patterns.len() == items.len()).then_some(patterns)
}
