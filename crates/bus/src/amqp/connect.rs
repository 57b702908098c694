//! Opens one connection and is able to drop it at once.
//!
//! The socket and TLS are ours, the protocol is lapin's. That tells a refused
//! port from a silent host and a refused certificate from a refused password,
//! and it keeps a second handle to the socket: a connection whose peer is dead
//! is not closed by asking the peer, it is cut.

use std::{
    fmt,
    io::{self, ErrorKind as IoKind},
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_rs::Runtime;
use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism},
};
use tokio::time::timeout;
use tracing::debug;

use super::{
    settings::{AmqpConnection, Auth, HostPort},
    stream::{self, CleanStream},
    tls::{self, TlsError},
    version::{self, Version},
};

/// For one host: the name, TCP, TLS and the handshake of AMQP together.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a peer may take to answer a farewell.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a host is not connected.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot resolve `{host}`")]
    Resolve { host: HostPort, source: io::Error },
    #[error("`{host}` refuses connections")]
    Refused { host: HostPort },
    #[error("cannot connect to `{host}`")]
    Unreachable { host: HostPort, source: io::Error },
    #[error("`{host}` did not answer within {} s", PATIENCE.as_secs())]
    Silent { host: HostPort },
    #[error("the certificate or key for `{host}` cannot be used")]
    Identity { host: HostPort, source: TlsError },
    #[error("the TLS handshake with `{host}` failed")]
    Tls { host: HostPort, source: io::Error },
    #[error("`{host}` refused the credentials of {user}")]
    Credentials { host: HostPort, user: Who },
    #[error("`{host}` does not let {user} into virtual host `{vhost}`: {said}")]
    Vhost {
        host: HostPort,
        user: Who,
        vhost: String,
        said: String,
    },
    #[error("`{host}` ended the handshake")]
    Handshake {
        host: HostPort,
        is_tls: bool,
        source: Box<lapin::Error>,
    },
}

impl ConnectError {
    /// Nothing listens there at all.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// What there is to do about it.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Credentials { .. } => Some(
                "check `username` and `password`, which is read when the service starts, or `tls.cert` with `auth: external`",
            ),
            Self::Vhost { .. } => {
                Some("check the path of `url`, and the user's permissions on that virtual host")
            }
            // The first bytes that came were none of TLS.
            Self::Tls { source, .. } if source.to_string().contains("corrupt message") => {
                Some("a port without TLS is reached with `amqp://`")
            }
            Self::Handshake {
                is_tls: false,
                source,
                ..
            } if said(source).is_none() => Some("a port with TLS is reached with `amqps://`"),
            Self::Tls { .. } | Self::Identity { .. } => {
                Some("check `tls.ca`, `tls.cert` and `tls.key`, and the host name in `url`")
            }
            Self::Resolve { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Handshake { .. } => None,
        }
    }

    /// The whole story in one line.
    pub(super) fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            let more = source.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = source.source();
        }
        match self.hint() {
            Some(hint) => format!("{text}; {hint}"),
            None => text,
        }
    }
}

/// As whom we came.
#[derive(Debug, Clone)]
pub(super) enum Who {
    User(String),
    Certificate,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "`{name}`"),
            Self::Certificate => f.write_str("the client certificate"),
        }
    }
}

/// An open connection with a handle to its socket.
pub(super) struct Line {
    pub(super) connection: Connection,
    pub(super) peer: HostPort,
    settings: AmqpConnection,
    socket: Handle,
    /// What the peer said at the end.
    farewell: OnceLock<String>,
}

/// A second handle to the socket under a connection. When it goes, so does the
/// connection.
struct Handle(TcpStream);

