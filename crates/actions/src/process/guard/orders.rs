//! The worker's socket, taken apart into lines and descriptors.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::process::{
    descriptors,
    protocol::{Order, Work},
};

const CHUNK: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Orders {
    bytes: Vec<u8>,
    /// So many of them hold no end of a line.
    looked_at: usize,
    /// In the order in which they came.
    descriptors: Vec<OwnedFd>,
    pub(super) closed: bool,
}

impl Orders {
    /// Waits for the first line. `None`: the worker went away before.
    pub(super) fn work(&mut self) -> io::Result<Option<(Work, Vec<OwnedFd>)>> {
        loop {
            if let Some(line) = self.line() {
                let work = serde_json::from_slice(&line)?;
                return Ok(Some((work, std::mem::take(&mut self.descriptors))));
            }
            if self.closed {
                return Ok(None);
            }
            self.receive(PollTimeout::NONE)?;
        }
    }

    /// Reads what has come, waiting for it up to `wait`.
    pub(super) fn receive(&mut self, wait: PollTimeout) -> io::Result<()> {
        let stdin = io::stdin();
        let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, wait) {
            Ok(0) | Err(Errno::EINTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut chunk = vec![0_u8; CHUNK];
        match descriptors::receive(stdin.as_fd(), &mut chunk, &mut self.descriptors) {
            Ok(0) => self.closed = true,
            Ok(len) => self
                .bytes
                .extend_from_slice(chunk.get(..len).unwrap_or_default()),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EINTR | Errno::EAGAIN) => {}
                Some(Errno::ENOTSOCK) => {
                    return Err(io::Error::other(
                        "standard input is not the worker's socket: where `sudo` starts guards, it must not log their input (`Defaults !log_input`, or `NOLOG_INPUT:` in the rule)",
                    ));
                }
                Some(_) | None => self.closed = true,
            },
        }
        Ok(())
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let unseen = self.bytes.get(self.looked_at..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.looked_at = self.bytes.len();
            return None;
        };
        let end = self.looked_at + end;
        self.looked_at = 0;
        Some(self.bytes.drain(..=end).collect())
    }

    pub(super) fn next(&mut self) -> Option<Order> {
        self.line()
            .and_then(|line| serde_json::from_slice(&line).ok())
    }
}
