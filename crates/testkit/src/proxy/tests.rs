use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::process::wait_until;

const DEADLINE: Duration = Duration::from_secs(10);

/// Sends back what it is sent; the proxy in front of it.
async fn echo() -> Proxy {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            });
        }
    });
    Proxy::start(port).await
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .unwrap()
}

async fn answers(stream: &mut TcpStream) -> bool {
    stream.write_all(b"x").await.is_ok() && stream.read_u8().await.is_ok()
}

/// Whether the other end has closed, without waiting for it.
fn is_silent(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0; 1]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let proxy = echo().await;
    assert!(answers(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn a_black_hole_says_nothing_and_keeps_everything_open() {
    let proxy = echo().await;
    let mut old = connect(&proxy).await;
    assert!(answers(&mut old).await);
    proxy.black_hole();
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        let answer = tokio::time::timeout(Duration::from_millis(100), answers(stream));
        assert!(answer.await.is_err());
        assert!(is_silent(stream));
    }
    proxy.restore();
    assert!(answers(&mut connect(&proxy).await).await);
    for stream in [&mut old, &mut new] {
        wait_until(
            "the black-holed connection is closed",
            DEADLINE,
            async || !is_silent(stream),
        )
        .await;
    }
}

#[tokio::test]
async fn a_cut_closes_and_lets_new_ones_in() {
    let proxy = echo().await;
    let mut old = connect(&proxy).await;
    assert!(answers(&mut old).await);
    proxy.cut();
    assert!(!answers(&mut old).await);
    assert!(answers(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn a_forgotten_connection_is_silent_and_new_ones_pass() {
    let proxy = echo().await;
    let mut old = connect(&proxy).await;
    assert!(answers(&mut old).await);
    proxy.forget();
    let answer = tokio::time::timeout(Duration::from_millis(100), answers(&mut old));
    assert!(answer.await.is_err());
    assert!(answers(&mut connect(&proxy).await).await);
    assert!(is_silent(&old));
}
