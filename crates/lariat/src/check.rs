//! `lariat check`: everything that is wrong with a project, at once, and what
//! its rules will do when they are interrupted.

use std::{path::Path, sync::Arc};

use api::json::List;
use model::{
    account::Grants,
    diagnostic::{Diagnostic, Level},
    event::Event,
    job::OnLost,
    ports::ProjectText,
};
use rules::{Code, Rule, RuleSet, Surroundings};
use serde_json::{Value, json};

use crate::{
    args::Check,
    check::{connect::Trial, playbooks::Look},
    client::Client,
    clock::SystemClock,
    commands::event_file,
    config::{self, Config, Environment, accounts, secret::Vault},
    console::{Console, Span, Style},
    exit::Exit,
    failure::{Failure, cannot_find},
    project::DirectoryProject,
    span,
    wiring::{self, ActionPlace},
};

mod connect;
mod feeds;
mod machine;
mod playbooks;

/// What the files of `listen_tls` have to be.
pub(crate) const TLS_HINT: &str = "`cert` is a chain in PEM that begins with the certificate of this service, `key` its private key";

/// A project that was read, with everything that was found.
pub(crate) struct Checked {
    pub(crate) config: Config,
    /// Absent when there is an error anywhere.
    pub(crate) rules: Option<RuleSet>,
    /// As far as they are known.
    pub(crate) grants: Option<Grants>,
    /// Errors and warnings.
    pub(crate) findings: Vec<Diagnostic>,
}

/// Reads and checks `lariat.yml`, the rules, and who may run as whom; without
/// `accounts`, these are taken as the rules name them. `project` must be
/// canonical.
pub(crate) fn project(project: &Path, accounts: Option<accounts::Place>) -> Checked {
    let loaded = config::load(project);
    let is_sound = !loaded.has_errors();
    let config = loaded.config;
    let mut findings = loaded.findings;
    let store = config.store.path(project);
    let mut source = DirectoryProject::new(project.to_owned(), store);
    let is_asked = accounts.is_some();
    if let Some(accounts) = accounts {
        source = source.with_accounts(accounts);
    }
    let accounts::Loaded {
        grants,
        findings: doubts,
    } = source.granted();
    findings.extend(doubts);
    let is_sound = is_sound && (grants.is_some() || !is_asked);
    let around = Surroundings {
        sinks: config.sink_names(),
        grants: grants.clone(),
    };
    let rules = match source.checked(around) {
        Ok(checked) => {
            findings.extend(checked.warnings);
            Some(checked.rules)
        }
        Err(more) => {
            findings.extend(more);
            None
        }
    };
    Checked {
        config,
        rules: rules.filter(|_| is_sound),
        grants,
        findings,
    }
}

/// The project directory, absolute and without links.
pub(crate) fn locate(project: &Path) -> Result<std::path::PathBuf, Failure> {
    let found = fs_err::canonicalize(project).map_err(|error| cannot_find(project, &error));
    let found = found.and_then(|found| {
        if found.is_dir() {
            return Ok(found);
        }
        let message = format!("`{}` is not a directory", project.display());
        Err(std::io::Error::other(message))
    });
    found.map_err(|error| {
        Failure::new(Exit::Configuration, error)
            .context(format!("there is no project in `{}`", project.display()))
            .hint("`lariat init DIR` writes one, `--project DIR` names another")
    })
}

pub(crate) async fn run(
    command: &Check,
    environment: &Environment,
    service: Option<&Client>,
    console: &mut Console,
) -> Result<(), Failure> {
    let root = locate(&command.project)?;
    let accounts = environment.accounts(&command.accounts);
    let mut checked = project(&root, Some(accounts));
    if let Some(text) = text(&root, &checked) {
        let mut doubts = rules::lint(&text, &feeds::feeds(&checked.config));
        if text.files.is_empty() {
            doubts.push(no_rules(&root));
        }
        let grants = checked.grants.clone().unwrap_or_default();
        doubts
            .extend(machine::doubts((&root, &text), (&checked.config, &grants), environment).await);
        if let Some(service) = service {
            let events = newest(service).await?;
            doubts.extend(rules::unseen(&text, &events));
        }
        // What the reader says of a file, everyone who reads it says again.
        doubts.retain(|doubt| !checked.findings.contains(doubt));
        checked.findings.extend(doubts);
    }
    if let Some(rules) = &checked.rules {
        let missing = missing(&root, &checked.config, (environment, rules)).await?;
        checked.findings.extend(missing);
    }
    let trials = match &checked.rules {
        Some(_) if command.connect => {
            let vault = Vault {
                project: &root,
                environment,
            };
            connect::run(&checked.config, vault, console).await?
        }
        Some(_) | None => Vec::new(),
    };
    let looks = match &checked.rules {
        Some(rules) if command.connect => {
            let asked = (&checked.config, environment, rules);
            let (looks, findings) = playbooks::run(&root, asked, console).await?;
            checked.findings.extend(findings);
            looks
        }
        Some(_) | None => Vec::new(),
    };
    if command.json.json {
        print_json(&checked, (&trials, &looks), console)?;
    } else {
        if !checked.findings.is_empty() {
            let colour = console.colours_talk();
            console.rendered(&rules::render::diagnostics(&checked.findings, colour));
        }
        if let Some(rules) = &checked.rules {
            print(rules, console)?;
        }
        connect::print(&trials, console)?;
        playbooks::print(&looks, console)?;
    }
    match checked.rules {
        Some(_) if !has_errors(&checked) => connect::verdict(&trials),
        Some(_) | None => Err(Failure::Told(Exit::Configuration)),
    }
}

