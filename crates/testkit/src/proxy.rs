//! A TCP proxy on the loopback that a test can break: passing, silent in both
//! directions as behind a broken router, or cut.
//!
//! It passes bytes and looks into none of them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// Bytes pass both ways.
    Open,
    /// Nothing passes, and nobody is told.
    Black,
}

/// What holds for connections now.
#[derive(Debug, Clone, Copy)]
struct Road {
    path: Path,
    /// Times that the open connections were forgotten.
    forgotten: u64,
}

impl Road {
    /// Whether a connection that began with `then` is silent now.
    fn is_dark_for(self, then: Self) -> bool {
        match self.path {
            Path::Open => self.forgotten > then.forgotten,
            Path::Black => true,
        }
    }
}

/// A proxy in front of a port. It ends with its value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    road: watch::Sender<Road>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of its own and passes everything to `port`.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (road, watched) = watch::channel(Road {
            path: Path::Open,
            forgotten: 0,
        });
        let connections = Arc::new(Mutex::new(Vec::new()));
        let known = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let passing = tokio::spawn(pass(client, port, watched.clone()));
                let mut known = known.lock().unwrap();
                known.retain(|connection: &JoinHandle<()>| !connection.is_finished());
                known.push(passing);
            }
        });
        Self {
            address,
            road,
            connections,
            accepting,
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nothing passes: open connections stay open and are silent
    /// for good, new ones are accepted and stay silent.
    pub fn black_hole(&self) {
        self.road.send_modify(|road| road.path = Path::Black);
    }

    /// The open connections are silent for good and stay open, as when a
    /// firewall has forgotten them; new ones pass.
    pub fn forget(&self) {
        self.road.send_modify(|road| road.forgotten += 1);
    }

    /// New connections pass. Those of the black hole are dropped, and nothing
    /// that was sent on them arrives.
    pub fn restore(&self) {
        self.cut();
        self.road.send_modify(|road| road.path = Path::Open);
    }

    /// Closes all connections; new ones are treated as before.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

/// Passes one connection on until an end closes it or its road turns dark;
/// then holds it, unread, until it is dropped.
async fn pass(mut client: TcpStream, port: u16, mut road: watch::Receiver<Road>) {
    let then = *road.borrow_and_update();
    let mut server = None;
    let passing = async {
        if then.is_dark_for(then) {
            return false;
        }
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            let server = server.insert(stream);
            // How a connection ends is the business of its ends.
            drop(copy_bidirectional(&mut client, server).await);
        }
        true
    };
    let has_ended = tokio::select! {
        has_ended = passing => has_ended,
        _ = road.wait_for(|road| road.is_dark_for(then)) => false,
    };
    if !has_ended {
        std::future::pending::<()>().await;
    }
    drop((client, server));
}

#[cfg(test)]
mod tests;
