//! What finding the rules of an event costs when there are many, and what it
//! takes to load them. The rules and events are made by the example `matching`
//! of the crate `rules`, a process for each figure.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{median, print_row, spread};
use crate::run::target;

/// Kinds of rules, and what they are found by.
const SHAPES: [(&str, &str); 6] = [
    ("topic", "a topic of its own"),
    ("equality", "one topic, `body.user ==`"),
    ("two", "one topic, two fields `==` that many share"),
    ("membership", "any topic, `in` a list"),
    ("prefix", "`is match`"),
    ("mixed", "all of these"),
];
const FEW: &str = "100";
const SIZES: [&str; 2] = ["10000", "100000"];
const MOST: &str = "100000";
const ROUNDS: usize = 3;

/// Shapes that are loaded, and in how many files.
const LOADS: [(&str, &str); 3] = [("mixed", "2"), ("mixed", "1000"), ("templates", "3")];

/// Ten rules match each event, however many there are.
pub(crate) fn matching() -> Result<()> {
    for (shape, what) in SHAPES {
        for size in SIZES {
            row(shape, what, size)?;
        }
    }
    for (shape, files) in LOADS {
        load(shape, files)?;
    }
    Ok(())
}

fn row(shape: &str, what: &str, size: &str) -> Result<()> {
    let (mut few, mut many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (of_few, of_many) = (time(shape, FEW)?, time(shape, size)?);
        ratios.push(of_many / of_few);
        few.push(of_few);
        many.push(of_many);
    }
    print_row(
        &format!("match {size}, {shape}"),
        "≤ 2",
        &format!("{:.2}", median(&mut ratios)),
        &format!(
            "{what}: {:.1} µs an event, {:.1} µs with {FEW} rules; ratios {}",
            median(&mut many) / 1_000.0,
            median(&mut few) / 1_000.0,
            spread(&mut ratios),
        ),
    );
    Ok(())
}

/// Nanoseconds an event.
fn time(shape: &str, size: &str) -> Result<f64> {
    let [nanos] = run(["time", shape, size])?;
    Ok(nanos)
}

fn load(shape: &str, files: &str) -> Result<()> {
    let (mut seconds, mut resident, mut peak) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [took, now, most] = run(["load", shape, MOST, files])?;
        seconds.push(took);
        resident.push(now);
        peak.push(most);
    }
    print_row(
        &format!("load {MOST}, {shape}"),
        "≤ 2 s",
        &format!("{:.2} s", median(&mut seconds)),
        &format!(
            "parsed, checked and indexed out of {files} files; {} s",
            spread(&mut seconds)
        ),
    );
    print_row(
        &format!("load {MOST}, {shape}, memory"),
        "≤ 300 MiB",
        &format!("{:.0} MiB", median(&mut peak)),
        &format!(
            "at most; {:.0} MiB resident after it",
            median(&mut resident)
        ),
    );
    Ok(())
}

/// The numbers that the example prints.
fn run<const IN: usize, const OUT: usize>(args: [&str; IN]) -> Result<[f64; OUT]> {
    let output = Command::new(target().join("release/examples/matching"))
        .args(args)
        .output()
        .context("cannot start the example `matching`")?;
    if !output.status.success() {
        bail!(
            "matching {} failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("matching printed {text:?}"))?;
    let count = numbers.len();
    match <[f64; OUT]>::try_from(numbers) {
        Ok(numbers) => Ok(numbers),
        Err(_) => bail!("matching printed {count} numbers instead of {OUT}"),
    }
}
