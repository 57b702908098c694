//! `cargo xtask fuzz`: inputs that nobody thought of.
//!
//! libFuzzer without sanitizers, which is what a stable compiler can do: the
//! code is instrumented for coverage, and what may not happen panics. The
//! targets are a workspace of their own in `fuzz/`, each brings its seeds, and
//! what one run has learned is there for the next.

use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{read, run_with, target, workspace};

/// As `cargo fuzz --sanitizer none` has them.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Bytes of an input: what is longer is slower to learn from.
const LONGEST: usize = 4096;
/// An input that takes longer is a failure, also on a busy machine.
const SLOWEST_SECONDS: u64 = 10;
const MEMORY_MIB: u64 = 2048;

/// Runs one target, or all of them one after the other.
pub(crate) fn fuzz(only: Option<&str>, seconds: u64) -> Result<()> {
    let targets = targets()?;
    let chosen: Vec<&String> = targets
        .iter()
        .filter(|name| only.is_none_or(|only| only == *name))
        .collect();
    if chosen.is_empty() {
        bail!("there is no such target; there are: {}", targets.join(", "));
    }
    let host = host()?;
    let place = target().join("fuzz");
    // With `--target`, build scripts and macros are not instrumented.
    run_with(
        Command::new(env!("CARGO"))
            // Not `--locked`: a dependency that a crate has got since comes along.
            .args(["build", "--release", "--bins"])
            .args(["--manifest-path", "fuzz/Cargo.toml", "--target", &host])
            .env("CARGO_TARGET_DIR", &place)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")),
    )?;
    for name in chosen {
        println!("-- fuzz target {name}, {seconds} s");
        let corpus = place.join("corpus").join(name);
        fs_err::create_dir_all(&corpus)?;
        let found = workspace().join("fuzz/artifacts").join(name);
        fs_err::create_dir_all(&found)?;
        run_with(
            Command::new(place.join(&host).join("release").join(name))
                .arg(&corpus)
                .arg(format!("-artifact_prefix={}/", found.display()))
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-max_len={LONGEST}"))
                .arg(format!("-timeout={SLOWEST_SECONDS}"))
                .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
                .args(["-print_final_stats=1", "-verbosity=0"]),
        )?;
    }
    Ok(())
}

/// Named like the files that they are.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(workspace().join("fuzz/src/bin"))? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

fn host() -> Result<String> {
    let printed = read("rustc", &["--print", "host-tuple"])?;
    Ok(printed.trim().to_owned())
}
