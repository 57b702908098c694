//! `lariat.yml` and the environment, as checked values.
//!
//! This is the only file that reads the environment. What a flag says goes
//! before what a variable says, that before the file, and the file before the
//! default. Everything that is wrong is reported at once.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use api::Rate;
use engine::Retention;
use model::{
    diagnostic::{Diagnostic, Level},
    id::SinkName,
    route::Route,
};
use rules::{
    Code,
    yaml::{Node, Reader},
};

use crate::{
    args::AccountsFile,
    config::{ansible::Ansible, listener::ListenTls, sink::Sink, source::Source},
    console::{Colours, Looks},
    exit::Exit,
    failure::Failure,
};

/// The name of the file in the project.
pub(crate) const FILE: &str = "lariat.yml";
/// Far more than a person writes.
const LARGEST_FILE: u64 = 1024 * 1024;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// Everything that `lariat.yml` says, or the defaults.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// Where the API listens. Loopback only, unless the store has a token.
    /// Default `127.0.0.1:8470`.
    pub(crate) listen: SocketAddr,
    /// Default: connections are not encrypted.
    pub(crate) listen_tls: Option<ListenTls>,
    /// Default `sqlite:lariat.db`; relative paths start at the project.
    pub(crate) store: StoreUrl,
    pub(crate) workers: Workers,
    /// Defaults: events 90d, output 30d, dead 90d.
    pub(crate) retention: Retention,
    /// Between two rounds of retention, 1s to 1h. Default 60s.
    pub(crate) prune_every: Duration,
    pub(crate) limits: Limits,
    pub(crate) ansible: Ansible,
    pub(crate) log: Log,
    /// Default: none, events come over HTTP only.
    pub(crate) sources: Vec<Source>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workers {
    /// Jobs that run at the same time, 1 to 1000. Default 4.
    pub(crate) concurrency: usize,
    /// How long a claim is good for without renewal, 1s to 1h. Default 30s.
    pub(crate) lease: Duration,
    /// Between two renewals; a third of the lease.
    pub(crate) renew: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of an event, 1KiB to 64MiB. Default 1MiB.
    pub(crate) event: usize,
    /// Bytes of a request, 1KiB to 128MiB. Default 16MiB.
    pub(crate) request: usize,
    /// Arrays and objects inside each other, 1 to 100. Default 64.
    pub(crate) nesting: usize,
    /// Jobs that have not ended, 1 to 10000000. Default 100000.
    pub(crate) queue: usize,
    /// Requests of one token. Default: as many as it likes.
    pub(crate) requests_per_token: Option<Rate>,
    /// Requests of one address without a token. Default: as many as it likes.
    pub(crate) requests_per_address: Option<Rate>,
    /// Streams that are open at once, 1 to 100000. Default 2000.
    pub(crate) streams: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// Default `text`.
    pub(crate) format: LogFormat,
    /// Default `info`.
    pub(crate) level: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8470)),
            listen_tls: None,
            store: StoreUrl {
                path: PathBuf::from("lariat.db"),
            },
            workers: Workers {
                concurrency: 4,
                lease: 30 * SECOND,
                renew: 10 * SECOND,
            },
            retention: Retention {
                events: 90 * DAY,
                output: 30 * DAY,
                dead: 90 * DAY,
            },
            prune_every: 60 * SECOND,
            limits: Limits {
                event: 1024 * 1024,
                request: 16 * 1024 * 1024,
                nesting: 64,
                queue: 100_000,
                requests_per_token: None,
                requests_per_address: None,
                streams: 2_000,
            },
            ansible: Ansible::default(),
            log: Log {
                format: LogFormat::Text,
                level: "info",
            },
            sources: Vec::new(),
            sinks: Vec::new(),
            routes: Vec::new(),
        }
    }
}

impl Config {
    pub(crate) fn sink_names(&self) -> BTreeSet<SinkName> {
        self.sinks.iter().map(|sink| sink.name().clone()).collect()
    }

