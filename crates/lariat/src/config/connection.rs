//! The keys that say how a broker is reached; sources and sinks share them.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use bus::amqp::{AmqpConnection, AmqpTls, Auth, HostPort, Identity, Secret};
use rules::{
    Code,
    yaml::{Mapping, Node, Reader},
};

use crate::config::{
    Scope,
    secret::{self, SecretError, SecretPlace, Vault},
    url::{AmqpUrl, UrlError, host_port},
};

/// A broker's own default is a minute, and a dead peer is noticed after two
/// heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);
const HEARTBEATS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Whom a broker lets in that nobody has set up, from its own machine only.
const GUEST: &str = "guest";

/// How a broker is reached, before its secrets are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Tried in this order; at least one.
    pub(crate) hosts: Vec<HostPort>,
    pub(crate) vhost: String,
    pub(crate) login: Login,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) heartbeat: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Plain {
        username: String,
        password: SecretPlace,
    },
    /// The client certificate says who we are.
    External,
}

/// PEM files, seen from the project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<PathBuf>,
    /// Certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// Why a connection cannot be tried at all.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` cannot be used")]
pub(crate) struct OpenError {
    key: &'static str,
    source: SecretError,
}

impl Connection {
    /// Reads what stands in files, variables and tools.
    pub(crate) async fn open(
        &self,
        vault: Vault<'_>,
        name: String,
    ) -> Result<AmqpConnection, OpenError> {
        let auth = match &self.login {
            Login::Plain { username, password } => Auth::Plain {
                username: username.clone(),
                password: vault.secret(password).await.map_err(|source| OpenError {
                    key: "password",
                    source,
                })?,
            },
            Login::External => Auth::External,
        };
        let tls = match &self.tls {
            Some(files) => Some(files.open(vault)?),
            None => None,
        };
        Ok(AmqpConnection {
            hosts: self.hosts.clone(),
            vhost: self.vhost.clone(),
            auth,
            tls,
            heartbeat: self.heartbeat,
            name,
        })
    }
}

impl TlsFiles {
    fn open(&self, vault: Vault<'_>) -> Result<AmqpTls, OpenError> {
        let read = |key: &'static str, path: &PathBuf| {
            vault.file(path).map_err(|source| OpenError { key, source })
        };
        let ca = match &self.ca {
            Some(path) => Some(read("tls.ca", path)?),
            None => None,
        };
        let identity = match &self.identity {
            Some((cert, key)) => {
                let cert = read("tls.cert", cert)?;
                let key = String::from_utf8(read("tls.key", key)?).map_err(|_| OpenError {
                    key: "tls.key",
                    source: SecretError::NotText,
                })?;
                Some(Identity {
                    cert,
                    key: Secret::new(key),
                })
            }
            None => None,
        };
        Ok(AmqpTls { ca, identity })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuthWord {
    Plain,
    External,
}

/// Takes the keys of a connection out of a source or a sink.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &mut Mapping<'_>,
    scope: &Scope<'_>,
) -> Option<Connection> {
    // All keys are read before any may be missing, so that all are checked.
    let url_node = section.required(reader, "url");
    let url = url_node.and_then(|node| url(reader, node));
    let hosts = section.optional("hosts");
    let tls_node = section.optional("tls");
    let tls = tls_node.map(|node| tls(reader, node, scope));
    let username = section
        .optional("username")
        .map(|node| (node, reader.string(node)));
    let password_node = section.optional("password");
    let password = password_node.map(|node| secret::place(reader, node, scope));
    let words = [("plain", AuthWord::Plain), ("external", AuthWord::External)];
    let auth_node = section.optional("auth");
    let auth = auth_node.map(|node| reader.word(node, &words));
    let heartbeat = section
        .optional("heartbeat")
        .map_or(Some(HEARTBEAT), |node| reader.duration(node, HEARTBEATS));

    let (url, url_node) = (url?, url_node?);
    let mut all = vec![url.host.clone()];
    if let Some(node) = hosts {
        all.extend(more_hosts(reader, node, url.host.port));
    }
    let tls = match (url.is_tls, tls_node) {
        (false, Some(node)) => {
            let hint = "write `amqps://`, or remove `tls`".to_owned();
            let message = "`tls` needs an address with `amqps://`".to_owned();
            reader.error(Code::BadValue, node.span, message, Some(hint));
            return None;
        }
        (false, None) => None,
        (true, None) => Some(TlsFiles::default()),
        (true, Some(_)) => Some(tls??),
    };
    let has_identity = tls.as_ref().is_some_and(|tls| tls.identity.is_some());
    let auth = match auth {
        Some(word) => word?,
        None if has_identity => AuthWord::External,
        None => AuthWord::Plain,
    };
    if let (Some((node, _)), Some(_)) = (&username, &url.username) {
        twice(reader, node, "username");
    }
    if let (Some(node), Some(_)) = (password_node, &url.password) {
        twice(reader, node, "password");
    }
    let login = match auth {
        AuthWord::External => {
            if !has_identity && let Some(node) = auth_node {
                let message = "`auth: external` needs a client certificate".to_owned();
                let hint = "`tls: {cert: …, key: …}` names it".to_owned();
                reader.error(Code::BadValue, node.span, message, Some(hint));
            }
            if let Some(node) = password_node
                && password != Some(Some(SecretPlace::Inline(Secret::default())))
            {
                let message = "with a client certificate no password is sent".to_owned();
                let hint = "write `auth: plain` to send it all the same, or remove it".to_owned();
                reader.error(Code::BadValue, node.span, message, Some(hint));
            }
            Login::External
        }
        AuthWord::Plain => {
            let name = match username {
                Some((_, name)) => Some(name?.to_owned()),
                None => url.username.clone(),
            };
            let place = match (password, url.password) {
                (Some(place), _) => Some(place?),
                (None, Some(inline)) => {
                    warn_inline(reader, url_node, &inline);
                    Some(SecretPlace::Inline(inline))
                }
                (None, None) => None,
            };
            plain(reader, url_node, (name, place))?
        }
    };
    Some(Connection {
        hosts: all,
        vhost: url.vhost,
        login,
        tls,
        heartbeat: heartbeat?,
    })
}

