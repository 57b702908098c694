//! `lariat explain`: why each rule did or did not fire for an event.
//!
//! For an event of the history the service is asked. An event in a file, and
//! rules that are drafts, are judged here, by the same code.

use std::io::Read;

use api::json::{Condition, Explanation, List};
use model::{
    diagnostic::Level,
    event::Event,
    id::EventId,
    verdict::{Truth, Verdict},
};
use rules::{RuleSet, Surroundings};
use serde_json::json;

use crate::{
    args::{Explain, Subject},
    check,
    client::Client,
    commands::{Query, event_file},
    config::{self, Config},
    console::{Console, Span, Style, neutral},
    exit::Exit,
    failure::{Failure, cannot_find},
    project::DirectoryProject,
};

/// Far more than an event may have.
const LARGEST_FILE: u64 = 128 * 1024 * 1024;

pub(crate) async fn run(
    command: &Explain,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let event = match (&command.subject, &command.rules) {
        (Subject::Id(id), None) => return ask(id, command, client, console).await,
        (Subject::Id(id), Some(_)) => {
            let answer = client.get(&["events", id.as_str()], &[]).await?;
            Some(event_file::read_answer(answer.bytes()).map_err(|problems| {
                let message = "the service answered what this version does not understand";
                Failure::message(Exit::Unexpected, message).details(problems)
            })?)
        }
        (Subject::File(_) | Subject::Input, _) => None,
    };
    judge(command, event, console)
}

/// Without a service: the event is here, or is read.
pub(crate) fn local(command: &Explain, console: &mut Console) -> Result<(), Failure> {
    judge(command, None, console)
}

fn judge(command: &Explain, event: Option<Event>, console: &mut Console) -> Result<(), Failure> {
    let (config, rules) = drafts(command, console)?;
    let event = match event {
        Some(event) => event,
        None => read(&command.subject, &config)?,
    };
    let explained = rules.explain(&event, command.rule.as_ref());
    let items: Vec<Explanation> = explained.into_iter().map(Explanation::from).collect();
    if command.json.json {
        return console.json(&json!({"items": items, "next": null}));
    }
    match &command.rule {
        Some(rule) if items.is_empty() => {
            let message = format!("there is no rule `{rule}`");
            let names = rules.rules().map(|rule| rule.name().as_str());
            let failure = Failure::message(Exit::Unexpected, message);
            return Err(match model::suggest::nearest(rule.as_str(), names) {
                Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
                None => failure,
            });
        }
        None if items.is_empty() => console.say("there are no rules"),
        Some(_) | None => {}
    }
    for explanation in &items {
        print(explanation, 0, console)?;
    }
    Ok(())
}

/// What the service says of an event of its history.
async fn ask(
    id: &EventId,
    command: &Explain,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let query = Query::new().add("rule", command.rule.as_ref());
    let path = ["events", id.as_str(), "verdicts"];
    let answer = client.get(&path, query.pairs()).await?;
    if command.json.json {
        return console.json(&answer.value()?);
    }
    let list: List<Explanation> = answer.read()?;
    match &command.rule {
        Some(rule) if list.items.is_empty() => {
            let message = format!("there was no rule `{rule}` when this event was judged");
            let all: List<Explanation> = client.get(&path, &[]).await?.read()?;
            let names = all
                .items
                .iter()
                .map(|explanation| explanation.rule.as_str());
            let hint = match model::suggest::nearest(rule.as_str(), names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("`lariat explain {id}` lists the rules of then"),
            };
            return Err(Failure::message(Exit::Unexpected, message).hint(hint));
        }
        None if list.items.is_empty() => {
            console.say("there were no rules when this event was judged");
        }
        Some(_) | None => {}
    }
    for explanation in &list.items {
        print(explanation, 0, console)?;
    }
    Ok(())
}

