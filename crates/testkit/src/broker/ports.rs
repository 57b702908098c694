//! Free ports for a server: below those that the system hands out for
//! outgoing connections, so that a server that is down for a moment finds its
//! ports free when it comes back.

use std::net::TcpListener;

use rand::Rng;

/// The ports of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) amqps: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

impl Ports {
    pub(super) fn choose() -> Self {
        let free: Vec<TcpListener> =
            std::iter::repeat_with(|| rand::rng().random_range(20_000..32_000))
                .filter_map(|port: u16| TcpListener::bind(("127.0.0.1", port)).ok())
                .take(5)
                .collect();
        // All are held until the last is found, so that they differ.
        let mut ports = free
            .iter()
            .map(|listener| listener.local_addr().unwrap().port());
        let mut next = || ports.next().expect("there are five");
        Self {
            amqp: next(),
            amqps: next(),
            management: next(),
            distribution: next(),
            epmd: next(),
        }
    }
}
