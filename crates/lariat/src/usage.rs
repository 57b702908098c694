//! What the parser of the command line says: help and the version to standard
//! output, and complaints in the form that all errors have.

use std::ffi::OsString;

use clap::{ColorChoice, Command, CommandFactory, FromArgMatches, ValueEnum, error::ErrorKind};

use crate::{
    args::Cli,
    console::{Colours, Console},
    exit::Exit,
    failure::Failure,
};

/// What `--color` says, read before anything else: it is also about how a
/// wrong command line is answered.
pub(crate) fn colours(args: &[OsString]) -> Option<Colours> {
    let mut found = None;
    let mut args = args.iter().map(|arg| arg.to_str().unwrap_or_default());
    while let Some(arg) = args.next() {
        let word = match arg.split_once('=') {
            Some(("--color", word)) => Some(word),
            Some(_) => None,
            None if arg == "--" => return found,
            None if arg == "--color" => args.next(),
            None => None,
        };
        found = word
            .and_then(|word| Colours::from_str(word, false).ok())
            .or(found);
    }
    found
}

/// The command line, or what is to be printed instead.
pub(crate) fn parse(args: &[OsString], colours: Colours) -> Result<Cli, clap::Error> {
    let choice = match colours {
        Colours::Auto => ColorChoice::Auto,
        Colours::Always => ColorChoice::Always,
        Colours::Never => ColorChoice::Never,
    };
    let matches = Cli::command().color(choice).try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

/// Prints help or the version, or says what is wrong.
pub(crate) fn answer(error: &clap::Error, console: &mut Console) -> Result<Exit, Failure> {
    let text = error.render();
    if !error.use_stderr() {
        let text = if console.colours_data() {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        console.own(&text)?;
        return Ok(Exit::Ok);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // What was made here, not what was typed.
        let text = if console.colours_talk() {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        console.rendered(&text);
        return Ok(Exit::Usage);
    }
    Err(complaint(&text.to_string()))
}

/// A complaint of the parser, taken apart.
fn complaint(text: &str) -> Failure {
    let mut message = String::new();
    let mut details = Vec::new();
    let mut hints = Vec::new();
    for line in text.lines() {
        let piece = line.trim();
        if let Some(rest) = piece.strip_prefix("error: ") {
            message = with_backticks(rest);
        } else if let Some(tip) = piece.strip_prefix("tip: ") {
            hints.push(with_backticks(tip));
        } else if let Some(usage) = piece.strip_prefix("Usage: ") {
            details.push(format!("usage: {usage}"));
        } else if piece.starts_with("[possible values: ") {
            details.push(piece.trim_matches(['[', ']']).to_owned());
        } else if !piece.is_empty() && !piece.starts_with("For more information") {
            details.push(with_backticks(piece));
        }
    }
    let message = message.trim_end_matches(':');
    hints.push("`--help` behind the command says what it takes".to_owned());
    Failure::message(Exit::Usage, message)
        .details(details)
        .hint(hints.swap_remove(0))
}

/// Names between single quotes, as all our messages have them. An apostrophe
/// inside a word stays.
fn with_backticks(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let is_edge = |c: Option<&char>| {
        c.is_none_or(|c| c.is_whitespace() || ['(', ')', ':', ',', ';'].contains(c))
    };
    let one = |(at, c): (usize, &char)| {
        let before = at.checked_sub(1).and_then(|at| characters.get(at));
        let is_quote = *c == '\'' && (is_edge(before) || is_edge(characters.get(at + 1)));
        if is_quote { '`' } else { *c }
    };
    characters.iter().enumerate().map(one).collect()
}

/// The command line without what is only for tests.
pub(crate) fn shown() -> Command {
    visible(&Cli::command())
}

fn visible(command: &Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    Command::new(command.get_name().to_owned())
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .disable_help_subcommand(true)
        .disable_version_flag(command.get_name() != "lariat")
        .subcommand_required(command.has_subcommands())
        .args(args.cloned())
        .subcommands(command.get_subcommands().map(visible))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{colours, parse, with_backticks};
    use crate::console::Colours;

    fn args(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_colours_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("lariat status", None),
            ("lariat status --color never", Some(Colours::Never)),
            ("lariat --color=always nothing", Some(Colours::Always)),
            ("lariat --color loud status", None),
            ("lariat publish t -- --color=never", None),
        ] {
            assert_eq!(expected, colours(&args(text)), "{text}");
        }
    }

    #[test]
    fn names_stand_between_backticks() {
        for (text, expected) in [
            (
                "invalid value 'x' for '--id <ID>': bad",
                "invalid value `x` for `--id <ID>`: bad",
            ),
            ("'a', 'b'", "`a`, `b`"),
            ("it isn't", "it isn't"),
        ] {
            assert_eq!(expected, with_backticks(text));
        }
    }

    #[test]
    fn every_option_of_a_command_line_is_read() {
        let cli = parse(&args("lariat --color never status --json"), Colours::Never).unwrap();
        assert_eq!(Colours::Never, cli.color);
    }
}
