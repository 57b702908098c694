//! `lariat serve`: the service, from its start to its end.
//!
//! It says `listening on …` only when it can take events. The first signal
//! drains: nothing new is begun and what runs may end. The second stops at
//! once; guards end what runs, and the next start finds what is left.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use api::ApiSettings;
use engine::{Engine, ReloadError};
use model::{
    clock::Clock,
    diagnostic::Diagnostic,
    fault::{Faults, NoFaults},
    id::WorkerId,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::Serve,
    check,
    clock::SystemClock,
    config::{self, Config, Environment, StoreUrl},
    console::Console,
    exit::Exit,
    failure::Failure,
    faults::KillAtFault,
    logging,
    serve::signals::{Request, Signals, Stop},
    wiring::Plan,
};

mod signals;

/// How long a second signal waits for the engine to let go.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long answers under way may take once everything else has ended.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    command: &Serve,
    environment: &Environment,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::unexpected(error).context("cannot watch for signals"))?;
    let root = check::locate(&command.project)?;
    let (config, rules) = checked(command, &root, console)?;
    logging::start(&config.log, environment)?;
    let started = {
        let start = Box::pin(start(command, environment, (&root, &config), rules));
        tokio::select! {
            started = start => started?,
            stop = signals.stop() => return Ok(stop.exit()),
        }
    };
    let address = started.listener.local_addr().map_err(Failure::unexpected)?;
    console.say(&format!("listening on http://{address}"));
    Box::pin(serve(started, &config, (&mut signals, console))).await
}

/// The configuration with what the flags say, and the rules; or everything
/// that is wrong.
fn checked(
    command: &Serve,
    root: &Path,
    console: &mut Console,
) -> Result<(Config, rules::Checked), Failure> {
    let checked = check::project(root);
    if !checked.findings.is_empty() {
        print(&checked.findings, console);
    }
    let Some(rules) = checked.rules else {
        return Err(Failure::Told(Exit::Configuration));
    };
    let mut config = checked.config;
    if let Some(listen) = command.listen {
        config.listen = config::check_listen(listen).map_err(|error| {
            let hint = error.hint();
            Failure::new(Exit::Usage, error).hint(hint)
        })?;
    }
    if let Some(store) = &command.store {
        config.store = store.parse::<StoreUrl>().map_err(|error| {
            Failure::new(Exit::Usage, error).context(format!("`{store}` is not a store"))
        })?;
    }
    let rules = rules::Checked {
        rules,
        warnings: checked.findings,
    };
    Ok((config, rules))
}

fn print(findings: &[Diagnostic], console: &mut Console) {
    let text = rules::render::diagnostics(findings, console.colours_talk());
    console.rendered(&text);
}

struct Started {
    listener: TcpListener,
    engine: Engine,
    clock: Arc<dyn Clock>,
}

async fn start(
    command: &Serve,
    environment: &Environment,
    (root, config): (&Path, &Config),
    rules: rules::Checked,
) -> Result<Started, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new().map_err(Failure::unexpected)?);
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
        config,
        environment,
        project: root,
        store: config.store.path(root),
        worker: worker(clock.as_ref()),
        owner: owner(clock.as_ref(), address),
        clock: Arc::clone(&clock),
        faults,
    };
    let parts = plan
        .assemble()
        .await
        .map_err(|error| Failure::unexpected(error).context("cannot open the store"))?;
    let listener = bound.map_err(|error| cannot_listen(config.listen, error))?;
    let engine = Engine::start_with(parts, rules)
        .await
        .map_err(|error| Failure::unexpected(error).context("the store cannot be used"))?;
    Ok(Started {
        listener,
        engine,
        clock,
    })
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

async fn serve(
    started: Started,
    config: &Config,
    (signals, console): (&mut Signals, &mut Console),
) -> Result<Exit, Failure> {
    let Started {
        listener,
        engine,
        clock,
    } = started;
    let settings = ApiSettings {
        max_event_bytes: config.limits.event,
        max_request_bytes: config.limits.request,
        max_nesting: config.limits.nesting,
        ..ApiSettings::new(clock)
    };
    let closing = CancellationToken::new();
    let closed = closing.clone().cancelled_owned();
    let mut api = Box::pin(api::serve(listener, engine.clone(), settings, closed));
    let control = Box::pin(control(&engine, signals, console));
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
async fn control(engine: &Engine, signals: &mut Signals, console: &mut Console) -> Exit {
    let first = loop {
        match signals.next().await {
            Request::Reload => reload(engine, console).await,
            Request::Stop(stop) => break stop,
        }
    };
    say_what_is_waited_for(engine, first, console).await;
    tokio::select! {
        () = engine.drain() => {
            console.say("drained");
            Exit::Ok
        }
        second = signals.stop() => {
            console.say("stopping at once");
            if tokio::time::timeout(STOP_TIMEOUT, engine.stop()).await.is_err() {
                tracing::warn!("the engine did not let go in time");
            }
            second.exit()
        }
    }
}

async fn say_what_is_waited_for(engine: &Engine, signal: Stop, console: &mut Console) {
    let name = signal.name();
    let running = match engine.status().await {
        Ok(status) => status.worker.running,
        Err(_) => 0,
    };
    console.say(&match running {
        0 => format!("{name}: ending"),
        1 => format!("{name}: waiting for 1 running job; a second signal stops at once"),
        _ => format!("{name}: waiting for {running} running jobs; a second signal stops at once"),
    });
}

async fn reload(engine: &Engine, console: &mut Console) {
    match engine.reload().await {
        Ok(reloaded) => {
            let (rules, revision) = (reloaded.rules, &reloaded.revision);
            if !reloaded.warnings.is_empty() {
                print(&reloaded.warnings, console);
            }
            tracing::info!(rules, revision = %revision, changed = reloaded.changed, "rules reloaded");
        }
        Err(ReloadError::Diagnostics(findings)) => {
            print(&findings, console);
            tracing::error!(
                problems = findings.len(),
                "rules not reloaded, those of before are still in force"
            );
        }
        Err(ReloadError::Store(error)) => {
            let error = anyhow::Error::from(error);
            tracing::error!("rules not reloaded, those of before are still in force: {error:#}");
        }
    }
}
