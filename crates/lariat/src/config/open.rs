//! From what `lariat.yml` says about sources and sinks to what they are made
//! with: the secrets are read here, once, when the service starts.

use bus::amqp::{AmqpSinkSettings, AmqpSourceSettings};
use model::id::WorkerId;
use wire::amqp::Decoding;

use crate::config::{
    Config,
    connection::OpenError,
    secret::Vault,
    sink::{AmqpSink, Sink},
    source::{AmqpSource, Source},
};

/// Sources and sinks with everything that they need.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) sources: Vec<SourceSettings>,
    pub(crate) sinks: Vec<SinkSettings>,
}

#[derive(Debug)]
pub(crate) enum SourceSettings {
    Amqp(Box<AmqpSourceSettings>),
}

#[derive(Debug)]
pub(crate) enum SinkSettings {
    Amqp(Box<AmqpSinkSettings>),
}

/// Why a source or a sink cannot be tried at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("source `{name}` cannot be started")]
    Source { name: String, source: OpenError },
    #[error("sink `{name}` cannot be started")]
    Sink { name: String, source: OpenError },
}

impl Config {
    /// Everything that cannot be read is in the error, not only the first.
    pub(crate) async fn open(
        &self,
        vault: Vault<'_>,
        worker: &WorkerId,
    ) -> Result<Links, Vec<LinkError>> {
        let mut problems = Vec::new();
        let mut links = Links {
            sources: Vec::new(),
            sinks: Vec::new(),
        };
        for source in &self.sources {
            let opened = match source {
                Source::Amqp(source) => self.amqp_source(source, vault, worker).await,
            };
            match opened {
                Ok(settings) => links.sources.push(settings),
                Err(error) => problems.push(LinkError::Source {
                    name: source.name().to_string(),
                    source: error,
                }),
            }
        }
        for sink in &self.sinks {
            let opened = match sink {
                Sink::Amqp(sink) => amqp_sink(sink, vault, worker).await,
            };
            match opened {
                Ok(settings) => links.sinks.push(settings),
                Err(error) => problems.push(LinkError::Sink {
                    name: sink.name().to_string(),
                    source: error,
                }),
            }
        }
        if problems.is_empty() {
            Ok(links)
        } else {
            Err(problems)
        }
    }

    async fn amqp_source(
        &self,
        source: &AmqpSource,
        vault: Vault<'_>,
        worker: &WorkerId,
    ) -> Result<SourceSettings, OpenError> {
        let name = format!("lariat source {}, {worker}", source.name);
        let connection = source.connection.open(vault, name).await?;
        Ok(SourceSettings::Amqp(Box::new(AmqpSourceSettings {
            name: source.name.clone(),
            worker: worker.clone(),
            connection,
            exchange: source.exchange.clone(),
            queue: source.queue.clone(),
            bindings: source.bindings.clone(),
            decoding: Decoding {
                format: source.format,
                event_bytes: self.limits.event,
                nesting: self.limits.nesting,
            },
            ack: source.ack,
            prefetch: source.prefetch,
            consumer_timeout: source.consumer_timeout,
            takeover: source.takeover,
        })))
    }
}

async fn amqp_sink(
    sink: &AmqpSink,
    vault: Vault<'_>,
    worker: &WorkerId,
) -> Result<SinkSettings, OpenError> {
    let name = format!("lariat sink {}, {worker}", sink.name);
    let connection = sink.connection.open(vault, name).await?;
    Ok(SinkSettings::Amqp(Box::new(AmqpSinkSettings {
        name: sink.name.clone(),
        connection,
        encoding: sink.encoding.clone(),
        declare_queue: sink.queue.clone(),
        mandatory: sink.mandatory,
    })))
}
