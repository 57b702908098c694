//! Problems in configuration and rules: where, what, and what to do.
//!
//! The same list appears on the command line, in the API and in the log.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warning,
    /// Worth knowing; nothing to mend.
    Note,
}

/// One finding. Lines and columns count from 1; 0 when a finding is about a
/// whole file or about no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub level: Level,
    /// A stable word such as `unknown-key`, listed in the manual.
    pub code: String,
    pub message: String,
    /// Relative to the project.
    pub file: String,
    pub line: usize,
    /// In characters.
    pub column: usize,
    /// How many characters are meant, at least 1.
    pub width: usize,
    /// The text of the line.
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A finding that is about no place in a file.
    pub fn without_place(level: Level, code: &str, message: String) -> Self {
        Self {
            level,
            code: code.to_owned(),
            message,
            file: String::new(),
            line: 0,
            column: 0,
            width: 1,
            source: String::new(),
            hint: None,
        }
    }
}
