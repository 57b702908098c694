//! `lariat serve`: the service, from its start to its end.
//!
//! It says `listening on …` only when it can take events. The first signal
//! drains: nothing new is begun and what runs may end. The second stops at
//! once; guards end what runs, and the next start finds what is left.

use std::{
    collections::BTreeSet, convert::Infallible, io, net::SocketAddr, path::Path, sync::Arc,
    time::Duration,
};

use api::{ApiSettings, Tls, TlsError};
use engine::{Engine, ReloadError};
use model::{
    account::Grants,
    audit::{AuditAction, AuditDraft},
    clock::Clock,
    fault::{Faults, NoFaults},
    id::{Principal, WorkerId},
    ports::StoreError,
};
use store::OpenError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::Serve,
    check,
    clock::SystemClock,
    config::{Config, Environment, LogFormat, StoreUrl, accounts, open::LinkError, secret::Vault},
    console::Console,
    exit::Exit,
    failure::Failure,
    faults::KillAtFault,
    logging,
    serve::{
        signals::{Request, Signals},
        systemd::Systemd,
    },
    wiring::Plan,
};

mod files;
mod signals;
mod systemd;

/// How long a second signal waits for the engine to let go.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long answers under way may take once everything else has ended.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two words about a drain.
const DRAIN_REPORT: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    command: &Serve,
    environment: &Environment,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::unexpected(error).context("cannot watch for signals"))?;
    let root = check::locate(&command.project)?;
    let sound = checked((command, environment), &root, console)?;
    let started = {
        let start = Box::pin(start(command, environment, (&root, sound)));
        tokio::select! {
            started = start => started?,
            stop = signals.stop() => return Ok(stop.exit()),
        }
    };
    let address = started.listener.local_addr().map_err(Failure::unexpected)?;
    say_what_connects(&started.config, console);
    let scheme = if started.tls.is_some() {
        "https"
    } else {
        "http"
    };
    console.say(&format!("listening on {scheme}://{address}"));
    let systemd = Systemd::new(environment);
    systemd.ready(&serving(&started.engine));
    let mut talk = Talk {
        signals: &mut signals,
        console,
        systemd: &systemd,
    };
    tokio::select! {
        ended = Box::pin(serve(started, &mut talk)) => ended,
        never = systemd.keep_alive() => match never {},
    }
}

/// A project without errors.
struct Sound {
    /// With what the flags say.
    config: Config,
    /// What the file says.
    written: Config,
    rules: rules::Checked,
    grants: Grants,
    accounts: accounts::Place,
}

/// The project, or everything that is wrong with it.
fn checked(
    (command, environment): (&Serve, &Environment),
    root: &Path,
    console: &mut Console,
) -> Result<Sound, Failure> {
    let accounts = environment.accounts(&command.accounts);
    let checked = check::project(root, Some(accounts.clone()));
    logging::start(&checked.config.log, environment)?;
    match checked.config.log.format {
        LogFormat::Text => {}
        LogFormat::Json => console.talk_in_the_log(),
    }
    console.findings(&checked.findings);
    let Some(rules) = checked.rules else {
        return Err(Failure::Told(Exit::Configuration));
    };
    let written = checked.config;
    let mut config = written.clone();
    if let Some(listen) = command.listen {
        config.listen = listen;
    }
    if let Some(store) = &command.store {
        config.store = StoreUrl::given(store)?;
    }
    let rules = rules::Checked {
        rules,
        warnings: checked.findings,
    };
    Ok(Sound {
        config,
        written,
        rules,
        grants: checked.grants.unwrap_or_default(),
        accounts,
    })
}

/// Sources and sinks connect in the background: a broker that is away does not
/// keep the rest from its work.
fn say_what_connects(config: &Config, console: &mut Console) {
    let sources = config.sources.iter().map(|source| source.name().as_str());
    let sinks = config.sinks.iter().map(|sink| sink.name().as_str());
    for (what, names) in [
        ("source", sources.collect::<Vec<_>>()),
        ("sink", sinks.collect()),
    ] {
        for name in names {
            console.say(&format!(
                "{what} `{name}` connects in the background; `lariat status` shows how it stands"
            ));
        }
    }
}

/// Who asks something of the service while it runs, and who is told.
struct Talk<'a> {
    signals: &'a mut Signals,
    console: &'a mut Console,
    systemd: &'a Systemd,
}

/// One line for the service manager.
fn serving(engine: &Engine) -> String {
    let rules = engine.rules();
    format!(
        "serving {} rules, revision {}",
        rules.len(),
        rules.revision()
    )
}

struct Started {
    listener: TcpListener,
    tls: Option<Tls>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    config: Config,
}

