//! `cargo xtask check`: formatting, lints, and the rules of the house.

mod house;
mod tidy;

use anyhow::{Result, bail};

use crate::run::{Timeline, run, workspace};

pub(crate) fn check() -> Result<()> {
    let mut timeline = Timeline::default();
    let result = steps(&mut timeline);
    timeline.print();
    result
}

/// The steps, for `check` and as the beginning of `test`.
pub(crate) fn steps(timeline: &mut Timeline) -> Result<()> {
    timeline.step("formatting", || {
        run(env!("CARGO"), &["fmt", "--all", "--check"])?;
        let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
        run(env!("CARGO"), &fuzz)
    })?;
    timeline.step("the rules of the house", || {
        let mut findings = tidy::findings(&workspace())?;
        findings.extend(house::findings(&workspace())?);
        if findings.is_empty() {
            return Ok(());
        }
        for finding in &findings {
            println!("{finding}");
        }
        bail!("{} findings", findings.len())
    })?;
    timeline.step("lints", || {
        run(
            env!("CARGO"),
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
        )
    })
}
