//! Starting a guard: directly, or through `sudo` as another user.
#![expect(
    unsafe_code,
    reason = "a guard begins its session between fork and exec"
)]

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use model::account::{Account, sudoers_line};
use nix::unistd::{Pid, User, geteuid, setsid};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::{
    guard,
    pipes::{GuardEnds, GuardPipes, pipes},
};
use crate::{place, settings::ActionSettings};

/// A guard, and the way to talk to it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) pipes: GuardPipes,
    /// The guard, or the `sudo` before it. Absent: somebody else's child.
    pub(super) child: Option<Child>,
    /// What has to be allowed, where the guard was started through `sudo`.
    pub(super) sudoers: Option<String>,
}

impl Connection {
    /// To a guard that somebody else has started.
    pub(super) fn made(pipes: GuardPipes) -> Self {
        Self {
            pipes,
            child: None,
            sudoers: None,
        }
    }
}

/// Starts a guard for a program of this account.
pub(super) fn guard(
    account: Option<&Account>,
    settings: &ActionSettings,
) -> Result<Connection, String> {
    let (pipes, ends) = pipes().map_err(|error| format!("the pipes of a guard: {error}"))?;
    let how = How::of(account, settings)?;
    let child = spawn(&how, ends).map_err(|error| {
        format!(
            "the guard `{}` cannot be started: {error}",
            how.program.display()
        )
    })?;
    Ok(Connection {
        pipes,
        child: Some(child),
        sudoers: how.sudoers,
    })
}

/// With what a guard is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct How {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// What has to be allowed for it, where it is `sudo`.
    pub(super) sudoers: Option<String>,
}

impl How {
    pub(super) fn of(account: Option<&Account>, settings: &ActionSettings) -> Result<Self, String> {
        let own = geteuid();
        let Some(user) = account
            .map(|account| &account.user)
            .filter(|user| !own.is_root() && user.uid != own.as_raw())
        else {
            return Ok(Self {
                program: settings.guard.clone(),
                arguments: vec![guard::ARGUMENT.to_owned()],
                sudoers: None,
            });
        };
        let service = match User::from_uid(own) {
            Ok(Some(user)) => user.name,
            Ok(None) | Err(_) => format!("#{own}"),
        };
        let binary = installed(&settings.guard);
        let line = sudoers_line(&service, &user.name, &binary);
        let sudo = place::on_path(&settings.path, "sudo").ok_or_else(|| {
            format!(
                "`sudo`, which runs steps as `{}`, is not on the path `{}`: install it, and allow it with the line `{line}` in `/etc/sudoers.d/lariat`",
                user.name, settings.path
            )
        })?;
        let binary = binary
            .into_os_string()
            .into_string()
            .map_err(|_| "the path of the guard is not UTF-8".to_owned())?;
        let words = ["-n", "-u", &user.name, "--", &binary, guard::ARGUMENT];
        Ok(Self {
            program: sudo,
            arguments: words.map(str::to_owned).to_vec(),
            sudoers: Some(line),
        })
    }
}

/// A name of this binary that means the same to other processes, which
/// `/proc/self/exe` does not. Where it was replaced while it runs, only our
/// own user's processes can still start what we are.
pub(crate) fn shared_name(binary: &Path) -> PathBuf {
    let named = installed(binary);
    if same_file(binary, &named) {
        named
    } else {
        PathBuf::from(format!("/proc/{}/exe", Pid::this()))
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    let numbers = |path| {
        let found = fs_err::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let found = numbers(one);
    found.is_some() && found == numbers(other)
}

/// Where a binary is, or was before it was replaced.
fn installed(binary: &Path) -> PathBuf {
    match fs_err::canonicalize(binary) {
        Ok(path) => path,
        Err(_) => named(binary),
    }
}

/// The name that a binary had before it was replaced while this one runs.
fn named(binary: &Path) -> PathBuf {
    let Ok(path) = fs_err::read_link(binary) else {
        return binary.to_owned();
    };
    let name = path.to_string_lossy();
    match name.strip_suffix(" (deleted)") {
        Some(name) => PathBuf::from(name),
        None => path,
    }
}

/// What to do when `sudo` ended before there was a guard. Its own words are on
/// the output.
pub(super) fn refused(line: &str) -> String {
    format!(
        "`sudo` did not start the guard; this line in `/etc/sudoers.d/lariat` allows it: `{line}`"
    )
}

fn spawn(how: &How, ends: GuardEnds) -> io::Result<Child> {
    let GuardEnds {
        orders,
        reports,
        output,
    } = ends;
    #[expect(clippy::disallowed_methods, reason = "this is `actions::process`")]
    let mut command = Command::new(&how.program);
    command
        .args(&how.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(orders))
        .stdout(Stdio::from(reports))
        .stderr(Stdio::from(output));
    // SAFETY: one system call, which touches no memory.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(io::Error::from)) };
    command.spawn()
}
