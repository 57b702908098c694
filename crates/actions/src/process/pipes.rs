//! What lies between a worker and a guard: a socket for orders, a pipe for
//! reports, and a pipe for the program's output.

use std::{
    io,
    os::{fd::OwnedFd, unix::net},
};

use nix::{fcntl::OFlag, unistd::pipe2};
use tokio::net::{UnixStream, unix::pipe};

/// The worker's ends.
#[derive(Debug)]
pub(crate) struct GuardPipes {
    pub(super) orders: UnixStream,
    pub(super) reports: pipe::Receiver,
    pub(super) output: pipe::Receiver,
}

/// The guard's ends, in the order of its descriptors 0, 1 and 2. To be closed
/// as soon as it has them: their end is what tells of its death.
#[derive(Debug)]
pub(crate) struct GuardEnds {
    pub(crate) orders: OwnedFd,
    pub(crate) reports: OwnedFd,
    pub(crate) output: OwnedFd,
}

/// A new set of both.
pub(crate) fn pipes() -> io::Result<(GuardPipes, GuardEnds)> {
    let (ours, orders) = pair()?;
    let (reports, reports_end) = pipe2(OFlag::O_CLOEXEC)?;
    let (output, output_end) = pipe2(OFlag::O_CLOEXEC)?;
    let pipes = GuardPipes {
        orders: ours,
        reports: pipe::Receiver::from_owned_fd(reports)?,
        output: pipe::Receiver::from_owned_fd(output)?,
    };
    let ends = GuardEnds {
        orders,
        reports: reports_end,
        output: output_end,
    };
    Ok((pipes, ends))
}

/// A socket pair: one end for us, one for another process.
pub(super) fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
