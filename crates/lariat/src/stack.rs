//! Room for the threads of libraries.
//!
//! The client of the broker reads header tables by recursion, in a thread
//! whose stack has the default size. One message with headers that lie some
//! thousands of levels inside each other, which a broker passes on, would end
//! the process, and would come again at every start. The default size can
//! only be set from outside, so the service begins by replacing itself with
//! itself under a variable that sets it. It is address space, not memory.

use std::{io, os::unix::process::CommandExt, process::Command};

use crate::config::Environment;

/// A frame of 128 KiB, the most that a header may fill, holds 26,000 levels,
/// and a level takes less than 2 KiB (10 KiB without optimisation).
const SIZE: usize = 256 * 1024 * 1024;

/// The variable that the standard library reads.
const VARIABLE: &str = "RUST_MIN_STACK";

/// Replaces this process by itself with larger stacks, unless it has them.
/// Returns when it has them; the error is why it could not be replaced.
pub(crate) fn enlarge(environment: &Environment) -> Option<io::Error> {
    if environment.min_stack.is_some_and(|size| size >= SIZE) {
        return None;
    }
    // By its path, so that tools show it under its own name.
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Some(error),
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    #[expect(
        clippy::disallowed_methods,
        reason = "this starts no process: it replaces the one that runs"
    )]
    let mut command = Command::new(program);
    Some(
        command
            .arg0(name)
            .args(arguments)
            .env(VARIABLE, SIZE.to_string())
            .exec(),
    )
}
