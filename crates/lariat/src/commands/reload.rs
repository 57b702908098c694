//! `lariat reload`: puts the project's rules in force as they are now.

use api::json::Reloaded;
use serde_json::json;

use crate::{
    args::Json,
    client::{Client, Refusal},
    commands::counted,
    console::Console,
    exit::Exit,
    failure::Failure,
};

pub(crate) async fn run(
    command: &Json,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let answer = match client.post(&["reload"], &json!({})).await {
        Ok(answer) => answer,
        Err(Refusal::Problem(_, problem)) if !problem.diagnostics.is_empty() => {
            if command.json {
                console.json(&json!({ "diagnostics": problem.diagnostics }))?;
            } else {
                let colour = console.colours_talk();
                console.rendered(&rules::render::diagnostics(&problem.diagnostics, colour));
            }
            return Err(
                Failure::message(Exit::Configuration, "the project has an error")
                    .hint("the rules of before are still in force; mend it and reload again"),
            );
        }
        Err(refusal) => return Err(refusal.into()),
    };
    if command.json {
        return console.json(&answer.value()?);
    }
    let reloaded: Reloaded = answer.read()?;
    if !reloaded.warnings.is_empty() {
        let colour = console.colours_talk();
        console.rendered(&rules::render::diagnostics(&reloaded.warnings, colour));
    }
    let verb = if reloaded.rules == 1 { "is" } else { "are" };
    let rules = counted(reloaded.rules as u64, "rule", "rules");
    console.say(&if reloaded.changed {
        format!("{rules} {verb} in force now")
    } else {
        format!("nothing changed; {rules} {verb} in force")
    });
    console.line(reloaded.revision.as_str())
}
