//! One fork server: starting it, and asking it for runs.
//!
//! The task that looks after it owns its socket; others send it requests and
//! wait for the answer. A server that does not answer in time is not asked
//! again: what it would say later would be taken for something else.

use std::{collections::BTreeMap, future::pending, io, os::fd::AsFd, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use crate::process::{GuardEnds, Program, message};

/// From the start of Python until it has loaded Ansible.
const START: Duration = Duration::from_secs(60);
/// From a request until the fork.
const REPLY: Duration = Duration::from_secs(5);

/// What a server says when it has loaded Ansible.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Ready {
    pub(super) python: String,
    pub(super) ansible: String,
}

impl Ready {
    pub(super) fn version(&self) -> String {
        format!("ansible-core {}, Python {}", self.ansible, self.python)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Hello {
    Ready(Ready),
    Unusable(String),
}

#[derive(Debug, Serialize)]
struct Run<'a> {
    run: u64,
    argv: &'a [String],
    environment: &'a BTreeMap<String, String>,
    directory: &'a Path,
    guard: &'a Path,
}

#[derive(Debug, Deserialize)]
struct Reply {
    run: Option<u64>,
    refused: Option<String>,
}

/// Somebody wants a run.
#[derive(Debug)]
pub(super) struct Request {
    json: Vec<u8>,
    number: u64,
    ends: GuardEnds,
    answer: oneshot::Sender<Result<(), String>>,
}

/// A way to ask a server. Clones ask the same one.
#[derive(Debug, Clone)]
pub(super) struct Server {
    requests: mpsc::Sender<Request>,
}

impl Server {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(1);
        (Self { requests }, receiver)
    }

    /// Whether it can be asked at all.
    pub(super) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Has a run forked whose guard holds these ends. `Err` says why not; in
    /// that case nothing of it is, or will be.
    pub(super) async fn fork(
        &self,
        program: &Program,
        guard: &Path,
        (number, ends): (u64, GuardEnds),
    ) -> Result<(), String> {
        let run = Run {
            run: number,
            argv: &program.argv,
            environment: &program.environment,
            directory: &program.directory,
            guard,
        };
        let json = serde_json::to_vec(&run).map_err(|error| error.to_string())?;
        let (answer, answered) = oneshot::channel();
        let request = Request {
            json,
            number,
            ends,
            answer,
        };
        // Time in the queue counts: what is ahead may be what does not answer.
        let until = Instant::now() + REPLY;
        let gone = || "the fork server is gone".to_owned();
        match timeout_at(until, self.requests.send(request)).await {
            Ok(sent) => sent.map_err(|_| gone())?,
            Err(_) => return Err(late()),
        }
        match timeout_at(until + REPLY, answered).await {
            Ok(answer) => answer.map_err(|_| gone())?,
            Err(_) => Err(late()),
        }
    }
}

fn late() -> String {
    format!(
        "the fork server did not answer within {} s",
        REPLY.as_secs()
    )
}

/// How serving ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It ended, or did not do what it was asked for.
    Failed(String),
    /// Nobody can ask it any more.
    Unwanted,
    /// Nobody asked it for so long.
    Idle,
}

/// Waits until a server has loaded Ansible.
pub(super) async fn hello(control: &mut UnixStream) -> Result<Ready, String> {
    let said = match timeout(START, message::receive(control)).await {
        Ok(Ok(Some(said))) => said,
        // The end of its process tells more.
        Ok(Ok(None)) => return pending().await,
        Ok(Err(error)) => return Err(format!("the fork server cannot be heard: {error}")),
        Err(_) => {
            let limit = START.as_secs();
            return Err(format!("the fork server was not ready within {limit} s"));
        }
    };
    match serde_json::from_slice(&said) {
        Ok(Hello::Ready(ready)) => Ok(ready),
        Ok(Hello::Unusable(reason)) => Err(reason),
        Err(error) => Err(format!("the fork server cannot be understood: {error}")),
    }
}

/// Passes requests on until there is a reason to stop.
pub(super) async fn serve(
    control: &mut UnixStream,
    requests: &mut mpsc::Receiver<Request>,
    idle: Duration,
) -> Over {
    loop {
        let request = match timeout(idle, requests.recv()).await {
            Ok(Some(request)) => request,
            Ok(None) => return Over::Unwanted,
            Err(_) => return Over::Idle,
        };
        let Request {
            json,
            number,
            ends,
            answer,
        } = request;
        if answer.is_closed() {
            continue;
        }
        let asked = timeout(REPLY, ask(control, (number, &json), ends)).await;
        let (answered, over) = match asked {
            Ok(Ok(None)) => (Ok(()), None),
            Ok(Ok(Some(refused))) => (Err(refused), None),
            Ok(Err(error)) => {
                let reason = format!("the fork server did not answer: {error}");
                (Err(reason.clone()), Some(reason))
            }
            Err(_) => (Err(late()), Some(late())),
        };
        // Who does not wait any more has started cold.
        answer.send(answered).ok();
        if let Some(reason) = over {
            return Over::Failed(reason);
        }
    }
}

/// Asks for a run. `Some`: it was refused, and why.
async fn ask(
    control: &mut UnixStream,
    (number, json): (u64, &[u8]),
    ends: GuardEnds,
) -> io::Result<Option<String>> {
    let descriptors = [
        ends.orders.as_fd(),
        ends.reports.as_fd(),
        ends.output.as_fd(),
    ];
    message::send(control, json, &descriptors).await?;
    // Their end is how we hear of the guard's.
    drop(ends);
    loop {
        let Some(said) = message::receive(control).await? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let reply: Reply = serde_json::from_slice(&said)?;
        if reply.run == Some(number) {
            return Ok(reply.refused);
        }
    }
}
