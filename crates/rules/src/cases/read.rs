//! Reading test files. Every problem of every case is recorded.

use std::{collections::BTreeSet, sync::Arc};

use model::{
    clock::Timestamp,
    event::{Cause, Event, MAX_HOPS, Origin, Severity},
    id::{EventId, JobId, RuleName},
    json::Object,
    suggest::nearest,
    topic::Topic,
};
use serde_json::Value;

use super::{Case, Expected};
use crate::{
    code::Code,
    ruleset::RuleSet,
    yaml::{Data, Entry, Mapping, Node, Reader, shorten},
};

/// When an event of a test happened, unless it says otherwise: always the
/// same, so that a test is, too. 2026-01-01T00:00:00Z.
const THEN: i64 = 1_767_225_600_000;
const LONGEST_NAME: usize = 200;

/// The id and the time of events that do not say them.
pub fn usual() -> (EventId, Timestamp) {
    let id = "test".parse().expect("letters are an id");
    (id, Timestamp::from_millis(THEN))
}

/// Where `file:` leads.
pub type Source<'s> = dyn FnMut(&str) -> Result<Event, Unusable> + 's;

/// Why there is no event in the file that a case names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    pub code: Code,
    pub messages: Vec<String>,
    pub hint: Option<String>,
}

/// Reads all cases of one file. Rules that have errors are not there: then no
/// name of a rule is wrong.
pub fn read_cases(
    reader: &mut Reader<'_>,
    rules: Option<&RuleSet>,
    source: &mut Source<'_>,
) -> Vec<Case> {
    let Some(root) = reader.parse() else {
        return Vec::new();
    };
    let is_empty = match &root.data {
        Data::Null => true,
        Data::List(items) => items.is_empty(),
        Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Mapping(_) => false,
    };
    if is_empty {
        reader.warning(
            Code::NoCases,
            root.span,
            "the file has no cases".to_owned(),
            Some("write them as a list, `- event: {topic: …}` with `fires: […]`".to_owned()),
        );
        return Vec::new();
    }
    if let Data::Mapping(_) = root.data {
        reader.error(
            Code::WrongType,
            root.span,
            "a test file is a list of cases, found a mapping".to_owned(),
            Some("begin each case with `- `".to_owned()),
        );
        return Vec::new();
    }
    let file: Arc<str> = reader.file().into();
    reader
        .list(&root)
        .unwrap_or(&[])
        .iter()
        .filter_map(|node| read_case(reader, node, (&file, rules), source))
        .collect()
}

fn read_case(
    reader: &mut Reader<'_>,
    node: &Node,
    (file, rules): (&Arc<str>, Option<&RuleSet>),
    source: &mut Source<'_>,
) -> Option<Case> {
    let mut keys = reader.mapping(node, "a case")?;
    let name = keys
        .stated(reader, "name")
        .map(|node| read_name(reader, node));
    let fires = keys
        .required(reader, "fires")
        .and_then(|node| read_fires(reader, node, rules));
    let event = read_given(reader, &mut keys, source);
    let suppressed = keys
        .stated(reader, "suppressed")
        .map(|node| read_rules(reader, node, rules));
    let error = keys
        .stated(reader, "error")
        .map(|node| read_rules(reader, node, rules));
    keys.finish(reader, &[]);
    let event = event?;
    let fires = fires?;
    let suppressed = match suppressed {
        Some(names) => Some(names?),
        None => None,
    };
    let error = error.unwrap_or(Some(BTreeSet::new()))?;
    let held_back = suppressed.iter().flatten();
    let twice = held_back
        .clone()
        .find(|rule| error.contains(*rule))
        .or_else(|| {
            held_back
                .chain(&error)
                .find(|rule| fires.iter().any(|expected| expected.rule == **rule))
        });
    if let Some(rule) = twice {
        let message = format!("`{rule}` is expected to do two things");
        let hint = "name a rule in one of `fires`, `suppressed` and `error`".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
        return None;
    }
    Some(Case {
        name: match name {
            Some(name) => name?,
            None => event.topic.to_string(),
        },
        file: Arc::clone(file),
        line: usize::try_from(node.span.line).unwrap_or(usize::MAX),
        event: Arc::new(event),
        fires,
        suppressed,
        error,
    })
}

