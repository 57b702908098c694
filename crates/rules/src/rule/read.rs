//! Reading rule files. Every problem of every rule is recorded; only a rule
//! without an error comes out.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use model::{
    id::RuleName,
    job::{Backoff, OnLost, RetryPolicy},
    topic::TopicPattern,
    verdict::Truth,
};

use super::{Mode, Rule, StepSummary, account, flow::Flow};
use crate::{
    code::Code,
    expr::Condition,
    listing::Listing,
    step::{Field, Step, is_of_job, read_step},
    yaml::{Data, Mapping, Node, Reader, Span},
};

/// Keys that a later version has.
const LATER: [&str; 1] = ["approval"];
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const MAX_STEPS: usize = 100;

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Those without an error.
    pub(crate) rules: Vec<Rule>,
    pub(crate) names: Names,
}

/// The names of all rules of a file, and where they stand. They are one text:
/// a hundred thousand small ones would leave as many gaps when they go.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    /// Where each ends in the text.
    ends: Vec<(usize, Span)>,
}

impl Names {
    fn push(&mut self, name: &RuleName, span: Span) {
        self.text.push_str(name.as_str());
        self.ends.push((self.text.len(), span));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Span)> {
        let mut start = 0;
        self.ends.iter().filter_map(move |(end, span)| {
            let name = self.text.get(start..*end)?;
            start = *end;
            Some((name, *span))
        })
    }
}

/// Reads all rules of one file.
pub(crate) fn read_rules(reader: &mut Reader<'_>, listing: &Arc<Listing>) -> Found {
    let file: Arc<str> = reader.file().into();
    let mut found = Found::default();
    let mut take = |reader: &mut Reader<'_>, item: &Node| {
        let rule = read_rule(reader, item, (listing, &file), &mut found.names);
        found.rules.extend(rule);
    };
    match reader.parse_items("rules", &mut take) {
        Some(root) => read_root(reader, &root, &mut take),
        None => found = Found::default(),
    }
    found
}

/// Reads what stands around the rules, and rules that were not taken yet.
fn read_root(reader: &mut Reader<'_>, root: &Node, take: &mut dyn FnMut(&mut Reader<'_>, &Node)) {
    if root.data == Data::Null {
        no_rules(reader, root);
        return;
    }
    if let Data::List(_) = root.data {
        reader.error(
            Code::WrongType,
            root.span,
            "a rule file is a mapping with the key `rules`, found a list".to_owned(),
            Some("write `rules:` above the list".to_owned()),
        );
        return;
    }
    let Some(mut keys) = reader.mapping(root, "a rule file") else {
        return;
    };
    match keys.entry("rules").map(|entry| &entry.value) {
        Some(node) if node.data == Data::Null => no_rules(reader, node),
        Some(node) => {
            for item in reader.list(node).unwrap_or(&[]) {
                take(reader, item);
            }
        }
        None => {
            keys.required(reader, "rules");
        }
    }
    keys.finish(reader, &[]);
}

fn no_rules(reader: &mut Reader<'_>, node: &Node) {
    reader.warning(
        Code::NoRules,
        node.span,
        "the file has no rules".to_owned(),
        Some("write them as a list under `rules:`".to_owned()),
    );
}

