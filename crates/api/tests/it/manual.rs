//! The manual and the code say the same.

use std::{fs, path::Path};

use api::ProblemCode;

#[test]
fn the_manual_lists_every_problem_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let manual = fs::read_to_string(&path).unwrap();
    let listed: Vec<(String, u16)> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (code, rest) = line.split_once("` | ")?;
            let (status, _) = rest.split_once(" | ")?;
            Some((code.to_owned(), status.parse().ok()?))
        })
        .collect();
    let known: Vec<(String, u16)> = ProblemCode::ALL
        .into_iter()
        .map(|code| (code.as_str().to_owned(), code.status()))
        .collect();
    assert_eq!(known, listed);
}
