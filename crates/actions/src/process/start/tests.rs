//! What is said of a program that cannot be started.

use std::{io, path::Path};

use nix::libc;

use super::explain;

/// Its bits may be as they should be, and a directory above it closed.
#[test]
fn a_program_that_another_user_cannot_reach_is_not_to_be_made_executable() {
    let denied = io::Error::from_raw_os_error(libc::EACCES);
    let program = Path::new("/srv/project/run.sh");
    assert_eq!(
        "`deploy` may not execute `/srv/project/run.sh`, or a directory on the way to it is closed to that user; or its file system is mounted `noexec`",
        explain(program, Some("deploy"), &denied)
    );
    assert_eq!(
        "`/srv/project/run.sh` may not be executed: `chmod +x` it, and see that its file system is not mounted `noexec`",
        explain(program, None, &denied)
    );
}
