//! What a thousand idle streams cost, and how far behind the commit they are.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    client::Client,
    median,
    memory::resident,
    print_row,
    server::{self, Server},
};

const STREAMS: usize = 1_000;
const ROUNDS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn streams() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(STREAMS as u64 * 4), most)?;
    let project = server::project(1, 0)?;
    let server = Server::start(&project)?;
    let mut client = Client::connect(&server.address)?;
    // One of everything, so that only what streams take is counted.
    let mut first = Reader::open(&server.address)?;
    publish(&mut client, "warm")?;
    first.wait_for("warm")?;
    let before = resident(server.pid())?;
    let mut readers = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        readers.push(Reader::open(&server.address)?);
    }
    let open = resident(server.pid())?;
    let mut behind = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        publish(&mut client, &id)?;
        let committed = Instant::now();
        for reader in &mut readers {
            reader.wait_for(&id)?;
        }
        behind.push(committed.elapsed().as_secs_f64() * 1000.0);
    }
    let used = resident(server.pid())?;
    print_row(
        "1,000 idle streams",
        "≤ +30 MiB",
        &format!("+{:.1} MiB", open - before),
        &format!(
            "{before:.1} MiB before; +{:.1} MiB after {ROUNDS} events for each",
            used - before
        ),
    );
    let last = behind.iter().copied().fold(0.0, f64::max);
    print_row(
        "1,000 streams behind the commit",
        "< 100 ms",
        &format!("{:.0} ms", median(&mut behind)),
        &format!("until the last of them has the event; at most {last:.0} ms in {ROUNDS} rounds"),
    );
    Ok(())
}

fn publish(client: &mut Client, id: &str) -> Result<()> {
    let event = format!(r#"{{"id":"{id}","topic":"org.example.bench","body":{{"n":1}}}}"#);
    client.post("/api/v1/events", &event)?;
    Ok(())
}

struct Reader {
    stream: TcpStream,
    text: Vec<u8>,
}

impl Reader {
    fn open(address: &str) -> Result<Self> {
        let mut stream =
            TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let path = "/api/v1/events/stream?topic=org.example.%23";
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let mut reader = Self {
            stream,
            text: Vec::new(),
        };
        reader.wait_for_text("retry: ")?;
        Ok(reader)
    }

    fn wait_for(&mut self, id: &str) -> Result<()> {
        self.wait_for_text(&format!(r#""id":"{id}""#))
    }

    /// Reads on until the text came, and forgets all that was before it.
    fn wait_for_text(&mut self, text: &str) -> Result<()> {
        let mut buffer = [0_u8; 4096];
        loop {
            let found = self
                .text
                .windows(text.len())
                .position(|it| it == text.as_bytes());
            if let Some(at) = found {
                self.text.drain(..at + text.len());
                return Ok(());
            }
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                bail!("a stream ended: {}", String::from_utf8_lossy(&self.text));
            }
            self.text
                .extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
    }
}
