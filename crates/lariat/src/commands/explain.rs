//! `lariat explain`: why each rule did or did not fire for an event.

use api::json::{Condition, Explanation, List};
use model::verdict::{Truth, Verdict};

use crate::{
    args::Explain,
    client::Client,
    commands::Query,
    console::{Console, Span, Style, neutral},
    exit::Exit,
    failure::Failure,
};

pub(crate) async fn run(
    command: &Explain,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let query = Query::new().add("rule", command.rule.as_ref());
    let path = ["events", command.id.as_str(), "verdicts"];
    let answer = client.get(&path, query.pairs()).await?;
    if command.json.json {
        return console.json(&answer.value()?);
    }
    let list: List<Explanation> = answer.read()?;
    match &command.rule {
        Some(rule) if list.items.is_empty() => {
            let message = format!("there was no rule `{rule}` when this event was judged");
            let hint = format!("`lariat explain {}` lists the rules of then", command.id);
            return Err(Failure::message(Exit::Unexpected, message).hint(hint));
        }
        None if list.items.is_empty() => {
            console.say("there were no rules when this event was judged");
        }
        Some(_) | None => {}
    }
    for explanation in &list.items {
        print(explanation, console)?;
    }
    Ok(())
}

fn print(explanation: &Explanation, console: &mut Console) -> Result<(), Failure> {
    let Explanation {
        rule,
        revision: _,
        verdict,
        reason,
        job_id,
        conditions,
    } = explanation;
    let mut line = vec![
        Span::new(Style::Bold, rule.as_str()),
        Span::plain("  "),
        Span::new(verdict_style(*verdict), verdict.as_str()),
    ];
    if let Some(job) = job_id {
        line.push(Span::plain(format!("  job {job}")));
    }
    console.spans(&line)?;
    if !reason.is_empty() {
        console.line(&format!("  {reason}"))?;
    }
    for condition in conditions {
        print_condition(condition, console)?;
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

fn print_condition(condition: &Condition, console: &mut Console) -> Result<(), Failure> {
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
    let indent = "  ".repeat((*depth).min(40) + 1);
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
