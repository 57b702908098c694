//! The encrypted listener: what connects, and how certificates change.

use std::{path::Path, sync::Arc, time::Duration};

use api::Tls;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName},
    },
};

use crate::harness::{Served, serve_with};

/// Writes a certificate and its key, and gives the certificate.
fn issue(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("key.pem", made.signing_key.serialize_pem()),
        ("cert.pem", made.cert.pem()),
    ] {
        let new = dir.join("new");
        std::fs::write(&new, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&new, mode).unwrap();
        std::fs::rename(&new, dir.join(name)).unwrap();
    }
    made.cert.der().clone()
}

async fn connect(
    served: &Served,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = served.connect().await;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// One request on a connection that stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = b"GET /healthz/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "the connection was closed");
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(answer).unwrap()
}

async fn encrypted(dir: &TempDir) -> Served {
    let tls = Tls::load(dir.path().join("cert.pem"), dir.path().join("key.pem")).unwrap();
    serve_with(10, |settings| {
        settings.tls = Some(tls);
        settings.header_timeout = Duration::from_secs(30);
    })
    .await
}

#[tokio::test]
async fn a_new_certificate_is_used_and_open_connections_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = issue(dir.path());
    let served = encrypted(&dir).await;
    let mut open = connect(&served, &first).await.unwrap();
    assert!(ask(&mut open).await.starts_with("HTTP/1.1 200 "));

    let second = issue(dir.path());
    let until = Instant::now() + Duration::from_secs(20);
    while connect(&served, &second).await.is_err() {
        assert!(Instant::now() < until, "the new certificate is not used");
        tokio::task::yield_now().await;
    }
    assert!(ask(&mut open).await.starts_with("HTTP/1.1 200 "));
    assert!(connect(&served, &first).await.is_err());
    drop(open);
    served.end().await;
}

#[tokio::test]
async fn who_does_not_encrypt_gets_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    issue(dir.path());
    let served = encrypted(&dir).await;
    let mut stream = served.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    served.end().await;
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = issue(dir.path());
    let tls = Tls::load(dir.path().join("cert.pem"), dir.path().join("key.pem")).unwrap();
    let served = serve_with(10, |settings| {
        settings.tls = Some(tls);
        settings.header_timeout = Duration::from_millis(300);
        settings.max_connections = 1;
        settings.max_streams = 0;
    })
    .await;
    let idle = served.connect().await;
    // There is one place, and it becomes free without the client's help.
    let connected = timeout(Duration::from_secs(10), connect(&served, &trusted)).await;
    assert!(connected.expect("in time").is_ok());
    drop(idle);
    served.end().await;
}
