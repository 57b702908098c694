//! Messages with a length in front, to and from a fork server.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use tokio::{
    io::{AsyncReadExt, Interest},
    net::UnixStream,
};

use super::descriptors;

/// Longer ones are nobody's.
const LONGEST: usize = 1024 * 1024;

/// A message as it is sent.
pub(super) fn framed(json: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(json.len()).map_err(io::Error::other)?;
    Ok([&len.to_be_bytes()[..], json].concat())
}

/// Sends one message with its descriptors.
pub(crate) async fn send(
    stream: &UnixStream,
    json: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = framed(json)?;
    let mut sent = 0;
    while let Some(rest @ [_, ..]) = bytes.get(sent..) {
        let with_it = if sent == 0 { descriptors } else { &[] };
        let some = || descriptors::send(stream.as_fd(), rest, with_it);
        sent += stream.async_io(Interest::WRITABLE, some).await?;
    }
    Ok(())
}

/// Receives one message. `None`: there will be none. Not to be called again
/// when it was dropped half-way.
pub(crate) async fn receive(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0_u8; 4];
    match stream.read_exact(&mut len).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let len = u32::from_be_bytes(len) as usize;
    if len > LONGEST {
        return Err(io::Error::other(format!(
            "a message of {len} bytes is longer than any should be"
        )));
    }
    let mut json = vec![0; len];
    stream.read_exact(&mut json).await?;
    Ok(Some(json))
}