fn read_name(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.string(node)?;
    if name.trim().is_empty() || name.chars().count() > LONGEST_NAME {
        let message = format!("the name of a case has 1 to {LONGEST_NAME} characters");
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    Some(name.to_owned())
}

/// The event itself, or a file that has it.
fn read_given(
    reader: &mut Reader<'_>,
    keys: &mut Mapping<'_>,
    source: &mut Source<'_>,
) -> Option<Event> {
    let given = (keys.entry("event"), keys.entry("file"));
    match given {
        (Some(_), Some(second)) => {
            reader.error(
                Code::BadValue,
                second.key_span,
                "a case has one event: `event` or `file`".to_owned(),
                Some("make two cases of it".to_owned()),
            );
            None
        }
        (Some(_), None) => {
            let node = keys.required(reader, "event")?;
            read_event(reader, node)
        }
        (None, Some(_)) => {
            let node = keys.required(reader, "file")?;
            read_file(reader, node, source)
        }
        (None, None) => {
            reader.error(
                Code::MissingKey,
                keys.span(),
                "a case needs the key `event` or `file`".to_owned(),
                Some("write `event: {topic: org.example.hello, body: {}}`".to_owned()),
            );
            None
        }
    }
}

fn read_file(reader: &mut Reader<'_>, node: &Node, source: &mut Source<'_>) -> Option<Event> {
    let path = reader.string(node)?;
    if let Err(error) = crate::listing::check_name(path) {
        let code = if error.is_escape() {
            Code::PathEscape
        } else {
            Code::BadValue
        };
        let message = format!("`{}` is not a path in the project: {error}", shorten(path));
        reader.error(code, node.span, message, None);
        return None;
    }
    match source(path) {
        Ok(event) => Some(event),
        Err(Unusable {
            code,
            messages,
            hint,
        }) => {
            for message in messages {
                reader.error(code, node.span, message, hint.clone());
            }
            None
        }
    }
}

fn read_event(reader: &mut Reader<'_>, node: &Node) -> Option<Event> {
    let mut keys = reader.mapping(node, "an event")?;
    // Topics of the engine are topics here: rules about them are tested, too.
    let topic: Option<Topic> = keys
        .required(reader, "topic")
        .and_then(|node| parsed(reader, node));
    let body = match keys.entry("body") {
        Some(entry) => entry.value.to_json(),
        None => Value::Object(Object::new()),
    };
    let (usual_id, usual_time) = usual();
    let id: Option<EventId> = match keys.stated(reader, "id") {
        Some(node) => parsed(reader, node),
        None => Some(usual_id),
    };
    let time: Option<Timestamp> = match keys.stated(reader, "time") {
        Some(node) => parsed(reader, node),
        None => Some(usual_time),
    };
    let words = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let severity = match keys.stated(reader, "severity") {
        Some(node) => reader.word(node, &words),
        None => Some(Severity::default()),
    };
    let from = match keys.stated(reader, "source") {
        Some(node) => reader.string(node).map(str::to_owned),
        None => Some("api".to_owned()),
    };
    let headers = match keys.stated(reader, "headers") {
        Some(node) => match node.to_json() {
            Value::Object(fields) => Some(fields),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                reader.wrong_type(node, "a mapping");
                None
            }
        },
        None => Some(Object::new()),
    };
    let cause = match keys.stated(reader, "cause") {
        Some(node) => read_cause(reader, node).map(Some),
        None => Some(None),
    };
    keys.finish(reader, &[]);
    let time = time?;
    Some(Event {
        id: id?,
        topic: topic?,
        time,
        accepted: time,
        source: from?,
        severity: severity?,
        headers: headers?,
        body,
        origin: Origin::open_http(),
        cause: cause?,
    })
}

