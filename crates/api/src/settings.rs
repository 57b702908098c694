//! How the API behaves, as checked values.
//!
//! Reading them from a file is the binary's business.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use model::clock::Clock;

use crate::{limits::Rate, tls::Tls};

/// Limits and times of the HTTP server. `new` gives the defaults.
#[derive(Clone)]
pub struct ApiSettings {
    /// For `since=10m` and the ages on the page.
    pub clock: Arc<dyn Clock>,
    /// What connections are encrypted with; absent: they are not.
    pub tls: Option<Tls>,
    /// How often one token may ask; absent: as often as it likes.
    pub requests_per_token: Option<Rate>,
    /// How often one address may ask without a token that lets it in.
    pub requests_per_address: Option<Rate>,
    /// Bytes of one event, as sent.
    pub max_event_bytes: usize,
    /// Bytes of the body of a request.
    pub max_request_bytes: usize,
    /// Events in one request.
    pub max_events: usize,
    /// Arrays and objects inside each other in a field of an event.
    pub max_nesting: usize,
    /// For the start line and the headers of a request; also how long an idle
    /// connection is kept.
    pub header_timeout: Duration,
    /// For the body of a request.
    pub body_timeout: Duration,
    /// For a client that does not take its answer.
    pub write_timeout: Duration,
    /// Connections that are open at once. For one more, that which has waited
    /// longest for a request is closed.
    pub max_connections: usize,
    /// Streams that are open at once, beside these connections.
    pub max_streams: usize,
    /// How often a stream that has nothing to say shows that it is there.
    pub stream_alive: Duration,
    /// For a client of a stream that takes nothing. Shorter than
    /// `write_timeout`, so that it can be told.
    pub stream_patience: Duration,
    /// Bytes of request bodies that are in memory at once.
    pub max_bytes_in_flight: usize,
    /// What `Retry-After` says when the queue is full.
    pub retry_after: Duration,
    /// How long requests in flight have to end when the server stops.
    pub shutdown_timeout: Duration,
}

impl ApiSettings {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tls: None,
            requests_per_token: None,
            requests_per_address: None,
            max_event_bytes: 1024 * 1024,
            max_request_bytes: 16 * 1024 * 1024,
            max_events: 1_000,
            max_nesting: 64,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            max_connections: 1_024,
            max_streams: 2_000,
            stream_alive: Duration::from_secs(15),
            stream_patience: Duration::from_secs(30),
            max_bytes_in_flight: 128 * 1024 * 1024,
            retry_after: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn event_limits(&self) -> wire::event_json::Limits {
        wire::event_json::Limits {
            event_bytes: self.max_event_bytes,
            events: self.max_events,
            nesting: self.max_nesting,
        }
    }
}

impl fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiSettings")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Whether only this machine can reach an address. Elsewhere nothing is to be
/// served without tokens.
pub fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
