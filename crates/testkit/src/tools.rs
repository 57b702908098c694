//! Where the tests' tools are: below `target/tools` of the workspace, put
//! there by `cargo xtask services`. A missing tool is a named skip at home
//! and a failure in CI.

#![expect(
    clippy::print_stderr,
    reason = "a test that is left out says so where its result is read"
)]

use std::path::{Path, PathBuf};

/// The versions of ansible-core that are supported, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ansible {
    /// ansible-core 2.14.
    Oldest,
    V2_16,
    V2_17,
    V2_18,
    V2_19,
    /// The newest that the newest Python of the machine can run.
    Newest,
}

impl Ansible {
    pub const ENDS: [Self; 2] = [Self::Oldest, Self::Newest];
    /// The ends and one between.
    pub const USUAL: [Self; 3] = [Self::Oldest, Self::V2_17, Self::Newest];
    pub const ALL: [Self; 6] = [
        Self::Oldest,
        Self::V2_16,
        Self::V2_17,
        Self::V2_18,
        Self::V2_19,
        Self::Newest,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oldest => "ansible-2.14",
            Self::V2_16 => "ansible-2.16",
            Self::V2_17 => "ansible-2.17",
            Self::V2_18 => "ansible-2.18",
            Self::V2_19 => "ansible-2.19",
            Self::Newest => "ansible-newest",
        }
    }
}

/// The two ends of what Lariat is tested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FedoraMessaging {
    /// fedora-messaging 3.5.
    Oldest,
    Newest,
}

impl FedoraMessaging {
    pub const ALL: [Self; 2] = [Self::Oldest, Self::Newest];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oldest => "fedora-messaging-3.5",
            Self::Newest => "fedora-messaging-newest",
        }
    }
}

/// The two ends of what Lariat is tested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudEvents {
    /// The first major version of the SDK.
    First,
    Newest,
}

impl CloudEvents {
    pub const ALL: [Self; 2] = [Self::First, Self::Newest];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "cloudevents-1",
            Self::Newest => "cloudevents-newest",
        }
    }
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.ancestors().nth(2);
    root.expect("this crate lies two levels below the root")
        .to_path_buf()
}

/// The `ansible-playbook` of a version. `None`, said on standard error, when
/// it is not there; a panic in CI.
pub fn ansible(version: Ansible) -> Option<PathBuf> {
    program(version.as_str(), "ansible-playbook")
}

/// A Python that has fedora-messaging and the schemas of Bodhi, Pagure and
/// Koji; the command `fedora-messaging` lies beside it. `None` as above.
pub fn fedora_messaging(version: FedoraMessaging) -> Option<PathBuf> {
    program(version.as_str(), "python")
}

/// A Python that has the CloudEvents SDK. `None` as above.
pub fn cloudevents(version: CloudEvents) -> Option<PathBuf> {
    program(version.as_str(), "python")
}

/// A Python that has the parsers of Prometheus's client library. `None` as
/// above.
pub fn prometheus() -> Option<PathBuf> {
    program("prometheus-client", "python")
}

/// Schemathesis' command, which asks an interface all that its OpenAPI
/// document allows, and more. `None` as above.
pub fn schemathesis() -> Option<PathBuf> {
    program("schemathesis", "st")
}

/// The command of Loopabull 0.0.7. `None` as above.
pub fn loopabull() -> Option<PathBuf> {
    program("loopabull", "loopabull")
}

/// What runs programs as other users.
pub fn sudo() -> Option<PathBuf> {
    of_system("sudo", Path::new("/usr/bin/sudo"))
}

/// OpenSSH's server. A test starts one of its own.
pub fn sshd() -> Option<PathBuf> {
    of_system("openssh-server", Path::new("/usr/sbin/sshd"))
}

/// A program of one of the system's packages.
fn of_system(package: &str, path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    missing(package, path, is_ci());
    None
}

fn program(name: &str, program: &str) -> Option<PathBuf> {
    let path = workspace()
        .join("target/tools")
        .join(name)
        .join("bin")
        .join(program);
    if path.is_file() {
        return Some(path);
    }
    missing(name, &path, is_ci());
    None
}

pub(crate) fn missing(name: &str, path: &Path, is_ci: bool) {
    let path = path.display();
    assert!(
        !is_ci,
        "`{name}` is not at `{path}`; `cargo xtask services` installs it"
    );
    say(&format!(
        "skipped: `{name}` is not at `{path}`; `cargo xtask services` installs it"
    ));
}

/// Says that a test, or a part of one, is left out.
pub fn skip(reason: &str) {
    say(&format!("skipped: {reason}"));
}

/// As [`skip`], and a panic in CI, where nothing may be missing.
pub fn lacking(what: &str) {
    assert!(!is_ci(), "{what}");
    skip(what);
}

/// Says something to whoever reads a test's result.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
