//! Diagnostics as people read them.

use model::diagnostic::Diagnostic;

/// All of them, and a summary line.
pub fn diagnostics(findings: &[Diagnostic], _colour: bool) -> String {
    findings
        .iter()
        .map(|finding| {
            format!(
                "{}:{}:{}: {}\n",
                finding.file, finding.line, finding.column, finding.message
            )
        })
        .collect()
}
