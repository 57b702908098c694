//! What every handler has at hand.

use std::sync::Arc;

use engine::Engine;
use model::{clock::Timestamp, ports::StoreError};
use tokio::sync::Semaphore;

use crate::{
    access::Access,
    body::SHARE_BYTES,
    limits::Limiter,
    settings::ApiSettings,
    stream::{DropReason, Streams},
};

/// Shared by all requests.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) settings: ApiSettings,
    /// Who may come in.
    pub(crate) access: Access,
    pub(crate) per_token: Limiter,
    pub(crate) per_address: Limiter,
    /// Memory that the bodies of requests may take, see `body.rs`.
    pub(crate) in_flight: Semaphore,
    pub(crate) streams: Streams,
}

/// The state that axum hands to handlers.
pub(crate) type Shared = axum::extract::State<Arc<App>>;

impl App {
    pub(crate) async fn new(
        engine: Engine,
        settings: ApiSettings,
    ) -> Result<Arc<Self>, StoreError> {
        let tokens = Arc::clone(engine.tokens());
        let access = Access::load(tokens, Arc::clone(engine.audit())).await?;
        let shares = (settings.max_bytes_in_flight / SHARE_BYTES).min(Semaphore::MAX_PERMITS);
        // Series begin at nothing, so that their first change is seen as one.
        for reason in DropReason::ALL {
            engine.meter().stream_may_be_dropped(reason.as_str());
        }
        Ok(Arc::new(Self {
            streams: Streams::new(&settings),
            engine,
            access,
            per_token: Limiter::new(settings.requests_per_token),
            per_address: Limiter::new(settings.requests_per_address),
            settings,
            in_flight: Semaphore::new(shares),
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }
}
