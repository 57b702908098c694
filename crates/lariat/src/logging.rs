//! The log: one line for each entry on standard error, as text or JSON.
//!
//! Whatever an entry holds, it is one line and nothing in it is obeyed by a
//! terminal.

use std::io::{self, Write};

use model::diagnostic::{Diagnostic, Level};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{
    config::{Environment, Log, LogFormat},
    console::neutral,
    exit::Exit,
    failure::Failure,
};

/// Starts the log. LARIAT_LOG goes before the file's level.
pub(crate) fn start(log: &Log, environment: &Environment) -> Result<(), Failure> {
    let filter = filter(log, environment)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(StderrLines(log.format));
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{panic}");
    }));
    Ok(())
}

/// What is logged, or what is wrong with LARIAT_LOG.
pub(crate) fn filter(log: &Log, environment: &Environment) -> Result<EnvFilter, Failure> {
    let Some(text) = &environment.log else {
        return Ok(EnvFilter::new(with_quiet_client(log.level)));
    };
    EnvFilter::try_new(with_quiet_client(text)).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .context(format!("LARIAT_LOG is `{text}`"))
            .hint("it is a level such as `debug`, or `engine=debug,info`")
    })
}

/// A finding as an entry: what a person is shown, in fields.
pub(crate) fn finding(finding: &Diagnostic) {
    let Diagnostic {
        level,
        code,
        message,
        file,
        line,
        column,
        width: _,
        source: _,
        hint,
    } = finding;
    let (code, file, hint) = (code.as_str(), file.as_str(), hint.as_deref());
    match level {
        Level::Error => tracing::error!(code, file, line, column, hint, "{message}"),
        Level::Warning => tracing::warn!(code, file, line, column, hint, "{message}"),
        Level::Note => tracing::info!(code, file, line, column, hint, "{message}"),
    }
}

/// The AMQP client prints the bodies of messages that come back, and each
/// failure that `bus` tells in words of its own. It is heard only when it is
/// asked for by name.
fn with_quiet_client(filter: &str) -> String {
    if filter.contains("lapin") {
        filter.to_owned()
    } else {
        format!("{filter},lapin=off")
    }
}

#[derive(Clone, Copy)]
struct StderrLines(LogFormat);

impl<'a> MakeWriter<'a> for StderrLines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            format: self.0,
            bytes: Vec::new(),
        }
    }
}

/// One entry, written whole when it is complete.
struct Line {
    format: LogFormat,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_end_matches('\n');
        if text.is_empty() {
            return;
        }
        let mut line = match self.format {
            LogFormat::Text => neutral::line(text),
            LogFormat::Json => neutral::json(text),
        };
        line.push('\n');
        // Nobody is left to be told when standard error is gone.
        io::stderr().write_all(line.as_bytes()).ok();
    }
}
