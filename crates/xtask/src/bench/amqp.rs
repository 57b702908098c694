//! Durable intake from a queue of RabbitMQ, beside loops that only consume and
//! acknowledge, one each message by itself, one as many as are there: same
//! queue, same prefetch, same client library.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    RULES,
    broker::{Acks, Broker, KIND},
    client::Client,
    median, print_row,
    server::{self, Server, Spec},
    spread,
};

/// Messages in the queue when a round begins.
const MESSAGES: usize = 20_000;
const ROUNDS: usize = 3;

/// How long one round may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Two readings of "1 % firing": one event in a hundred makes a job of each of
/// ten rules, or every event makes ten jobs.
pub(crate) fn intake() -> Result<()> {
    let mut broker = Broker::start()?;
    row(
        &mut broker,
        ("1 % of events fire", 10),
        " and event.body.sample % 100 == 0",
    )?;
    row(&mut broker, ("10 rules fire for each", 10), "")
}

fn row(broker: &mut Broker, (name, about_it): (&str, usize), also: &str) -> Result<()> {
    let config = broker.config();
    let spec = Spec {
        rules: RULES,
        about_it,
        also,
        command: "sleep, \"86400\"",
        config: &config,
    };
    let (mut ratios, mut ours, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let (mut strict, mut many) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        broker.fill(MESSAGES)?;
        let floor = broker.bare_consume(MESSAGES, Acks::Each)?;
        broker.fill(MESSAGES)?;
        let limit = broker.bare_consume(MESSAGES, Acks::Many)?;
        broker.fill(MESSAGES)?;
        let taken = take_in(broker, &spec)?;
        // The first round warms both sides up.
        if round > 0 {
            ratios.push(taken / floor);
            ours.push(taken);
            bare.push(floor);
            strict.push(taken / limit);
            many.push(limit);
        }
    }
    let measured = format!(
        "{:.0} events/s, {:.0} messages/s bare lapin; {RULES} rules; ratios {}; {:.2} of the {:.0} \
         messages/s of a loop that acknowledges many at once",
        median(&mut ours),
        median(&mut bare),
        spread(&mut ratios),
        median(&mut strict),
        median(&mut many),
    );
    print_row(
        &format!("{KIND} queue, {name}"),
        "≥ 0.5",
        &format!("{:.2}", median(&mut ratios)),
        &measured,
    );
    Ok(())
}

/// Events per second that a new server takes off the full queue, from the
/// first delivery until the last one is acknowledged.
fn take_in(broker: &mut Broker, spec: &Spec<'_>) -> Result<f64> {
    let project = server::project_of(spec)?;
    let server = Server::start(&project)?;
    let mut client = Client::connect(&server.address)?;
    let begun = Instant::now();
    let mut start = (begun, 0);
    let mut is_first = true;
    let (end, settled) = loop {
        let looked = Instant::now();
        let source = Link::read(&mut client)?;
        if source.messages == 0 || is_first {
            start = (looked, source.settled());
        }
        is_first = false;
        if source.settled() >= MESSAGES {
            break (Instant::now(), source.settled());
        }
        if begun.elapsed() > PATIENCE {
            bail!("only {} messages were settled", source.settled());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if settled != MESSAGES {
        bail!("{settled} messages came instead of {MESSAGES}");
    }
    // Killed a moment earlier it would leave something behind.
    broker.await_empty()?;
    let events = u32::try_from(settled - start.1)?;
    Ok(f64::from(events) / (end - start.0).as_secs_f64())
}

/// What a server says of its one source.
pub(crate) struct Link {
    pub(crate) messages: usize,
    held: usize,
}

impl Link {
    pub(crate) fn read(client: &mut Client) -> Result<Self> {
        let sources: Value = serde_json::from_str(&client.get("/api/v1/sources")?)?;
        let source = &sources["items"][0];
        let number = |key: &str| {
            let number = source[key].as_u64().and_then(|it| usize::try_from(it).ok());
            number.with_context(|| format!("the source has no `{key}`: {source}"))
        };
        Ok(Self {
            messages: number("messages")?,
            held: number("held")?,
        })
    }

    /// Messages that were acknowledged.
    pub(crate) fn settled(&self) -> usize {
        self.messages.saturating_sub(self.held)
    }
}
