//! A client of streams that reads the bytes of HTTP itself.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::Served;

/// Nothing takes longer here.
const PATIENCE: Duration = Duration::from_secs(20);

/// One message, as the standard says how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A stream that is being read.
pub(crate) struct Reader {
    stream: TcpStream,
    pub(crate) status: u16,
    pub(crate) head: String,
    /// What came and is not read yet, without the chunks.
    text: Vec<u8>,
    raw: Vec<u8>,
    pub(crate) last_id: Option<String>,
}

impl Reader {
    /// Asks for `path` and reads the head of the answer.
    pub(crate) async fn open(served: &Served, path: &str, last_id: Option<&str>) -> Self {
        let header = last_id.map(|id| ("Last-Event-ID", id));
        let mut reader = Self::open_with(served, path, header.as_slice()).await;
        reader.last_id = last_id.map(str::to_owned);
        reader
    }

    pub(crate) async fn open_with(served: &Served, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", served.address);
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        request.push_str("\r\n");
        let mut stream = served.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reader = Self {
            stream,
            status: 0,
            head: String::new(),
            text: Vec::new(),
            raw: Vec::new(),
            last_id: None,
        };
        let end = loop {
            if let Some(at) = find(&reader.raw, b"\r\n\r\n") {
                break at;
            }
            assert!(reader.more().await, "no head: {:?}", reader.raw);
        };
        reader.head = String::from_utf8(reader.raw.drain(..end + 4).collect()).unwrap();
        reader.status = reader.head.split(' ').nth(1).unwrap().parse().unwrap();
        reader
    }

    /// `false`: the connection has ended.
    async fn more(&mut self) -> bool {
        self.raw.reserve(16 * 1024);
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await;
        read.expect("the server says something").unwrap_or(0) > 0
    }

    /// Takes whole chunks out of what came. `false`: the last one came, or the
    /// connection has ended.
    async fn chunk(&mut self) -> bool {
        loop {
            if let Some(at) = find(&self.raw, b"\r\n") {
                let size = std::str::from_utf8(&self.raw[..at]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                if self.raw.len() >= at + 2 + size + 2 {
                    self.text
                        .extend_from_slice(&self.raw[at + 2..at + 2 + size]);
                    self.raw.drain(..at + 2 + size + 2);
                    return size > 0;
                }
            }
            if !self.more().await {
                return false;
            }
        }
    }

    /// A block of lines; `None` at the end of the stream.
    pub(crate) async fn block(&mut self) -> Option<String> {
        let mut seen = 0;
        loop {
            if let Some(at) = find(&self.text[seen..], b"\n\n") {
                let block: Vec<u8> = self.text.drain(..seen + at + 2).collect();
                return Some(String::from_utf8(block).unwrap());
            }
            // The end of a block may be cut in two.
            seen = self.text.len().saturating_sub(1);
            if !self.chunk().await {
                return None;
            }
        }
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            let block = self.block().await?;
            let (mut event, mut data) = ("message".to_owned(), None);
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => self.last_id = Some(id.to_owned()),
                    Some(("event", name)) => event = name.to_owned(),
                    Some(("data", text)) => data = Some(text.to_owned()),
                    Some(("retry" | "", _)) | None => {}
                    Some(other) => panic!("a line of no kind: {other:?}"),
                }
            }
            if let Some(data) = data {
                return Some(Message {
                    event,
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
        }
    }

    /// The next message, which must be of this kind.
    pub(crate) async fn data(&mut self, event: &str) -> Value {
        let message = self.next().await.expect("the stream goes on");
        assert_eq!(event, message.event, "{}", message.data);
        message.data
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
