//! The worker's end of a guard's socket: lines that go out while other things
//! are waited for. A guard that does not read holds nobody up.

use std::{
    future::pending,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use tokio::{io::Interest, net::UnixStream};

use super::descriptors;

#[derive(Debug)]
pub(super) struct Outbox {
    /// Absent once the guard does not read any more.
    stream: Option<UnixStream>,
    unsent: Vec<u8>,
    /// They go with the first byte.
    descriptors: Vec<OwnedFd>,
}

impl Outbox {
    pub(super) fn new(stream: UnixStream, descriptors: Vec<OwnedFd>) -> Self {
        Self {
            stream: Some(stream),
            unsent: Vec::new(),
            descriptors,
        }
    }

    pub(super) fn push<T: serde::Serialize>(&mut self, message: &T) -> serde_json::Result<()> {
        serde_json::to_writer(&mut self.unsent, message)?;
        self.unsent.push(b'\n');
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.stream = None;
        self.unsent.clear();
        self.descriptors.clear();
    }

    /// Sends what there is, and never comes back: to be dropped whenever
    /// something else happens. Its end is found out by the reports' end.
    pub(super) async fn flush(&mut self) {
        while !self.unsent.is_empty() {
            let Some(stream) = &self.stream else {
                break;
            };
            let with_it: Vec<BorrowedFd<'_>> = self.descriptors.iter().map(AsFd::as_fd).collect();
            let some = || descriptors::send(stream.as_fd(), &self.unsent, &with_it);
            match stream.async_io(Interest::WRITABLE, some).await {
                Ok(sent) => {
                    self.unsent.drain(..sent);
                    self.descriptors.clear();
                }
                Err(_) => self.close(),
            }
        }
        pending().await
    }
}
