//! A private RabbitMQ with one queue, through the examples of `bus`: the
//! developer's tool itself speaks no AMQP.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::run::target;

/// What has to be built.
pub(crate) const EXAMPLES: [&str; 3] = ["private_broker", "fill_queue", "bare_consume"];

pub(crate) const QUEUE: &str = "bench";
pub(crate) const KIND: &str = "quorum";

/// Deliveries that may be unacknowledged, for Lariat and for the bare loop.
pub(crate) const PREFETCH: usize = 1_000;

/// How the bare loop acknowledges.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Acks {
    /// Each message by itself, as the client library's own example does.
    Each,
    /// What is there at once, as Lariat does.
    Many,
}

pub(crate) struct Broker {
    child: Child,
    said: BufReader<ChildStdout>,
    url: String,
    /// The number of the next message.
    next: usize,
}

impl Broker {
    /// A broker with the queue, which is empty.
    pub(crate) fn start() -> Result<Self> {
        let mut child = example("private_broker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the broker")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut broker = Self {
            child,
            said: BufReader::new(stdout),
            url: String::new(),
            next: 0,
        };
        broker.url = broker.line()?;
        broker.fill(0)?;
        Ok(broker)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.said.read_line(&mut line)? == 0 {
            bail!("the broker ended");
        }
        Ok(line.trim().to_owned())
    }

    /// Waits until nothing is in the queue, nor with a consumer.
    pub(crate) fn await_empty(&mut self) -> Result<()> {
        let mut asks = self.child.stdin.as_ref().context("no stdin")?;
        writeln!(asks, "{QUEUE}")?;
        self.line().map(drop)
    }

    /// Publishes so many messages into the queue, and returns when it has them.
    pub(crate) fn fill(&mut self, count: usize) -> Result<()> {
        let numbers = [self.next, count].map(|number| number.to_string());
        let mut fill = example("fill_queue");
        said(fill.args([&self.url, QUEUE, KIND]).args(numbers))?;
        self.next += count;
        Ok(())
    }

    /// Messages per second that the bare loop takes off the queue.
    pub(crate) fn bare_consume(&mut self, count: usize, acks: Acks) -> Result<f64> {
        let numbers = [count, PREFETCH].map(|number| number.to_string());
        let acks = match acks {
            Acks::Each => "each",
            Acks::Many => "many",
        };
        let mut consumer = example("bare_consume")
            .args([&self.url, QUEUE])
            .args(numbers)
            .arg(acks)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the bare loop")?;
        let mut said = String::new();
        let stdout = consumer.stdout.take().context("no stdout")?;
        BufReader::new(stdout).read_line(&mut said)?;
        // It acknowledges faster than the broker takes note of it.
        self.await_empty()?;
        drop(consumer.stdin.take());
        let status = consumer.wait()?;
        if !status.success() {
            bail!("the bare loop failed: {status}");
        }
        let seconds: f64 = said
            .trim()
            .strip_suffix(" s")
            .and_then(|rest| rest.rsplit(' ').next()?.parse().ok())
            .with_context(|| format!("the bare loop printed {said:?}"))?;
        Ok(f64::from(u32::try_from(count)?) / seconds)
    }

    /// The lines of `lariat.yml` that make it consume the queue.
    pub(crate) fn config(&self) -> String {
        let url = self.url.replace(":guest@", "@");
        format!(
            "sources:\n  bench: {{kind: amqp, url: \"{url}\", password: {{command: [echo, guest]}}, \
             queue: {{name: {QUEUE}, declare: passive}}, ack: stored, prefetch: {PREFETCH}}}\n"
        )
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The end of its input ends it, and then the server.
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("the broker could not be stopped: {error}");
        }
    }
}

fn example(name: &str) -> Command {
    Command::new(target().join("release/examples").join(name))
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot start an example")?;
    if !output.status.success() {
        bail!(
            "{} failed: {}",
            command.get_program().display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
