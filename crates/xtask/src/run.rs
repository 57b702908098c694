//! Running programs and saying how long each took.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate lies two levels below the root")
        .to_owned()
}

/// Where builds go, as cargo itself would decide.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}

/// Where private installations go. Tests look for them here.
pub(crate) fn tools() -> PathBuf {
    workspace().join("target/tools")
}

/// Runs `program` in the workspace and waits; an error unless it succeeds.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    run_with(Command::new(program).args(args))
}

pub(crate) fn run_with(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command
        .current_dir(workspace())
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// What `program` prints; its errors go to ours.
pub(crate) fn read(program: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace());
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", show(&command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", show(&command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program of this name can be found.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Named steps and the time that each took.
#[derive(Default)]
pub(crate) struct Timeline {
    steps: Vec<(String, Duration)>,
}

impl Timeline {
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n== {name}");
        let start = Instant::now();
        let result = work().with_context(|| format!("step `{name}`"));
        self.steps.push((name.to_owned(), start.elapsed()));
        result
    }

    pub(crate) fn print(&self) {
        println!("\n== where the time went");
        let mut total = Duration::ZERO;
        for (name, took) in &self.steps {
            println!("{:>8.1} s  {name}", took.as_secs_f64());
            total += *took;
        }
        println!("{:>8.1} s  in all", total.as_secs_f64());
    }
}
