//! The management API of a private server, as far as tests need it: a request
//! on a connection of its own, in HTTP/1.0, so that the answer ends where the
//! connection ends.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::USER;

/// A client of one server's management API. Every method panics when the
/// server refuses.
#[derive(Debug, Clone)]
pub struct Admin {
    port: u16,
}

/// What the server last reported of a queue; about half a second old.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueInfo {
    pub ready: u64,
    pub unacknowledged: u64,
    pub consumers: u64,
    /// `classic`, `quorum`, …
    pub kind: String,
    pub durable: bool,
    pub arguments: Value,
}

/// A connection to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// How the server calls it.
    pub id: String,
    /// How the client calls it.
    pub name: String,
    pub user: String,
    pub vhost: String,
}

/// A message to publish.
#[derive(Debug, Clone, Default)]
pub struct Outgoing<'a> {
    /// The default exchange when it is empty.
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub body: &'a [u8],
    /// `message_id`, `headers`, …; an object, or null for none.
    pub properties: Value,
}

/// A message that was taken from a queue.
#[derive(Debug, Clone)]
pub struct Message {
    pub exchange: String,
    pub routing_key: String,
    pub redelivered: bool,
    pub properties: Value,
    pub body: Vec<u8>,
}

/// An answer to a request.
struct Answer {
    status: u16,
    body: String,
}

impl Admin {
    pub(super) fn new(port: u16) -> Self {
        Self { port }
    }

