//! The project's own tool: `cargo xtask demo | test | check | bench | fuzz |
//! services`.
//!
//! Nothing of the product is in here, and the product uses nothing of it. It
//! needs what a fresh Debian with Rust and Python has, and installs the rest.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a developer's tool that starts programs and talks to a terminal"
)]

mod bench;
mod check;
mod demo;
mod fuzz;
mod run;
mod sanity;
mod services;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, shows, checks and measures Lariat"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs the main job on an example project: events, a playbook, the history
    Demo,
    /// Installs what is missing, starts what is needed, runs every check and test
    Test {
        /// Crash at 500 random moments instead of 60, break brokers for
        /// longer, fuzz every target for a minute, and run what takes minutes
        /// by nature
        #[arg(long)]
        full: bool,
    },
    /// Formatting, lints and the rules of the house, without running tests
    Check,
    /// Measures ratios against peers and bare limits, in one run
    Bench {
        /// Only these rows: intake, group-commit, amqp, amqp-memory, memory, start
        rows: Vec<String>,
    },
    /// Tries inputs that nobody thought of
    Fuzz {
        /// This target only, such as `condition`
        target: Option<String>,
        /// How long each target runs
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Has `ansible-test sanity` look at the collection
    Sanity,
    /// Installs what tests and demo need, and says what there is
    Services {
        /// Every version of ansible-core that is supported, as the full test needs
        #[arg(long)]
        full: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Demo => demo::demo(),
        Task::Test { full } => test::test(full),
        Task::Check => check::check(),
        Task::Bench { rows } => bench::bench(&rows),
        Task::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds),
        Task::Sanity => sanity::sanity(),
        Task::Services { full } => services::provide(full).map(|services| services.print()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
