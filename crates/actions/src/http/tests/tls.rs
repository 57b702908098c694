//! Who the server proves to be.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};

use super::*;

/// An authority of its own with a server, which has a certificate for `host`
/// and answers every request. The authority's certificate is `ca.pem` in `dir`.
async fn serve(dir: &Path, host: &str) -> (u16, JoinSet<()>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    fs_err::write(dir.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Who does not trust the server goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert_ne!(0, stream.read_buf(&mut head).await.unwrap());
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"safe\": 1}";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.ok();
        }
    });
    (port, serving)
}

/// A request to the server that trusts the project's `ca.pem`, or not.
async fn ask(project: &Path, port: u16, trusts: bool) -> StepReport {
    let mut stage = Stage::new();
    stage.context.project = project.to_owned();
    let call = HttpCall {
        ca: trusts.then(|| "ca.pem".into()),
        ..get(&format!("https://127.0.0.1:{port}/"))
    };
    stage.run(call).await
}

#[tokio::test]
async fn an_authority_of_the_project_is_trusted_and_an_unknown_one_is_not() {
    let project = tempfile::tempdir().unwrap();
    let (port, _serving) = serve(project.path(), "127.0.0.1").await;
    let report = ask(project.path(), port, false).await;
    let why = "the server's certificate is refused: its authority is unknown here; the key `ca` names a file with one";
    check_failed(&report, Retry::Pointless, why);

    let report = ask(project.path(), port, true).await;
    assert_eq!("succeeded", report.outcome.as_str(), "{report:?}");
    assert_eq!(Some(1), report.result.unwrap()["safe"].as_u64());

    // Another authority says nothing about this server.
    let other = tempfile::tempdir().unwrap();
    let (_, _other_serving) = serve(other.path(), "127.0.0.1").await;
    let report = ask(other.path(), port, true).await;
    check_failed(&report, Retry::Pointless, "certificate is refused: ");
}

#[tokio::test]
async fn a_certificate_of_another_host_is_refused() {
    let project = tempfile::tempdir().unwrap();
    let (port, _serving) = serve(project.path(), "other.example.org").await;
    let report = ask(project.path(), port, true).await;
    check_failed(
        &report,
        Retry::Pointless,
        "the server's certificate is refused: certificate not valid for name",
    );
}
