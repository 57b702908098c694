//! What is allowed in rules and was probably not meant: names that people take
//! for each other, patterns whose topics come from nowhere, and fields that no
//! event has.
//!
//! It looks at rules that have no error, and at all of them together. Unlike
//! the check, it is asked for by people only, not at every reload.

use std::collections::HashMap;

use model::{
    diagnostic::Diagnostic, event::Event, job::JobState, ports::ProjectText, suggest::nearest,
    topic::TopicPattern,
};

use crate::{
    code::Code,
    expr::Condition,
    suggest::{self, Found},
    yaml::{Data, Entry, Node, Reader},
};

mod needs;
mod sense;

pub use needs::{Doubt, Need, needs};

/// Where events come from, apart from HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feeds {
    /// Nothing can be said about their topics, or there are no sources.
    Any,
    /// Their topics match one of these.
    Bound(Vec<TopicPattern>),
}

/// Warnings about the rules of a project whose sources deliver these topics.
pub fn lint(text: &ProjectText, feeds: &Feeds) -> Vec<Diagnostic> {
    let mut files = Vec::new();
    for (file, content) in &text.files {
        let mut reader = Reader::new(file, content);
        if let Some(root) = reader.parse() {
            files.push((reader, root));
        }
    }
    let published: Vec<TopicPattern> = files
        .iter()
        .flat_map(|(_, root)| rules(root))
        .flat_map(|rule| one_or_list(field(rule, "run")))
        .filter_map(published)
        .collect();
    let known = Known {
        feeds,
        published: &published,
        ours: JobState::ALL
            .map(|state| format!("lariat.job.{state}"))
            .to_vec(),
    };
    let mut names: HashMap<String, (&str, String)> = HashMap::new();
    let mut findings = Vec::new();
    for (reader, root) in &mut files {
        for rule in rules(root) {
            similar_name(reader, rule, &mut names);
            sense::look_at(reader, rule);
            for item in one_or_list(field(rule, "on")) {
                known.look_at(reader, item);
            }
        }
    }
    for (reader, _) in files {
        findings.extend(reader.finish());
    }
    findings
}

/// Warnings about names in conditions that none of these events has, while
/// they have a similar one. Only events count whose topic the rule is about.
pub fn unseen(text: &ProjectText, events: &[Event]) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (file, content) in &text.files {
        let mut reader = Reader::new(file, content);
        let Some(root) = reader.parse() else { continue };
        for rule in rules(&root) {
            let on: Vec<TopicPattern> = one_or_list(field(rule, "on"))
                .iter()
                .filter_map(|node| text_of(node)?.parse().ok())
                .collect();
            let about: Vec<&Event> = events
                .iter()
                .filter(|event| on.iter().any(|pattern| pattern.matches(&event.topic)))
                .collect();
            for node in one_or_list(field(rule, "when")) {
                let Some(condition) = text_of(node).and_then(|text| Condition::parse(text).ok())
                else {
                    continue;
                };
                for path in condition.paths() {
                    unseen_path(&mut reader, (node, &path), &about, |path| {
                        lately(path, &about)
                    });
                }
            }
        }
        findings.extend(reader.finish());
    }
    findings
}

fn unseen_path(
    reader: &mut Reader<'_>,
    (node, path): (&Node, &str),
    events: &[&Event],
    told: impl FnOnce(&str) -> String,
) {
    let mut similar: Option<String> = None;
    for event in events {
        match suggest::find(path, event) {
            Found::Yes => return,
            Found::Similar(meant) => similar = similar.or(Some(meant)),
            Found::No => {}
        }
    }
    let (Some(meant), Some(text)) = (similar, text_of(node)) else {
        return;
    };
    let span = match text.find(path) {
        Some(offset) => reader.locate(node, offset, path.len()),
        None => node.span,
    };
    let hint = format!("did you mean `{meant}`?");
    reader.warning(Code::UnseenField, span, told(path), Some(hint));
}