    /// The keys of the file that say something else than before.
    pub(crate) fn changes(&self, before: &Self) -> Vec<&'static str> {
        let Self {
            listen,
            listen_tls,
            store,
            workers,
            retention,
            prune_every,
            limits,
            ansible,
            log,
            sources,
            sinks,
            routes,
        } = self;
        let is_retained = (retention, prune_every) == (&before.retention, &before.prune_every);
        [
            ("listen", *listen != before.listen),
            ("listen_tls", *listen_tls != before.listen_tls),
            ("store", *store != before.store),
            ("sources", *sources != before.sources),
            ("sinks", *sinks != before.sinks),
            ("routes", *routes != before.routes),
            ("workers", *workers != before.workers),
            ("retention", !is_retained),
            ("limits", *limits != before.limits),
            ("ansible", *ansible != before.ansible),
            ("log", *log != before.log),
        ]
        .into_iter()
        .filter_map(|(key, is_changed)| is_changed.then_some(key))
        .collect()
    }
}

/// What sources and sinks are checked against.
#[derive(Debug, Clone, Copy)]
struct Scope<'a> {
    project: &'a Path,
    concurrency: usize,
    lease: Duration,
    renew: Duration,
}

/// Where the store is: one SQLite file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreUrl {
    path: PathBuf,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreUrlError {
    #[error("this version does not have PostgreSQL yet")]
    Later,
    #[error("a store is written `sqlite:PATH`, such as `sqlite:lariat.db`")]
    Form,
    #[error("a store must be a file")]
    NotAFile,
}

impl std::str::FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err(StoreUrlError::Later);
        }
        let path = text.strip_prefix("sqlite:").ok_or(StoreUrlError::Form)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let is_option = path.contains(['?', '\0']);
        if path.is_empty() || path.starts_with(':') || path.ends_with('/') || is_option {
            return Err(StoreUrlError::NotAFile);
        }
        Ok(Self {
            path: PathBuf::from(path),
        })
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sqlite:{}", self.path.display())
    }
}

impl StoreUrl {
    /// What `--store` says.
    pub(crate) fn given(text: &str) -> Result<Self, Failure> {
        text.parse().map_err(|error: StoreUrlError| {
            Failure::new(Exit::Usage, error).context(format!("`{text}` is not a store"))
        })
    }

    /// The file, seen from the project.
    pub(crate) fn path(&self, project: &Path) -> PathBuf {
        project.join(&self.path)
    }
}

/// What was read, and what is worth a word about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) findings: Vec<Diagnostic>,
}

impl Loaded {
    pub(crate) fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.level == Level::Error)
    }
}

/// Reads the project's `lariat.yml`. What is wrong has its default in the
/// answer, so that everything else can be checked, too.
pub(crate) fn load(project: &Path) -> Loaded {
    match read(project) {
        Ok(text) => parse(&text, project),
        Err(finding) => Loaded {
            config: Config::default(),
            findings: vec![*finding],
        },
    }
}

fn read(project: &Path) -> Result<String, Box<Diagnostic>> {
    let finding = |code: &str, message: String, hint: Option<String>| {
        Box::new(Diagnostic {
            file: FILE.to_owned(),
            hint,
            ..Diagnostic::without_place(Level::Error, code, message)
        })
    };
    let path = project.join(FILE);
    let metadata = fs_err::metadata(&path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let place = project.display();
            finding(
                "missing-file",
                format!("there is no project in `{place}`: it has no {FILE}"),
                Some(format!(
                    "`lariat init {place}` writes one, `--project` names another"
                )),
            )
        } else {
            finding("unreadable-file", error.to_string(), None)
        }
    })?;
    if !metadata.is_file() || metadata.len() > LARGEST_FILE {
        let message = format!("`{FILE}` is not a file of at most 1 MiB");
        return Err(finding("unreadable-file", message, None));
    }
    fs_err::read_to_string(&path)
        .map_err(|error| finding("unreadable-file", error.to_string(), None))
}

fn parse(text: &str, project: &Path) -> Loaded {
    let mut reader = Reader::new(FILE, text);
    let mut config = Config::default();
    if let Some(root) = reader.parse()
        && root.data != rules::yaml::Data::Null
    {
        section::root(&mut reader, &root, (project, &mut config));
    }
    let mut findings = reader.finish();
    for finding in &mut findings {
        mask::hide(text, finding);
    }
    Loaded { config, findings }
}

