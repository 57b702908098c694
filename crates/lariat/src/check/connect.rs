//! `lariat check --connect`: whether the sources and sinks of a project can be
//! used from here, before it is served. Nothing is changed at the broker.

use bus::amqp::{TrialError, Tried, try_sink, try_source};
use model::id::WorkerId;
use serde_json::{Value, json};

use crate::{
    config::{
        Config,
        open::{Links, SinkSettings, SourceSettings},
        secret::Vault,
    },
    console::{Console, Span, Style},
    exit::Exit,
    failure::Failure,
};

/// What came of trying one source or sink.
pub(super) struct Trial {
    /// `source` or `sink`.
    what: &'static str,
    name: String,
    came: Result<Tried, TrialError>,
}

/// Tries all of them, one after the other.
pub(super) async fn run(
    config: &Config,
    vault: Vault<'_>,
    console: &mut Console,
) -> Result<Vec<Trial>, Failure> {
    let worker: WorkerId = "check".parse().expect("letters are a worker id");
    let Links { sources, sinks } = config
        .open(vault, &worker)
        .await
        .map_err(crate::serve::cannot_open)?;
    let mut trials = Vec::new();
    for source in &sources {
        let (name, came) = match source {
            SourceSettings::Amqp(settings) => {
                console.wait_for(&format!("trying source `{}`", settings.name));
                (settings.name.to_string(), try_source(settings).await)
            }
        };
        trials.push(Trial {
            what: "source",
            name,
            came,
        });
    }
    for sink in &sinks {
        let (name, came) = match sink {
            SinkSettings::Amqp(settings) => {
                console.wait_for(&format!("trying sink `{}`", settings.name));
                (settings.name.to_string(), try_sink(settings).await)
            }
        };
        trials.push(Trial {
            what: "sink",
            name,
            came,
        });
    }
    console.waited();
    Ok(trials)
}

pub(super) fn print(trials: &[Trial], console: &mut Console) -> Result<(), Failure> {
    for Trial { what, name, came } in trials {
        let (style, word, rest) = match came {
            Ok(Tried { peer, found }) => {
                let found = found.join(", ");
                (Style::Green, "ok", format!("  {peer}: {found}"))
            }
            Err(error) => (Style::Red, "failed", format!("  {error}")),
        };
        console.spans(&[
            Span::new(Style::Bold, format!("{what} `{name}`")),
            Span::plain("  "),
            Span::new(style, word),
            Span::plain(rest),
        ])?;
    }
    Ok(())
}

pub(super) fn to_json(trials: &[Trial]) -> Vec<Value> {
    let one = |Trial { what, name, came }: &Trial| match came {
        Ok(Tried { peer, found }) => json!({
            "what": what, "name": name, "ok": true,
            "peer": peer.to_string(), "found": found,
        }),
        Err(error) => json!({
            "what": what, "name": name, "ok": false,
            "problem": error.to_string(),
        }),
    };
    trials.iter().map(one).collect()
}

/// Everything has been said, line by line.
pub(super) fn verdict(trials: &[Trial]) -> Result<(), Failure> {
    if trials.iter().all(|trial| trial.came.is_ok()) {
        Ok(())
    } else {
        Err(Failure::Told(Exit::Unreachable))
    }
}
