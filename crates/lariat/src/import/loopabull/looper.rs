//! The looper: where Loopabull's messages come from.

use std::path::PathBuf;

use model::suggest::nearest;
use rules::{
    Code,
    yaml::{Mapping, Node},
};

use super::{Secret, Source};

#[derive(Debug)]
pub(in crate::import) enum Looper {
    Rabbit(Box<Rabbit>),
    Fedmsg,
    Redis,
    /// A plugin that Loopabull does not bring.
    Other(String),
}

/// A queue of RabbitMQ and how it is reached.
#[derive(Debug)]
pub(in crate::import) struct Rabbit {
    pub(in crate::import) host: String,
    pub(in crate::import) port: Option<u16>,
    pub(in crate::import) vhost: String,
    /// In seconds.
    pub(in crate::import) heartbeat: Option<u64>,
    pub(in crate::import) login: Login,
    pub(in crate::import) exchange: String,
    pub(in crate::import) bindings: Vec<String>,
    pub(in crate::import) queue: Queue,
}

#[derive(Debug)]
pub(in crate::import) enum Login {
    /// Nobody was named: RabbitMQ's own guest.
    Guest,
    Plain {
        username: String,
        password: Secret,
    },
    External {
        ca: PathBuf,
        cert: PathBuf,
        key: PathBuf,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::import) struct Queue {
    pub(in crate::import) name: String,
    pub(in crate::import) durable: bool,
    pub(in crate::import) exclusive: bool,
    pub(in crate::import) auto_delete: bool,
}

pub(super) fn read(source: &mut Source<'_>, node: &Node) -> Option<Looper> {
    let mut section = source.reader.mapping(node, "a plugin")?;
    let node = section.required(&mut source.reader, "name")?;
    let name = source.reader.string(node)?.to_lowercase();
    by_name(source, (node, &name), Some(section))
}

/// `section` is absent where only the name is given.
pub(super) fn by_name(
    source: &mut Source<'_>,
    (node, name): (&Node, &str),
    section: Option<Mapping<'_>>,
) -> Option<Looper> {
    match (name, section) {
        ("fedmsg", _) => Some(Looper::Fedmsg),
        ("redis", _) => Some(Looper::Redis),
        ("fedmsgrabbitmq", Some(mut section)) => {
            let rabbit = if section.optional("rabbitmq").is_some()
                || section.optional("channel_queue").is_some()
            {
                rabbit(source, &mut section)
            } else {
                old_rabbit(source, &mut section)
            };
            rabbit.map(|rabbit| Looper::Rabbit(Box::new(rabbit)))
        }
        ("fedmsgrabbitmq", None) => Some(Looper::Rabbit(Box::new(Rabbit::old(
            "localhost".to_owned(),
            "workers".to_owned(),
        )))),
        (other, _) => {
            let Some(meant) = nearest(other, ["fedmsg", "redis", "fedmsgrabbitmq"]) else {
                return Some(Looper::Other(other.to_owned()));
            };
            let shown: String = other.chars().take(60).collect();
            source.reader.error(
                Code::BadValue,
                node.span,
                format!("Loopabull brings no looper `{shown}`"),
                Some(format!("did you mean `{meant}`?")),
            );
            None
        }
    }
}

impl Rabbit {
    /// What Loopabull up to 0.0.6 did with a host and a queue.
    fn old(host: String, queue: String) -> Self {
        Self {
            host,
            port: None,
            vhost: "/".to_owned(),
            heartbeat: None,
            login: Login::Guest,
            exchange: "amq.topic".to_owned(),
            bindings: Vec::new(),
            queue: Queue {
                name: queue,
                durable: true,
                exclusive: false,
                auto_delete: false,
            },
        }
    }
}

/// Loopabull up to 0.0.6: a host and a queue that the serializer fills.
fn old_rabbit(source: &mut Source<'_>, section: &mut Mapping<'_>) -> Option<Rabbit> {
    let mut text = |key: &'static str, default: &str| match section.optional(key) {
        Some(node) => source.text(Some(node)),
        None => Some(default.to_owned()),
    };
    let (host, queue) = (text("host", "localhost"), text("queue", "workers"));
    source.unread(section, "plugins.looper.", &["name", "host", "queue"]);
    Some(Rabbit::old(host?, queue?))
}

fn rabbit(source: &mut Source<'_>, section: &mut Mapping<'_>) -> Option<Rabbit> {
    let place = section.required(&mut source.reader, "rabbitmq");
    let place = place.and_then(|node| place_section(source, node));
    let login = login(source, section);
    let exchange = match section.optional("exchange") {
        Some(node) => exchange_section(source, node),
        None => Some("amq.topic".to_owned()),
    };
    let bindings = match section.optional("routing_keys") {
        Some(node) => source.reader.list(node).map(|items| {
            items
                .iter()
                .filter_map(|item| source.reader.string(item).map(str::to_owned))
                .collect()
        }),
        None => Some(Vec::new()),
    };
    let queue = section.required(&mut source.reader, "channel_queue");
    let queue = queue.and_then(|node| queue_section(source, node));
    let known = [
        "name",
        "rabbitmq",
        "credentials",
        "tls",
        "exchange",
        "routing_keys",
        "channel_queue",
    ];
    source.unread(section, "plugins.looper.", &known);
    let place = place?;
    Some(Rabbit {
        host: place.host,
        port: place.port,
        vhost: place.vhost,
        heartbeat: place.heartbeat,
        login: login?,
        exchange: exchange?,
        bindings: bindings?,
        queue: queue?,
    })
}

