//! Why a command did not work, and the one form in which that is printed:
//! the error, its causes, its details, and a hint when there is something
//! to do.

use std::{error::Error, io, path::Path};

use crate::{console::Console, exit::Exit};

/// Why a command did not work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads our output any more, as in `lariat events list | head`.
    OutputClosed,
    /// Everything that is to be said has been said.
    Told(Exit),
    Report(Box<Report>),
}

/// What a person says about a path that cannot be used; libraries name their
/// own calls.
pub(crate) fn cannot_find(path: &Path, error: &io::Error) -> io::Error {
    let (shown, kind) = (path.display(), error.kind());
    let text = if kind == io::ErrorKind::NotFound {
        format!("cannot find `{shown}`")
    } else {
        format!("cannot use `{shown}`: {kind}")
    };
    io::Error::new(kind, text)
}

/// An error with what a person needs to mend it.
#[derive(Debug)]
pub(crate) struct Report {
    exit: Exit,
    error: anyhow::Error,
    details: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self::Report(Box::new(Report {
            exit,
            error: error.into(),
            details: Vec::new(),
            hint: None,
        }))
    }

    pub(crate) fn message(exit: Exit, message: impl Into<String>) -> Self {
        Self::new(exit, anyhow::Error::msg(message.into()))
    }

    /// An error that no exit code has a name for.
    pub(crate) fn unexpected(error: impl Error + Send + Sync + 'static) -> Self {
        Self::new(Exit::Unexpected, error)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Report(report) = &mut self {
            report.hint = Some(hint.into());
        }
        self
    }

    /// One line each, below the causes.
    pub(crate) fn details(mut self, details: Vec<String>) -> Self {
        if let Self::Report(report) = &mut self {
            report.details = details;
        }
        self
    }

    /// What was being done; the error so far becomes its cause.
    pub(crate) fn context(self, what: impl Into<String>) -> Self {
        match self {
            Self::Report(report) => {
                let Report {
                    exit,
                    error,
                    details,
                    hint,
                } = *report;
                Self::Report(Box::new(Report {
                    exit,
                    error: error.context(what.into()),
                    details,
                    hint,
                }))
            }
            Self::OutputClosed | Self::Told(_) => self,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::OutputClosed => Exit::Ok,
            Self::Told(exit) => *exit,
            Self::Report(report) => report.exit,
        }
    }

    /// From writing to standard output.
    pub(crate) fn from_output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::unexpected(error).context("cannot write to standard output")
        }
    }

    /// Prints it, if there is anything to print.
    pub(crate) fn print(&self, console: &mut Console) {
        let Self::Report(report) = self else { return };
        if console.talks_in_the_log() {
            let Report {
                exit,
                error,
                details,
                hint,
            } = report.as_ref();
            let details = details.iter().map(|detail| format!("; {detail}"));
            let (code, details) = (exit.code(), details.collect::<String>());
            tracing::error!(exit = code, hint = hint.as_deref(), "{error:#}{details}");
            return;
        }
        let mut causes = report.error.chain().map(ToString::to_string);
        console.error(&causes.next().unwrap_or_default());
        let mut last = String::new();
        for cause in causes {
            // Some libraries repeat their source in their own message.
            if !last.contains(&cause) {
                console.say(&format!("  caused by: {cause}"));
            }
            last = cause;
        }
        for detail in &report.details {
            console.say(&format!("  {detail}"));
        }
        if let Some(hint) = &report.hint {
            console.hint(hint);
        }
    }
}