fn read_rule(
    reader: &mut Reader<'_>,
    node: &Node,
    (listing, file): (&Arc<Listing>, &Arc<str>),
    names: &mut Names,
) -> Option<Rule> {
    let mut keys = reader.mapping(node, "a rule")?;
    let name = keys
        .required(reader, "name")
        .and_then(|node| read_name(reader, node));
    if let (Some(name), Some(node)) = (&name, keys.optional("name")) {
        names.push(name, node.span);
    }
    let on = keys
        .required(reader, "on")
        .and_then(|node| read_patterns(reader, node));
    let when = match keys.stated(reader, "when") {
        Some(node) => read_conditions(reader, node),
        None => Some((None, Vec::new())),
    };
    let key = match keys.stated(reader, "key") {
        Some(node) => read_key(reader, node).map(Some),
        None => Some(None),
    };
    let flow = Flow::read(reader, &mut keys);
    let account_node = keys.stated(reader, "account");
    let account = match account_node {
        Some(node) => account::read(reader, node, listing).map(Some),
        None => Some(None),
    };
    let steps = read_run(reader, &mut keys, listing);
    let retry = match keys.stated(reader, "retry") {
        Some(node) => read_retry(reader, node),
        None => Some(RetryPolicy::default()),
    };
    let on_lost = keys.stated(reader, "on_lost").and_then(|node| {
        reader.word(
            node,
            &[
                ("retry", OnLost::Retry),
                ("hold", OnLost::Hold),
                ("fail", OnLost::Fail),
            ],
        )
    });
    let mode = match keys.stated(reader, "mode") {
        Some(node) => read_mode(reader, node),
        None => Some(Mode::Live),
    };
    let description = keys
        .stated(reader, "description")
        .and_then(|node| reader.string(node))
        .map(str::to_owned);
    keys.finish(reader, &LATER);
    let (steps, (when, conditions)) = (steps?, when?);
    if let Some(node) = account_node {
        account::warn_if_unused(reader, node, &steps);
    }
    let summaries = steps
        .iter()
        .map(|step| StepSummary {
            kind: step.kind(),
            what: step.what(),
            timeout: step.timeout,
            on_lost: step.on_lost(on_lost),
        })
        .collect();
    Some(Rule {
        name: name?,
        file: Arc::clone(file),
        line: usize::try_from(node.span.line).unwrap_or(usize::MAX),
        description,
        on: on?,
        when,
        conditions,
        mode: mode?,
        key: key?,
        account: account?,
        flow: flow?,
        retry: retry?,
        steps,
        summaries,
        listing: Arc::clone(listing),
    })
}

fn read_name(reader: &mut Reader<'_>, node: &Node) -> Option<RuleName> {
    match reader.string(node)?.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            reader.error(Code::BadValue, node.span, format!("{error}"), None);
            None
        }
    }
}

fn read_patterns(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<TopicPattern>> {
    let mut patterns = Some(Vec::new());
    let items = reader.one_or_list(node);
    if items.is_empty() {
        reader.error(
            Code::BadValue,
            node.span,
            "`on` is an empty list, so the rule never fires".to_owned(),
            Some("write a topic pattern".to_owned()),
        );
        return None;
    }
    for item in items {
        let pattern = reader
            .string(item)
            .and_then(|text| match text.parse::<TopicPattern>() {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    let hint = text
                        .contains("{{")
                        .then(|| "a pattern cannot be computed; use `when`".to_owned());
                    reader.error(Code::BadPattern, item.span, error.to_string(), hint);
                    None
                }
            });
        if pattern
            .as_ref()
            .is_some_and(TopicPattern::matches_everything)
        {
            reader.warning(
                Code::CatchAll,
                item.span,
                "this pattern matches every topic".to_owned(),
                Some("start it with the words that the topics share".to_owned()),
            );
        }
        match (pattern, &mut patterns) {
            (Some(pattern), Some(patterns)) => patterns.push(pattern),
            (Some(_) | None, _) => patterns = None,
        }
    }
    patterns
}

type Conditions = (Option<String>, Vec<Condition>);

fn read_conditions(reader: &mut Reader<'_>, node: &Node) -> Option<Conditions> {
    let mut texts = Vec::new();
    let mut conditions = Some(Vec::new());
    for item in reader.one_or_list(node) {
        let condition = read_condition(reader, item);
        match (condition, &mut conditions) {
            (Some((text, condition)), Some(conditions)) => {
                texts.push(text);
                conditions.push(condition);
            }
            (Some(_) | None, _) => conditions = None,
        }
    }
    let text = match texts.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => {
            let parts: Vec<String> = many.iter().map(|text| format!("({text})")).collect();
            Some(parts.join(" and "))
        }
    };
    Some((text, conditions?))
}

fn read_condition<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<(&'n str, Condition)> {
    if let Data::Bool(_) | Data::Number(_) = node.data {
        constant(reader, node, None);
        return None;
    }
    let text = reader.string(node)?;
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(error) => {
            for error in error.each() {
                let span = reader.locate(node, error.offset, error.len);
                let hint = match error.hint {
                    None if text.contains("{{") => {
                        Some("a condition is an expression already; remove the `{{ }}`".to_owned())
                    }
                    hint => hint,
                };
                reader.error(Code::BadCondition, span, error.message, hint);
            }
            return None;
        }
    };
    if let Some(answer) = condition.constant() {
        constant(
            reader,
            node,
            (!condition.paths().is_empty()).then_some(answer),
        );
        return None;
    }
    if let Some(path) = condition.paths().iter().find(|path| is_of_job(path)) {
        reader.error(
            Code::BadCondition,
            node.span,
            format!("a condition cannot use `{path}`: there is no job yet"),
            Some("name `event`, `msg` or `rule`".to_owned()),
        );
        return None;
    }
    Some((text, condition.folded()))
}