async fn start(
    command: &Serve,
    environment: &Environment,
    (root, sound): (&Path, Sound),
) -> Result<Started, Failure> {
    let Sound {
        config,
        written,
        rules,
        grants,
        accounts,
    } = sound;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new().map_err(Failure::unexpected)?);
    let worker = worker(clock.as_ref());
    let vault = Vault {
        project: root,
        environment,
    };
    let links = config.open(vault, &worker).await.map_err(cannot_open)?;
    let tls = match &config.listen_tls {
        Some(files) => Some(files.open(root).map_err(cannot_encrypt)?),
        None => None,
    };
    let faults: Arc<dyn Faults> = match command.fault {
        Some(plan) => Arc::new(KillAtFault::new(plan)),
        None => Arc::new(NoFaults),
    };
    // The port is taken first, so that a second process on the same store can
    // be told the address; a store in use is still what is reported first.
    let bound = TcpListener::bind(config.listen).await;
    let address = match &bound {
        Ok(listener) => listener.local_addr().unwrap_or(config.listen),
        Err(_) => config.listen,
    };
    let plan = Plan {
        config: &config,
        environment,
        project: root,
        store: config.store.path(root),
        written,
        accounts,
        links,
        worker,
        owner: owner(clock.as_ref(), address),
        clock: Arc::clone(&clock),
        faults,
    };
    let parts = plan.assemble().await.map_err(cannot_have_store)?;
    let listener = bound.map_err(|error| cannot_listen(config.listen, error))?;
    let has_tokens = parts.tokens.all().await;
    let has_tokens = !has_tokens.map_err(cannot_use)?.is_empty();
    let address = listener.local_addr().map_err(Failure::unexpected)?;
    if !api::is_loopback(&address) {
        check_reachable(address, has_tokens, tls.is_some())?;
    }
    if !has_tokens && !grants.is_empty() {
        return Err(open_with_accounts(&grants));
    }
    let engine = Engine::start_with(parts, engine::Sound { rules, grants })
        .await
        .map_err(cannot_use)?;
    Ok(Started {
        listener,
        tls,
        engine,
        clock,
        config,
    })
}

/// All of them, the first with its causes. A secret that cannot be read now may
/// be there in a moment, when the vault is up or a file is mounted: the service
/// manager tries this code again, and does not try that of a wrong project.
pub(crate) fn cannot_open(problems: Vec<LinkError>) -> Failure {
    let mut errors = problems.into_iter().map(anyhow::Error::from);
    let first = errors
        .next()
        .unwrap_or_else(|| anyhow::Error::msg("a source or a sink cannot be started"));
    let others = errors.map(|error| format!("also: {error:#}")).collect();
    Failure::new(Exit::Unreachable, first)
        .details(others)
        .hint("what a project needs is read when it is served: put it in place, and start again")
}

/// A directory that is not there was mistyped, or is yet to be made.
fn cannot_have_store(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::NoDirectory { .. } => Exit::Configuration,
        OpenError::Owned { .. }
        | OpenError::ReadOnly { .. }
        | OpenError::Full { .. }
        | OpenError::NotADatabase { .. }
        | OpenError::Foreign { .. }
        | OpenError::LaterSchema { .. }
        | OpenError::Corrupt { .. }
        | OpenError::Failed { .. } => Exit::Unexpected,
    };
    Failure::new(exit, error).context("cannot open the store")
}

fn cannot_use(error: StoreError) -> Failure {
    Failure::unexpected(error).context("the store cannot be used")
}

/// A file that cannot be read may be there in a moment, as any secret's.
fn cannot_encrypt(error: TlsError) -> Failure {
    let exit = match &error {
        TlsError::Unreadable { .. } => Exit::Unreachable,
        TlsError::NotPem { .. }
        | TlsError::NoCertificate { .. }
        | TlsError::OpenKey { .. }
        | TlsError::Unusable { .. } => Exit::Configuration,
    };
    Failure::new(exit, error)
        .context("`listen_tls` cannot be used")
        .hint(check::TLS_HINT)
}

/// What other machines can reach is never open.
fn check_reachable(
    address: SocketAddr,
    has_tokens: bool,
    is_encrypted: bool,
) -> Result<(), Failure> {
    if !has_tokens {
        let message = format!(
            "other machines can reach `{address}`, and there is no token: everybody could do everything"
        );
        return Err(Failure::message(Exit::Configuration, message).hint(
            "`lariat token create --role admin --name NAME` makes the first one; or listen on a loopback address, such as `127.0.0.1:8470`",
        ));
    }
    if !is_encrypted {
        tracing::warn!(
            "tokens travel to `{address}` unencrypted; set `listen_tls`, or put a proxy that encrypts before a loopback address"
        );
    }
    Ok(())
}

/// Every user of this machine could publish the events that make jobs of others.
fn open_with_accounts(grants: &Grants) -> Failure {
    let message = format!(
        "`{}` grants accounts, and there is no token: every user of this machine could have programs run as `{}`",
        grants.source().display(),
        grants
            .iter()
            .map(|grant| grant.account.user.name.as_str())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join("`, `"),
    );
    Failure::message(Exit::Configuration, message)
        .hint("`lariat token create --role admin --name NAME` makes the first token")
}

fn cannot_listen(address: SocketAddr, error: io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; `--listen 127.0.0.1:0` picks a free port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 are for the administrator",
        _ => "`listen` in lariat.yml or `--listen` says where",
    };
    Failure::unexpected(error)
        .context(format!("cannot listen on `{address}`"))
        .hint(hint)
}

