//! Sources, sinks and routes, key by key.

use bus::amqp::{Declare, QueueKind, QueueSettings};
use model::route::Route;
use rules::yaml::Data;
use serde_json::{Value, json};
use wire::amqp::{Encoding, Format, HeaderValue};

use crate::config::{
    connection::{Connection, Login},
    secret::SecretPlace,
    show::{Listing, Origin, duration},
    sink::{AmqpSink, Sink},
    source::{AmqpSource, Source},
    url::AmqpUrl,
};

/// What is shown for a secret that stands in the file.
const SECRET: &str = "[secret]";

/// A part of the file whose keys are listed.
struct Section<'l, 'n> {
    list: &'l mut Listing<'n>,
    /// `sources`, and the name.
    path: [String; 2],
}

impl Section<'_, '_> {
    fn add(&mut self, key: &str, value: Value) {
        self.add_from(key, value, &[key]);
    }

    fn text(&self, key: &str) -> Option<&str> {
        let [section, name] = &self.path;
        match &self.list.find(&[section, name, key])?.0.data {
            Data::Text(text) => Some(text),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::List(_) | Data::Mapping(_) => None,
        }
    }

    /// A value that the first of these keys says that is there.
    fn add_from(&mut self, key: &str, value: Value, keys: &[&str]) {
        let [section, name] = &self.path;
        let line = keys.iter().find_map(|key| {
            let mut path = vec![section.as_str(), name.as_str()];
            path.extend(key.split('.'));
            self.list.line(&path)
        });
        let origin = line.map_or(Origin::Default, Origin::File);
        self.list
            .put(&format!("{section}.{name}.{key}"), value, origin);
    }
}

pub(super) fn source(list: &mut Listing<'_>, source: &Source) {
    let Source::Amqp(source) = source;
    let AmqpSource {
        name,
        connection,
        exchange,
        queue,
        bindings,
        format,
        ack,
        prefetch,
        consumer_timeout,
        takeover,
    } = source.as_ref();
    let mut section = Section {
        list,
        path: ["sources".to_owned(), name.to_string()],
    };
    section.add("kind", json!("amqp"));
    reached(&mut section, connection);
    section.add("exchange", json!(exchange));
    declared(&mut section, queue);
    section.add("bindings", json!(bindings));
    section.add("format", json!(word(*format)));
    section.add("ack", json!(ack.as_str()));
    section.add("prefetch", json!(prefetch));
    section.add("consumer_timeout", duration(*consumer_timeout));
    section.add("takeover", duration(*takeover));
}

pub(super) fn sink(list: &mut Listing<'_>, sink: &Sink) {
    let Sink::Amqp(sink) = sink;
    let AmqpSink {
        name,
        connection,
        encoding,
        queue,
        mandatory,
    } = sink.as_ref();
    let Encoding {
        format,
        exchange,
        routing_key,
        topic_prefix,
        priority,
    } = encoding;
    let mut section = Section {
        list,
        path: ["sinks".to_owned(), name.to_string()],
    };
    section.add("kind", json!("amqp"));
    reached(&mut section, connection);
    match queue {
        Some(queue) => declared(&mut section, queue),
        None => {
            section.add("exchange", json!(exchange));
            section.add("routing_key", json!(routing_key));
            section.add("topic_prefix", json!(topic_prefix));
        }
    }
    section.add("format", json!(word(*format)));
    section.add("priority", json!(priority));
    section.add("mandatory", json!(mandatory));
}

pub(super) fn route(list: &mut Listing<'_>, index: usize, route: &Route) {
    let Route { from, to, topics } = route;
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    for (key, value) in [
        ("from", json!(from)),
        ("to", json!(to)),
        ("topics", json!(topics)),
    ] {
        list.add(&format!("routes.{index}.{key}"), value);
    }
}