fn constant(reader: &mut Reader<'_>, node: &Node, answer: Option<Truth>) {
    let message = match answer {
        Some(answer) => format!("this condition is {answer}, whatever the event says"),
        None => "this condition uses no name, so it is the same for every event".to_owned(),
    };
    reader.error(
        Code::ConstantCondition,
        node.span,
        message,
        Some("name what it is about, such as `event.body.status`, or remove it".to_owned()),
    );
}

fn read_key(reader: &mut Reader<'_>, node: &Node) -> Option<Field> {
    let field = Field::read(reader, node)?;
    if field.needs_job() {
        reader.error(
            Code::BadTemplate,
            node.span,
            "a key cannot use `job`, `attempt` or `result`: there is no job yet".to_owned(),
            Some("name `event`, `msg` or `rule`".to_owned()),
        );
        return None;
    }
    match field.fixed() {
        Some("") => {
            reader.error(
                Code::BadValue,
                node.span,
                "the key is empty".to_owned(),
                Some("remove it, or name what jobs must not share".to_owned()),
            );
            None
        }
        Some(_) | None => Some(field),
    }
}

fn read_run(
    reader: &mut Reader<'_>,
    keys: &mut Mapping<'_>,
    listing: &Listing,
) -> Option<Vec<Step>> {
    let node = keys.required(reader, "run")?;
    let items = reader.one_or_list(node);
    if items.is_empty() {
        reader.error(
            Code::EmptyRun,
            node.span,
            "`run` is an empty list, so the rule does nothing".to_owned(),
            Some("write a step, or turn the rule off with `mode: off`".to_owned()),
        );
        return None;
    }
    if items.len() > MAX_STEPS {
        reader.error(
            Code::BadValue,
            node.span,
            format!(
                "a rule has at most {MAX_STEPS} steps, this has {}",
                items.len()
            ),
            None,
        );
        return None;
    }
    let steps: Vec<Option<Step>> = items
        .iter()
        .map(|item| read_step(reader, item, listing))
        .collect();
    steps.into_iter().collect()
}

fn read_retry(reader: &mut Reader<'_>, node: &Node) -> Option<RetryPolicy> {
    let mut keys = reader.mapping(node, "a retry policy")?;
    let usual = RetryPolicy::default();
    let attempts = match keys.stated(reader, "attempts") {
        Some(node) => reader
            .integer(node, 1..=1_000)
            .and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?)),
        None => Some(usual.attempts),
    };
    let delay = match keys.stated(reader, "delay") {
        Some(node) => reader.duration(node, Duration::ZERO..=MONTH),
        None => Some(usual.delay),
    };
    let backoff = match keys.stated(reader, "backoff") {
        Some(node) => reader.word(
            node,
            &[
                ("exponential", Backoff::Exponential),
                ("fixed", Backoff::Fixed),
            ],
        ),
        None => Some(usual.backoff),
    };
    let max_node = keys.stated(reader, "max_delay");
    let max_delay = match max_node {
        Some(node) => reader.duration(node, Duration::ZERO..=MONTH),
        // A longer first delay is meant as it is written.
        None => Some(delay.unwrap_or(usual.delay).max(usual.max_delay)),
    };
    keys.finish(reader, &[]);
    let policy = RetryPolicy {
        attempts: attempts?,
        delay: delay?,
        backoff: backoff?,
        max_delay: max_delay?,
    };
    if let Some(node) = max_node
        && policy.max_delay < policy.delay
    {
        reader.error(
            Code::BadValue,
            node.span,
            "`max_delay` is shorter than `delay`".to_owned(),
            None,
        );
        return None;
    }
    Some(policy)
}

fn read_mode(reader: &mut Reader<'_>, node: &Node) -> Option<Mode> {
    if node.data == Data::Bool(false) {
        reader.error(
            Code::WrongType,
            node.span,
            "expected `live`, `shadow` or `off`, found a boolean".to_owned(),
            Some("write `off`".to_owned()),
        );
        return None;
    }
    let mode = reader.word(
        node,
        &[
            ("live", Mode::Live),
            ("shadow", Mode::Shadow),
            ("off", Mode::Off),
        ],
    )?;
    if mode == Mode::Off {
        reader.note(
            Code::RuleOff,
            node.span,
            "this rule is off and never fires".to_owned(),
            None,
        );
    }
    Some(mode)
}
