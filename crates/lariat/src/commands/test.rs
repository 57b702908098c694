//! `lariat test`: runs the test files of a project. Nothing is sent, stored or
//! started.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use api::json::Explanation;
use model::{
    diagnostic::{Diagnostic, Level},
    event::Event,
    verdict,
};
use rules::{
    Code,
    cases::{About, Case, Outcome, Surprise, Unusable, read_cases},
    yaml::Reader,
};
use serde_json::{Value, json};

use crate::{
    args::Test,
    check,
    commands::{event_file, explain},
    config::{Config, Limits},
    console::{Console, Span, Style, neutral},
    exit::Exit,
    failure::{Failure, cannot_find},
    project::files::Files,
};

const TESTS: &str = "tests";
/// Values are shown up to this many characters; `--json` has them whole.
const LONGEST: usize = 400;

pub(crate) fn run(command: &Test, console: &mut Console) -> Result<(), Failure> {
    let root = check::locate(&command.project)?;
    let checked = check::project(&root, None);
    // What `check` only warns of is not said again with every run.
    let mut findings = checked.findings;
    findings.retain(|finding| finding.level == Level::Error);
    let mut files = Files::new(&root);
    let texts = if command.files.is_empty() {
        files.yaml((&root.join(TESTS), TESTS), &mut findings)
    } else {
        named(&mut files, &root, &command.files, &mut findings)?
    };
    let mut cases = Vec::new();
    for (file, text) in &texts {
        let mut reader = Reader::new(file, text);
        let mut source = |path: &str| event(&mut files, &root, path, &checked.config.limits);
        cases.extend(read_cases(&mut reader, checked.rules.as_ref(), &mut source));
        findings.extend(reader.finish());
    }
    findings.extend(
        cases
            .iter()
            .filter_map(|case| unknown_source(case, &checked.config)),
    );
    let ran: Vec<(Case, Outcome)> = match &checked.rules {
        Some(rules) => cases
            .into_iter()
            .map(|case| {
                let outcome = case.run(rules);
                (case, outcome)
            })
            .collect(),
        None => Vec::new(),
    };
    let has_errors = findings.iter().any(|finding| finding.level == Level::Error);
    let is_good = !has_errors && ran.iter().all(|(_, outcome)| outcome.passes());
    if command.json.json {
        console.json(&to_json(is_good, &ran, &findings))?;
    } else {
        print(&ran, &findings, console)?;
        if texts.is_empty() && !has_errors {
            console.say("there are no tests; they stand in `tests/*.yml`");
        }
    }
    if is_good {
        Ok(())
    } else {
        Err(Failure::Told(Exit::Configuration))
    }
}

/// An event from a source that `lariat.yml` does not have is one that never
/// comes, whatever the rules make of it.
fn unknown_source(case: &Case, config: &Config) -> Option<Diagnostic> {
    let source = case.event.source.as_str();
    let own = config.sources.iter().map(|source| source.name().as_str());
    let known: Vec<&str> = own.chain(["api", "lariat"]).collect();
    if known.contains(&source) {
        return None;
    }
    let hint = match model::suggest::nearest(source, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: `{}`", known.join("`, `")),
    };
    let shown: String = source.chars().take(100).collect();
    let message = format!("`lariat.yml` has no source `{shown}`");
    Some(Diagnostic {
        file: case.file.to_string(),
        line: case.line,
        column: 1,
        hint: Some(hint),
        ..Diagnostic::without_place(Level::Warning, Code::UnknownSource.as_str(), message)
    })
}

/// The test files that were asked for, by their path in the project.
fn named(
    files: &mut Files<'_>,
    root: &Path,
    paths: &[PathBuf],
    findings: &mut Vec<Diagnostic>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut texts = BTreeMap::new();
    for path in paths {
        // As everywhere, and then as `check` shows it.
        let real = fs_err::canonicalize(path).or_else(|error| {
            fs_err::canonicalize(root.join(path)).map_err(|_| {
                let hint = format!(
                    "a path starts at the working directory, or at the project `{}`",
                    root.display()
                );
                Failure::new(Exit::Configuration, cannot_find(path, &error)).hint(hint)
            })
        })?;
        let Some(shown) = real.strip_prefix(root).ok().and_then(Path::to_str) else {
            let message = format!("`{}` is not in the project", path.display());
            let hint = format!(
                "the project is `{}`; `--project` names another",
                root.display()
            );
            return Err(Failure::message(Exit::Configuration, message).hint(hint));
        };
        match files.text(&real) {
            Ok(text) => {
                texts.insert(shown.to_owned(), text);
            }
            Err(refused) => {
                findings.push(Diagnostic {
                    file: shown.to_owned(),
                    hint: refused.hint,
                    ..Diagnostic::without_place(Level::Error, "unreadable-file", refused.message)
                });
            }
        }
    }
    Ok(texts)
}