/// Unique among all workers that ever ran: host, process, start and chance.
fn worker(clock: &dyn Clock) -> WorkerId {
    let host = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .take(100)
        .collect();
    let chance = uuid::Uuid::new_v4().as_fields().0;
    let (process, start) = (std::process::id(), clock.boot().millis);
    format!("{host}:{process}:{start}:{chance:08x}")
        .parse()
        .expect("letters, digits, `-`, `.` and `:` are a worker id")
}

fn owner(clock: &dyn Clock, address: SocketAddr) -> String {
    format!(
        "pid {}, lariat {}, started {}, listening on {address}",
        std::process::id(),
        env!("CARGO_PKG_VERSION"),
        clock.now()
    )
}

async fn serve(started: Started, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let Started {
        listener,
        tls,
        engine,
        clock,
        config,
    } = started;
    let settings = ApiSettings {
        max_event_bytes: config.limits.event,
        max_request_bytes: config.limits.request,
        max_nesting: config.limits.nesting,
        tls,
        requests_per_token: config.limits.requests_per_token,
        requests_per_address: config.limits.requests_per_address,
        max_streams: config.limits.streams,
        ..ApiSettings::new(clock)
    };
    files::allow_connections(
        settings
            .max_connections
            .saturating_add(settings.max_streams),
    );
    let closing = CancellationToken::new();
    let closed = closing.clone().cancelled_owned();
    let mut api = Box::pin(api::serve(listener, engine.clone(), settings, closed));
    let control = Box::pin(control(&engine, talk));
    let exit = tokio::select! {
        ended = &mut api => {
            engine.stop().await;
            return match ended {
                Ok(()) => Err(Failure::message(Exit::Unexpected, "the HTTP server ended by itself")),
                Err(error) => Err(Failure::unexpected(error).context("the HTTP server failed")),
            };
        }
        exit = control => exit,
    };
    closing.cancel();
    if exit == Exit::Ok && tokio::time::timeout(ANSWER_TIMEOUT, api).await.is_err() {
        tracing::warn!("some answers were not finished in time");
    }
    Ok(exit)
}

/// Does what signals ask for until the service has ended.
async fn control(engine: &Engine, talk: &mut Talk<'_>) -> Exit {
    let first = loop {
        match talk.signals.next().await {
            Request::Reload => {
                talk.systemd.reloading();
                reload(engine, talk.console).await;
                talk.systemd.ready(&serving(engine));
            }
            Request::Stop(stop) => break stop,
        }
    };
    let waiting = waiting_for(running(engine).await);
    talk.systemd.stopping(&waiting);
    let and_then = if waiting == NOTHING {
        ""
    } else {
        "; a second signal stops at once"
    };
    talk.console
        .say(&format!("{}: {waiting}{and_then}", first.name()));
    tokio::select! {
        () = engine.drain() => {
            talk.console.say("drained");
            Exit::Ok
        }
        second = talk.signals.stop() => {
            talk.console.say("stopping at once");
            talk.systemd.status("stopping at once");
            if tokio::time::timeout(STOP_TIMEOUT, engine.stop()).await.is_err() {
                tracing::warn!("the engine did not let go in time");
            }
            second.exit()
        }
        never = report_drain(engine, talk.systemd) => match never {},
    }
}

const NOTHING: &str = "ending";

fn waiting_for(running: usize) -> String {
    match running {
        0 => NOTHING.to_owned(),
        1 => "waiting for 1 running job".to_owned(),
        _ => format!("waiting for {running} running jobs"),
    }
}

async fn running(engine: &Engine) -> usize {
    match engine.status().await {
        Ok(status) => status.worker.running,
        Err(_) => 0,
    }
}

/// Tells the service manager how many jobs a drain still waits for.
async fn report_drain(engine: &Engine, systemd: &Systemd) -> Infallible {
    let mut tick = tokio::time::interval(DRAIN_REPORT);
    loop {
        tick.tick().await;
        systemd.status(&waiting_for(running(engine).await));
    }
}

async fn reload(engine: &Engine, console: &mut Console) {
    match engine.reload().await {
        Ok(reloaded) => {
            let (rules, revision) = (reloaded.rules, &reloaded.revision);
            console.findings(&reloaded.warnings);
            tracing::info!(rules, revision = %revision, changed = reloaded.changed, "rules reloaded");
            let draft = AuditDraft {
                by: Principal("signal".to_owned()),
                action: AuditAction::Reload,
                target: revision.to_string(),
                detail: Some(format!("{rules} rules")),
            };
            if let Err(error) = engine.audit().record(draft).await {
                tracing::warn!("a reload of the rules is not in the audit: {error}");
            }
        }
        // The engine has said that those of before are still in force.
        Err(ReloadError::Diagnostics(findings)) => console.findings(&findings),
        Err(ReloadError::Store(error)) => {
            let error = anyhow::Error::from(error);
            tracing::error!("rules not reloaded, those of before are still in force: {error:#}");
        }
    }
}
