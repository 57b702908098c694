//! Stub.
use std::process::ExitCode;

/// Runs as guard.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
