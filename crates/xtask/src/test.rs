//! `cargo xtask test`: everything that must hold, from a fresh clone.

use std::process::Command;

use anyhow::Result;

use crate::{
    check, fuzz,
    run::{Timeline, run_with},
    sanity, services,
};

/// For each target.
const FUZZ_SECONDS: u64 = 60;

pub(crate) fn test(full: bool) -> Result<()> {
    let mut timeline = Timeline::default();
    let result = steps(&mut timeline, full);
    timeline.print();
    result
}

fn steps(timeline: &mut Timeline, full: bool) -> Result<()> {
    timeline.step("install what is missing", || {
        services::provide(full).map(|services| services.print())
    })?;
    check::steps(timeline)?;
    timeline.step("build the tests", || cargo_test(&["--no-run"], full))?;
    // What takes whole servers down has the machine to itself.
    let alone = ["crash_sweep", "chaos::"];
    timeline.step("run the tests", || {
        let skipped = alone.iter().flat_map(|name| ["--skip", name]);
        cargo_test(&["--"].into_iter().chain(skipped).collect::<Vec<_>>(), full)
    })?;
    timeline.step("crash sweep", || {
        cargo_test(&["--test", "it", "crash_sweep", "--", "--nocapture"], full)
    })?;
    timeline.step("chaos", || {
        let args = [
            "--test",
            "it",
            "chaos::",
            "--",
            "--nocapture",
            "--test-threads=1",
        ];
        cargo_test(&args, full)
    })?;
    if full {
        timeline.step("ansible-test sanity", sanity::sanity)?;
        timeline.step("fuzz", || fuzz::fuzz(None, FUZZ_SECONDS))?;
    }
    Ok(())
}

fn cargo_test(args: &[&str], full: bool) -> Result<()> {
    let (moments, extent) = if full { ("500", "full") } else { ("60", "") };
    run_with(
        Command::new(env!("CARGO"))
            .args([
                "test",
                "--workspace",
                "--locked",
                "--quiet",
                "--no-fail-fast",
            ])
            .args(args)
            .env("LARIAT_SWEEP_MOMENTS", moments)
            .env("LARIAT_CHAOS", extent)
            .env("LARIAT_CONFORMANCE", extent),
    )
}
