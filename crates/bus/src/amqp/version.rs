//! Asks a server for its version.
//!
//! AMQP's first frame is the server's: `connection.start`, with a table of its
//! properties (AMQP 0-9-1, section 1.4.2.1). It comes before any credentials.

use std::io;

use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use lapin::types::{AMQPValue, parsing::parse_field_table};

/// What a client says first.
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Type, channel and size of a frame.
const FRAME_HEAD: usize = 7;

/// Class, method, and the two bytes of the protocol's version.
const START_HEAD: usize = 6;

/// The properties of a server are a few hundred bytes.
const MOST: usize = 64 * 1024;

/// The version of a server, as far as something depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    pub(super) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(['.', '-', '+']);
        let mut part = || parts.next()?.parse().ok();
        Some(Self::new(part()?, part()?))
    }
}

pub(super) async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Version> {
    stream.write_all(GREETING).await?;
    stream.flush().await?;
    let mut head = [0; FRAME_HEAD];
    stream.read_exact(&mut head).await?;
    let [.., a, b, c, d] = head;
    let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if size > MOST {
        return Err(unreadable());
    }
    let mut start = vec![0; size];
    stream.read_exact(&mut start).await?;
    version_in(&start).ok_or_else(unreadable)
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is not RabbitMQ")
}

fn version_in(start: &[u8]) -> Option<Version> {
    let (_, properties) = parse_field_table(start.get(START_HEAD..)?).ok()?;
    match properties.inner().get("version")? {
        AMQPValue::LongString(text) => Version::read(std::str::from_utf8(text.as_bytes()).ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
