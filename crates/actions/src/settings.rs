//! What every action is told when it is made. Nothing here is read from the
//! environment: the configuration loader passes it in.

use std::{
    collections::BTreeMap,
    fmt,
    path::{self, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::clock::Clock;
use nix::unistd::{Uid, User};

/// The `PATH` of steps, and where programs without a `/` are looked up.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Shared by all actions of a process.
#[derive(Clone)]
pub struct ActionSettings {
    /// The binary that is started as guard with the argument `guard-exec`.
    pub guard: PathBuf,
    /// Each guard holds a shared `flock` on this file until nothing of its
    /// step is left. Absent: nobody asks.
    pub guard_lock: Option<PathBuf>,
    /// Where the private directories of running steps are made. It is created
    /// with mode 0700 when it is missing.
    pub runtime_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// `PATH` of every step; the service's own, as a rule.
    pub path: String,
    /// `HOME` of every step.
    pub home: PathBuf,
    /// Added to the otherwise clean environment of every step.
    pub environment: BTreeMap<String, String>,
    /// `ansible.playbook_command`: a name looked up on `path`, or a path.
    pub playbook_command: String,
    /// Absent: every playbook starts cold.
    pub warm: Option<WarmSettings>,
    /// A variable of the service's own environment that a rule names, for a
    /// secret.
    pub variable: fn(&str) -> Option<String>,
}

/// How many fork servers are kept for playbooks, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmSettings {
    pub max: usize,
    /// One that was not used for so long is ended.
    pub idle: Duration,
}

impl ActionSettings {
    /// The defaults, with the home directory of the user that runs this.
    pub fn new(guard: PathBuf, runtime_dir: PathBuf, clock: Arc<dyn Clock>) -> Self {
        let home = User::from_uid(Uid::effective())
            .ok()
            .flatten()
            .map_or_else(|| PathBuf::from("/"), |user| user.dir);
        Self {
            guard,
            guard_lock: None,
            runtime_dir,
            clock,
            path: DEFAULT_PATH.to_owned(),
            home,
            environment: BTreeMap::new(),
            playbook_command: "ansible-playbook".to_owned(),
            warm: None,
            variable: |_| None,
        }
    }
}

impl ActionSettings {
    /// A guard works in `/`: paths that begin at our directory are made whole.
    pub(crate) fn absolute(mut self) -> Self {
        self.runtime_dir = whole(self.runtime_dir);
        self.guard_lock = self.guard_lock.map(whole);
        self
    }
}

fn whole(path: PathBuf) -> PathBuf {
    path::absolute(&path).unwrap_or(path)
}

impl fmt::Debug for ActionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionSettings")
            .field("guard", &self.guard)
            .field("guard_lock", &self.guard_lock)
            .field("runtime_dir", &self.runtime_dir)
            .field("path", &self.path)
            .field("home", &self.home)
            .field("playbook_command", &self.playbook_command)
            .field("warm", &self.warm)
            .finish_non_exhaustive()
    }
}
