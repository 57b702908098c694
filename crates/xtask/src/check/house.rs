//! Compares the crates and their dependencies with the table of ARCHITECTURE.md.
//!
//! The table has one row for each crate: its name, what it is, the crates of
//! ours that it may use, and the heavy clients that are kept to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::read;

struct Row {
    may_use: BTreeSet<String>,
    heavy: BTreeSet<String>,
}

pub(crate) fn findings(root: &Path) -> Result<Vec<String>> {
    let table = table(&fs_err::read_to_string(root.join("ARCHITECTURE.md"))?)?;
    let metadata = read(
        env!("CARGO"),
        &["metadata", "--format-version", "1", "--no-deps", "--locked"],
    )?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for package in array(&metadata, "packages") {
        let name = package["name"].as_str().unwrap_or_default();
        seen.insert(name.to_owned());
        match table.get(name) {
            Some(row) => check_package(package, name, row, &table, &mut findings),
            None => findings.push(format!("crate `{name}` is not in ARCHITECTURE.md's table")),
        }
    }
    for name in table.keys().filter(|name| !seen.contains(*name)) {
        findings.push(format!(
            "ARCHITECTURE.md names crate `{name}`, which is not there"
        ));
    }
    Ok(findings)
}

fn check_package(
    package: &Value,
    name: &str,
    row: &Row,
    table: &BTreeMap<String, Row>,
    findings: &mut Vec<String>,
) {
    for dependency in array(package, "dependencies") {
        // Tests may use what they need.
        if dependency["kind"].as_str() == Some("dev") {
            continue;
        }
        let used = dependency["name"].as_str().unwrap_or_default();
        if table.contains_key(used) && !row.may_use.contains(used) {
            findings.push(format!("crate `{name}` may not use crate `{used}`"));
        }
        let owners: Vec<&String> = table
            .iter()
            .filter(|(_, row)| row.heavy.contains(used))
            .map(|(owner, _)| owner)
            .collect();
        if !owners.is_empty() && !row.heavy.contains(used) {
            findings.push(format!(
                "`{used}` is kept to {owners:?}, and `{name}` uses it"
            ));
        }
    }
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// The rows of the first table whose header starts with `crate`.
fn table(text: &str) -> Result<BTreeMap<String, Row>> {
    let rows: BTreeMap<String, Row> = text
        .lines()
        .skip_while(|line| !line.starts_with("| crate |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let name = quoted(cells.get(1)?).into_iter().next()?;
            let row = Row {
                may_use: quoted(cells.get(3)?),
                heavy: quoted(cells.get(4)?),
            };
            Some((name, row))
        })
        .collect();
    if rows.is_empty() {
        bail!("ARCHITECTURE.md has no table that starts with `| crate |`");
    }
    Ok(rows)
}

/// Every word between backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