fn url(reader: &mut Reader<'_>, node: &Node) -> Option<AmqpUrl> {
    let text = reader.string(node)?;
    match text.parse::<AmqpUrl>() {
        Ok(url) => Some(url),
        Err(error) => {
            bad_url(reader, node, &error);
            None
        }
    }
}

fn bad_url(reader: &mut Reader<'_>, node: &Node, error: &UrlError) {
    let hint = error.hint().to_owned();
    reader.error(Code::BadValue, node.span, error.to_string(), Some(hint));
}

fn twice(reader: &mut Reader<'_>, node: &Node, key: &str) {
    let message = format!("`{key}` is in `url` already");
    let hint = "say it in one place".to_owned();
    reader.error(Code::BadValue, node.span, message, Some(hint));
}

fn warn_inline(reader: &mut Reader<'_>, url: &Node, password: &Secret) {
    if password.reveal().is_empty() {
        return;
    }
    let message = "the password stands in the project".to_owned();
    let hint = "take it out of `url` and write `password: {file: PATH}`, `{env: NAME}` or `{credential: NAME}`";
    reader.warning(
        Code::ExposedSecret,
        url.span,
        message,
        Some(hint.to_owned()),
    );
}

/// A name needs a password and a password a name; without both it is the
/// broker's guest.
fn plain(
    reader: &mut Reader<'_>,
    url: &Node,
    given: (Option<String>, Option<SecretPlace>),
) -> Option<Login> {
    match given {
        (Some(username), Some(password)) => Some(Login::Plain { username, password }),
        (None, None) => Some(Login::Plain {
            username: GUEST.to_owned(),
            password: SecretPlace::Inline(Secret::new(GUEST)),
        }),
        (Some(name), None) => {
            let message = format!("there is no password for `{name}`");
            let hint = "write `password: {file: PATH}`, `{env: NAME}` or `{credential: NAME}`; an empty one is `password: ''`";
            reader.error(Code::MissingKey, url.span, message, Some(hint.to_owned()));
            None
        }
        (None, Some(_)) => {
            let message = "there is a password, but nobody's name".to_owned();
            let hint = "write `username: NAME`".to_owned();
            reader.error(Code::MissingKey, url.span, message, Some(hint));
            None
        }
    }
}

/// Hosts that are tried when those before do not answer.
fn more_hosts(reader: &mut Reader<'_>, node: &Node, port: u16) -> Vec<HostPort> {
    let mut found = Vec::new();
    for item in reader.one_or_list(node) {
        let Some(text) = reader.string(item) else {
            continue;
        };
        if text.contains("://") || text.contains('@') {
            let message = "this is a whole address; only the host differs here".to_owned();
            let hint = "write `HOST` or `HOST:PORT`".to_owned();
            reader.error(Code::BadValue, item.span, message, Some(hint));
            continue;
        }
        match host_port(text, port) {
            Ok(host) => found.push(host),
            Err(error) => bad_url(reader, item, &error),
        }
    }
    found
}

fn tls(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Option<TlsFiles> {
    let mut section = reader.mapping(node, "`tls`")?;
    let ca = section
        .optional("ca")
        .map(|node| secret::path(reader, node, scope));
    let cert = section
        .optional("cert")
        .map(|node| secret::path(reader, node, scope));
    let key_node = section.optional("key");
    let key = key_node.map(|node| secret::path(reader, node, scope));
    if let (Some(node), Some(Some(path))) = (key_node, &key) {
        secret::warn_if_open(reader, node, &scope.project.join(path));
    }
    let span = section.span();
    section.finish(reader, &[]);
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert?, key?)),
        (None, None) => None,
        (cert, _) => {
            let (has, needs) = if cert.is_some() {
                ("cert", "key")
            } else {
                ("key", "cert")
            };
            let message = format!("`{has}` needs `{needs}` beside it");
            reader.error(Code::MissingKey, span, message, None);
            return None;
        }
    };
    let ca = match ca {
        Some(path) => Some(path?),
        None => None,
    };
    Some(TlsFiles { ca, identity })
}
