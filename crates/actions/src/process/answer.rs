//! One answer of one program, for the service itself: a secret that a tool
//! keeps. This is no step: it runs before anything of an event does, with the
//! service's own environment, and without a guard.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{io::AsyncReadExt, process::Command};

/// Far more than any secret.
const LARGEST: u64 = 64 * 1024;

/// What is the service manager's, and means this process alone.
const OURS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the command is empty")]
    Empty,
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    #[error("its answer cannot be read")]
    Read(#[source] io::Error),
    #[error("it ended with {0}")]
    Failed(ExitStatus),
    #[error("its answer has more than 64 KiB")]
    TooLarge,
    #[error("it gave no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Runs a program in `directory` and returns what it prints on standard
/// output. Standard error is the service's own. A path with a `/` in it starts
/// at the directory.
pub async fn answer(
    argv: &[String],
    directory: &Path,
    patience: Duration,
) -> Result<Vec<u8>, AnswerError> {
    let (program, arguments) = argv.split_first().ok_or(AnswerError::Empty)?;
    let path = if program.contains('/') {
        directory.join(program)
    } else {
        program.into()
    };
    #[expect(clippy::disallowed_methods, reason = "this is `actions::process`")]
    let mut command = Command::new(path);
    for name in OURS {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(AnswerError::Start)?;
    let stdout = child.stdout.take();
    let read = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            let mut limited = stdout.take(LARGEST + 1);
            let read = limited.read_to_end(&mut bytes).await;
            read.map_err(AnswerError::Read)?;
        }
        if bytes.len() as u64 > LARGEST {
            return Err(AnswerError::TooLarge);
        }
        let status = child.wait().await.map_err(AnswerError::Read)?;
        if status.success() {
            Ok(bytes)
        } else {
            Err(AnswerError::Failed(status))
        }
    };
    match tokio::time::timeout(patience, read).await {
        Ok(answered) => answered,
        Err(_) => Err(AnswerError::TimedOut(patience)),
    }
}

#[cfg(test)]
mod tests;