fn listen(reader: &mut Reader<'_>, node: &Node) -> Option<SocketAddr> {
    let text = reader.string(node)?;
    match parse_listen(text) {
        Ok(address) => Some(address),
        Err(error) => {
            let hint = Some(ListenError::HINT.to_owned());
            reader.error(Code::BadValue, node.span, error.to_string(), hint);
            None
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address")]
pub(crate) struct ListenError(String);

impl ListenError {
    const HINT: &str =
        "an address is written `127.0.0.1:8470` or `[::1]:8470`; port 0 picks a free one";
}

fn parse_listen(text: &str) -> Result<SocketAddr, ListenError> {
    let address = text
        .parse()
        .map_err(|_| ListenError(text.chars().take(100).collect()))?;
    Ok(address)
}

/// What the environment says.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// LARIAT_URL: the service that client commands talk to.
    pub(crate) url: Option<String>,
    /// LARIAT_TOKEN: what client commands show to the service.
    pub(crate) token: Option<String>,
    /// LARIAT_CA: what the service has to be proven by.
    pub(crate) ca: Option<PathBuf>,
    /// LARIAT_ACCOUNTS: the file that grants accounts.
    pub(crate) accounts: Option<PathBuf>,
    /// LARIAT_LOG: what is logged, such as `debug` or `engine=trace,info`.
    pub(crate) log: Option<String>,
    /// NO_COLOR, CLICOLOR_FORCE, CLICOLOR, TERM and COLUMNS.
    pub(crate) looks: Looks,
    /// PATH, which steps inherit.
    pub(crate) path: Option<String>,
    /// NOTIFY_SOCKET: where the service manager listens.
    pub(crate) notify_socket: Option<OsString>,
    /// WATCHDOG_USEC: a service that is silent for longer is started again.
    pub(crate) watchdog: Option<Duration>,
    /// CREDENTIALS_DIRECTORY: what the service manager hands to this service.
    pub(crate) credentials: Option<PathBuf>,
}

impl Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the configuration loader that all others are kept from"
    )]
    pub(crate) fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            url: text("LARIAT_URL"),
            token: text("LARIAT_TOKEN"),
            ca: text("LARIAT_CA").map(PathBuf::from),
            accounts: text("LARIAT_ACCOUNTS").map(PathBuf::from),
            log: text("LARIAT_LOG"),
            looks: looks(text),
            path: text("PATH"),
            notify_socket: std::env::var_os("NOTIFY_SOCKET").filter(|value| !value.is_empty()),
            watchdog: watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID")),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }

    /// Which file grants accounts.
    pub(crate) fn accounts(&self, flag: &AccountsFile) -> accounts::Place {
        accounts::Place::new(flag.path.as_deref(), self.accounts.as_deref())
    }

    /// A variable that `lariat.yml` names, for a secret.
    pub(crate) fn named(&self, name: &str) -> Option<String> {
        Self::variable(name)
    }

    /// A variable that a rule names, for a secret.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the configuration loader that all others are kept from"
    )]
    pub(crate) fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// How output looks, from the conventions that other programs follow.
fn looks(text: impl Fn(&str) -> Option<String>) -> Looks {
    let is_dumb = text("TERM").as_deref() == Some("dumb");
    let is_off = is_dumb || text("CLICOLOR").as_deref() == Some("0");
    let colours = if text("NO_COLOR").is_some() {
        Colours::Never
    } else if text("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        Colours::Always
    } else if is_off {
        Colours::Never
    } else {
        Colours::Auto
    };
    let columns = text("COLUMNS").and_then(|columns| columns.parse().ok());
    Looks {
        colours,
        columns: columns.filter(|columns| *columns > 0),
        is_dumb,
    }
}

/// The watchdog's time, if it is meant for this process.
fn watchdog(micros: Option<String>, process: Option<String>) -> Option<Duration> {
    let is_ours = process.is_none_or(|process| process == std::process::id().to_string());
    let micros: u64 = micros?.parse().ok()?;
    (is_ours && micros > 0).then(|| Duration::from_micros(micros))
}

pub(crate) mod accounts;
pub(crate) mod ansible;
pub(crate) mod connection;
pub(crate) mod listener;
pub(crate) mod mask;
pub(crate) mod open;
mod queue;
mod route;
pub(crate) mod secret;
mod section;
pub(crate) mod show;
pub(crate) mod sink;
pub(crate) mod source;
#[cfg(test)]
mod tests;
mod url;