/// The event that `file:` names: beside the tests, or in the project.
fn event(
    files: &mut Files<'_>,
    root: &Path,
    path: &str,
    limits: &Limits,
) -> Result<Event, Unusable> {
    let unusable = |code, messages, hint| Unusable {
        code,
        messages,
        hint,
    };
    let mut found = files.bytes(&root.join(TESTS).join(path));
    if found.as_ref().is_err_and(|refused| refused.is_missing) {
        found = files.bytes(&root.join(path));
    }
    let bytes = found.map_err(|refused| {
        if refused.is_missing {
            let message = format!("there is no file `{path}`");
            let hint = "it is looked for in `tests/` first, then in the project".to_owned();
            unusable(Code::MissingFile, vec![message], Some(hint))
        } else {
            let message = format!("`{path}` cannot be used: {}", refused.message);
            unusable(Code::BadValue, vec![message], refused.hint)
        }
    })?;
    event_file::read(&bytes, limits).map_err(|problems| {
        let told = problems.into_iter();
        let told = told.map(|problem| format!("`{path}`: {problem}"));
        unusable(Code::BadValue, told.collect(), None)
    })
}

fn print(
    ran: &[(Case, Outcome)],
    findings: &[Diagnostic],
    console: &mut Console,
) -> Result<(), Failure> {
    for (case, outcome) in ran {
        let (style, word) = if outcome.passes() {
            (Style::Green, "ok    ")
        } else {
            (Style::Red, "FAIL  ")
        };
        console.spans(&[
            Span::new(style, word),
            Span::plain(&case.name),
            Span::new(Style::Dim, format!("  {}:{}", case.file, case.line)),
        ])?;
        for surprise in &outcome.surprises {
            print_surprise(surprise, console)?;
        }
        for explanation in &outcome.explanations {
            let explanation = Explanation::from(explanation.clone());
            explain::print(&explanation, 1, console)?;
        }
    }
    if !findings.is_empty() {
        let colour = console.colours_talk();
        console.rendered(&rules::render::diagnostics(findings, colour));
    }
    let failed = ran.iter().filter(|(_, outcome)| !outcome.passes()).count();
    let passed = ran.len() - failed;
    let noun = if ran.len() == 1 { "case" } else { "cases" };
    if !ran.is_empty() {
        let failing = if failed == 0 {
            String::new()
        } else {
            format!(", {failed} failed")
        };
        console.say(&format!("{} {noun}: {passed} passed{failing}", ran.len()));
    }
    Ok(())
}

fn print_surprise(surprise: &Surprise, console: &mut Console) -> Result<(), Failure> {
    let (what, expected, got, note) = words(&surprise.about);
    console.spans(&[
        Span::plain("      "),
        Span::new(Style::Bold, surprise.rule.as_str()),
        Span::plain(format!("  {what}")),
    ])?;
    for (style, label, value) in [
        (Style::Green, "expected", Some(expected)),
        (Style::Red, "got     ", got),
    ] {
        let text = match value {
            Some(Value::String(word)) if what == "verdict" => word,
            Some(value) => neutral::json(&value.to_string()),
            None => "nothing".to_owned(),
        };
        let mut short: String = text.chars().take(LONGEST).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        console.spans(&[
            Span::plain(format!("        {label}  ")),
            Span::new(style, short),
        ])?;
    }
    match note {
        Some(note) => console.spans(&[Span::new(Style::Dim, format!("        ({note})"))]),
        None => Ok(()),
    }
}

/// What a surprise is about, what was expected, what came, and a remark.
fn words(about: &About) -> (String, Value, Option<Value>, Option<&str>) {
    match about {
        About::Verdict { expected, got } => (
            "verdict".to_owned(),
            json!(expected),
            Some(json!(got)),
            None,
        ),
        About::Key { expected, got } => (
            "key".to_owned(),
            json!(expected),
            got.as_ref().map(|got| json!(got)),
            None,
        ),
        About::Variable {
            name,
            expected,
            got,
            note,
        } => (
            format!("vars.{name}"),
            expected.clone(),
            got.clone(),
            note.as_deref(),
        ),
    }
}

fn to_json(is_good: bool, ran: &[(Case, Outcome)], findings: &[Diagnostic]) -> Value {
    let explain = |explanation: &verdict::Explanation| Explanation::from(explanation.clone());
    let surprise = |surprise: &Surprise| {
        let (about, expected, got, note) = words(&surprise.about);
        json!({
            "rule": surprise.rule,
            "about": about,
            "expected": expected,
            "got": got,
            "note": note,
        })
    };
    let cases = ran.iter().map(|(case, outcome)| {
        json!({
            "name": case.name,
            "file": case.file.as_ref(),
            "line": case.line,
            "ok": outcome.passes(),
            "surprises": outcome.surprises.iter().map(surprise).collect::<Vec<_>>(),
            "explanations": outcome.explanations.iter().map(explain).collect::<Vec<_>>(),
        })
    });
    json!({
        "ok": is_good,
        "cases": cases.collect::<Vec<_>>(),
        "diagnostics": findings,
    })
}
