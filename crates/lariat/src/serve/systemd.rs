//! What the service manager is told: that the service is ready, reloads,
//! stops, and is alive. Without one all of it is nothing.
//!
//! The socket and the watchdog's time come from the environment's loader. The
//! pings come from the runtime that does the work: one that hangs is silent,
//! and is started again.

use std::{
    convert::Infallible,
    ffi::OsStr,
    io,
    os::unix::net::UnixDatagram,
    os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt, unix::net::SocketAddr},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

use crate::config::Environment;

/// A manager that does not read is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub(super) struct Systemd {
    socket: Option<UnixDatagram>,
    /// Between two pings.
    every: Option<Duration>,
}

impl Systemd {
    pub(super) fn new(environment: &Environment) -> Self {
        let path = environment.notify_socket.as_deref();
        let socket = path.and_then(|path| match connect(path) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!("the service manager cannot be told anything: {error}");
                None
            }
        });
        Self {
            socket,
            every: environment.watchdog.map(|limit| limit / 2),
        }
    }

    pub(super) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    pub(super) fn reloading(&self) {
        let mut words = vec![
            NotifyState::Reloading,
            NotifyState::Status("reading the rules"),
        ];
        // Newer managers measure from here how long it takes.
        words.extend(NotifyState::monotonic_usec_now());
        self.tell(&words);
    }

    pub(super) fn stopping(&self, status: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    pub(super) fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// Says that this process is alive, twice in the time that the manager
    /// gives it. Runs beside everything else that the service does.
    pub(super) async fn keep_alive(&self) -> Infallible {
        let Some(every) = self.every else {
            return std::future::pending().await;
        };
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&self, words: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let lines: Vec<String> = words.iter().map(ToString::to_string).collect();
        if let Err(error) = socket.send(lines.join("\n").as_bytes()) {
            tracing::warn!("the service manager was not told `{}`: {error}", lines[0]);
        }
    }
}

/// A path, or a name in the abstract namespace behind `@`.
fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}
