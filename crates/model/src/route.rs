//! Routes: which events go on to which sinks.

use crate::{event::Event, id::SinkName, topic::TopicPattern};

/// Events of one source, or of all, that match a pattern go to a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name of a source, or `api` for what HTTP and the command line send.
    pub from: String,
    pub to: SinkName,
    /// Any of these; never empty.
    pub topics: Vec<TopicPattern>,
}

/// The sinks that an event goes on to, each once, in the order of the routes.
pub fn sinks_for(routes: &[Route], event: &Event) -> Vec<SinkName> {
    let mut sinks: Vec<SinkName> = Vec::new();
    for route in routes {
        let is_meant = route.from == event.source
            && route.topics.iter().any(|topic| topic.matches(&event.topic));
        if is_meant && !sinks.contains(&route.to) {
            sinks.push(route.to.clone());
        }
    }
    sinks
}