impl Handle {
    fn cut(&self) {
        if let Err(error) = self.0.shutdown(Shutdown::Both) {
            debug!(%error, "the socket was closed already");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Line {
    /// Keeps why the connection ended; the first cause stays.
    pub(super) fn ended(&self, error: &lapin::Error) {
        self.farewell.get_or_init(|| explain(error));
    }

    /// Why the connection ended, as far as is known.
    pub(super) fn cause(&self) -> String {
        let said = self.farewell.get().cloned();
        said.unwrap_or_else(|| "the broker does not answer any more".to_owned())
    }

    /// Ends the connection now, whatever the peer does: lapin sees the end of
    /// the stream and fails all that waits.
    pub(super) fn cut(&self) {
        self.socket.cut();
    }

    /// Says goodbye, and does not wait long for the answer.
    pub(super) async fn close(&self) {
        let farewell = self.connection.close(200, "OK".into());
        if let Err(error) = timeout(FAREWELL, farewell).await {
            debug!(%error, "the broker did not answer the farewell");
        }
        self.cut();
    }

    /// The version of the server. lapin keeps to itself what a server says
    /// first, so it is asked by a connection of its own.
    pub(super) async fn version(&self) -> Result<Version, ConnectError> {
        let ask = async {
            let (mut stream, _socket) = dial(&self.settings, &self.peer).await?;
            let unreachable = |source| ConnectError::Unreachable {
                host: self.peer.clone(),
                source,
            };
            version::ask(&mut stream).await.map_err(unreachable)
        };
        let host = || self.peer.clone();
        let answer = timeout(PATIENCE, ask).await;
        answer.unwrap_or_else(|_| Err(ConnectError::Silent { host: host() }))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// What came of a round over all hosts.
#[derive(Debug)]
pub(super) struct RoundError {
    /// Nothing listens on any of the hosts.
    pub(super) all_refused: bool,
    /// One line for each host.
    pub(super) detail: String,
}

/// Tries the hosts in order.
pub(super) async fn connect(settings: &AmqpConnection) -> Result<Line, RoundError> {
    let mut all_refused = true;
    let mut details = Vec::new();
    for host in &settings.hosts {
        let attempt = open(settings, host);
        let answer = match timeout(PATIENCE, attempt).await {
            Ok(answer) => answer,
            Err(_) => Err(ConnectError::Silent { host: host.clone() }),
        };
        match answer {
            Ok(line) => return Ok(line),
            Err(error) => {
                all_refused &= error.is_refused();
                details.push(error.explain());
            }
        }
    }
    Err(RoundError {
        all_refused,
        detail: details.join("; "),
    })
}

/// TCP, and TLS when it is wanted.
async fn dial(
    settings: &AmqpConnection,
    host: &HostPort,
) -> Result<(stream::Socket, Handle), ConnectError> {
    let runtime = Runtime::tokio_current();
    let mut refusals = Refusals::default();
    let mut stream = None;
    for address in resolve(host).await? {
        match AsyncTcpStream::connect(&runtime, address).await {
            Ok(connected) => {
                stream = Some(connected);
                break;
            }
            Err(error) => refusals.add(error),
        }
    }
    let Some(stream) = stream else {
        return Err(refusals.into_error(host));
    };
    let unreachable = |source| ConnectError::Unreachable {
        host: host.clone(),
        source,
    };
    let AsyncTcpStream::Plain(socket) = &stream else {
        return Err(unreachable(io::Error::from(IoKind::Unsupported)));
    };
    let socket = socket.get_ref();
    socket.set_nodelay(true).map_err(unreachable)?;
    let socket = socket.as_fd().try_clone_to_owned().map_err(unreachable)?;
    // From here on a timeout or an error has to end lapin's thread too, which
    // holds the stream.
    let socket = Handle(TcpStream::from(socket));
    let Some(tls) = &settings.tls else {
        return Ok((stream, socket));
    };
    let connector = tls::connector(tls).map_err(|source| ConnectError::Identity {
        host: host.clone(),
        source,
    })?;
    let stream = stream
        .into_rustls(&connector, &host.host)
        .await
        .map_err(|source| ConnectError::Tls {
            host: host.clone(),
            source,
        })?;
    Ok((stream, socket))
}

async fn open(settings: &AmqpConnection, host: &HostPort) -> Result<Line, ConnectError> {
    let (stream, socket) = dial(settings, host).await?;
    let properties = ConnectionProperties::default()
        .with_connection_name(settings.name.clone().into())
        .with_client_property("product".into(), "Lariat".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let stream = AsyncTcpStream::Plain(CleanStream::new(stream));
    let slot = Mutex::new(Some(stream));
    let take = async move |_: AMQPUri, _| {
        slot.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| lapin::Error::from(io::Error::from(IoKind::NotConnected)))
    };
    let connection =
        Connection::connector(uri(settings, host), stream::runtime(), take, properties)
            .await
            .map_err(|error| refused(settings, host, error))?;
    Ok(Line {
        connection,
        peer: host.clone(),
        settings: settings.clone(),
        socket,
        farewell: OnceLock::new(),
    })
}

async fn resolve(host: &HostPort) -> Result<Vec<std::net::SocketAddr>, ConnectError> {
    let failed = |source| ConnectError::Resolve {
        host: host.clone(),
        source,
    };
    let found = tokio::net::lookup_host((host.host.as_str(), host.port))
        .await
        .map_err(failed)?;
    Ok(found.collect())
}

/// Why none of a host's addresses was reached.
#[derive(Debug, Default)]
struct Refusals {
    other: Option<io::Error>,
    refused: usize,
}

impl Refusals {
    fn add(&mut self, error: io::Error) {
        if error.kind() == IoKind::ConnectionRefused {
            self.refused += 1;
        } else {
            self.other = Some(error);
        }
    }

    fn into_error(self, host: &HostPort) -> ConnectError {
        let host = host.clone();
        match self.other {
            Some(source) => ConnectError::Unreachable { host, source },
            None if self.refused > 0 => ConnectError::Refused { host },
            None => ConnectError::Resolve {
                host,
                source: io::Error::from(IoKind::AddrNotAvailable),
            },
        }
    }
}

fn uri(settings: &AmqpConnection, host: &HostPort) -> AMQPUri {
    let (userinfo, mechanism) = match &settings.auth {
        Auth::Plain { username, password } => (
            AMQPUserInfo {
                username: username.clone(),
                password: password.reveal().to_owned(),
            },
            SASLMechanism::Plain,
        ),
        Auth::External => (
            AMQPUserInfo {
                username: String::new(),
                password: String::new(),
            },
            SASLMechanism::External,
        ),
    };
    let heartbeat = settings.heartbeat.as_secs().clamp(1, u64::from(u16::MAX));
    AMQPUri {
        scheme: match settings.tls {
            None => AMQPScheme::AMQP,
            Some(_) => AMQPScheme::AMQPS,
        },
        authority: AMQPAuthority {
            userinfo,
            host: host.host.clone(),
            port: host.port,
        },
        vhost: settings.vhost.clone(),
        query: AMQPQueryString {
            heartbeat: u16::try_from(heartbeat).ok(),
            auth_mechanism: Some(mechanism),
            ..AMQPQueryString::default()
        },
    }
}

/// What a broker means by ending the handshake.
fn refused(settings: &AmqpConnection, host: &HostPort, error: lapin::Error) -> ConnectError {
    let user = match &settings.auth {
        Auth::Plain { username, .. } => Who::User(username.clone()),
        Auth::External => Who::Certificate,
    };
    let host = host.clone();
    match said(&error) {
        Some((ACCESS_REFUSED, _)) => ConnectError::Credentials { host, user },
        Some((NOT_ALLOWED, said)) => ConnectError::Vhost {
            host,
            user,
            vhost: settings.vhost.clone(),
            said,
        },
        Some(_) | None => ConnectError::Handshake {
            host,
            is_tls: settings.tls.is_some(),
            source: Box::new(error),
        },
    }
}

pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
const NOT_ALLOWED: u16 = 530;

/// The code and the text of a refusal that came from the broker.
pub(super) fn said(error: &lapin::Error) -> Option<(u16, String)> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            Some((error.get_id(), error.get_message().to_string()))
        }
        _ => None,
    }
}

/// An error of lapin in one line, for people.
pub(super) fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            format!("the broker says: {}", error.get_message())
        }
        lapin::ErrorKind::IOError(source) => format!("the connection broke: {source}"),
        lapin::ErrorKind::MissingHeartbeatError => {
            "nothing was heard of the broker for two heartbeats".to_owned()
        }
        lapin::ErrorKind::InvalidChannelState(..)
        | lapin::ErrorKind::InvalidConnectionState(_)
        | lapin::ErrorKind::InvalidChannel(_) => "the connection was closed".to_owned(),
        lapin::ErrorKind::ParsingError(_) => {
            "the broker sent something that cannot be read".to_owned()
        }
        _ => error.to_string(),
    }
}