fn has_errors(checked: &Checked) -> bool {
    let mut findings = checked.findings.iter();
    findings.any(|finding| finding.level == Level::Error)
}

/// The rules' text, as far as it can be read, also when there are errors in it.
fn text(root: &Path, checked: &Checked) -> Option<Arc<ProjectText>> {
    match &checked.rules {
        Some(rules) => Some(Arc::clone(rules.text())),
        None => {
            let store = checked.config.store.path(root);
            let project = DirectoryProject::new(root.to_owned(), store);
            project.text().map(Arc::new)
        }
    }
}

fn no_rules(root: &Path) -> Diagnostic {
    let place = root.join("rules");
    Diagnostic {
        file: "rules".to_owned(),
        hint: Some("rules stand in files of their own, `rules/NAME.yml`".to_owned()),
        ..Diagnostic::without_place(
            Level::Warning,
            Code::NoRules.as_str(),
            format!(
                "there is no rule file in `{}`: nothing will ever run",
                place.display()
            ),
        )
    }
}

/// Events of the service's history that conditions are compared with.
async fn newest(service: &Client) -> Result<Vec<Event>, Failure> {
    let query = [("since", "30d".to_owned()), ("limit", "500".to_owned())];
    let answer = service.get(&["events"], &query).await?;
    let list: List<Value> = answer.read()?;
    // What this version cannot read is nothing to compare with.
    let read = |event: &Value| event_file::read_answer(event.to_string().as_bytes()).ok();
    Ok(list.items.iter().filter_map(read).collect())
}

/// What the steps of these rules need and this machine does not have.
async fn missing(
    root: &Path,
    config: &Config,
    (environment, rules): (&Environment, &RuleSet),
) -> Result<Vec<Diagnostic>, Failure> {
    let clock = SystemClock::new().map_err(Failure::unexpected)?;
    let place = ActionPlace {
        store: &config.store.path(root),
        clock: Arc::new(clock),
    };
    let mut findings = Vec::new();
    for action in wiring::actions((config, &[]), environment, place) {
        let is_used = rules
            .rules()
            .flat_map(Rule::steps)
            .any(|step| step.kind == action.kind());
        if is_used {
            findings.extend(action.preflight().await);
        }
    }
    Ok(findings)
}

fn print(rules: &RuleSet, console: &mut Console) -> Result<(), Failure> {
    for rule in rules.rules() {
        let on: Vec<String> = rule.on().iter().map(ToString::to_string).collect();
        let mode = match rule.mode() {
            rules::Mode::Live => String::new(),
            rules::Mode::Shadow => "  (shadow: it does nothing)".to_owned(),
            rules::Mode::Off => "  (off)".to_owned(),
        };
        console.spans(&[
            Span::new(Style::Bold, rule.name().as_str()),
            Span::plain(format!("  on {}{mode}", on.join(", "))),
            Span::new(Style::Dim, format!("  {}:{}", rule.file(), rule.line())),
        ])?;
        if let Some(account) = rule.account() {
            console.line(&format!("  as account {account}"))?;
        }
        for (index, step) in rule.steps().iter().enumerate() {
            console.line(&format!(
                "  step {index} {} {}  at most {}; interrupted: {}",
                step.kind,
                step.what,
                span::display(step.timeout),
                on_lost(step.on_lost)
            ))?;
        }
    }
    let (count, revision) = (rules.len(), rules.revision());
    let noun = if count == 1 { "rule" } else { "rules" };
    console.say(&format!("{count} {noun} checked, revision {revision}"));
    Ok(())
}

fn on_lost(choice: OnLost) -> &'static str {
    match choice {
        OnLost::Retry => "it is tried again",
        OnLost::Hold => "the job is held for a person",
        OnLost::Fail => "the job fails",
    }
}

fn print_json(
    checked: &Checked,
    (trials, looks): (&[Trial], &[Look]),
    console: &mut Console,
) -> Result<(), Failure> {
    let rules: Vec<Value> = checked
        .rules
        .iter()
        .flat_map(RuleSet::rules)
        .map(|rule| {
            let on: Vec<String> = rule.on().iter().map(ToString::to_string).collect();
            let steps = rule.steps().iter().map(|step| {
                json!({
                    "kind": step.kind,
                    "what": step.what,
                    "timeout_ms": u64::try_from(step.timeout.as_millis()).unwrap_or(u64::MAX),
                    "on_lost": step.on_lost,
                })
            });
            json!({
                "name": rule.name(),
                "file": rule.file(),
                "line": rule.line(),
                "on": on,
                "when": rule.when(),
                "mode": rule.mode().as_str(),
                "account": rule.account(),
                "steps": steps.collect::<Vec<_>>(),
            })
        })
        .collect();
    console.json(&json!({
        "ok": !has_errors(checked),
        "revision": checked.rules.as_ref().map(RuleSet::revision),
        "rules": rules,
        "links": connect::to_json(trials),
        "playbooks": playbooks::to_json(looks),
        "diagnostics": checked.findings,
    }))
}
