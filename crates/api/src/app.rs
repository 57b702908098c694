//! What every handler has at hand.

use std::sync::Arc;

use engine::Engine;
use model::{clock::Timestamp, id::Principal};
use tokio::sync::Semaphore;

use crate::{body::SHARE_BYTES, settings::ApiSettings, stream::Streams};

/// Shared by all requests.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) settings: ApiSettings,
    /// Memory that the bodies of requests may take, see `body.rs`.
    pub(crate) in_flight: Semaphore,
    pub(crate) streams: Streams,
}

/// The state that axum hands to handlers.
pub(crate) type Shared = axum::extract::State<Arc<App>>;

impl App {
    pub(crate) fn new(engine: Engine, settings: ApiSettings) -> Arc<Self> {
        let shares = (settings.max_bytes_in_flight / SHARE_BYTES).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            streams: Streams::new(&settings),
            engine,
            settings,
            in_flight: Semaphore::new(shares),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Who asks. Without credentials that is all that is known.
    pub(crate) fn principal(&self) -> Principal {
        Principal("api".to_owned())
    }
}