fn reached(section: &mut Section<'_, '_>, connection: &Connection) {
    let Connection {
        hosts,
        vhost,
        login,
        tls,
        heartbeat,
    } = connection;
    let scheme = if tls.is_some() { "amqps" } else { "amqp" };
    let mut hosts = hosts.iter().map(ToString::to_string);
    let first = hosts.next().unwrap_or_default();
    let vhost = vhost.replace('%', "%25").replace('/', "%2F");
    section.add("url", json!(format!("{scheme}://{first}/{vhost}")));
    section.add("hosts", json!(hosts.collect::<Vec<_>>()));
    match login {
        Login::Plain { username, password } => {
            // What `url` does not say is not its line's.
            let url = section.text("url").and_then(|text| text.parse().ok());
            let (named, kept) = url.map_or((false, false), |url: AmqpUrl| {
                (url.username.is_some(), url.password.is_some())
            });
            let or_url = |key, is_there| if is_there { [key, "url"] } else { [key, key] };
            section.add_from("username", json!(username), &or_url("username", named));
            section.add_from("password", place(password), &or_url("password", kept));
            section.add("auth", json!("plain"));
        }
        Login::External => section.add("auth", json!("external")),
    }
    if let Some(tls) = tls {
        let (cert, key) = tls.identity.as_ref().map(|(cert, key)| (cert, key)).unzip();
        section.add("tls.ca", json!(tls.ca));
        section.add("tls.cert", json!(cert));
        section.add("tls.key", json!(key));
    }
    section.add("heartbeat", duration(*heartbeat));
}

fn place(place: &SecretPlace) -> Value {
    match place {
        SecretPlace::Inline(_) => json!(SECRET),
        SecretPlace::File(path) => json!({ "file": path }),
        SecretPlace::Variable(name) => json!({ "env": name }),
        SecretPlace::Credential(name) => json!({ "credential": name }),
        // Its arguments may be secret themselves.
        SecretPlace::Command(argv) => {
            let rest = argv.iter().skip(1).map(|_| SECRET.to_owned());
            let shown: Vec<String> = argv.first().cloned().into_iter().chain(rest).collect();
            json!({ "command": shown })
        }
    }
}

fn declared(section: &mut Section<'_, '_>, queue: &QueueSettings) {
    let QueueSettings {
        name,
        kind,
        declare,
        durable,
        exclusive,
        auto_delete,
        arguments,
    } = queue;
    // A queue may be written as its name alone.
    section.add_from("queue.name", json!(name), &["queue.name", "queue"]);
    let declare_word = match declare {
        Declare::Auto => "auto",
        Declare::Passive => "passive",
    };
    section.add("queue.declare", json!(declare_word));
    if *declare == Declare::Passive {
        return;
    }
    let kind = match kind {
        QueueKind::Quorum => "quorum",
        QueueKind::Classic => "classic",
    };
    section.add("queue.type", json!(kind));
    section.add("queue.durable", json!(durable));
    section.add("queue.exclusive", json!(exclusive));
    section.add("queue.auto_delete", json!(auto_delete));
    let arguments = arguments
        .iter()
        .map(|(key, value)| (key.clone(), argument(value)));
    let arguments: serde_json::Map<String, Value> = arguments.collect();
    section.add("queue.arguments", Value::Object(arguments));
}

fn argument(value: &HeaderValue) -> Value {
    match value {
        HeaderValue::Bool(value) => json!(value),
        HeaderValue::Integer(value) => json!(value),
        HeaderValue::Text(bytes) => json!(String::from_utf8_lossy(bytes)),
        // The file has no words for the others.
        HeaderValue::Int32(_)
        | HeaderValue::Float(_)
        | HeaderValue::Decimal { .. }
        | HeaderValue::Bytes(_)
        | HeaderValue::Timestamp(_)
        | HeaderValue::Array(_)
        | HeaderValue::Table(_)
        | HeaderValue::Void => Value::Null,
    }
}

fn word(format: Format) -> &'static str {
    match format {
        Format::FedoraMessaging => "fedora-messaging",
        Format::Serializer => "serializer",
    }
}
