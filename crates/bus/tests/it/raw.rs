//! Publishes bytes that no client library would write.
//!
//! Only what is needed of AMQP 0-9-1, without looking at the answers: the
//! broker sends each before it reads on.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A message as it stands on the wire.
#[derive(Debug, Default)]
pub(crate) struct RawMessage {
    pub(crate) exchange: Vec<u8>,
    pub(crate) routing_key: Vec<u8>,
    /// The content of the header table.
    pub(crate) headers: Vec<u8>,
    pub(crate) message_id: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

fn short(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text);
    bytes
}

fn long(text: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text);
    bytes
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend(long(payload));
    bytes.push(0xce);
    bytes
}

fn method(channel: u16, class: u16, method: u16, arguments: &[&[u8]]) -> Vec<u8> {
    let mut payload = class.to_be_bytes().to_vec();
    payload.extend(method.to_be_bytes());
    payload.extend(arguments.concat());
    frame(1, channel, &payload)
}

/// An entry of a header table.
pub(crate) fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    [short(name), vec![kind], value.to_vec()].concat()
}

/// A table as a value.
pub(crate) fn table(content: &[u8]) -> Vec<u8> {
    long(content)
}

/// Publishes as `guest` and returns when the broker has read it all.
pub(crate) async fn publish(port: u16, vhost: &str, message: &RawMessage) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    answer(&mut stream).await;
    let start_ok = [
        long(b"").as_slice(),
        &short(b"PLAIN"),
        &long(b"\0guest\0guest"),
        &short(b"en_US"),
    ]
    .concat();
    send(&mut stream, &method(0, 10, 11, &[&start_ok])).await;
    answer(&mut stream).await;
    // 2047 channels, 131072 bytes in a frame, no heartbeat.
    let tune_ok = [7, 255, 0, 2, 0, 0, 0, 0];
    send(&mut stream, &method(0, 10, 31, &[&tune_ok])).await;
    let vhost = short(vhost.as_bytes());
    send(&mut stream, &method(0, 10, 40, &[&vhost, &[0, 0]])).await;
    answer(&mut stream).await;
    send(&mut stream, &method(1, 20, 10, &[&short(b"")])).await;
    answer(&mut stream).await;
    let publish = [
        [0, 0].as_slice(),
        &short(&message.exchange),
        &short(&message.routing_key),
        &[0],
    ]
    .concat();
    send(&mut stream, &method(1, 60, 40, &[&publish])).await;
    let size = u64::try_from(message.body.len()).unwrap().to_be_bytes();
    // Headers and a message id.
    let flags = (0x2000_u16 | 0x0080).to_be_bytes();
    let header = [
        [0, 60, 0, 0].as_slice(),
        &size,
        &flags,
        &long(&message.headers),
        &short(&message.message_id),
    ]
    .concat();
    send(&mut stream, &frame(2, 1, &header)).await;
    if !message.body.is_empty() {
        send(&mut stream, &frame(3, 1, &message.body)).await;
    }
    // Closing the channel is answered after what was sent before.
    let close = [[0, 200].as_slice(), &short(b""), &[0, 0, 0, 0]].concat();
    send(&mut stream, &method(1, 20, 40, &[&close])).await;
    let said = answer(&mut stream).await;
    assert_eq!(
        &[0, 20, 0, 41],
        &said[..4],
        "the broker refused it: {said:?}"
    );
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
}

/// The payload of the next frame.
async fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.unwrap();
    let [.., a, b, c, d] = head;
    let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap();
    let mut payload = vec![0; size + 1];
    stream.read_exact(&mut payload).await.unwrap();
    payload
}
