//! `lariat completions SHELL`: what a shell needs to complete the command
//! line.

use crate::{args::Completions, console::Console, failure::Failure, usage};

pub(crate) fn run(command: &Completions, console: &mut Console) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut usage::shown(), "lariat", &mut script);
    console.own(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use clap_complete::Shell;

    use crate::usage;

    #[test]
    fn every_shell_completes_commands_options_and_words() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut usage::shown(), "lariat", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["completions", "publish", "timeout", "discard"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
            assert!(!script.contains("--fault"), "{shell}: what is for tests");
        }
    }
}
