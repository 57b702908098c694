//! The key `queue`: a name, or a mapping that says what it is made of.

use std::collections::BTreeMap;

use bus::amqp::{Declare, QueueKind, QueueSettings};
use rules::{
    Code,
    yaml::{Data, Node, Reader},
};
use wire::amqp::HeaderValue;

/// AMQP's short strings.
pub(super) const LONGEST: usize = 255;

/// A text that AMQP takes for a name or a routing key.
pub(super) fn short<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<&'n str> {
    let text = reader.string(node)?;
    if text.len() > LONGEST || text.contains('\0') {
        let message = format!("expected at most {LONGEST} bytes, and no NUL character");
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    Some(text)
}

/// An exchange or a queue that is not the broker's own.
fn queue_name(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = short(reader, node)?;
    if name.starts_with("amq.") {
        let message = "names that begin with `amq.` are the broker's own".to_owned();
        let hint = "an empty name lets the broker choose one".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
        return None;
    }
    Some(name.to_owned())
}

/// Reads the value of `queue`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<QueueSettings> {
    if let Data::Text(_) = node.data {
        return Some(QueueSettings::named(queue_name(reader, node)?));
    }
    let mut section = reader.mapping(node, "`queue`")?;
    let name_node = section.required(reader, "name");
    let name = name_node.and_then(|node| queue_name(reader, node));
    let declares = [("auto", Declare::Auto), ("passive", Declare::Passive)];
    let declare = match section.optional("declare") {
        Some(node) => reader.word(node, &declares),
        None => Some(Declare::Auto),
    };
    // What only counts when the queue has to be made.
    let mut making: Vec<(&'static str, &Node)> = Vec::new();
    let kinds = [
        ("quorum", QueueKind::Quorum),
        ("classic", QueueKind::Classic),
    ];
    let kind_node = section.optional("type");
    making.extend(kind_node.map(|node| ("type", node)));
    let kind = kind_node.map(|node| reader.word(node, &kinds));
    let mut flag = |key: &'static str, default: bool| {
        let Some(node) = section.optional(key) else {
            return Some(default);
        };
        making.push((key, node));
        reader.bool(node)
    };
    let durable = flag("durable", true);
    let exclusive = flag("exclusive", false);
    let auto_delete = flag("auto_delete", false);
    let arguments = match section.optional("arguments") {
        Some(node) => {
            making.push(("arguments", node));
            arguments(reader, node)
        }
        None => Some(BTreeMap::new()),
    };
    section.finish(reader, &[]);
    let queue = QueueSettings {
        name: name?,
        kind: match kind {
            Some(kind) => kind?,
            None => QueueKind::Quorum,
        },
        declare: declare?,
        durable: durable?,
        exclusive: exclusive?,
        auto_delete: auto_delete?,
        arguments: arguments?,
    };
    let mut fail = |node: &Node, message: String, hint: &str| {
        reader.error(Code::BadValue, node.span, message, Some(hint.to_owned()));
    };
    if queue.declare == Declare::Passive {
        for (key, node) in &making {
            let message = format!("`{key}` means nothing with `declare: passive`");
            fail(node, message, "the queue is used as it is: remove the key");
        }
        if queue.name.is_empty() {
            let message = "a queue that must exist has a name".to_owned();
            fail(
                name_node.unwrap_or(node),
                message,
                "name it, or write `declare: auto`",
            );
        }
    }
    let is_passing =
        queue.exclusive || queue.auto_delete || !queue.durable || queue.name.is_empty();
    if let Some(node) = kind_node
        && queue.kind == QueueKind::Quorum
        && is_passing
    {
        let message =
            "a quorum queue is durable, named, and neither exclusive nor deleted automatically";
        fail(node, message.to_owned(), "write `type: classic`");
    }
    Some(queue)
}

/// Optional arguments of the declaration.
fn arguments(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeMap<String, HeaderValue>> {
    let section = reader.mapping(node, "`arguments`")?;
    let mut arguments = BTreeMap::new();
    let mut is_sound = true;
    for entry in section.entries() {
        let value = match &entry.value.data {
            Data::Bool(value) => Some(HeaderValue::Bool(*value)),
            Data::Number(number) => number.as_i64().map(HeaderValue::Integer),
            Data::Text(text) => Some(HeaderValue::Text(text.clone().into_bytes())),
            Data::Null | Data::List(_) | Data::Mapping(_) => None,
        };
        match value {
            Some(value) if !entry.key.is_empty() && entry.key.len() <= LONGEST => {
                arguments.insert(entry.key.clone(), value);
            }
            Some(_) | None => {
                let message = "an argument is a name with a string, a whole number or a boolean";
                reader.error(Code::BadValue, entry.key_span, message.to_owned(), None);
                is_sound = false;
            }
        }
    }
    is_sound.then_some(arguments)
}