struct Place {
    host: String,
    port: Option<u16>,
    vhost: String,
    heartbeat: Option<u64>,
}

/// pika's connection parameters. Those that only say how pika behaves are left
/// out.
fn place_section(source: &mut Source<'_>, node: &Node) -> Option<Place> {
    let mut section = source.reader.mapping(node, "`rabbitmq`")?;
    let host = match section.optional("host") {
        Some(node) => source.text(Some(node)),
        None => Some("localhost".to_owned()),
    };
    let port = match section.optional("port") {
        Some(node) => source.reader.integer(node, 1..=65_535).map(Some),
        None => Some(None),
    };
    let vhost = match section.optional("virtual_host") {
        Some(node) => source.text(Some(node)),
        None => Some("/".to_owned()),
    };
    let heartbeat = match section.optional("heartbeat") {
        Some(node) => source.reader.integer(node, 0..=65_535),
        None => None,
    };
    for entry in section.entries() {
        let key = entry.key.as_str();
        if !["host", "port", "virtual_host", "heartbeat"].contains(&key) {
            let key: String = key.chars().take(60).collect();
            source.remark(format!(
                "`plugins.looper.rabbitmq.{key}` was left out: it says how Loopabull's library \
                 behaves. Lariat connects again without end, with growing pauses."
            ));
        }
    }
    if let Some(seconds) = heartbeat.filter(|seconds| !(1..=600).contains(seconds)) {
        source.remark(format!(
            "`heartbeat: {seconds}` was left out: Lariat notices dead brokers by heartbeats of 1 \
             to 600 seconds, 10 unless it is told otherwise."
        ));
    }
    Some(Place {
        host: host?,
        port: port?.and_then(|port| u16::try_from(port).ok()),
        vhost: vhost?,
        heartbeat: heartbeat.filter(|seconds| (1..=600).contains(seconds)),
    })
}

fn login(source: &mut Source<'_>, section: &mut Mapping<'_>) -> Option<Login> {
    let credentials = section.optional("credentials");
    if let Some(node) = section.optional("tls") {
        if credentials.is_some() {
            source.remark(
                "`credentials` was left out: with `tls` Loopabull shows its certificate and sends \
                 no password."
                    .to_owned(),
            );
        }
        let mut tls = source.reader.mapping(node, "`tls`")?;
        let mut path = |key: &'static str| {
            let node = tls.required(&mut source.reader, key)?;
            source.reader.string(node).map(PathBuf::from)
        };
        let (ca, cert, key) = (path("ca_cert"), path("certfile"), path("keyfile"));
        source.unread(
            &tls,
            "plugins.looper.tls.",
            &["ca_cert", "certfile", "keyfile"],
        );
        return Some(Login::External {
            ca: ca?,
            cert: cert?,
            key: key?,
        });
    }
    let Some(node) = credentials else {
        return Some(Login::Guest);
    };
    let mut credentials = source.reader.mapping(node, "`credentials`")?;
    let username = credentials.required(&mut source.reader, "username");
    let username = source.text(username);
    // An empty password is what Fedora's public broker wants.
    let password = match credentials.optional("password") {
        Some(node) => source.text(Some(node)),
        None => Some(String::new()),
    };
    let known = ["username", "password"];
    source.unread(&credentials, "plugins.looper.credentials.", &known);
    Some(Login::Plain {
        username: username?,
        password: Secret::new(password?),
    })
}

fn exchange_section(source: &mut Source<'_>, node: &Node) -> Option<String> {
    let mut section = source.reader.mapping(node, "`exchange`")?;
    let name = match section.optional("name") {
        Some(node) => source.text(Some(node)),
        None => Some("amq.topic".to_owned()),
    };
    source.unread(&section, "plugins.looper.exchange.", &["name"]);
    name
}

fn queue_section(source: &mut Source<'_>, node: &Node) -> Option<Queue> {
    let mut section = source.reader.mapping(node, "`channel_queue`")?;
    let name_node = section.required(&mut source.reader, "name");
    let name = source.text(name_node);
    if let (Some(node), Some(name)) = (name_node, &name)
        && (name.is_empty() || name.starts_with("amq.") || name.len() > 255)
    {
        let message = "this is not the name of a queue".to_owned();
        let hint = "1 to 255 bytes; names that begin with `amq.` are the broker's own".to_owned();
        source
            .reader
            .error(Code::BadValue, node.span, message, Some(hint));
    }
    let mut flag = |key: &'static str, default: bool| match section.optional(key) {
        Some(node) => source.truth(node),
        None => Some(default),
    };
    let (durable, exclusive, auto_delete) = (
        flag("durable", false),
        flag("exclusive", true),
        flag("auto_delete", true),
    );
    let known = ["name", "durable", "exclusive", "auto_delete"];
    source.unread(&section, "plugins.looper.channel_queue.", &known);
    Some(Queue {
        name: name?,
        durable: durable?,
        exclusive: exclusive?,
        auto_delete: auto_delete?,
    })
}
