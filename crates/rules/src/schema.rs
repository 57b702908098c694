//! JSON Schema of rule files and test files, for editors.
//!
//! The readers are written by hand, and so are these. What keeps them together
//! are the tests: they ask the readers which keys and words there are.

/// Of `rules/*.yml`.
pub const RULES: &str = include_str!("schema/rules.json");
/// Of `tests/*.yml`.
pub const TESTS: &str = include_str!("schema/tests.json");

#[cfg(test)]
mod tests;
