//! Everything that is printed goes through here: data to standard output,
//! talk to standard error.
//!
//! The invariant: no text from outside reaches a terminal as anything but
//! text. Lines and tables are always neutralised; the output of jobs is passed
//! on byte for byte only when standard output is not a terminal.

use std::io::{self, IsTerminal, Write};

use model::diagnostic::Diagnostic;
use serde_json::Value;

use crate::{
    console::{neutral::Utf8Pieces, progress::Progress},
    failure::Failure,
    logging,
};

pub(crate) use self::{
    style::{Span, Style, paint},
    table::{Column, Table},
};

pub(crate) mod neutral;
mod progress;
mod style;
mod table;

/// When colours are used. What is said on the command line goes before the
/// environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Colours {
    /// On a terminal, unless NO_COLOR or CLICOLOR_FORCE say otherwise.
    #[default]
    Auto,
    /// Also where the output is no terminal.
    Always,
    /// Nowhere.
    Never,
}

impl Colours {
    fn on(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => is_terminal,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// How output is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Looks {
    pub(crate) colours: Colours,
    /// How wide a terminal is said to be, instead of what it says itself.
    pub(crate) columns: Option<usize>,
    /// Nothing moves on this terminal.
    pub(crate) is_dumb: bool,
}

/// Where a command prints.
pub(crate) struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    out_is_terminal: bool,
    out_colour: bool,
    err_colour: bool,
    /// Columns, when standard output is a terminal.
    width: Option<usize>,
    pieces: Utf8Pieces,
    progress: Progress,
    /// Talk is entries of the log.
    is_logged: bool,
}

impl Console {
    pub(crate) fn new(looks: Looks) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let out_is_terminal = out.is_terminal();
        let err_is_terminal = err.is_terminal();
        let width = if out_is_terminal {
            let own = terminal_size::terminal_size_of(&out).map(|(width, _)| usize::from(width.0));
            looks.columns.or(own)
        } else {
            None
        };
        Self {
            out: Box::new(out),
            err: Box::new(err),
            out_is_terminal,
            out_colour: looks.colours.on(out_is_terminal),
            err_colour: looks.colours.on(err_is_terminal),
            width,
            pieces: Utf8Pieces::default(),
            progress: Progress::new(err_is_terminal && !looks.is_dumb),
            is_logged: false,
        }
    }

    /// From now on what is said is an entry of the log: a program reads
    /// standard error, and every line of it has the log's form.
    pub(crate) fn talk_in_the_log(&mut self) {
        self.is_logged = true;
    }

    pub(crate) fn talks_in_the_log(&self) -> bool {
        self.is_logged
    }

    /// Shows on a terminal that `what` is waited for, until
    /// [`Self::waited`].
    pub(crate) fn wait_for(&mut self, what: &str) {
        self.progress.begin(what);
    }

    pub(crate) fn waited(&mut self) {
        self.progress.end();
    }

    /// Text that was made here and is coloured already.
    pub(crate) fn own(&mut self, text: &str) -> Result<(), Failure> {
        self.write(text.as_bytes())
    }

    /// Whether data may be coloured.
    pub(crate) fn colours_data(&self) -> bool {
        self.out_colour
    }

    /// Whether a person reads what is printed.
    pub(crate) fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Whether talk may be coloured.
    pub(crate) fn colours_talk(&self) -> bool {
        self.err_colour
    }

    /// A line of data.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.spans(&[Span::plain(text)])
    }

    /// A line of data in pieces.
    pub(crate) fn spans(&mut self, spans: &[Span]) -> Result<(), Failure> {
        let mut line = String::new();
        for span in spans {
            line.push_str(&paint(
                span.style,
                &neutral::line(&span.text),
                self.out_colour,
            ));
        }
        line.push('\n');
        self.write(line.as_bytes())
    }

    /// Lines of data: line breaks stay, everything else is neutralised.
    pub(crate) fn block(&mut self, text: &str) -> Result<(), Failure> {
        let mut text = neutral::block(text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(text.as_bytes())
    }

    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        let text = table.render(self.width, self.out_colour);
        self.write(text.as_bytes())
    }

    /// A JSON document for people and programs.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        let mut text = neutral::json(&format!("{value:#}"));
        text.push('\n');
        self.write(text.as_bytes())
    }

    /// A JSON document on one line, one of many.
    pub(crate) fn json_line(&mut self, value: &Value) -> Result<(), Failure> {
        let mut text = neutral::json(&value.to_string());
        text.push('\n');
        self.write(text.as_bytes())
    }

    /// Output of a job. Characters may be cut in two between calls.
    pub(crate) fn output(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.out_is_terminal {
            let text = neutral::block(&self.pieces.decode(bytes));
            self.write(text.as_bytes())
        } else {
            self.write(bytes)
        }
    }

    /// A whole line of the output of one of several jobs.
    pub(crate) fn prefixed_output(&mut self, prefix: &str, line: &[u8]) -> Result<(), Failure> {
        let prefix = paint(Style::Dim, &neutral::line(prefix), self.out_colour);
        let mut bytes = format!("{prefix} | ").into_bytes();
        if self.out_is_terminal {
            bytes.extend_from_slice(neutral::block(&String::from_utf8_lossy(line)).as_bytes());
        } else {
            bytes.extend_from_slice(line);
        }
        bytes.push(b'\n');
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.progress.hide();
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.flush())
            .map_err(Failure::from_output)?;
        // Both streams are on the same screen.
        if !self.out_is_terminal || bytes.ends_with(b"\n") {
            self.progress.show();
        }
        Ok(())
    }

    /// A line of talk.
    pub(crate) fn say(&mut self, text: &str) {
        if self.is_logged {
            tracing::info!("{text}");
            return;
        }
        self.talk(&neutral::block(text));
    }

    pub(crate) fn error(&mut self, text: &str) {
        let label = paint(Style::Red, "error:", self.err_colour);
        self.talk(&format!("{label} {}", neutral::block(text)));
    }

    pub(crate) fn hint(&mut self, text: &str) {
        let label = paint(Style::Cyan, "hint:", self.err_colour);
        self.talk(&format!("\n{label} {}", neutral::block(text)));
    }

    /// What was found, each with its line.
    pub(crate) fn findings(&mut self, findings: &[Diagnostic]) {
        if self.is_logged {
            for finding in findings {
                logging::finding(finding);
            }
        } else if !findings.is_empty() {
            self.rendered(&rules::render::diagnostics(findings, self.err_colour));
        }
    }

    /// Diagnostics, which their renderer has already made safe and coloured.
    pub(crate) fn rendered(&mut self, text: &str) {
        self.talk(text.trim_end_matches('\n'));
    }

    fn talk(&mut self, text: &str) {
        self.progress.hide();
        // Nothing is left to be told when standard error is gone.
        writeln!(self.err, "{text}").ok();
        self.progress.show();
    }
}
