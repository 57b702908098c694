//! A stream of the service that survives its connections.
//!
//! When a connection is lost, the next one goes on behind the last message
//! that was read, so nothing is missed and nothing comes twice. The person who
//! waits is told when that happens, once, and when it is over.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};

use super::{
    Client, Refusal,
    messages::{Message, Messages},
};
use crate::{console::Console, exit::Exit, failure::Failure};

/// A stream shows that it is there every 15 s.
const SILENCE: Duration = Duration::from_secs(50);
/// Between two attempts to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Address {
    /// Below `/api/v1`.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(&'static str, String)>,
}

/// A stream that goes on.
#[derive(Debug)]
pub(crate) struct Subscription<'c> {
    client: &'c Client,
    address: Address,
    messages: Messages,
    connection: Option<Response>,
    /// Where to go on.
    last_id: Option<String>,
    /// The person was told that the connection is lost.
    is_lost: bool,
    pause: Duration,
}

impl<'c> Subscription<'c> {
    /// The first connection must come about; a service that is not there now is
    /// one that was not started.
    pub(crate) async fn open(client: &'c Client, address: Address) -> Result<Self, Failure> {
        let mut subscription = Self {
            client,
            address,
            messages: Messages::default(),
            connection: None,
            last_id: None,
            is_lost: false,
            pause: FIRST_PAUSE,
        };
        subscription.connect().await?;
        Ok(subscription)
    }

    async fn connect(&mut self) -> Result<(), Refusal> {
        let path: Vec<&str> = self.address.path.iter().map(String::as_str).collect();
        let last_id = self.last_id.as_deref();
        let opened = self.client.open(&path, &self.address.query, last_id);
        self.connection = Some(opened.await?);
        Ok(())
    }

    /// The next message, however long it takes.
    pub(crate) async fn next(&mut self, console: &mut Console) -> Result<Message, Failure> {
        loop {
            if let Some(message) = self.messages.next() {
                if message.event == "dropped" {
                    self.lose(console, &dropped(&message.data));
                    continue;
                }
                return Ok(message);
            }
            let Some(connection) = &mut self.connection else {
                self.come_back(console).await?;
                continue;
            };
            match timeout(SILENCE, connection.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    self.pause = FIRST_PAUSE;
                    self.messages.take(&bytes).map_err(|error| {
                        Failure::unexpected(error).context("the service sent what is no stream")
                    })?;
                }
                Ok(Ok(None)) => self.lose(console, "the service ended it"),
                Ok(Err(_broken)) => self.lose(console, "it broke"),
                Err(_silent) => self.lose(console, "it was silent"),
            }
        }
    }

    /// Only when every message that came was handed out.
    fn lose(&mut self, console: &mut Console, why: &str) {
        self.connection = None;
        let messages = std::mem::take(&mut self.messages);
        self.last_id = messages.into_last_id().or(self.last_id.take());
        if !self.is_lost {
            self.is_lost = true;
            console.say(&format!("the connection is lost: {why}; trying again"));
        }
    }

    async fn come_back(&mut self, console: &mut Console) -> Result<(), Failure> {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        match self.connect().await {
            Ok(()) => {
                self.is_lost = false;
                console.say("connected again, and going on where it broke off");
                Ok(())
            }
            Err(Refusal::Unreachable(_)) => Ok(()),
            Err(Refusal::Problem(status, problem)) => match status {
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT => Ok(()),
                _ => Err(Refusal::Problem(status, problem).into()),
            },
            Err(refusal @ Refusal::Other(_)) => Err(refusal.into()),
        }
    }
}

/// Why the service ended a stream, in its own words.
fn dropped(data: &str) -> String {
    serde_json::from_str::<serde_json::Value>(data)
        .ok()
        .and_then(|data| data.get("detail")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| "the service ended it".to_owned())
}

impl Client {
    /// Asks for an answer that does not end.
    async fn open(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        last_id: Option<&str>,
    ) -> Result<Response, Refusal> {
        /// A connection may last; its silence is what is watched.
        const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        let mut request = self.asking(path, query).timeout(FOR_EVER);
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = match timeout(SILENCE, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.unreachable(error)),
            Err(_silent) => {
                let message = format!("`{}` does not answer", self.base);
                let failure = Failure::message(Exit::Unreachable, message);
                return Err(Refusal::Unreachable(failure));
            }
        };
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }
}
