//! The schemas say what the readers say: of every key, of every example, and
//! of everything that the manual shows.

use std::collections::BTreeSet;

use clap::ValueEnum;
use jsonschema::Validator;
use model::diagnostic::Level;
use rules::yaml::Reader;
use serde_json::Value;
use testkit::TempProject;

use crate::{args::SchemaOf, config};

/// Where the keys under examination are put.
const HOLE: &str = "%";
/// Nothing that there is resembles this.
const NONE: &str = "zzzzzzzzzzzzzzzz";

fn schema(of: SchemaOf) -> Value {
    serde_json::from_str(of.text()).unwrap()
}

fn validator(of: SchemaOf) -> Validator {
    jsonschema::draft202012::new(&schema(of)).unwrap()
}

/// The value of a text that is YAML.
fn yaml(name: &str, text: &str) -> Option<Value> {
    let mut reader = Reader::new(name, text);
    reader.parse().map(|node| node.to_json())
}

#[track_caller]
fn accept(of: SchemaOf, name: &str, text: &str) {
    let value = yaml(name, text).unwrap_or_else(|| panic!("{name} is no YAML"));
    let wrong: Vec<String> = validator(of)
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(Vec::<String>::new(), wrong, "{name}:\n{text}");
}

fn files(below: &std::path::Path, suffix: &str) -> Vec<(String, String)> {
    let Ok(entries) = fs_err::read_dir(below) else {
        return Vec::new();
    };
    let mut found: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(suffix))
        .map(|path| {
            let text = fs_err::read_to_string(&path).unwrap();
            (path.display().to_string(), text)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn every_schema_is_one() {
    for of in SchemaOf::value_variants() {
        let schema = schema(*of);
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{of:?}");
        assert_eq!(
            "https://json-schema.org/draft/2020-12/schema",
            schema["$schema"]
        );
        validator(*of);
    }
}

#[test]
fn every_example_is_accepted() {
    let examples = testkit::tools::workspace().join("examples");
    let mut count = 0;
    for entry in fs_err::read_dir(examples).unwrap() {
        let example = entry.unwrap().path();
        for (name, text) in files(&example, "lariat.yml") {
            accept(SchemaOf::Config, &name, &text);
            count += 1;
        }
        for (name, text) in files(&example.join("rules"), ".yml") {
            accept(SchemaOf::Rules, &name, &text);
            count += 1;
        }
        for (name, text) in files(&example.join("tests"), ".yml") {
            accept(SchemaOf::Tests, &name, &text);
            count += 1;
        }
    }
    assert!(count >= 12, "{count}");
}

/// What a block of the manual shows, when it is a whole file.
fn shown(value: &Value) -> Option<SchemaOf> {
    let config = schema(SchemaOf::Config);
    match value {
        Value::Object(fields) if fields.contains_key("rules") => Some(SchemaOf::Rules),
        Value::Object(fields) if fields.contains_key("accounts") => Some(SchemaOf::Accounts),
        Value::Object(fields) => fields
            .keys()
            .all(|key| config["properties"].get(key).is_some())
            .then_some(SchemaOf::Config),
        Value::Array(items) => items
            .iter()
            .any(|item| item.get("fires").is_some())
            .then_some(SchemaOf::Tests),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[test]
fn what_the_manual_shows_is_accepted() {
    let docs = testkit::tools::workspace().join("docs");
    let mut seen = BTreeSet::new();
    for (name, text) in files(&docs, ".md") {
        let blocks = text.split("\n```yaml\n").skip(1);
        for block in blocks.filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block)) {
            // Something is left out.
            if block.contains('…') {
                continue;
            }
            let Some(value) = yaml(&name, block) else {
                continue;
            };
            if let Some(of) = shown(&value) {
                accept(of, &name, block);
                seen.insert(format!("{of:?}"));
            }
        }
    }
    let all = ["Accounts", "Config", "Rules", "Tests"].map(str::to_owned);
    assert_eq!(BTreeSet::from(all), seen);
}

/// Hints and messages about a `lariat.yml`.
fn told(text: &str) -> Vec<(String, String)> {
    let project = TempProject::new(&[("lariat.yml", text)]);
    let findings = config::load(project.path()).findings;
    let errors = findings
        .into_iter()
        .filter(|finding| finding.level == Level::Error);
    errors
        .map(|finding| (finding.message, finding.hint.unwrap_or_default()))
        .collect()
}

fn quoted(text: &str) -> BTreeSet<String> {
    let words = text.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// Objects of the schema, and a file in which one stands around the hole.
fn places() -> Vec<(String, String)> {
    let source = "kind: amqp, url: 'amqp://localhost', queue: q";
    let mut places: Vec<(String, String)> =
        vec![
        (String::new(), "{%}".to_owned()),
        ("/$defs/source".to_owned(), format!("sources: {{s: {{{source}, %}}}}")),
        (
            "/$defs/sink".to_owned(),
            "sinks: {s: {kind: amqp, url: 'amqp://localhost', %}}".to_owned(),
        ),
        (
            "/$defs/queueSettings".to_owned(),
            "sources: {s: {kind: amqp, url: 'amqp://localhost', queue: {name: q, %}}}".to_owned(),
        ),
        (
            "/$defs/tls".to_owned(),
            "sources: {s: {kind: amqp, url: 'amqps://localhost', queue: q, tls: {ca: x.pem, %}}}"
                .to_owned(),
        ),
        (
            "/$defs/route".to_owned(),
            "{sinks: {s: {kind: amqp, url: 'amqp://localhost'}}, routes: [{from: api, to: s, %}]}"
                .to_owned(),
        ),
    ];
    let config = schema(SchemaOf::Config);
    for (key, section) in config["properties"].as_object().unwrap() {
        if section.get("properties").is_some() {
            places.push((format!("/properties/{key}"), format!("{key}: {{%}}")));
        }
    }
    places
}

#[test]
fn the_schema_of_the_configuration_has_the_keys_of_the_reader() {
    let config = schema(SchemaOf::Config);
    let refusing = validator(SchemaOf::Config);
    for (place, document) in places() {
        let object = config.pointer(&place).unwrap_or_else(|| panic!("{place}"));
        let properties = object["properties"].as_object().unwrap();
        let text = document.replace(HOLE, &format!("{NONE}: 1"));
        let told_of_key = told(&text);
        let known = told_of_key
            .iter()
            .filter(|(message, _)| message.contains(NONE))
            .find_map(|(_, hint)| hint.strip_prefix("known here: "))
            .unwrap_or_else(|| panic!("{text}: {told_of_key:?}"));
        let mut known = quoted(known);
        // They are known as what does not belong here.
        known.remove("rules");
        known.remove("accounts");
        let keys: BTreeSet<String> = properties.keys().cloned().collect();
        assert_eq!(known, keys, "{place}");
        assert!(!refusing.is_valid(&yaml("x", &text).unwrap()), "{text}");
        for (key, schema) in properties {
            let is_described = schema["description"].is_string() || schema["$ref"].is_string();
            assert!(is_described, "{place}: `{key}` is not described");
            if let Some(words) = schema["enum"].as_array() {
                words_agree(&document, key, words);
            }
        }
    }
}

#[track_caller]
fn words_agree(document: &str, key: &str, words: &[Value]) {
    // The kind is in the document already.
    let before = format!("{key}: amqp");
    let text = if document.contains(&before) {
        let text = document.replace(&before, &format!("{key}: {NONE}"));
        text.replace(", %", "")
    } else {
        document.replace(HOLE, &format!("{key}: {NONE}"))
    };
    let all = told(&text);
    let message = all
        .iter()
        .find_map(|(message, _)| message.strip_suffix(&format!(", found `{NONE}`")))
        .unwrap_or_else(|| panic!("{text}: {all:?}"));
    let words: BTreeSet<String> = words
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(quoted(message), words, "{key}");
}

#[test]
fn the_manual_has_the_keys_of_the_schema() {
    let manual = include_str!("../../../../../docs/configuration.md");
    let config = schema(SchemaOf::Config);
    let mut documented: Vec<(String, String)> = Vec::new();
    let mut section = "";
    for line in manual.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        let place = match section {
            "" => "",
            "Sources" => "/$defs/source",
            "Sinks" => "/$defs/sink",
            "Routes" => "/$defs/route",
            _ => continue,
        };
        let cell = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once(" | "));
        for key in cell
            .iter()
            .flat_map(|(keys, _)| quoted(&format!("`{keys}")))
        {
            documented.push((place.to_owned(), key));
        }
    }
    assert!(documented.len() > 40, "{documented:?}");
    for (place, key) in documented {
        let mut at = config.pointer(&place).unwrap();
        for word in key.split('.') {
            let words = match word {
                // What a queue is made of is an object of its own.
                _ if at["$ref"] == "#/$defs/queue" => &config["$defs"]["queueSettings"],
                _ if at["$ref"] == "#/$defs/tls" => &config["$defs"]["tls"],
                _ => at,
            };
            at = words["properties"]
                .get(word)
                .unwrap_or_else(|| panic!("{place}: `{key}` is documented and not in the schema"));
        }
    }
}

#[test]
fn what_the_readers_refuse_is_refused() {
    for (of, text) in [
        (SchemaOf::Config, "listn: x"),
        (SchemaOf::Config, "[]"),
        (SchemaOf::Config, "workers: {concurrency: many}"),
        (SchemaOf::Config, "workers: {concurrency: 0}"),
        (SchemaOf::Config, "workers: {lease: 30}"),
        (SchemaOf::Config, "limits: {event: 1 MiB}"),
        (
            SchemaOf::Config,
            "sources: {api: {kind: amqp, url: u, queue: q}}",
        ),
        (SchemaOf::Config, "sources: {s: {kind: amqp, url: u}}"),
        (
            SchemaOf::Config,
            "sources: {s: {kind: amqp, url: u, queue: q, password: secret}}",
        ),
        (
            SchemaOf::Config,
            "sinks: {s: {kind: amqp, url: u, tls: {cert: a}}}",
        ),
        (SchemaOf::Config, "routes: [{from: api}]"),
        (SchemaOf::Rules, "[]"),
        (SchemaOf::Rules, "rules: {}"),
        (SchemaOf::Rules, "rules: [{name: a, on: a}]"),
        (
            SchemaOf::Rules,
            "rules: [{name: a b, on: a, run: {command: [x]}}]",
        ),
        (
            SchemaOf::Rules,
            "rules: [{name: a, on: [], run: {command: [x]}}]",
        ),
        (SchemaOf::Rules, "rules: [{name: a, on: a, run: []}]"),
        (
            SchemaOf::Rules,
            "rules: [{name: a, on: a, run: {command: x y}}]",
        ),
        (
            SchemaOf::Rules,
            "rules: [{name: a, on: a, run: {command: [x], playbook: y}}]",
        ),
        (
            SchemaOf::Rules,
            "rules: [{name: a, on: a, when: true, run: {command: [x]}}]",
        ),
        (
            SchemaOf::Rules,
            "rules: [{name: a, on: a, run: {playbook: x, vars: {event: 1}}}]",
        ),
        (
            SchemaOf::Rules,
            "rules: [{name: a, on: a, run: {http: {url: 'http://a', body: 1, form: {}}}}]",
        ),
        (
            SchemaOf::Rules,
            "rules: [{name: a, on: a, run: {http: {url: {file: a}}}}]",
        ),
        (SchemaOf::Tests, "cases: []"),
        (SchemaOf::Tests, "[{fires: []}]"),
        (SchemaOf::Tests, "[{event: {topic: a}}]"),
        (
            SchemaOf::Tests,
            "[{event: {topic: a}, file: x.json, fires: []}]",
        ),
        (SchemaOf::Tests, "[{event: {topic: a}, fires: [{key: a}]}]"),
        (SchemaOf::Tests, "[{event: {topc: a}, fires: []}]"),
        (SchemaOf::Accounts, "accounts: {releng: {user: releng}}"),
        (
            SchemaOf::Accounts,
            "accounts: {releng: {user: r, rules: [../x.yml]}}",
        ),
        (
            SchemaOf::Accounts,
            "accounts: {releng: {user: r, rules: [rules/x.yml], limits: {memory: 1GiB}}}",
        ),
        (
            SchemaOf::Accounts,
            "accounts: {releng: {user: r, rules: [rules/x.yml], ssh_key: keys/r}}",
        ),
    ] {
        let value = yaml("x", text).unwrap();
        assert!(!validator(of).is_valid(&value), "{text}");
    }
    accept(
        SchemaOf::Accounts,
        "accounts.yml",
        "accounts:
  releng:
    user: releng
    env: {LANG: C.UTF-8}
    ssh_key: /etc/lariat/releng.key
    vault: {default: {file: /etc/lariat/vault.secret}}
    limits: {timeout: 2h}
    rules: [rules/compose.yml]
",
    );
}
