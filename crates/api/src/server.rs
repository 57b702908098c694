//! Connections: how many, how long, and how they end.
//!
//! Every connection is owned by [`serve`] and none outlives it. A client has
//! a time for its headers, one for its body (`body.rs`) and one for taking
//! the answer (`stall.rs`), and when places run out, those that say nothing
//! leave first (`crowd.rs`): none can hold a place by doing nothing.

use std::{
    convert::Infallible, future::Future, io, net::IpAddr, pin::pin, sync::Arc, time::Duration,
};

use axum::Router;
use engine::Engine;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    crowd::{Crowd, GRACE, Seat, Upload},
    routes,
    settings::ApiSettings,
    stall::Stall,
};

/// Bytes of the start line and the headers of a request.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// After an `accept` that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Answers on `listener` until `shutdown`, then accepts nothing more and lets
/// the requests in flight end, for at most `settings.shutdown_timeout`.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    settings: ApiSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_header_size(MAX_HEADER_BYTES);
    // A stream does not take the place of a connection that ends.
    let most = settings
        .max_connections
        .saturating_add(settings.max_streams);
    let crowd = Crowd::new(most);
    let write_timeout = settings.write_timeout;
    let shutdown_timeout = settings.shutdown_timeout;
    let tls = settings.tls.clone();
    let handshake = settings.header_timeout;
    let app = App::new(engine, settings).await.map_err(io::Error::other)?;
    let router = routes::router(Arc::clone(&app));
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();

    let mut shutdown = pin!(shutdown);
    let mut notes = pin!(app.access.keep_notes());
    let mut certificates = pin!(async {
        match &tls {
            Some(tls) => tls.watch().await,
            None => std::future::pending().await,
        }
    });
    let mut newcomer = None;
    loop {
        let (place, stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            never = &mut notes => match never {},
            never = &mut certificates => match never {},
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            Some(place) = crowd.place(), if newcomer.is_some() => match newcomer.take() {
                Some((stream, peer)) => (place, stream, peer),
                None => continue,
            },
            accepted = accept(&listener), if newcomer.is_none() => match accepted {
                Ok(accepted) => {
                    newcomer = Some(accepted);
                    continue;
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let seat = Seat::new(Arc::clone(&crowd), place);
        let stream = Stall::new(stream, write_timeout, seat.owes());
        let talk = Talk {
            builder: builder.clone(),
            router: router.clone(),
            peer,
            ending: ending.clone(),
            seat: Arc::clone(&seat),
        };
        match &tls {
            None => connections.spawn(talk.talk(stream)),
            Some(tls) => {
                let acceptor = tls.acceptor();
                connections.spawn(async move {
                    let shaken = tokio::select! {
                        shaken = timeout(handshake, acceptor.accept(stream)) => shaken,
                        () = seat.sent_away() => return,
                    };
                    match shaken {
                        Ok(Ok(stream)) => talk.talk(stream).await,
                        Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                })
            }
        };
    }

    drop(listener);
    ending.cancel();
    app.streams.end();
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(shutdown_timeout, rest).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    connections.shutdown().await;
    Ok(())
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, Peer)> {
    let (stream, address) = listener.accept().await?;
    // Answers are written whole: waiting for more only delays them.
    stream.set_nodelay(true)?;
    let peer = Peer(address.ip().to_canonical());
    Ok((stream, peer))
}

/// What a connection needs beside its stream.
struct Talk {
    builder: http1::Builder,
    router: Router,
    peer: Peer,
    ending: CancellationToken,
    seat: Arc<Seat>,
}

impl Talk {
    /// One connection, from its first byte to its last.
    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let Self {
            builder,
            router,
            peer,
            ending,
            seat,
        } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(|mut request: Request<Incoming>| {
            let busy = seat.begin(request.body());
            request.extensions_mut().insert(peer);
            let answer = router.call(request.map(|body| Upload::new(body, &seat)));
            let seat = Arc::clone(&seat);
            async move {
                let answer = answer.await?;
                // It may not have needed the body.
                seat.has_it_all();
                Ok::<_, Infallible>(answer.map(|body| busy.until_taken(body)))
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = ending.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = seat.sent_away() => {
                if seat.is_silent() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                match timeout(GRACE, connection.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) if seat.is_owed() => connection.await,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!("a connection broke off: {error}");
        }
    }
}
