//! Rules about files that no compiler keeps.

use std::path::Path;

use anyhow::Result;

use crate::run::read;

/// A file longer than this hides a second noun.
const MAX_LINES: usize = 800;

/// Words that mark unfinished work, written apart so that this file passes.
const UNFINISHED: [&str; 4] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("#[ig", "nore"),
];

/// Waiting for time instead of for something, in tests.
const SLEEPS: [&str; 3] = [
    concat!("thread::", "sleep"),
    concat!("time::", "sleep"),
    concat!("asyncio.", "sleep"),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "helpers", "common", "misc", "imp"];

pub(crate) fn findings(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    // Files that are new count as well: they are about to be committed.
    let listed = read(
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    )?;
    for name in listed.lines() {
        let path = root.join(name);
        if !path.is_file() {
            continue;
        }
        let Ok(text) = fs_err::read_to_string(&path) else {
            continue;
        };
        check_file(name, &text, &mut findings);
    }
    Ok(findings)
}

fn check_file(name: &str, text: &str, findings: &mut Vec<String>) {
    let is_code = name.ends_with(".rs") || name.ends_with(".py");
    let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
    if is_code {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            findings.push(format!("{name}: {lines} lines, more than {MAX_LINES}"));
        }
        let stem = Path::new(name)
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if EMPTY_NAMES.contains(&stem.as_str()) {
            findings.push(format!(
                "{name}: `{stem}` says nothing about what is inside"
            ));
        }
        for (number, line) in text.lines().enumerate() {
            for word in UNFINISHED {
                if line.contains(word) {
                    findings.push(format!("{name}:{}: unfinished: {word}", number + 1));
                }
            }
            for word in SLEEPS.iter().filter(|_| is_test) {
                if line.contains(word) {
                    findings.push(format!("{name}:{}: a test that sleeps", number + 1));
                }
            }
        }
    }
    if name.ends_with(".rs") && !is_test && !text.starts_with("//!") {
        findings.push(format!("{name}: does not open with a `//!` paragraph"));
    }
    if name.ends_with("/mod.rs") {
        findings.push(format!("{name}: is `foo.rs` beside `foo/` here"));
    }
    for (number, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) && !name.ends_with(".snap") && !name.ends_with(".md") {
            findings.push(format!("{name}:{}: ends in white space", number + 1));
        }
    }
}
