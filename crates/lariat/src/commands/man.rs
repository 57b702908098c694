//! `lariat man`: the manual pages, made from the command line itself.
//!
//! The page of `lariat` also has what holds for all commands: exit codes and
//! variables.

use std::{io, path::Path};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{args, console::Console, exit::Exit, failure::Failure, usage};

/// The variables that clients read, beside those of the service.
const VARIABLES: [(&str, &str); 5] = [
    (
        "LARIAT_URL",
        "the service that client commands talk to, when there is no --url",
    ),
    (
        "LARIAT_LOG",
        "what lariat serve logs, such as debug or engine=debug,info",
    ),
    ("NO_COLOR", "no colours"),
    (
        "CLICOLOR_FORCE",
        "colours also where the output is no terminal",
    ),
    ("COLUMNS", "how wide the terminal is"),
];

pub(crate) fn run(command: &args::Man, console: &mut Console) -> Result<(), Failure> {
    let pages = pages().map_err(Failure::unexpected)?;
    match &command.dir {
        Some(dir) => {
            write(dir, &pages).map_err(|error| {
                Failure::unexpected(error).context("cannot write the manual pages")
            })?;
            for (name, _) in &pages {
                console.line(&dir.join(name).display().to_string())?;
            }
            Ok(())
        }
        None => match pages.first() {
            Some((_, text)) => console.own(text),
            None => Ok(()),
        },
    }
}

fn write(dir: &Path, pages: &[(String, String)]) -> io::Result<()> {
    fs_err::create_dir_all(dir)?;
    for (name, text) in pages {
        fs_err::write(dir.join(name), text)?;
    }
    Ok(())
}

/// File names and texts; the page of `lariat` comes first.
fn pages() -> io::Result<Vec<(String, String)>> {
    let mut root = usage::shown();
    root.build();
    let mut pages = Vec::new();
    collect(&root, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let is_root = pages.is_empty();
    let source = concat!("lariat ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("Lariat");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if is_root {
        everywhere().to_writer(&mut text)?;
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    pages.push((format!("{name}.1"), text));
    for inner in command.get_subcommands() {
        collect(inner, pages)?;
    }
    Ok(())
}

/// What holds for all commands.
fn everywhere() -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        roff.control("TP", []);
        roff.text([bold(exit.code().to_string())]);
        roff.text([roman(exit.meaning().replace('`', ""))]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in VARIABLES {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(meaning)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn every_command_has_a_page() {
        let pages = pages().unwrap();
        let page = |name: &str| {
            let found = pages.iter().find(|(file, _)| file == name);
            found.map(|(_, text)| text.as_str()).unwrap_or_default()
        };
        assert!(page("lariat.1").contains("EXIT STATUS"));
        assert!(page("lariat-jobs-output.1").contains("follow"));
        assert!(page("lariat-config-show.1").contains("project"));
        assert!(!page("lariat-serve.1").contains("POINT"));
    }
}
