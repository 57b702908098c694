//! Keeps a source connected: connects, runs a session, and starts over.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    Command, Shared,
    session::{End, Session},
};
use crate::amqp::{
    backoff::Backoff,
    connect::{self, Line},
};

/// A connection that held this long was a good one.
const STEADY: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    hears_fleet: bool,
    /// How many connections there were.
    connections: u64,
    backoff: Backoff,
}

impl Keeper {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: mpsc::UnboundedReceiver<Command>,
        hears_fleet: bool,
    ) -> Self {
        Self {
            shared,
            commands,
            hears_fleet,
            connections: 0,
            backoff: Backoff::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let closing = loop {
            let line = match self.connect().await {
                Ok(line) => line,
                Err(closing) => break closing,
            };
            self.connections += 1;
            let began = Instant::now();
            let session = Session::start(
                Arc::clone(&self.shared),
                Arc::clone(&line),
                self.connections,
                self.hears_fleet,
            )
            .await;
            let end = match session {
                Ok(session) => session.run(&mut self.commands).await,
                Err(error) => End::Lost(error.to_string()),
            };
            match end {
                End::Closed(done) => {
                    line.close().await;
                    break Some(done);
                }
                End::Lost(cause) => {
                    line.cut();
                    self.shared.hearing.lost();
                    self.shared.talking.silent();
                    self.shared.standing.lost(&cause);
                    self.shared.inbox.lost(self.connections);
                    if began.elapsed() >= STEADY {
                        self.backoff.reset();
                    }
                    if let Err(closing) = self.rest().await {
                        break closing;
                    }
                }
            }
        };
        self.shared.standing.closed();
        self.shared.inbox.close();
        if let Some(done) = closing {
            done.send(()).unwrap_or_default();
        }
    }

    /// A connection, or the one who asked to close before there was one.
    async fn connect(&mut self) -> Result<Arc<Line>, Option<oneshot::Sender<()>>> {
        loop {
            self.shared.standing.connecting();
            let tried = self.shared.clock.boot();
            let attempt = connect::connect(&self.shared.settings.connection);
            let answer = tokio::select! {
                answer = attempt => answer,
                closing = unconnected(&mut self.commands) => return Err(closing),
            };
            match answer {
                Ok(line) => return Ok(Arc::new(line)),
                Err(error) => {
                    if error.all_refused {
                        self.shared.hearing.refused(tried);
                    } else {
                        self.shared.hearing.unclear();
                    }
                    self.shared.standing.waiting(&error.detail);
                }
            }
            self.rest().await?;
        }
    }

    async fn rest(&mut self) -> Result<(), Option<oneshot::Sender<()>>> {
        tokio::select! {
            () = sleep(self.backoff.next()) => Ok(()),
            closing = unconnected(&mut self.commands) => Err(closing),
        }
    }
}

/// Answers commands while there is no connection: what was delivered is the
/// broker's again, so there is nothing to settle and nothing to give back.
/// Returns when the source is to close, or nobody holds it any more.
async fn unconnected(
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Option<oneshot::Sender<()>> {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Settle { done, .. } | Command::Pause { done } => {
                done.send(()).unwrap_or_default();
            }
            Command::Close { done } => return Some(done),
        }
    }
    None
}