/// What is said of a path that none of these events has.
fn lately(path: &str, events: &[&Event]) -> String {
    let count = events.len();
    let of = if count == 1 {
        "not in the one event".to_owned()
    } else {
        format!("in none of the {count} events")
    };
    format!("`{path}` is {of} that this rule was about lately")
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.data {
        Data::Text(text) => Some(text),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::List(_) | Data::Mapping(_) => None,
    }
}

fn similar_name<'n>(
    reader: &mut Reader<'_>,
    rule: &'n Node,
    names: &mut HashMap<String, (&'n str, String)>,
) {
    let Some((node, Data::Text(name))) = field(rule, "name").map(|node| (node, &node.data)) else {
        return;
    };
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | '.'))
        .flat_map(char::to_lowercase)
        .collect();
    let place = format!("{}:{}", reader.file(), node.span.line);
    match names.get(&plain) {
        Some((other, at)) if other != name => {
            let message = format!("`{name}` is easily taken for the rule `{other}`");
            let hint = format!("`{other}` is at {at}; rename one of them");
            reader.warning(Code::SimilarName, node.span, message, Some(hint));
        }
        Some(_) => {}
        None => {
            names.insert(plain, (name, place));
        }
    }
}

/// What topics there can be.
struct Known<'k> {
    feeds: &'k Feeds,
    /// What rules publish into the intake.
    published: &'k [TopicPattern],
    /// The engine's own topics.
    ours: Vec<String>,
}

impl Known<'_> {
    fn look_at(&self, reader: &mut Reader<'_>, node: &Node) {
        let Data::Text(text) = &node.data else { return };
        let Ok(pattern) = text.parse::<TopicPattern>() else {
            return;
        };
        if pattern.names_reserved() {
            let is_known =
                |topic: &String| topic.parse().is_ok_and(|topic| pattern.matches(&topic));
            if !self.ours.iter().any(is_known) {
                let hint = match nearest(text, self.ours.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "the engine's topics are `lariat.job.STATE`".to_owned(),
                };
                let message = "the engine makes no such events".to_owned();
                reader.warning(Code::NoSource, node.span, message, Some(hint));
            }
            return;
        }
        let Feeds::Bound(bound) = self.feeds else {
            return;
        };
        if bound
            .iter()
            .chain(self.published)
            .any(|feed| feed.meets(&pattern))
        {
            return;
        }
        let shown: Vec<String> = bound
            .iter()
            .take(5)
            .map(|feed| format!("`{feed}`"))
            .collect();
        let more = match bound.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        reader.warning(
            Code::NoSource,
            node.span,
            "no configured source delivers such topics; only HTTP can".to_owned(),
            Some(format!(
                "the sources are bound to {}{more}",
                shown.join(", ")
            )),
        );
    }
}

fn rules(root: &Node) -> &[Node] {
    match field(root, "rules").map(|node| &node.data) {
        Some(Data::List(items)) => items,
        Some(Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Mapping(_))
        | None => &[],
    }
}

fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Data::Mapping(entries) = &node.data else {
        return None;
    };
    let found = entries.iter().find(|entry: &&Entry| entry.key == key);
    found.map(|entry| &entry.value)
}

fn one_or_list(node: Option<&Node>) -> &[Node] {
    match node {
        Some(Node {
            data: Data::List(items),
            ..
        }) => items,
        Some(node) => std::slice::from_ref(node),
        None => &[],
    }
}

/// What a `publish` step without a sink may publish. What is computed can be
/// any number of words.
fn published(step: &Node) -> Option<TopicPattern> {
    let publish = field(step, "publish")?;
    if field(publish, "sink").is_some() {
        return None;
    }
    let Data::Text(topic) = &field(publish, "topic")?.data else {
        return None;
    };
    let mut fixed = String::new();
    let mut rest = topic.as_str();
    // From the first brace to the last: what stands between two templates is
    // given up with them.
    if let Some((before, behind)) = rest.split_once('{') {
        fixed.push_str(before);
        fixed.push('#');
        rest = behind.rsplit_once('}').map_or("", |(_, rest)| rest);
    }
    fixed.push_str(rest);
    let words: Vec<&str> = fixed
        .split('.')
        .map(|word| if word.contains('#') { "#" } else { word })
        .collect();
    words.join(".").parse().ok()
}

#[cfg(test)]
mod tests;
