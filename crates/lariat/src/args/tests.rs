//! The command line agrees with itself and with the manual.

use clap::CommandFactory;

use super::Cli;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// Every argument of `command` and of those below it.
fn arguments(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
    for argument in command.get_arguments() {
        let name = format!("{path} {}", argument.get_id());
        found.push((name, argument.get_help().is_some()));
    }
    for inner in command.get_subcommands() {
        arguments(inner, &format!("{path} {}", inner.get_name()), found);
    }
}

#[test]
fn every_argument_is_explained() {
    let mut found = Vec::new();
    arguments(&Cli::command(), "lariat", &mut found);
    let bare: Vec<&String> = found
        .iter()
        .filter(|(_, is_explained)| !is_explained)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(Vec::<&String>::new(), bare);
}

const MANUAL: &str = include_str!("../../../../docs/cli.md");

/// The part of the manual that tells most about a command: below the heading
/// that names it, or else below the one whose text does.
fn section(name: &str) -> &'static str {
    let named = format!("lariat {name}");
    let first = name.split(' ').next().unwrap_or_default();
    let family = format!("lariat {first} ");
    let sections: Vec<&str> = MANUAL.split("\n## ").skip(1).collect();
    let find = |text: &str, whole: bool| {
        sections.iter().find(|section| {
            let heading = section.lines().next().unwrap_or_default();
            if whole {
                section.contains(text)
            } else {
                heading.contains(text)
            }
        })
    };
    let found = find(&named, false).or_else(|| find(&named, true));
    let found = found.or_else(|| find(&family, false));
    found.unwrap_or_else(|| panic!("`{named}` is missing"))
}

/// Names of commands that do something, with their options.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, Vec<String>)>) {
    for inner in command.get_subcommands() {
        let name = format!("{path} {}", inner.get_name()).trim().to_owned();
        if inner.has_subcommands() {
            leaves(inner, &name, found);
            continue;
        }
        let options = inner.get_arguments().filter(|arg| !arg.is_hide_set());
        let options = options.filter_map(|option| option.get_long().map(str::to_owned));
        found.push((name, options.collect()));
    }
}

#[test]
fn the_manual_has_every_command_with_its_options() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    for (name, options) in &found {
        let first = name.split(' ').next().unwrap_or_default();
        assert!(MANUAL.contains(&format!("\nlariat {first} ")), "`{first}`");
        let section = section(name);
        for option in options {
            // What it is for stands at the top, for all commands.
            let is_known = option == "json" || section.contains(&format!("--{option}"));
            assert!(is_known, "`{name} --{option}` is missing");
        }
    }
}

#[test]
fn the_manual_has_no_other_options() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    let root = Cli::command();
    let everywhere = root.get_arguments().filter_map(clap::Arg::get_long);
    let mut known: Vec<String> = everywhere.map(str::to_owned).collect();
    known.extend(found.into_iter().flat_map(|(_, options)| options));
    known.extend(["help", "version"].map(str::to_owned));
    // Of `ansible-playbook`.
    known.push("syntax-check".to_owned());
    let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
    for rest in MANUAL.split("--").skip(1) {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, _) = rest.split_at(end);
        let is_option = word.starts_with(|c: char| c.is_ascii_lowercase());
        assert!(
            !is_option || known.iter().any(|one| one == word),
            "`--{word}`"
        );
    }
}
