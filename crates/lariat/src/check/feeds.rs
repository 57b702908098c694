//! What the configured sources can deliver, as far as `lariat.yml` says it.

use rules::Feeds;
use wire::amqp::Format;

use crate::config::{
    Config,
    source::{AmqpSource, Source},
};

/// Exchanges of every broker that do not look at the words of a routing key.
const OTHER_EXCHANGES: [&str; 4] = ["", "amq.fanout", "amq.headers", "amq.match"];

/// All topics that the sources are bound to.
pub(super) fn feeds(config: &Config) -> Feeds {
    let mut bound = Vec::new();
    for source in &config.sources {
        let Source::Amqp(source) = source;
        let is_known = !source.bindings.is_empty()
            && !OTHER_EXCHANGES.contains(&source.exchange.as_str())
            && has_topic_for_key(source);
        if !is_known {
            return Feeds::Any;
        }
        for binding in &source.bindings {
            // A routing key may be what no topic is.
            match binding.parse() {
                Ok(pattern) => bound.push(pattern),
                Err(_) => return Feeds::Any,
            }
        }
    }
    if bound.is_empty() {
        Feeds::Any
    } else {
        Feeds::Bound(bound)
    }
}

/// Whether the routing key is the topic; the serializer's messages bring
/// theirs in the body.
fn has_topic_for_key(source: &AmqpSource) -> bool {
    match source.format {
        Format::FedoraMessaging => true,
        Format::Serializer => false,
    }
}