    /// Whether it answers and the node behind it is up.
    pub(super) async fn is_serving(&self) -> bool {
        let answer = self.try_request("GET", "/api/overview", None).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    pub async fn put_vhost(&self, vhost: &str) {
        self.put(&path(&["vhosts", vhost]), &json!({})).await;
    }

    pub async fn delete_vhost(&self, vhost: &str) {
        self.delete(&path(&["vhosts", vhost])).await;
    }

    /// Makes a user, or changes its password.
    pub async fn put_user(&self, user: &str, password: &str) {
        let body = json!({"password": password, "tags": ""});
        self.put(&path(&["users", user]), &body).await;
    }

    pub async fn delete_user(&self, user: &str) {
        self.delete(&path(&["users", user])).await;
    }

    /// Patterns of what a user may configure, write and read.
    pub async fn permit(&self, vhost: &str, user: &str, rights: [&str; 3]) {
        let [configure, write, read] = rights;
        let body = json!({"configure": configure, "write": write, "read": read});
        self.put(&path(&["permissions", vhost, user]), &body).await;
    }

    /// What the server says of a queue. `None` when there is none.
    pub async fn queue(&self, vhost: &str, queue: &str) -> Option<QueueInfo> {
        let path = path(&["queues", vhost, queue]);
        let answer = self.request("GET", &path, None).await;
        if answer.status == 404 {
            return None;
        }
        let value = answer.json(&path);
        let number = |key: &str| value[key].as_u64().unwrap_or_default();
        Some(QueueInfo {
            ready: number("messages_ready"),
            unacknowledged: number("messages_unacknowledged"),
            consumers: number("consumers"),
            kind: text(&value, "type"),
            durable: value["durable"].as_bool().unwrap_or_default(),
            arguments: value["arguments"].clone(),
        })
    }

    /// Declares a durable queue of a type: `quorum` or `classic`.
    pub async fn declare(&self, vhost: &str, queue: &str, kind: &str) {
        let body = json!({"durable": true, "arguments": {"x-queue-type": kind}});
        self.put(&path(&["queues", vhost, queue]), &body).await;
    }

    pub async fn bind(&self, vhost: &str, queue: &str, exchange: &str, key: &str) {
        let path = path(&["bindings", vhost, "e", exchange, "q", queue]);
        let body = json!({"routing_key": key, "arguments": {}});
        self.request("POST", &path, Some(&body))
            .await
            .succeeded(&path);
    }

    /// Declares a durable exchange of a type.
    pub async fn put_exchange(&self, vhost: &str, exchange: &str, kind: &str) {
        let body = json!({"type": kind, "durable": true, "arguments": {}});
        self.put(&path(&["exchanges", vhost, exchange]), &body)
            .await;
    }

    /// How many bindings have this routing key.
    pub async fn bindings_of(&self, vhost: &str, key: &str) -> usize {
        let path = path(&["bindings", vhost]);
        let answer = self.request("GET", &path, None).await.json(&path);
        let has_key = |value: &&Value| value["routing_key"] == key && value["source"] != "";
        answer
            .as_array()
            .into_iter()
            .flatten()
            .filter(has_key)
            .count()
    }

    pub async fn delete_queue(&self, vhost: &str, queue: &str) {
        self.delete(&path(&["queues", vhost, queue])).await;
    }

    pub async fn purge(&self, vhost: &str, queue: &str) {
        self.delete(&path(&["queues", vhost, queue, "contents"]))
            .await;
    }

    /// All connections to the server.
    pub async fn connections(&self) -> Vec<ConnectionInfo> {
        let path = "/api/connections";
        let answer = self.request("GET", path, None).await.json(path);
        let of = |value: &Value| ConnectionInfo {
            id: text(value, "name"),
            name: text(&value["client_properties"], "connection_name"),
            user: text(value, "user"),
            vhost: text(value, "vhost"),
        };
        answer.as_array().into_iter().flatten().map(of).collect()
    }

    /// Closes a connection, by the server's name of it. One that is gone
    /// already is no error.
    pub async fn close(&self, connection: &ConnectionInfo) {
        let path = path(&["connections", &connection.id]);
        let answer = self.request("DELETE", &path, None).await;
        if answer.status != 404 {
            answer.succeeded(&path);
        }
    }

    /// Publishes one message; whether a queue has taken it.
    pub async fn publish(&self, vhost: &str, message: &Outgoing<'_>) -> bool {
        let exchange = match message.exchange {
            "" => "amq.default",
            name => name,
        };
        let properties = match &message.properties {
            Value::Null => json!({}),
            given => given.clone(),
        };
        let path = path(&["exchanges", vhost, exchange, "publish"]);
        let body = json!({
            "routing_key": message.routing_key,
            "properties": properties,
            "payload": BASE64_STANDARD.encode(message.body),
            "payload_encoding": "base64",
        });
        let answer = self.request("POST", &path, Some(&body)).await.json(&path);
        answer["routed"].as_bool().unwrap_or_default()
    }

    /// Takes up to `max` messages from a queue.
    pub async fn take(&self, vhost: &str, queue: &str, max: usize) -> Vec<Message> {
        let path = path(&["queues", vhost, queue, "get"]);
        let body = json!({"count": max, "ackmode": "ack_requeue_false", "encoding": "base64"});
        let answer = self.request("POST", &path, Some(&body)).await.json(&path);
        let of = |value: &Value| {
            let body = text(value, "payload");
            Message {
                exchange: text(value, "exchange"),
                routing_key: text(value, "routing_key"),
                redelivered: value["redelivered"].as_bool().unwrap_or_default(),
                properties: value["properties"].clone(),
                body: BASE64_STANDARD.decode(body).unwrap(),
            }
        };
        answer.as_array().into_iter().flatten().map(of).collect()
    }

    async fn put(&self, path: &str, body: &Value) {
        self.request("PUT", path, Some(body)).await.succeeded(path);
    }

    async fn delete(&self, path: &str) {
        self.request("DELETE", path, None).await.succeeded(path);
    }

    async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        match self.try_request(method, path, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    async fn try_request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<Answer> {
        let body = body.map_or_else(String::new, Value::to_string);
        let login = BASE64_STANDARD.encode(format!("{USER}:{USER}"));
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Basic {login}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        Ok(Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|word| word.parse().ok())
                .unwrap_or_default(),
            body: body.to_owned(),
        })
    }
}

impl Answer {
    #[track_caller]
    fn succeeded(self, path: &str) -> Self {
        let Self { status, body } = &self;
        assert!((200..300).contains(status), "{path}: {status} {body}");
        self
    }

    #[track_caller]
    fn json(self, path: &str) -> Value {
        let answer = self.succeeded(path);
        serde_json::from_str(&answer.body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// `/api/…` with every segment escaped.
fn path(segments: &[&str]) -> String {
    segments.iter().fold("/api".to_owned(), |path, segment| {
        let escaped: String = segment
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    char::from(byte).to_string()
                }
                _ => format!("%{byte:02X}"),
            })
            .collect();
        format!("{path}/{escaped}")
    })
}
