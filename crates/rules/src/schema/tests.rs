//! The schemas know the keys and words that the readers know.

use std::collections::BTreeSet;

use model::{diagnostic::Diagnostic, job::StepKind};
use serde_json::Value;

use super::{RULES, TESTS};
use crate::{cases, yaml::Reader};

/// Where the keys under examination are put.
const HOLE: &str = "%";
/// Nothing that there is resembles this.
const NONE: &str = "zzzzzzzzzzzzzzzz";

fn rule_findings(text: &str) -> Vec<Diagnostic> {
    let project = model::ports::ProjectText {
        files: [("rules/x.yml".to_owned(), text.to_owned())].into(),
        listing: Vec::new(),
        commit: None,
    };
    match crate::compile(std::sync::Arc::new(project)) {
        Ok(checked) => checked.warnings,
        Err(findings) => findings,
    }
}

fn test_findings(text: &str) -> Vec<Diagnostic> {
    let mut reader = Reader::new("tests/x.yml", text);
    cases::read_cases(&mut reader, None, &mut |_| unreachable!());
    reader.finish()
}

/// The words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Keys that the reader knows at the hole.
fn known(findings: fn(&str) -> Vec<Diagnostic>, document: &str) -> BTreeSet<String> {
    let text = document.replace(HOLE, &format!("{NONE}: 1"));
    let found = findings(&text);
    let hint = found
        .iter()
        .filter(|finding| finding.message.contains(NONE))
        .find_map(|finding| finding.hint.as_ref()?.strip_prefix("known here: "))
        .unwrap_or_else(|| panic!("{text}: {found:?}"));
    quoted(hint)
}

#[track_caller]
fn compare(
    schema: &str,
    findings: fn(&str) -> Vec<Diagnostic>,
    documents: &[(&str, &str)],
) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut seen = BTreeSet::new();
    for (place, document) in documents {
        let object = schema.pointer(place).unwrap_or_else(|| panic!("{place}"));
        let properties = object["properties"].as_object().unwrap();
        let keys: BTreeSet<String> = properties.keys().cloned().collect();
        let mut expected = known(findings, document);
        // Other kinds of steps are other objects.
        if expected.contains("idempotent") {
            let kind = StepKind::ALL.map(StepKind::as_str);
            expected.retain(|key| !kind.contains(&key.as_str()) || keys.contains(key));
        }
        assert_eq!(expected, keys, "{place}");
        assert_eq!(
            Value::Bool(false),
            object["additionalProperties"],
            "{place}"
        );
        for (key, schema) in properties {
            assert!(
                schema["description"].is_string() || schema["$ref"].is_string(),
                "{place}: `{key}` is not described"
            );
            if let Some(words) = schema["enum"].as_array() {
                words_agree((place, key), words, (findings, document));
            }
        }
        seen.insert((*place).to_owned());
    }
    seen
}

type Asked<'a> = (fn(&str) -> Vec<Diagnostic>, &'a str);

#[track_caller]
fn words_agree((place, key): (&str, &str), words: &[Value], (findings, document): Asked<'_>) {
    let text = document.replace(HOLE, &format!("{key}: {NONE}"));
    let found = findings(&text);
    let told = found
        .iter()
        .find(|finding| finding.message.contains(NONE))
        .unwrap_or_else(|| panic!("{text}: {found:?}"));
    let mut known = quoted(&told.message);
    known.extend(quoted(told.hint.as_deref().unwrap_or_default()));
    known.remove(NONE);
    let words: BTreeSet<String> = words
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(known, words, "{place}: {key}");
}

/// Every object of the schema that has keys of its own.
fn objects(schema: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let defs = schema["$defs"].as_object().unwrap();
    let mut found: BTreeSet<String> = defs
        .iter()
        .filter(|(_, schema)| schema.get("properties").is_some())
        .map(|(name, _)| format!("/$defs/{name}"))
        .collect();
    if schema.get("properties").is_some() {
        found.insert(String::new());
    }
    found
}

const STEP: &str = "rules: [{name: a, on: a, run: {command: [x]}, ";

