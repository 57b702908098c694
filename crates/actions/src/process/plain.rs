//! Programs that a person starts: in the foreground of the terminal, or to look
//! at what they print. They are no steps: no job depends on them, so there is
//! no guard, and they have the environment of whoever started them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use model::job::Exit;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

/// Of what a program prints, this much is looked at.
const LARGEST: u64 = 1024 * 1024;

/// A program with what a person starts it with.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) program: PathBuf,
    /// With the program's own name in front.
    pub(crate) argv: Vec<String>,
    /// Added to the person's own.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
}

/// How a program ended that had the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    pub exit: Exit,
    /// Ctrl-C was pressed while it ran.
    pub interrupted: bool,
}

/// What a program printed on both of its outputs.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

/// Why it is not known what a program prints.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    #[error("`{}` cannot be started", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("what it prints cannot be read")]
    Read(#[source] io::Error),
    #[error("it did not end within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl Plain {
    fn command(&self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "this is `actions::process`")]
        let mut command = Command::new(&self.program);
        command
            .args(self.argv.get(1..).unwrap_or_default())
            .envs(&self.environment)
            .current_dir(&self.directory);
        command
    }

    /// Runs it with the terminal's input and output. Ctrl-C is the program's:
    /// this process waits for what it makes of it. SIGTERM is handed on.
    pub(crate) async fn in_foreground(&self) -> Result<Finished, PlainError> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(PlainError::Read)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(PlainError::Read)?;
        let mut child = self
            .command()
            .spawn()
            .map_err(|source| self.start(source))?;
        let pid = process_of(&child);
        let mut interrupted = false;
        loop {
            tokio::select! {
                status = child.wait() => {
                    let exit = exit_of(status.map_err(PlainError::Read)?);
                    return Ok(Finished { exit, interrupted });
                }
                _ = interrupt.recv() => interrupted = true,
                _ = terminate.recv() => {
                    if let Some(pid) = pid {
                        // It may have ended in this moment.
                        kill(pid, Signal::SIGTERM).ok();
                    }
                }
            }
        }
    }

    /// Runs it without input and says what it printed. What takes longer is
    /// killed with all that it started.
    pub(crate) async fn printed(&self, patience: Duration) -> Result<Printed, PlainError> {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| self.start(source))?;
        let group = Group(process_of(&child));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading = async {
            let (out, err) = tokio::try_join!(all(stdout), all(stderr))?;
            let status = child.wait().await?;
            Ok((status, [err, out].concat()))
        };
        let read = tokio::time::timeout(patience, reading).await;
        drop(group);
        match read {
            Ok(Ok((status, bytes))) => Ok(Printed {
                exit: exit_of(status),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            }),
            Ok(Err(error)) => Err(PlainError::Read(error)),
            Err(_) => Err(PlainError::TimedOut(patience)),
        }
    }

    fn start(&self, source: io::Error) -> PlainError {
        PlainError::Start {
            program: self.program.clone(),
            source,
        }
    }
}

/// A process group that ends with this value.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // As a rule nothing of it is left.
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

fn process_of(child: &Child) -> Option<Pid> {
    let id = i32::try_from(child.id()?).ok()?;
    Some(Pid::from_raw(id))
}

fn exit_of(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// Reads to the end, and keeps the beginning.
async fn all(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(pipe) = pipe {
        let mut start = pipe.take(LARGEST);
        start.read_to_end(&mut kept).await?;
        tokio::io::copy(&mut start.into_inner(), &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

/// The text of a command line that a shell would take for this one.
pub(crate) fn as_typed(
    directory: &Path,
    environment: &BTreeMap<String, String>,
    argv: &[String],
) -> String {
    let mut words = vec![format!(
        "cd {} &&",
        quoted(&directory.display().to_string())
    )];
    words.extend(
        environment
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value))),
    );
    words.extend(argv.iter().map(|word| quoted(word)));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