/// What a follow-up comes of. Most rules look at the event only.
fn read_cause(reader: &mut Reader<'_>, node: &Node) -> Option<Cause> {
    let mut keys = reader.mapping(node, "a cause")?;
    let event: Option<EventId> = keys
        .required(reader, "event")
        .and_then(|node| parsed(reader, node));
    let job: Option<JobId> = match keys.stated(reader, "job") {
        Some(node) => parsed(reader, node),
        None => Some("test".parse().expect("letters are an id")),
    };
    let hops = match keys.stated(reader, "hops") {
        Some(node) => reader.integer(node, 1..=u64::from(MAX_HOPS)),
        None => Some(1),
    };
    keys.finish(reader, &[]);
    Some(Cause {
        event: event?,
        job: job?,
        hops: u8::try_from(hops?).ok()?,
    })
}

fn parsed<T: std::str::FromStr>(reader: &mut Reader<'_>, node: &Node) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    match reader.string(node)?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            reader.error(Code::BadValue, node.span, error.to_string(), None);
            None
        }
    }
}

fn read_fires(
    reader: &mut Reader<'_>,
    node: &Node,
    rules: Option<&RuleSet>,
) -> Option<Vec<Expected>> {
    let mut all: Option<Vec<Expected>> = Some(Vec::new());
    for item in reader.one_or_list(node) {
        let expected = read_expected(reader, item, rules);
        let (Some(expected), Some(others)) = (expected, &mut all) else {
            all = None;
            continue;
        };
        if others.iter().any(|other| other.rule == expected.rule) {
            let message = format!("`{}` stands here twice", expected.rule);
            let hint = "a rule fires once for an event".to_owned();
            reader.error(Code::BadValue, item.span, message, Some(hint));
        }
        others.push(expected);
    }
    all
}

fn read_expected(
    reader: &mut Reader<'_>,
    node: &Node,
    rules: Option<&RuleSet>,
) -> Option<Expected> {
    if let Data::Text(_) = node.data {
        return Some(Expected {
            rule: read_rule(reader, node, rules)?,
            key: None,
            vars: Object::new(),
        });
    }
    let mut keys = reader.mapping(node, "a firing")?;
    let rule = keys
        .required(reader, "rule")
        .and_then(|node| read_rule(reader, node, rules));
    let key = match keys.stated(reader, "key") {
        Some(node) => reader.string(node).map(|key| Some(key.to_owned())),
        None => Some(None),
    };
    let vars = match keys.stated(reader, "vars") {
        Some(node) => read_vars(reader, node),
        None => Some(Object::new()),
    };
    keys.finish(reader, &[]);
    Some(Expected {
        rule: rule?,
        key: key?,
        vars: vars?,
    })
}

fn read_vars(reader: &mut Reader<'_>, node: &Node) -> Option<Object> {
    let section = reader.mapping(node, "`vars`")?;
    let field = |entry: &Entry| (entry.key.clone(), entry.value.to_json());
    Some(section.entries().iter().map(field).collect())
}

fn read_rules(
    reader: &mut Reader<'_>,
    node: &Node,
    rules: Option<&RuleSet>,
) -> Option<BTreeSet<RuleName>> {
    let names: Vec<Option<RuleName>> = reader
        .one_or_list(node)
        .iter()
        .map(|item| read_rule(reader, item, rules))
        .collect();
    names.into_iter().collect()
}

fn read_rule(reader: &mut Reader<'_>, node: &Node, rules: Option<&RuleSet>) -> Option<RuleName> {
    let name: RuleName = parsed(reader, node)?;
    let Some(rules) = rules else {
        return Some(name);
    };
    if rules.rule(&name).is_some() {
        return Some(name);
    }
    let names = rules.rules().map(|rule| rule.name().as_str());
    let meant = reader
        .wants_hints()
        .then(|| nearest(name.as_str(), names))
        .flatten();
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`lariat check` lists the rules".to_owned(),
    };
    let message = format!("there is no rule `{name}`");
    reader.error(Code::UnknownRule, node.span, message, Some(hint));
    None
}