#[test]
fn the_schema_of_rules_has_the_keys_of_the_reader() {
    let rule = format!("{STEP}%}}]");
    let retry = format!("{STEP}retry: {{%}}}}]");
    let quiet = format!("{STEP}debounce: {{quiet: 1s, %}}}}]");
    let throttle = format!("{STEP}throttle: {{limit: 1, per: 1s, %}}}}]");
    let step = |step: &str| format!("rules: [{{name: a, on: a, run: {{{step}, %}}}}]");
    let steps = [
        ("/$defs/playbookStep", step("playbook: x.yml")),
        (
            "/$defs/group",
            "rules: [{name: a, on: a, run: {playbook: x.yml, inventory: {web: {%}}}}]".to_owned(),
        ),
        (
            "/$defs/place",
            "rules: [{name: a, on: a, run: {playbook: x.yml, private_key: {file: /a, %}}}]"
                .to_owned(),
        ),
        (
            "/$defs/vaultSecret",
            "rules: [{name: a, on: a, run: {playbook: x.yml, vault: {file: /a, %}}}]".to_owned(),
        ),
        ("/$defs/commandStep", step("command: [x]")),
        ("/$defs/publishStep", step("publish: {sink: a, topic: a}")),
        (
            "/$defs/publish",
            "rules: [{name: a, on: a, run: {publish: {sink: a, topic: a, %}}}]".to_owned(),
        ),
        ("/$defs/httpStep", step("http: {url: 'http://a/'}")),
        (
            "/$defs/http",
            "rules: [{name: a, on: a, run: {http: {url: 'http://a/', %}}}]".to_owned(),
        ),
        (
            "/$defs/secret",
            "rules: [{name: a, on: a, run: {http: {url: {file: /a, %}}}}]".to_owned(),
        ),
    ];
    let mut documents = vec![
        ("", "{rules: [], %}"),
        ("/$defs/rule", rule.as_str()),
        ("/$defs/retry", retry.as_str()),
        ("/$defs/quiet", quiet.as_str()),
        ("/$defs/throttle", throttle.as_str()),
    ];
    documents.extend(steps.iter().map(|(place, text)| (*place, text.as_str())));
    let seen = compare(RULES, rule_findings, &documents);
    assert_eq!(objects(RULES), seen);
    for kind in StepKind::ALL {
        assert!(seen.contains(&format!("/$defs/{kind}Step")), "{kind}");
    }
}

#[test]
fn the_schema_of_tests_has_the_keys_of_the_reader() {
    let seen = compare(
        TESTS,
        test_findings,
        &[
            ("/$defs/case", "[{event: {topic: a}, fires: [], %}]"),
            ("/$defs/event", "[{event: {topic: a, %}, fires: []}]"),
            (
                "/$defs/cause",
                "[{event: {topic: a, cause: {event: b, %}}, fires: []}]",
            ),
            (
                "/$defs/expected",
                "[{event: {topic: a}, fires: [{rule: a, %}]}]",
            ),
        ],
    );
    assert_eq!(objects(TESTS), seen);
}

#[test]
fn the_manual_has_the_keys_of_the_schema() {
    let manual = include_str!("../../../../docs/rules.md");
    let schema: Value = serde_json::from_str(RULES).unwrap();
    for (section, place) in [
        ("## Keys of a rule", "/$defs/rule"),
        ("## Steps", "/$defs/usual"),
        ("### `playbook`", "/$defs/playbookStep"),
        ("### `command`", "/$defs/commandStep"),
        ("### `publish`", "/$defs/publish"),
        ("### `http`", "/$defs/http"),
    ] {
        let (_, text) = manual
            .split_once(&format!("\n{section}\n"))
            .unwrap_or_else(|| panic!("{section}"));
        let usual = ["timeout", "grace", "output_cap", "idempotent"];
        let documented: BTreeSet<String> = text
            .lines()
            .take_while(|line| !line.starts_with('#'))
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split_once(" | ").map(|(keys, _)| keys))
            .flat_map(|keys| quoted(&format!("`{keys}")))
            .collect();
        let keys: BTreeSet<String> = match schema.pointer(place) {
            Some(object) => object["properties"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect(),
            None => usual.map(str::to_owned).into(),
        };
        let own = keys
            .into_iter()
            .filter(|key| place == "/$defs/usual" || !usual.contains(&key.as_str()));
        assert_eq!(own.collect::<BTreeSet<_>>(), documented, "{section}");
    }
}