/// The rules of the project as they are now, or drafts in their place.
fn drafts(command: &Explain, console: &mut Console) -> Result<(Config, RuleSet), Failure> {
    let root = check::locate(&command.project)?;
    let config::Loaded {
        config,
        mut findings,
    } = config::load(&root);
    let store = config.store.path(&root);
    let mut project = DirectoryProject::new(root, store);
    if let Some(path) = &command.rules {
        let drafts = fs_err::canonicalize(path)
            .map_err(|error| Failure::new(Exit::Configuration, cannot_find(path, &error)))?;
        if !drafts.is_dir() {
            let message = format!("`{}` is not a directory", path.display());
            return Err(Failure::message(Exit::Configuration, message)
                .hint("`--rules` names a directory of rule files"));
        }
        project = project.with_drafts(drafts);
    }
    let around = Surroundings {
        sinks: config.sink_names(),
        grants: None,
    };
    let rules = match project.checked(around) {
        Ok(checked) => Some(checked.rules),
        Err(more) => {
            findings.extend(more);
            None
        }
    };
    findings.retain(|finding| finding.level == Level::Error);
    match rules {
        Some(rules) if findings.is_empty() => Ok((config, rules)),
        Some(_) | None => {
            let colour = console.colours_talk();
            console.rendered(&rules::render::diagnostics(&findings, colour));
            Err(Failure::Told(Exit::Configuration))
        }
    }
}

fn read(subject: &Subject, config: &Config) -> Result<Event, Failure> {
    let mut bytes = Vec::new();
    let (read, shown) = match subject {
        Subject::File(path) => {
            let found = fs_err::metadata(path);
            if found.is_ok_and(|found| !found.is_file()) {
                let message = format!("`{}` is not a file", path.display());
                let hint = "`-` reads an event from standard input";
                return Err(Failure::message(Exit::Usage, message).hint(hint));
            }
            let file = fs_err::File::open(path)
                .map_err(|error| Failure::new(Exit::Usage, cannot_find(path, &error)))?;
            let read = file.take(LARGEST_FILE).read_to_end(&mut bytes);
            (read, format!("`{}`", path.display()))
        }
        Subject::Input | Subject::Id(_) => {
            let input = std::io::stdin().lock();
            let read = input.take(LARGEST_FILE).read_to_end(&mut bytes);
            (read, "standard input".to_owned())
        }
    };
    read.map_err(|error| Failure::new(Exit::Usage, error))
        .map_err(|failure| failure.context(format!("cannot read {shown}")))?;
    event_file::read(&bytes, &config.limits).map_err(|problems| {
        let message = format!("{shown} is not an event");
        let example = r#"{"topic": "org.example.hello", "body": {}}"#;
        Failure::message(Exit::Usage, message)
            .details(problems)
            .hint(format!("an event is JSON such as `{example}`"))
    })
}

/// `depth`: how far everything is moved to the right.
pub(super) fn print(
    explanation: &Explanation,
    depth: usize,
    console: &mut Console,
) -> Result<(), Failure> {
    let indent = "      ".repeat(depth);
    let Explanation {
        rule,
        revision: _,
        verdict,
        reason,
        job_id,
        conditions,
    } = explanation;
    let mut line = vec![
        Span::plain(indent.as_str()),
        Span::new(Style::Bold, rule.as_str()),
        Span::plain("  "),
        Span::new(verdict_style(*verdict), verdict.as_str()),
    ];
    if let Some(job) = job_id {
        line.push(Span::plain(format!("  job {job}")));
    }
    console.spans(&line)?;
    if !reason.is_empty() {
        console.line(&format!("{indent}  {reason}"))?;
    }
    for condition in conditions {
        print_condition(condition, &indent, console)?;
    }
    Ok(())
}

fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Fired => Style::Green,
        Verdict::NoMatch => Style::Dim,
        Verdict::Suppressed | Verdict::Shadow | Verdict::Duplicate => Style::Yellow,
        Verdict::Error => Style::Red,
    }
}

/// Values are shown up to this many characters; `--json` has them whole.
const LONGEST: usize = 200;

fn print_condition(
    condition: &Condition,
    before: &str,
    console: &mut Console,
) -> Result<(), Failure> {
    let Condition {
        expr,
        value,
        result,
        note,
        depth,
    } = condition;
    let style = match result {
        Truth::True => Style::Green,
        Truth::False => Style::Red,
        Truth::Unknown => Style::Yellow,
    };
    // A hostile depth must not become megabytes of blanks.
    let indent = format!("{before}{}", "  ".repeat((*depth).min(40) + 1));
    let mut line = vec![
        Span::plain(indent),
        Span::new(style, format!("{:<8}", result.to_string())),
        Span::plain(expr),
    ];
    if let Some(value) = value {
        let text = neutral::json(&value.to_string());
        let mut short: String = text.chars().take(LONGEST).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        line.push(Span::new(Style::Dim, "  value "));
        line.push(Span::plain(short));
    }
    if let Some(note) = note {
        line.push(Span::new(Style::Dim, format!("  ({note})")));
    }
    console.spans(&line)
}
