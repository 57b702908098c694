//! What a worker hands to an action: a step whose templates are rendered, and
//! the means to steer it while it runs.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::watch;

use crate::{
    account::Account,
    clock::BootTime,
    event::{Event, Severity},
    id::{JobId, Principal, RuleName, SinkName},
    job::{Exit, Outcome, StepKind},
    json::Object,
    playbook::{Connection, Escalation, HostGroup, VaultIdentity},
    topic::Topic,
};

/// A step, ready to run. Every value that came from an event is in here as
/// data, and stays data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them at a time, and it is taken apart at once"
)]
pub enum StepCall {
    Playbook(PlaybookCall),
    Command(CommandCall),
    Publish(PublishCall),
    Http(HttpCall),
}

impl StepCall {
    pub fn kind(&self) -> StepKind {
        match self {
            Self::Playbook(_) => StepKind::Playbook,
            Self::Command(_) => StepKind::Command,
            Self::Publish(_) => StepKind::Publish,
            Self::Http(_) => StepKind::Http,
        }
    }
}

/// Paths are relative to the project, were found in its listing, and use `/`.
/// Host patterns and tags are restricted to `[A-Za-z0-9_.:,-]` where they were
/// rendered from event data, and never start with `-`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaybookCall {
    pub playbook: String,
    /// Files, directories, or host lists that end with a comma.
    pub inventory: Vec<String>,
    /// Hosts that the step names itself, beside its inventories.
    pub hosts: Vec<HostGroup>,
    pub limit: Option<String>,
    pub tags: Vec<String>,
    pub skip_tags: Vec<String>,
    pub check: bool,
    pub diff: bool,
    pub forks: Option<u32>,
    /// 0 to 6, Ansible's `-v`.
    pub verbosity: u8,
    /// The name of the task to begin with, as the rule writes it.
    pub start_at_task: Option<String>,
    pub flush_cache: bool,
    pub force_handlers: bool,
    pub escalation: Escalation,
    pub connection: Connection,
    /// Paths of vault password files, relative to the project.
    pub vault_password_files: Vec<String>,
    pub vault: Vec<VaultIdentity>,
    /// Directories of the project in which collections are looked for first.
    pub collections: Vec<String>,
    /// Added to the clean environment.
    pub env: BTreeMap<String, String>,
    /// `warm: false`: always in an `ansible-playbook` of its own.
    pub cold: bool,
    /// The step's own variables, beside `event`, `msg` and `lariat`.
    pub vars: Object,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandCall {
    /// Program and arguments; never a shell string, never empty.
    pub argv: Vec<String>,
    /// Added to the clean environment.
    pub env: BTreeMap<String, String>,
    /// Relative to the project; absent: the project itself.
    pub chdir: Option<String>,
    /// What it leaves running is not killed.
    pub detach: bool,
}

/// An event to be published to a sink, or back into the intake when there is
/// none. Its id follows from the event, the
/// rule and the step, so that it is the same however often and on whichever
/// instance the step is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishCall {
    pub sink: Option<SinkName>,
    pub topic: Topic,
    pub severity: Severity,
    pub headers: Object,
    pub body: Value,
}

/// A request. Header names are tokens and none of those that frame a request;
/// values have no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    pub method: &'static str,
    pub url: HttpUrl,
    pub headers: Vec<(String, HttpText)>,
    pub body: HttpBody,
    /// The statuses that are a success.
    pub expect: Vec<RangeInclusive<u16>>,
    /// How many redirects are followed.
    pub follow_redirects: u8,
    /// Certificates of authorities that are trusted beside the machine's, as a
    /// path in the project.
    pub ca: Option<String>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpUrl {
    /// The host is the rule's own text: any address will do.
    Fixed(String),
    /// What an event says is part of the host: it must not lead to an address
    /// that only this network can reach.
    Computed(String),
    /// In this file, and never shown.
    Secret(PathBuf),
}

/// A text of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpText {
    Plain(String),
    /// What this file says, behind a prefix such as `Bearer `; never shown.
    Secret {
        prefix: String,
        file: PathBuf,
    },
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpBody {
    Empty,
    Json(Value),
    Form(Vec<(String, String)>),
    /// The event of the job as a CloudEvent, or one that is about it and has
    /// this data.
    CloudEvent(Option<Value>),
}

/// What a step is told about itself.
#[derive(Debug, Clone)]
pub struct StepContext {
    pub job: JobId,
    pub attempt: u32,
    pub step: usize,
    pub rule: RuleName,
    pub event: Arc<Event>,
    pub project: PathBuf,
    /// Who it runs as; absent: the user of the service.
    pub account: Option<Arc<Account>>,
    pub timeout: Duration,
    /// Between the polite signal and the kill.
    pub grace: Duration,
    /// Bytes of output that are kept.
    pub output_cap: u64,
}

/// Why a step is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A person asked for it: polite signal, grace, kill.
    Cancel(Principal),
    /// The lease is gone: kill at once, record nothing.
    LeaseLost,
}

/// How a running step is steered from outside.
#[derive(Debug, Clone)]
pub struct StepControl {
    /// Becomes `Some` once, when the step is to stop.
    pub stop: watch::Receiver<Option<Stop>>,
    /// When everything of the step must be dead unless this moves on; it is
    /// moved with every renewal of the lease and is never after its end.
    pub deadline: watch::Receiver<BootTime>,
    pub output: Arc<dyn crate::ports::OutputSink>,
    pub tasks: Arc<dyn crate::ports::task::TaskSink>,
    pub follow_ups: Arc<dyn crate::ports::chain::FollowUps>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    pub outcome: Outcome,
    pub exit: Option<Exit>,
    pub result: Option<Object>,
}
