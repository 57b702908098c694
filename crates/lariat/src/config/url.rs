//! The address of a broker: `amqp://` or `amqps://`, then
//! `[user[:password]@]host[:port][/vhost]`.
//!
//! No message of this file repeats a password, also where the text is no
//! address at all.

use std::str::FromStr;

use bus::amqp::{HostPort, Secret};

const PLAIN_PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

/// An address, taken apart and decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AmqpUrl {
    pub(super) is_tls: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) host: HostPort,
    pub(super) vhost: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("this is not the address of a broker")]
    Scheme,
    #[error("the address has no host")]
    NoHost,
    #[error("`{0}` is not a host")]
    Host(String),
    #[error("`{0}` is not a port")]
    Port(String),
    #[error("an address has no parameters here")]
    Query,
    #[error("an address has no `#`")]
    Fragment,
    #[error("the virtual host has a `/` in it")]
    VhostSlash,
    #[error("`%` stands before two hexadecimal digits, and what they make is UTF-8")]
    Encoding,
}

impl UrlError {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Scheme | Self::NoHost => {
                "write `amqp://HOST` or `amqps://USER@HOST:PORT/VHOST`, such as `amqps://rabbitmq.example.org/%2Fpubsub`"
            }
            Self::Host(_) => "a name, an IPv4 address, or an IPv6 address in brackets: `[::1]`",
            Self::Port(_) => "from 1 to 65535; 5672 without and 5671 with TLS when it is left out",
            Self::Query => "heartbeat, TLS and authentication have keys of their own beside `url`",
            Self::Fragment => "`#` is written `%23`",
            Self::VhostSlash => {
                "`/` in a name is written `%2F`: `/%2Fpubsub` is the virtual host `/pubsub`"
            }
            Self::Encoding => "a percent sign itself is written `%25`",
        }
    }
}

impl FromStr for AmqpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(UrlError::Scheme),
        };
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        if rest.contains('?') {
            return Err(UrlError::Query);
        }
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, "")))
        {
            Some((name, password)) => {
                let is_given = user.is_some_and(|user| user.contains(':'));
                let password = decoded(password)?;
                (
                    Some(decoded(name)?),
                    is_given.then(|| Secret::new(password)),
                )
            }
            None => (None, None),
        };
        let default = if is_tls { TLS_PORT } else { PLAIN_PORT };
        Ok(Self {
            is_tls,
            username: username.filter(|name| !name.is_empty()),
            password,
            host: host_port(host, default)?,
            vhost: vhost(path)?,
        })
    }
}

/// Nothing at all and an end with `/` alone both mean the virtual host `/`.
fn vhost(path: Option<&str>) -> Result<String, UrlError> {
    match path {
        None | Some("") => Ok("/".to_owned()),
        Some(path) if path.contains('/') => Err(UrlError::VhostSlash),
        Some(path) => decoded(path),
    }
}

/// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
pub(super) fn host_port(text: &str, default: u16) -> Result<HostPort, UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| UrlError::Host(text.to_owned()))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(UrlError::Host(host.to_owned()));
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(UrlError::Host(text.to_owned())),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_', ':'].contains(&c);
    if !host.chars().all(is_allowed) {
        return Err(UrlError::Host(host.chars().take(60).collect()));
    }
    let port = match port {
        None => default,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| UrlError::Port(port.chars().take(60).collect()))?,
    };
    Ok(HostPort {
        host: host.to_owned(),
        port,
    })
}

/// `%2F` and the like become what they stand for.
fn decoded(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(UrlError::Encoding)?;
        let digits = std::str::from_utf8(digits).map_err(|_| UrlError::Encoding)?;
        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(UrlError::Encoding);
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| UrlError::Encoding)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Encoding)
}

#[cfg(test)]
mod tests;
