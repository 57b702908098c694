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

#[test]
fn the_manual_names_every_command() {
    let manual = include_str!("../../../../docs/cli.md");
    let root = Cli::command();
    for command in root.get_subcommands() {
        let name = command.get_name();
        assert!(
            manual.contains(&format!("lariat {name}")),
            "`{name}` is missing"
        );
        for option in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            if let Some(long) = option.get_long() {
                assert!(
                    manual.contains(&format!("--{long}")),
                    "`{name} --{long}` is missing"
                );
            }
        }
        for inner in command.get_subcommands() {
            let inner = inner.get_name();
            assert!(
                manual.contains(&format!("lariat {name} {inner}")),
                "`{name} {inner}` is missing"
            );
        }
    }
}
