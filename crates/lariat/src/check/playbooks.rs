//! `lariat check --connect`: what Ansible itself says about every playbook that
//! a rule names in so many words (`ansible-playbook --syntax-check`).
//!
//! Nothing of a playbook is run, but inventories that are programs are. A
//! playbook whose name is computed is not looked at: which it will be, an event
//! says.

mod said;

use std::{cell::RefCell, path::Path, sync::Arc, time::Duration};

use actions::{ActionSettings, ByHand};
use model::{
    action::{PlaybookCall, StepContext},
    clock::{Clock, Timestamp},
    diagnostic::{Diagnostic, Level},
    event::{Event, Origin, Severity},
    id::JobId,
    json::Object,
};
use rules::{LiteralPlaybook, Rule, RuleSet};
use serde_json::{Value, json};

use crate::{
    clock::SystemClock,
    config::{Config, Environment},
    console::{Console, Span, Style},
    failure::Failure,
    wiring,
};

/// How long Ansible may look at one playbook.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of looking at the playbook of one step.
#[derive(Debug)]
pub(super) struct Look {
    /// Relative to the project, or as the rule writes it when it is computed.
    playbook: String,
    came: Came,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Came {
    Fine,
    /// Its name is computed.
    Unknown,
    Doubtful,
    Wrong,
}

impl Came {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Unknown => "computed",
            Self::Doubtful => "unchecked",
            Self::Wrong => "failed",
        }
    }
}

/// Looks at all of them, two at a time.
pub(super) async fn run(
    root: &Path,
    (config, environment, rules): (&Config, &Environment, &RuleSet),
    console: &mut Console,
) -> Result<(Vec<Look>, Vec<Diagnostic>), Failure> {
    let (literal, computed) = playbooks(rules);
    let clock = Arc::new(SystemClock::new().map_err(Failure::unexpected)?);
    let now = clock.now();
    let settings = wiring::by_hand(config, environment, clock);
    if !literal.is_empty() {
        let noun = if literal.len() == 1 {
            "playbook"
        } else {
            "playbooks"
        };
        console.wait_for(&format!("asking Ansible about {} {noun}", literal.len()));
    }
    let waiting = RefCell::new(literal.into_iter());
    let found = RefCell::new(Vec::new());
    let lane = async || {
        loop {
            let next = waiting.borrow_mut().next();
            let Some((place, rule, playbook)) = next else {
                break;
            };
            let finding = look(root, (rule, &playbook), &settings, now).await;
            found.borrow_mut().push((place, playbook.path, finding));
        }
    };
    tokio::join!(lane(), lane());
    console.waited();
    let mut found = found.into_inner();
    found.sort_by_key(|(place, _, _)| *place);
    let mut looks = Vec::new();
    let mut findings = Vec::new();
    for (_, playbook, finding) in found {
        let came = match &finding {
            None => Came::Fine,
            Some(finding) if finding.level == Level::Error => Came::Wrong,
            Some(_) => Came::Doubtful,
        };
        looks.push(Look { playbook, came });
        // One file may be imported by many.
        findings.extend(finding.filter(|finding| !findings.contains(finding)));
    }
    looks.extend(computed.into_iter().map(|playbook| Look {
        playbook,
        came: Came::Unknown,
    }));
    Ok((looks, findings))
}

type Literal<'r> = (usize, &'r Rule, LiteralPlaybook);

/// The playbooks that rules write out, each once, and the names of the others.
fn playbooks(rules: &RuleSet) -> (Vec<Literal<'_>>, Vec<String>) {
    let mut literal: Vec<Literal<'_>> = Vec::new();
    let mut computed = Vec::new();
    for rule in rules.rules() {
        let found = rule.literal_playbooks();
        for (index, step) in rule.steps().iter().enumerate() {
            let is_literal = found.iter().any(|(known, _)| *known == index);
            let is_playbook = step.kind == model::job::StepKind::Playbook;
            if is_playbook && !is_literal && !computed.contains(&step.what) {
                computed.push(step.what.clone());
            }
        }
        for (_, playbook) in found {
            if !literal.iter().any(|(_, _, known)| *known == playbook) {
                literal.push((literal.len(), rule, playbook));
            }
        }
    }
    (literal, computed)
}

/// What is wrong with a playbook, if anything is.
async fn look(
    root: &Path,
    (rule, playbook): (&Rule, &LiteralPlaybook),
    settings: &ActionSettings,
    now: Timestamp,
) -> Option<Diagnostic> {
    let unchecked = |reason: String| {
        Some(Diagnostic {
            file: playbook.path.clone(),
            ..Diagnostic::without_place(
                Level::Warning,
                "playbook-unchecked",
                format!("Ansible could not be asked about it: {reason}"),
            )
        })
    };
    let options = ["--syntax-check".to_owned()];
    let by_hand = ByHand::without_secrets(&call(playbook), context(root, rule, now), settings);
    let by_hand = match by_hand {
        Ok(by_hand) => by_hand.with_options(&options),
        Err(reason) => return unchecked(reason),
    };
    match by_hand.look(PATIENCE).await {
        Ok(looked) if looked.is_fine => None,
        Ok(looked) => Some(said::diagnostic(root, &playbook.path, &looked.text)),
        Err(error) => unchecked(error.to_string()),
    }
}

/// What the step runs, as far as that is known without an event.
fn call(playbook: &LiteralPlaybook) -> PlaybookCall {
    let vars = playbook.vars.iter();
    PlaybookCall {
        playbook: playbook.path.clone(),
        inventory: playbook.inventory.clone(),
        vault_password_files: playbook.vault_password_files.clone(),
        collections: playbook.collections.clone(),
        env: playbook.env.clone(),
        vars: vars
            .map(|(name, value)| (name.clone(), value.clone().unwrap_or(Value::Null)))
            .collect(),
        ..PlaybookCall::default()
    }
}

fn context(root: &Path, rule: &Rule, now: Timestamp) -> StepContext {
    let event = Event {
        id: "check".parse().expect("letters are an event id"),
        topic: "check".parse().expect("a word is a topic"),
        time: now,
        accepted: now,
        source: "api".to_owned(),
        severity: Severity::Info,
        headers: Object::new(),
        body: json!({}),
        origin: Origin::open_http(),
        cause: None,
    };
    StepContext {
        job: JobId::generate(),
        attempt: 1,
        step: 0,
        rule: rule.name().clone(),
        event: Arc::new(event),
        project: root.to_owned(),
        account: None,
        timeout: PATIENCE,
        grace: Duration::ZERO,
        output_cap: 0,
    }
}

pub(super) fn print(looks: &[Look], console: &mut Console) -> Result<(), Failure> {
    for Look { playbook, came } in looks {
        let (style, rest) = match came {
            Came::Fine => (Style::Green, ""),
            Came::Unknown => (
                Style::Plain,
                "  Ansible is not asked: which playbook it is, an event says",
            ),
            Came::Doubtful => (Style::Plain, "  see above"),
            Came::Wrong => (Style::Red, "  see above"),
        };
        console.spans(&[
            Span::new(Style::Bold, format!("playbook `{playbook}`")),
            Span::plain("  "),
            Span::new(style, came.as_str()),
            Span::plain(rest),
        ])?;
    }
    Ok(())
}

pub(super) fn to_json(looks: &[Look]) -> Vec<Value> {
    let one = |Look { playbook, came }: &Look| json!({"playbook": playbook, "came": came.as_str()});
    looks.iter().map(one).collect()
}
