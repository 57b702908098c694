//! `lariat config show`: what a project's configuration comes to, and which
//! line, default, flag or variable says so.

use rules::render;
use serde_json::{Value, json};

use crate::{
    args::ShowConfig,
    check,
    config::{
        self, Environment, StoreUrl,
        show::{Origin, Over, Setting},
    },
    console::{Column, Console, Span, Style, Table},
    exit::Exit,
    failure::Failure,
    logging,
};

pub(crate) fn run(
    command: &ShowConfig,
    environment: &Environment,
    console: &mut Console,
) -> Result<(), Failure> {
    let root = check::locate(&command.project)?;
    let loaded = config::load(&root);
    if !loaded.findings.is_empty() {
        let text = render::diagnostics(&loaded.findings, console.colours_talk());
        console.rendered(&text);
    }
    if loaded.has_errors() {
        return Err(Failure::Told(Exit::Configuration));
    }
    // The service would not start with it.
    logging::filter(&loaded.config.log, environment)?;
    let store = match &command.store {
        Some(store) => Some(StoreUrl::given(store)?),
        None => None,
    };
    let over = Over::new(command.listen, store.as_ref(), environment);
    let settings = config::show::settings(&loaded.config, &root, over);
    if command.json.json {
        let settings: Vec<Value> = settings.iter().map(to_json).collect();
        return console.json(&json!({ "settings": settings }));
    }
    let mut table = Table::new(&[
        Column::Fixed("KEY"),
        Column::Elastic("VALUE"),
        Column::Fixed("ORIGIN"),
    ]);
    for Setting { key, value, origin } in &settings {
        let style = match origin {
            Origin::Default => Style::Dim,
            Origin::File(_) | Origin::CommandLine | Origin::Environment => Style::Plain,
        };
        table.row(vec![
            Span::plain(key),
            Span::new(style, shown(value)),
            Span::new(style, origin.to_string()),
        ]);
    }
    console.table(&table)
}

/// As a person would write it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::String(_) => "''".to_owned(),
        Value::Null => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(entries) if entries.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{key}: {}", shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn to_json(setting: &Setting) -> Value {
    let Setting { key, value, origin } = setting;
    let (word, line) = match origin {
        Origin::File(line) => ("file", Some(line)),
        Origin::Default => ("default", None),
        Origin::CommandLine => ("command line", None),
        Origin::Environment => ("environment", None),
    };
    let mut shown = json!({ "key": key, "value": value, "origin": word });
    if let (Some(line), Some(shown)) = (line, shown.as_object_mut()) {
        shown.insert("file".to_owned(), json!(config::FILE));
        shown.insert("line".to_owned(), json!(line));
    }
    shown
}
